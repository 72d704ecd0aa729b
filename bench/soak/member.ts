import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../test/support/processes.ts";
import { makeSpans, type Spans } from "./spans.ts";

const READY_WITHIN = 60_000;

/** One place in the fleet: a process on a port of 127.0.0.1, and after a kill another one in the same place. */
export interface Member {
  readonly title: string;
  readonly url: string;
  /** When none of its processes was there and ready. */
  readonly downs: Spans;
  /** Files that its processes wrote to. */
  readonly logs: string[];
  /** The process that runs; `undefined`: none that was not told to end. */
  process(): Running | undefined;
  /** Starts a process, and waits until it answers HTTP. */
  start(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export interface Running {
  pid: number;
  /** Unlike any other process of the run. */
  id: string;
  /** ms: when it was ready. */
  since: number;
  /** It ended, however it did. */
  isOver(): boolean;
  /** MB that it holds when its garbage is collected; `undefined`: it ended before it could tell. */
  held(): Promise<number | undefined>;
}

const children = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

export interface MemberOptions {
  title: string;
  /** Of `node`, for a port. */
  args(port: number): string[];
  env: Record<string, string>;
  /** Where it writes its logs. */
  folder: string;
}

const PRELOADED = ["--expose-gc", "--import", path.join(import.meta.dirname, "preload.js")];

export async function makeMember({ title, args, env, folder }: MemberOptions): Promise<Member> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const downs = makeSpans();
  const logs: string[] = [];
  let running: (Running & { child: ChildProcess }) | undefined;
  return {
    title,
    url,
    downs,
    logs,
    process: () => running,
    async start() {
      const id = `${title} (${logs.length + 1})`;
      const log = path.join(folder, `${id}.log`);
      logs.push(log);
      const child = launch(args(port), env, log);
      const isOver = () => child.exitCode !== null || child.signalCode !== null;
      await untilReady(id, url, isOver);
      running = { pid: child.pid ?? 0, id, since: Date.now(), isOver, held: () => heldBy(child), child };
      if (downs.isOpen()) downs.end(Date.now());
    },
    async kill() {
      const { child } = running ?? {};
      running = undefined;
      downs.begin(Date.now());
      if (child === undefined || !children.has(child)) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    },
  };
}

function launch(args: string[], env: Record<string, string>, log: string): ChildProcess {
  const file = openSync(log, "w");
  const { PATH = "", HOME = "" } = process.env;
  const child = spawn(process.execPath, [...PRELOADED, ...args], {
    env: { PATH, HOME, NODE_ENV: "production", ...env },
    stdio: ["ignore", file, file, "ipc"],
  });
  closeSync(file);
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

function heldBy(child: ChildProcess): Promise<number | undefined> {
  return new Promise((resolve) => {
    const end = () => resolve(undefined);
    child.once("exit", end).once("message", (bytes) => {
      child.off("exit", end);
      resolve(Number(bytes) / 2 ** 20);
    });
    child.send("what do you hold?", (error) => error && end());
  });
}

async function untilReady(id: string, url: string, isOver: () => boolean): Promise<void> {
  for (const deadline = Date.now() + READY_WITHIN; ; await sleep(20)) {
    const answers = await fetch(`${url}/health`, { signal: AbortSignal.timeout(5000) }).catch(
      () => undefined,
    );
    if (answers !== undefined) return;
    if (isOver() || Date.now() > deadline) throw new Error(`${id} did not get ready: see its log`);
  }
}
