import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { canBePlanted, type Planted } from "./canaries.ts";

/**
 * Everything that the processes of a test run print, in one folder, and the secrets that must not be in it. The folder
 * is named by an environment variable, which workers inherit; without it (in a bench) nothing is kept.
 */

const VARIABLE = "TEST_PRINTS";
const PLANTED = "planted.jsonl";
const ROOT = path.resolve(import.meta.dirname, "../..");

/** What one process printed on one stream. */
export interface Print {
  file: string;
  /** Its command line. */
  process: string;
  /** Who started it. */
  test: string;
  stream: Stream;
  text: string;
}

/** `log`: lines that code under test gave to a log function of a test. */
type Stream = "stdout" | "stderr" | "log";

/** Makes the folder: once for a run, before the workers start. */
export function keepPrints(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "test-prints-"));
  process.env[VARIABLE] = folder;
  return folder;
}

let test = "the test run";
let made = 0;

/** From now on, keeps what each child of this process prints, without taking it from whoever reads it. */
export function recordChildren(by: string): void {
  const folder = process.env[VARIABLE];
  test = path.isAbsolute(by) ? path.relative(ROOT, by) : by;
  if (folder === undefined) return;
  subscribe("child_process", (message) => {
    const { process: child } = message as { process: ChildProcess };
    // Its streams are made right after this, and nothing can have come on them before.
    process.nextTick(() => record(child, folder));
  });
}

function record(child: ChildProcess, folder: string): void {
  const keep = keeper(folder, commandOf(child));
  for (const stream of ["stdout", "stderr"] as const) {
    if (child[stream]) tap(child[stream], (chunk) => keep(stream, chunk));
    else copyAtEnd(child, stream, (content) => keep(stream, content));
  }
}

/** Names the files after this process and a number of its own. */
function keeper(folder: string, command: string) {
  const name = path.join(folder, `${process.pid}-${++made}`);
  writeFileSync(`${name}.json`, JSON.stringify({ process: command, test }));
  return (stream: Stream, content: string | Uint8Array) => appendFileSync(`${name}.${stream}`, content);
}

function commandOf({ spawnargs = [] }: ChildProcess): string {
  if (spawnargs.some((arg) => /vitest.dist.workers/.test(arg))) return "a worker of the test run";
  const words = spawnargs.map((arg) => (arg === process.execPath ? "node" : arg));
  return words.join(" ").replaceAll(`${ROOT}${path.sep}`, "");
}

/** A listener would set the stream flowing, and change what the test sees; so it is seen on its way in. */
function tap(stream: Readable, keep: (chunk: Uint8Array) => void): void {
  const push = stream.push;
  stream.push = function (this: Readable, chunk: unknown, ...rest) {
    if (chunk instanceof Uint8Array) keep(chunk);
    return push.call(this, chunk, ...rest);
  };
}

/** A stream that was given a file comes not by here: it is copied when the process has ended, where Linux tells its name. */
function copyAtEnd(child: ChildProcess, stream: "stdout" | "stderr", keep: (content: Uint8Array) => void) {
  const file = linkOf(`/proc/${child.pid}/fd/${stream === "stdout" ? 1 : 2}`);
  if (file === undefined || file === linkOf(`/proc/self/fd/${stream === "stdout" ? 1 : 2}`)) return;
  if (!path.isAbsolute(file) || file.startsWith("/dev/")) return;
  child.once("exit", () => {
    try {
      keep(readFileSync(file));
    } catch {
      // Whoever made it has taken it away.
    }
  });
}

function linkOf(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined;
  }
}

let log: ReturnType<typeof keeper> | undefined;

/** What code under test gave to a log function that prints nothing itself. */
export function printed(text: string): void {
  const folder = process.env[VARIABLE];
  if (folder === undefined) return;
  log ??= keeper(folder, "the test's own process");
  log("log", text.endsWith("\n") ? text : `${text}\n`);
}

/** Keeps what a program that runs in this process prints, as if it were a child with this command line. */
export function recorder(command: string): (stream: Stream, text: string) => void {
  const folder = process.env[VARIABLE];
  return folder === undefined ? () => {} : keeper(folder, command);
}

/** Secrets by what they are: variables, headers and fields of documents. All else may be printed. */
const SECRETS: Readonly<Record<string, string>> = {
  TOKEN_PASSPHRASE: "passphrase",
  "x-token-passphrase": "passphrase",
  "x-token-rejected": "access token",
  authorization: "authorization header",
  cookie: "cookie",
  clientSecret: "client secret",
  accessToken: "access token",
  refreshToken: "refresh token",
  verifier: "PKCE verifier",
};

/** Makes the secrets among some variables, headers or fields known, in case they do not say themselves what they are. */
export function plant(named: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(named))
    if (typeof value === "string" && SECRETS[name] !== undefined) plantOne(SECRETS[name], value);
}

const planted = new Set<string>();

function plantOne(kind: string, text: string): void {
  const folder = process.env[VARIABLE];
  if (folder === undefined) return;
  const lines = text.split("\n").map((line) => line.trim());
  for (const value of lines.filter((line) => canBePlanted(line) && !planted.has(line))) {
    planted.add(value);
    appendFileSync(path.join(folder, PLANTED), `${JSON.stringify([value, kind])}\n`);
  }
}

export function readPrints(folder: string): Print[] {
  const sources = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return sources.flatMap((source) => {
    const origin = JSON.parse(readFileSync(path.join(folder, source), "utf8"));
    return (["stdout", "stderr", "log"] as const).flatMap((stream) => {
      const file = path.join(folder, source.replace(/json$/, stream));
      const text = contentOf(file);
      return text === "" ? [] : [{ file, stream, text, ...origin }];
    });
  });
}

export function readPlanted(folder: string): Planted {
  const lines = contentOf(path.join(folder, PLANTED)).split("\n").slice(0, -1);
  return new Map(lines.map((line) => JSON.parse(line)));
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
