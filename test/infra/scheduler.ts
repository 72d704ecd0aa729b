import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** What stands in for Google Cloud's Scheduler, over HTTP: jobs that call an address when they are run. */
export interface StandIn {
  /** As `GOOGLE_CLOUD_SCHEDULER_CUSTOM_ENDPOINT` has it. */
  endpoint: string;
  /** Names of the jobs that were run, in order. */
  runs: string[];
  /** What requests carried as `authorization`. */
  callers: Set<string | undefined>;
  close(): Promise<void>;
}

export interface Job {
  /** Where it calls. */
  target?: string;
  state?: "ENABLED" | "PAUSED";
  /** gRPC codes that its next attempts end with, in place of a call. */
  fails?: number[];
  /** HTTP statuses that requests about it get. */
  refuses?: number[];
}

/** gRPC's code for HTTP's statuses, as Google maps them. */
const codeOf = (status: number) => ({ 200: 0, 403: 7, 404: 5, 503: 14 })[status] ?? 13;

/** `jobs`: by the full name. */
export async function startScheduler(jobs: Record<string, Job>): Promise<StandIn> {
  const runs: string[] = [];
  const callers: StandIn["callers"] = new Set();
  const attempts = new Map<string, { lastAttemptTime: string; status: { code?: number } }>();
  const attempt = async (name: string, job: Job) => {
    runs.push(name);
    const failed = job.fails?.shift();
    const code = failed ?? codeOf((await fetch(job.target ?? "nowhere:", { method: "POST" })).status);
    const lastAttemptTime = new Date(Date.UTC(2026, 0, 1) + runs.length * 1000).toISOString();
    attempts.set(name, { lastAttemptTime, status: code === 0 ? {} : { code } });
  };
  const server = createServer(async (request, response) => {
    callers.add(request.headers.authorization);
    const [, name = "", verb] = /^\/v1\/([^:]+)(?::(\w+))?$/.exec(request.url ?? "") ?? [];
    const job = jobs[name];
    const refused = job === undefined ? 404 : job.refuses?.shift();
    if (job !== undefined && refused === undefined && verb === "run") await attempt(name, job);
    response.writeHead(refused ?? 200, { "content-type": "application/json" });
    response.end(JSON.stringify({ name, state: job?.state ?? "ENABLED", ...attempts.get(name) }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`,
    runs,
    callers,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
