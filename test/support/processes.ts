import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { INHERITED } from "./environment.ts";
import { HANG } from "./hang.ts";
import { plant } from "./prints.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const READY_WITHIN = HANG;
const STOP_WITHIN = 5_000;

/** A child process of this test file that serves on a port of 127.0.0.1. */
export interface Running {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Settles when the process has ended, however it did; never rejects. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** The lines written so far, stdout and stderr in the order of arrival. */
  output(): string[];
  /** SIGTERM, and SIGKILL if it is still there after 5 s. */
  stop(): Promise<void>;
  /** SIGKILL: what the process was doing is left half done. */
  kill(): Promise<void>;
}

export interface Sandbox extends Running {
  /** Sends JSON to the sandbox and gives the answer's JSON (`undefined` when empty); throws unless 2xx. */
  control<T = unknown>(method: string, path: string, body?: unknown): Promise<T>;
}

const children = new Set<ChildProcess>();
const folders = new Set<string>();
// Runs when a worker ends without its `afterAll`: no child outlives the tests.
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** Ends every process and removes every folder that this test file made: give it to `afterAll`. */
export async function stopAll(): Promise<void> {
  await Promise.all([...children].map((child) => end(child, "SIGTERM")));
  await Promise.all([...folders].map((folder) => rm(folder, { recursive: true, force: true })));
  folders.clear();
}

/** An empty folder; `stopAll` removes it. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "token-service-"));
  folders.add(folder);
  return folder;
}

/** A port of 127.0.0.1 that was free just now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address ? resolve(address.port) : reject()));
    });
  });
}

/**
 * Runs a built function under the Functions Framework, as Cloud Run does, with no environment but `env`,
 * PATH and HOME. Resolves once its port accepts connections. Give the `port` of one that has ended to
 * start it again in the same place.
 */
export async function startFunction(
  name: "lookup" | "refresher" | "setup",
  env: Record<string, string>,
  options: { port?: number } = {},
): Promise<Running> {
  const source = path.join(ROOT, "dist", name);
  if (!existsSync(source)) throw new Error(`dist/${name} is missing: npm run build`);
  return startHandler(name, source, env, options);
}

/** The same for a function that is not built: `source` is its file. */
export async function startHandler(
  name: string,
  source: string,
  env: Record<string, string>,
  options: { port?: number } = {},
): Promise<Running> {
  const framework = createRequire(import.meta.url).resolve("@google-cloud/functions-framework");
  const main = path.join(path.dirname(framework), "main.js");
  const port = options.port ?? (await freePort());
  const args = [main, `--source=${source}`, `--target=${name}`, `--port=${port}`];
  return start(name, args, port, { NODE_ENV: "production", ...env }, () => accepts(port));
}

/** Runs the sandbox authority on a file of its own, or on `file`, which outlives it. */
export async function startSandbox(
  options: { file?: string; port?: number; env?: Record<string, string> } = {},
): Promise<Sandbox> {
  const port = options.port ?? (await freePort());
  const file = options.file ?? path.join(await temporaryFolder(), "sandbox.db");
  const args = [path.join(ROOT, "local/sandbox/run.ts"), "--port", String(port), "--file", file];
  const announced = (output: string[]) => output.some((line) => line.startsWith('{"sandbox":'));
  const running = await start("the sandbox", args, port, options.env ?? {}, announced);
  return { ...running, control: (...request) => control(running.url, ...request) };
}

async function control<T>(base: string, method: string, target: string, body?: unknown): Promise<T> {
  if (typeof body === "object" && body !== null) plant({ ...body });
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { "content-type": "application/json" };
  const response = await fetch(new URL(target, base), { method, headers, ...content });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${target} of the sandbox: ${response.status} ${text}`);
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

async function start(
  what: string,
  args: string[],
  port: number,
  env: Record<string, string>,
  ready: (output: string[]) => boolean | Promise<boolean>,
): Promise<Running> {
  // Else whoever holds it would be taken for the new process.
  if (await accepts(port)) throw new Error(`${what} cannot start: port ${port} is taken`);
  plant(env);
  const child = spawn(process.execPath, args, { cwd: ROOT, env: { ...INHERITED, ...env }, stdio: "pipe" });
  const { exited, output } = watch(child);
  const deadline = Date.now() + READY_WITHIN;
  while (!(await ready(output()))) {
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (ended || Date.now() > deadline) {
      await end(child, "SIGKILL");
      const why = ended ? `ended (${child.signalCode ?? child.exitCode})` : "did not get ready";
      throw new Error(`${what} ${why}:\n${output().join("\n")}`);
    }
    await sleep(20);
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    pid: child.pid ?? 0,
    exited,
    output,
    stop: () => end(child, "SIGTERM"),
    kill: () => end(child, "SIGKILL"),
  };
}

function watch(child: ChildProcess): Pick<Running, "exited" | "output"> {
  children.add(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
  }
  const exited = new Promise<Awaited<Running["exited"]>>((resolve) => {
    child.once("close", (code, signal) => {
      children.delete(child);
      resolve({ code, signal });
    });
  });
  return { exited, output: () => text.split("\n").filter((line) => line !== "") };
}

async function end(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (!children.has(child)) return;
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.kill(signal);
  const hard = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN);
  await closed;
  clearTimeout(hard);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
