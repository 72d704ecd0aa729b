import { addAbortSignal, type Readable, type Writable } from "node:stream";
import { styleText } from "node:util";
import { CommandError } from "./commands/errors.ts";

/** What the command line shows and asks. Data goes to stdout, everything else to stderr. */
export interface Terminal {
  /** A person is there to answer. */
  interactive: boolean;
  print(text: string): void;
  /** One JSON document, for programs. */
  json(value: object): void;
  /** Something a person should know that is no data. */
  say(text: string): void;
  /** A remark that only a person who watches wants. */
  remark(text: string): void;
  /** What is typed unseen, trimmed; `undefined` for nothing. */
  secret(question: string): Promise<string | undefined>;
  confirm(question: string): Promise<boolean>;
  /** All of stdin, trimmed; `undefined` for nothing. `what` is said where it lets people wait. */
  piped(what: string): Promise<string | undefined>;
}

/** A pipe that stays silent this long may be one that nobody writes to, in ms. */
const SILENCE = 2000;

/** Where the terminal reads and writes: the process's own streams, or those of a test. */
export interface Streams {
  stdin: Readable & { isTTY?: boolean };
  stdout: Writable;
  stderr: Writable & { isTTY?: boolean };
}

export function openTerminal(signal: AbortSignal, { stdin, stdout, stderr }: Streams = process): Terminal {
  const say = (text: string) => void stderr.write(`${text}\n`);
  return {
    interactive: stdin.isTTY === true,
    print: (text) => void stdout.write(`${text}\n`),
    json: (value) => void stdout.write(`${JSON.stringify(value, undefined, 2)}\n`),
    say,
    remark(text) {
      if (stderr.isTTY) say(styleText("dim", text, { stream: stderr as NodeJS.WriteStream }));
    },
    async secret(question) {
      const { isCancel, password } = await import("@clack/prompts");
      const answer = await password({ message: question, output: stderr, signal });
      if (isCancel(answer)) throw cancelled();
      return answer?.trim() || undefined;
    },
    async confirm(question) {
      const { confirm, isCancel } = await import("@clack/prompts");
      const answer = await confirm({ message: question, initialValue: false, output: stderr, signal });
      if (isCancel(answer)) throw cancelled();
      return answer;
    },
    async piped(what) {
      const reminder = setTimeout(() => say(`waiting for ${what} on standard input`), SILENCE);
      try {
        let text = "";
        for await (const chunk of addAbortSignal(signal, stdin.setEncoding("utf8"))) text += chunk;
        return text.trim() || undefined;
      } catch (error) {
        throw signal.aborted ? cancelled() : error;
      } finally {
        clearTimeout(reminder);
      }
    },
  };
}

/** Ends with the status that shells give to Ctrl-C. */
const cancelled = () => new CommandError("cancelled", 130);
