import { CloudSchedulerClient, type protos } from "@google-cloud/scheduler";
import type { AuthClient } from "google-auth-library";
import { asNumber } from "../../functions/core/document.ts";
import { SECOND } from "../../functions/core/time.ts";
import { CommandError } from "../commands/errors.ts";
import { codeOf, FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, obstacle } from "./errors.ts";

/** What the deployed service has Cloud Scheduler do. */
export const KINDS = ["sweep", "census"] as const;
export type Kind = (typeof KINDS)[number];

/** A job of Cloud Scheduler. Instants are ms. */
export interface ScheduledJob {
  kind: Kind;
  /** Without project and region. */
  id: string;
  /** With both. */
  name: string;
  /** `disabled`: by Google, because of an error. */
  state: "enabled" | "paused" | "disabled" | "broken";
  /** As unix-cron writes it. */
  schedule: string;
  timeZone: string;
  /** When the last attempt began; `undefined`: there was none yet. */
  attemptedAt: number | undefined;
  /** gRPC's status of the last attempt, 0 for a good one; `undefined`: it has not ended, or there was none. */
  result: number | undefined;
  /** `undefined`: none is planned. */
  nextRun: number | undefined;
  /** How long an attempt may take, in ms. */
  deadline: number;
}

/** The jobs of one project and region. Each call throws `CommandError`. */
export interface SchedulerJobs {
  /** Those of the service, in the order of `KINDS`. */
  all(): Promise<ScheduledJob[]>;
  read(job: ScheduledJob): Promise<ScheduledJob>;
  /** Starts it now. False: it can't be started in its state. */
  run(job: ScheduledJob): Promise<boolean>;
  /** False: it was not enabled. */
  pause(job: ScheduledJob): Promise<boolean>;
  /** False: it was not paused. */
  resume(job: ScheduledJob): Promise<boolean>;
}

export interface Where {
  project: string;
  region: string;
}

const PATIENCE = { timeout: 20 * SECOND };
/** What Cloud Scheduler gives an attempt of which nothing is said. */
const DEADLINE = 180 * SECOND;
const DENIED =
  'the role "Cloud Scheduler Admin" lets you, or the role that the deployment gives its "operators"';

/** `identity`: whoever asks; else the application default credentials say it. */
export function schedulerJobs({ project, region }: Where, identity?: AuthClient): SchedulerJobs {
  const client = new CloudSchedulerClient(identity && { authClient: identity });
  const asked = { api: "Cloud Scheduler", service: "cloudscheduler.googleapis.com", project };
  const blocked = (error: unknown) => obstacle(error, asked, DENIED);
  const gone = ({ id }: ScheduledJob) =>
    new CommandError(
      `there is no job "${id}" any more: "npm run tokens -- schedule status" shows those there are`,
    );
  /** False where the job's state does not allow it. */
  const order = async (job: ScheduledJob, call: Promise<unknown>): Promise<boolean> => {
    try {
      await call;
      return true;
    } catch (error) {
      if (codeOf(error) === FAILED_PRECONDITION) return false;
      throw blocked(error) ?? (codeOf(error) === NOT_FOUND ? gone(job) : unexpected(error));
    }
  };
  return {
    async all() {
      const parent = `projects/${project}/locations/${region}`;
      const [found] = await client.listJobs({ parent }, PATIENCE).catch((error: unknown) => {
        throw isAboutRegion(error) ? noRegion({ project, region }) : (blocked(error) ?? unexpected(error));
      });
      const jobs = found.flatMap((job) => jobOf(job) ?? []);
      return KINDS.flatMap((kind) => jobs.filter((job) => job.kind === kind));
    },
    async read(job) {
      const [found] = await client.getJob({ name: job.name }, PATIENCE).catch((error: unknown) => {
        throw blocked(error) ?? (codeOf(error) === NOT_FOUND ? gone(job) : unexpected(error));
      });
      return jobOf(found) ?? job;
    },
    run: (job) => order(job, client.runJob({ name: job.name }, PATIENCE)),
    pause: (job) => order(job, client.pauseJob({ name: job.name }, PATIENCE)),
    resume: (job) => order(job, client.resumeJob({ name: job.name }, PATIENCE)),
  };
}

/** A list is only ever refused like that where its place is not there. */
function isAboutRegion(error: unknown): boolean {
  const code = codeOf(error);
  if (code === NOT_FOUND || code === INVALID_ARGUMENT) return true;
  return /\blocation\b.*(not found|unsupported|invalid)/i.test((error as Error).message);
}

const noRegion = ({ project, region }: Where) =>
  new CommandError(
    `Cloud Scheduler has no region "${region}" in project "${project}": give the one that the service is deployed in (gcp:region of its stack), such as --region europe-west1`,
  );

const unexpected = (error: unknown) =>
  new CommandError(`Cloud Scheduler refused that (code ${codeOf(error) ?? "unknown"}): try it again`);

type GoogleJob = protos.google.cloud.scheduler.v1.IJob;

const STATES: Record<string, ScheduledJob["state"]> = {
  ENABLED: "enabled",
  PAUSED: "paused",
  DISABLED: "disabled",
  UPDATE_FAILED: "broken",
};

/** `undefined`: it is none of the service's. */
function jobOf(job: GoogleJob): ScheduledJob | undefined {
  const { name, status } = job;
  const id = name?.split("/").at(-1) ?? "";
  const kind = KINDS.find((each) => id.endsWith(`-${each}`));
  if (!name || kind === undefined || !job.httpTarget) return undefined;
  const attemptedAt = instantOf(job.lastAttemptTime);
  const code = status?.code ?? 0;
  return {
    kind,
    id,
    name,
    state: STATES[String(job.state)] ?? "broken",
    schedule: job.schedule ?? "",
    timeZone: job.timeZone ?? "",
    attemptedAt,
    // While an attempt is under way there is a status that is none of gRPC's.
    result: attemptedAt === undefined || code < 0 ? undefined : code,
    nextRun: instantOf(job.scheduleTime),
    deadline: secondsOf(job.attemptDeadline) || DEADLINE,
  };
}

type Time = protos.google.protobuf.ITimestamp | protos.google.protobuf.IDuration | null | undefined;

const secondsOf = (time: Time): number =>
  (asNumber(String(time?.seconds ?? 0)) ?? 0) * SECOND + Math.floor((time?.nanos ?? 0) / 1e6);

const instantOf = (time: Time): number | undefined => secondsOf(time) || undefined;
