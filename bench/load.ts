import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { HEADERS } from "./deployed.ts";

const run = promisify(execFile);
const PROCESS = path.join(import.meta.dirname, "load-process.ts");

/** What autocannon saw. Times are ms, from sending a request to the end of its answer; at a rate, corrected for coordinated omission. */
export interface Load {
  answers: number;
  /** Answers other than 2xx, broken connections, and what took longer than 10 s. */
  failures: number;
  perSecond: number;
  p50: number;
  p99: number;
  most: number;
}

export interface LoadOptions {
  connections: number;
  /** Seconds; or `amount`, the number of requests. */
  duration?: number;
  amount?: number;
  /** Requests a second, all connections together; absent: as many as there are answers. */
  overallRate?: number;
  method?: "GET" | "POST";
  /** An address that autocannon itself is warmed up on before. */
  warmUpOn?: string;
}

/** Runs autocannon in a process of its own, so that it shares no event loop with whoever measures. */
export async function load(url: string, options: LoadOptions): Promise<Load> {
  const { stdout } = await run(
    process.execPath,
    [PROCESS, JSON.stringify({ url, headers: HEADERS, ...options })],
    { timeout: 120_000, maxBuffer: 1e6 },
  );
  return JSON.parse(stdout) as Load;
}
