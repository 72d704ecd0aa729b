import { createRequire } from "node:module";
import { CloudSchedulerClient } from "@google-cloud/scheduler";
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  status,
} from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";

/**
 * A stand-in for Google's Cloud Scheduler, as far as it is used here, over gRPC and from the protos that Google's own
 * library carries. The library itself talks to it. As strict as those protos say: a job must be enabled to be paused, and
 * paused to be resumed.
 */
export interface CloudScheduler {
  client: CloudSchedulerClient;
  port: number;
  /** Makes a job as the deployment would; its region is there from then on. */
  create(job: Partial<StoredJob> & { name: string }): StoredJob;
  /** As it is. Changing it changes the job. */
  job(name: string): StoredJob;
  /** Methods that were called, with the job's id or the region, oldest first. */
  calls(): string[];
  /** What the requests carried as `authorization`, each once; none came in the clear unless a test had it so. */
  callers(): string[];
  /** The next request for this method ends like that. `before`: somebody else does something meanwhile. */
  fail(method: Method, failure: Failure, before?: () => void): void;
  /**
   * What the refresher answers to the runs that follow, as gRPC's status, or what finds that out; `undefined`: nothing,
   * ever.
   */
  answers(code: number | undefined | ((job: StoredJob) => Promise<number>)): void;
  /** Whether a job that is paused may be run: Google's documentation does not say. */
  runsPaused(allowed: boolean): void;
  clear(): void;
  close(): Promise<void>;
}

type Method = "GetJob" | "ListJobs" | "RunJob" | "PauseJob" | "ResumeJob";

interface Failure {
  code: number;
  message?: string;
  /** Google's word for why (AIP-193). */
  reason?: string;
}

/** As much of a job as matters here; instants in ms. */
export interface StoredJob {
  name: string;
  state: "ENABLED" | "PAUSED" | "DISABLED" | "UPDATE_FAILED";
  schedule: string;
  uri: string;
  lastAttempt: number | undefined;
  nextRun: number | undefined;
  /** gRPC's status of the last attempt; -1 while it is under way. */
  code: number | undefined;
  /** s; `undefined`: the deployment did not say. */
  deadline: number | undefined;
}

interface Call {
  request: { name?: string; parent?: string; pageSize?: number; pageToken?: string };
  metadata: Metadata;
}
type Answer = (error: object | null, reply?: object) => void;

const PROTOS = "@google-cloud/scheduler/build/protos/protos.json";
const JOB = /^projects\/([a-z0-9-]+)\/locations\/([a-z0-9-]+)\/jobs\/[A-Za-z0-9_-]+$/;
const PARENT = /^projects\/([a-z0-9-]+)\/locations\/([a-z0-9-]+)$/;
/** Fewer on a page than were asked for: a page may be short (AIP-158). */
const PAGE = 2;
/** An attempt ends when it was looked at so often. */
const LOOKS = 2;

/** An answer that is none. */
class Refusal extends Error {
  readonly failure: Failure;
  constructor(code: number, message: string) {
    super(message);
    this.failure = { code, message };
  }
}

export async function startCloudScheduler(): Promise<CloudScheduler> {
  const jobs = new Map<string, StoredJob>();
  const failures = new Map<Method, { failure: Failure; before: (() => void) | undefined }>();
  const underWay = new Map<string, number>();
  const callers = new Set<string>();
  let calls: string[] = [];
  let answer: number | undefined = status.OK;
  let find: ((job: StoredJob) => Promise<number>) | undefined;
  let pausedRun = false;

  const handled = (method: Method, work: (request: Call["request"]) => object) => {
    return ({ request, metadata }: Call, reply: Answer) => {
      for (const caller of metadata.get("authorization")) callers.add(String(caller));
      calls.push(`${method} ${(request.name ?? request.parent ?? "").split("/").at(-1)}`);
      const planned = failures.get(method);
      failures.delete(method);
      planned?.before?.();
      if (planned !== undefined && planned.failure.code !== status.OK) return reply(errorOf(planned.failure));
      try {
        return reply(null, work(request));
      } catch (error) {
        if (error instanceof Refusal) return reply(errorOf(error.failure));
        throw error;
      }
    };
  };
  const found = (name = "") => {
    if (!JOB.test(name)) throw new Refusal(status.INVALID_ARGUMENT, "Job name must be formatted: ...");
    const job = jobs.get(name);
    if (job === undefined) throw new Refusal(status.NOT_FOUND, "Job not found.");
    return job;
  };
  const inState = (job: StoredJob, ...states: StoredJob["state"][]) => {
    if (states.includes(job.state)) return;
    throw new Refusal(status.FAILED_PRECONDITION, `The job is in state ${job.state}.`);
  };
  const look = (job: StoredJob) => {
    const left = underWay.get(job.name);
    if (left === undefined || answer === undefined) return;
    underWay.set(job.name, left - 1);
    if (left > 1) return;
    underWay.delete(job.name);
    job.code = answer;
  };
  const known = (parent = "") => {
    const [, project, region] = PARENT.exec(parent) ?? [];
    const place = `projects/${project}/locations/${region}/`;
    if (project === undefined) throw new Refusal(status.INVALID_ARGUMENT, "Malformed parent.");
    const regions = new Set([...jobs.keys()].map((name) => JOB.exec(name)?.[2]));
    if (region?.startsWith("empty-") || regions.has(region)) return place;
    throw new Refusal(status.NOT_FOUND, `Location '${region}' is not found or access is unauthorized.`);
  };

  const server = new Server();
  const json = createRequire(import.meta.url)(PROTOS);
  const types = loadPackageDefinition(fromJSON(json, { enums: String, keepCase: false }));
  // biome-ignore lint/suspicious/noExplicitAny: grpc-js has no better type for a loaded package
  const service = (types as any).google.cloud.scheduler.v1.CloudScheduler.service;
  server.addService(service, {
    ListJobs: handled("ListJobs", ({ parent, pageToken }) => {
      const place = known(parent);
      const all = [...jobs.values()].filter(({ name }) => name.startsWith(place));
      const from = Number(pageToken || 0);
      const page = all.slice(from, from + PAGE).map(shown);
      return { jobs: page, nextPageToken: from + PAGE < all.length ? String(from + PAGE) : "" };
    }),
    GetJob: handled("GetJob", ({ name }) => {
      const job = found(name);
      look(job);
      return shown(job);
    }),
    RunJob: handled("RunJob", ({ name }) => {
      const job = found(name);
      inState(job, "ENABLED", ...(pausedRun ? (["PAUSED"] as const) : []));
      if (find !== undefined || answer !== undefined)
        Object.assign(job, { lastAttempt: Math.max(Date.now(), (job.lastAttempt ?? 0) + 1), code: -1 });
      if (find === undefined) underWay.set(job.name, LOOKS);
      else void find(job).then((code) => Object.assign(job, { code }));
      return shown(job);
    }),
    PauseJob: handled("PauseJob", ({ name }) => {
      const job = found(name);
      inState(job, "ENABLED");
      return shown(Object.assign(job, { state: "PAUSED" }));
    }),
    ResumeJob: handled("ResumeJob", ({ name }) => {
      const job = found(name);
      inState(job, "PAUSED");
      return shown(Object.assign(job, { state: "ENABLED" }));
    }),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const client = new CloudSchedulerClient({
    apiEndpoint: "127.0.0.1",
    port,
    sslCreds: credentials.createInsecure(),
    projectId: "made-up",
  });
  return {
    client,
    port,
    create(given) {
      const job: StoredJob = {
        state: "ENABLED",
        schedule: "* * * * *",
        uri: "https://token-refresher-abc123-ew.a.run.app/",
        lastAttempt: undefined,
        nextRun: Date.now() + 60_000,
        code: undefined,
        deadline: 600,
        ...given,
      };
      jobs.set(job.name, job);
      return job;
    },
    job: (name) => jobs.get(name) ?? ({} as StoredJob),
    calls: () => calls,
    callers: () => [...callers],
    fail: (method, failure, before) => void failures.set(method, { failure, before }),
    answers(code) {
      find = typeof code === "function" ? code : undefined;
      answer = typeof code === "function" ? undefined : code;
    },
    runsPaused(allowed) {
      pausedRun = allowed;
    },
    clear() {
      for (const kept of [jobs, failures, underWay, callers]) kept.clear();
      [calls, answer, find, pausedRun] = [[], status.OK, undefined, false];
    },
    async close() {
      await client.close();
      server.forceShutdown();
    },
  };
}

/** Calls a job's address, as Google does. Gives gRPC's status for the HTTP status, as Google has it. */
export async function callAddress({ uri }: StoredJob): Promise<number> {
  const response = await fetch(uri, { method: "POST" });
  return (
    { 200: status.OK, 403: status.PERMISSION_DENIED, 404: status.NOT_FOUND }[response.status] ??
    status.INTERNAL
  );
}

const time = (ms: number | undefined) =>
  ms === undefined ? undefined : { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };

function shown({ name, state, schedule, uri, lastAttempt, nextRun, code, deadline }: StoredJob) {
  return {
    name,
    state,
    schedule,
    timeZone: "Etc/UTC",
    httpTarget: { uri, httpMethod: "POST" },
    lastAttemptTime: time(lastAttempt),
    scheduleTime: time(nextRun),
    status: code === undefined ? undefined : { code },
    attemptDeadline: deadline === undefined ? undefined : { seconds: deadline },
  };
}

/** With the details that Google sends along (AIP-193), where there is a reason. */
function errorOf({ code, message = "made up", reason }: Failure) {
  if (reason === undefined) return { code, details: message };
  const metadata = new Metadata();
  const info = Buffer.concat([text(1, reason), text(2, "googleapis.com")]);
  const any = Buffer.concat([text(1, "type.googleapis.com/google.rpc.ErrorInfo"), bytes(2, info)]);
  const details = Buffer.concat([Buffer.from([8, code]), text(2, message), bytes(3, any)]);
  metadata.set("grpc-status-details-bin", details);
  return { code, details: message, metadata };
}

/** A field of Protocol Buffers' wire format that has a length; up to 127 bytes, or more in two bytes of it. */
function bytes(field: number, value: Buffer): Buffer {
  const { length } = value;
  const size = length < 128 ? [length] : [(length & 127) | 128, length >> 7];
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...size]), value]);
}

const text = (field: number, value: string) => bytes(field, Buffer.from(value, "utf8"));
