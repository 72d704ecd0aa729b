import { PassThrough } from "node:stream";
import { expect } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { endingOf, makeProgram } from "../../local/commands/program.ts";
import { openTerminal, type Terminal } from "../../local/terminal.ts";
import { eventually } from "./eventually.ts";
import { plant, recorder } from "./prints.ts";
import { wordsOf } from "./program.ts";

/** `npm run tokens -- …` in this process: the whole program, with pipes of its own for its streams. */

export interface Options {
  /** The only settings that the command sees. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Where it runs. Command lines that run at the same time must run in one folder. */
  cwd?: string;
  /** What it finds on standard input. */
  input?: string;
  /** Its clock and its sleep, as far as they differ from those of this machine. */
  time?: Partial<Runtime>;
  /** The person at the terminal, as far as they answer differently than a pipe. */
  person?: Partial<Terminal>;
}

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** A command line that is running. */
export interface Begun {
  ended: Promise<Ended>;
  /** Resolves once stdout holds `text`; rejects where the command ends before. */
  says(text: string): Promise<void>;
  stdout(): string;
  /** All of standard input, and its end. */
  type(text: string): void;
  /** Ctrl-C. */
  interrupt(): void;
}

// Commands print for a pipe, whatever the colours of the run are.
delete process.env.FORCE_COLOR;

let running = 0;
let home = process.cwd();

/** Starts a command line; its standard input stays open until something is typed. */
export function begin(line: string, { env = {}, cwd, time = {}, person = {} }: Options = {}): Begun {
  plant(env);
  const ending = new AbortController();
  const { signal } = ending;
  const stdin = new PassThrough();
  const record = recorder(`node local/tokens.ts ${line}`);
  const texts = { stdout: "", stderr: "" };
  const stream = (name: "stdout" | "stderr") =>
    new PassThrough().setEncoding("utf8").on("data", (chunk: string) => {
      record(name, chunk);
      texts[name] += chunk;
    });
  const streams = { stdin, stdout: stream("stdout"), stderr: stream("stderr") };
  const terminal = { ...openTerminal(signal, streams), ...person };
  const program = makeProgram({ env, terminal, runtime: { ...runtime, ...time }, signal }, streams);
  if (running++ === 0) home = process.cwd();
  if (cwd !== undefined) process.chdir(cwd);
  let code: number | undefined;
  const end = async (given: number): Promise<Ended> => {
    if (--running === 0) process.chdir(home);
    // What was written last is still on its way.
    await new Promise((resolve) => setImmediate(resolve));
    code = given;
    return { code, ...texts };
  };
  const ended = program.parseAsync(wordsOf(line), { from: "user" }).then(
    () => end(0),
    (error: unknown) => {
      const { code: status, sentence } = endingOf(error, env);
      if (sentence !== undefined) streams.stderr.write(`${sentence}\n`);
      return end(status);
    },
  );
  return {
    ended,
    stdout: () => texts.stdout,
    type: (text) => void stdin.end(text),
    interrupt: () => ending.abort(),
    async says(text) {
      await eventually(() => {
        if (code === undefined) expect(texts.stdout).toContain(text);
      });
      expect(texts.stdout + texts.stderr).toContain(text);
    },
  };
}

/** Runs a command line to its end. */
export function tokens(line: string, options: Options = {}): Promise<Ended> {
  const { ended, type } = begin(line, options);
  type(options.input ?? "");
  return ended;
}

/** What a command line prints on stdout that ends with status 0, without the last line break. */
export async function outputOf(line: string, options: Options = {}): Promise<string> {
  const { code, stdout, stderr } = await tokens(line, options);
  expect({ line, code, stderr: code === 0 ? "" : stderr }).toEqual({ line, code: 0, stderr: "" });
  return stdout.trimEnd();
}
