import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../test/support/processes.ts";

const READY_WITHIN = 15_000;

/** A process of this bench that serves on a port of 127.0.0.1. */
export interface Server {
  pid: number;
  port: number;
  url: string;
  /** Ends it, by its own id. */
  stop(): Promise<void>;
}

const children = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** Starts `node` with no environment but `env`; what it writes goes to a file in `folder`. Does not wait. */
export function launch(args: string[], env: Record<string, string>, folder: string): Launched {
  const log = path.join(folder, `${performance.now()}.log`);
  const file = openSync(log, "w");
  const { PATH = "", HOME = "" } = process.env;
  const began = performance.now();
  const child = spawn(process.execPath, args, {
    env: { PATH, HOME, ...env },
    stdio: ["ignore", file, file],
  });
  children.add(child);
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  ended.then(() => children.delete(child));
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  return { pid: child.pid ?? 0, began, isOver, stop, written: () => readFileSync(log, "utf8") };
}

export interface Launched {
  pid: number;
  /** `performance.now()` just before it was spawned. */
  began: number;
  isOver(): boolean;
  written(): string;
  stop(): Promise<void>;
}

/** As `launch`, and waits until the port accepts connections. `args` are made for a port. */
export async function start(
  args: (port: number) => string[],
  env: Record<string, string>,
  folder: string,
): Promise<Server> {
  const port = await freePort();
  const { pid, isOver, stop, written } = launch(args(port), { NODE_ENV: "production", ...env }, folder);
  for (const deadline = Date.now() + READY_WITHIN; !(await accepts(port)); await sleep(20)) {
    if (!isOver() && Date.now() < deadline) continue;
    await stop();
    throw new Error(`a process did not get ready:\n${written()}`);
  }
  return { pid, port, url: `http://127.0.0.1:${port}`, stop };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("error", () => resolve(false)).once("connect", () => resolve(true));
    socket.once("connect", () => socket.destroy());
  });
}

/** Resident memory of a process (`VmRSS`), in MB. */
export function residentMegabytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) / 1024;
}

/** Processor time that a process has used, in s (Linux counts hundredths). */
export function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
