import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { HANG } from "../support/hang.ts";
import { plant } from "../support/prints.ts";
import { freePort } from "../support/processes.ts";

/** A process that a test watches to its end. */
export interface Child {
  readonly pid: number;
  /** What was written so far. */
  stdout(): string;
  stderr(): string;
  /** How it ended, and after how many ms. Never rejects. */
  readonly ended: Promise<Ending>;
  /** Sends a signal; with `group`, to all that a terminal would send it to. */
  signal(name: NodeJS.Signals, group?: boolean): void;
  /** Waits until stdout holds `text`; throws, with all that was written, where the process ends before. */
  says(text: string): Promise<void>;
}

interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  ms: number;
}

const children = new Map<ChildProcess, Promise<Ending>>();
// Runs when a worker ends without its `afterAll`: no child outlives the tests.
process.on("exit", () => {
  for (const child of children.keys()) kill(child, "SIGKILL", true);
});

/** Kills every process of this file that still runs: give it to `afterAll`. */
export async function endAll(): Promise<void> {
  for (const child of children.keys()) kill(child, "SIGKILL", true);
  await Promise.all(children.values());
}

/** Starts a process with no environment but `env`, in a process group of its own. */
export function run(
  command: string,
  args: readonly string[],
  { cwd, env }: { cwd: string; env: Record<string, string | undefined> },
): Child {
  const started = Date.now();
  plant(env);
  const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      text[name] += chunk;
    });
  }
  let over = false;
  const ended = new Promise<Ending>((resolve) => {
    child.once("close", (code, signal) => {
      children.delete(child);
      over = true;
      resolve({ code, signal, ms: Date.now() - started });
    });
  });
  children.set(child, ended);
  return {
    pid: child.pid ?? 0,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    ended,
    signal: (name, group = false) => kill(child, name, group),
    async says(wanted) {
      for (const deadline = Date.now() + HANG; !text.stdout.includes(wanted); await sleep(20)) {
        if (!over && Date.now() < deadline) continue;
        throw new Error(`${command} did not say "${wanted}":\n${text.stdout}${text.stderr}`);
      }
    },
  };
}

function kill({ pid }: ChildProcess, signal: NodeJS.Signals, group: boolean): void {
  if (pid === undefined) return;
  try {
    process.kill(group ? -pid : pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** A port of 127.0.0.1 that was free just now, and the one after it too: the sandbox takes that. */
export async function freePair(): Promise<number> {
  for (;;) {
    const port = await freePort();
    const next = await hold(port + 1).catch(() => undefined);
    if (next === undefined) continue;
    await release(next);
    return port;
  }
}

/** Takes a port, accepts, and never answers. */
export function hold(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      open.set(server, [...(open.get(server) ?? []), socket]);
      socket.on("error", () => {});
    });
    server.once("error", reject).listen(port, "127.0.0.1", () => resolve(server));
  });
}

const open = new WeakMap<Server, Socket[]>();

export async function release(server: Server): Promise<void> {
  for (const socket of open.get(server) ?? []) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
}
