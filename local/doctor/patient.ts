import type { Settings } from "../../functions/adapters/env.ts";
import type { DocumentStore } from "../../functions/core/store.ts";
import { CommandError } from "../commands/errors.ts";
import type { Deployment } from "../deployment.ts";
import type { ScheduledJob } from "../scheduler-jobs.ts";
import { ofOneService, whereOf } from "../service-jobs.ts";
import { type DeployedFunction, deployedFunctions } from "./deployed-functions.ts";
import type { GoogleRest } from "./google-rest.ts";
import { type Tally, tallied } from "./tally.ts";

/** What is examined: a deployment, and what several checks want to know of it, each found out once. */
export interface Patient {
  kind: "machine" | "emulator" | "project";
  deployment: Deployment;
  /** `undefined`: it is no project's. */
  project: string | undefined;
  database: string;
  /** As the operator gave it; `undefined`: where the functions are. */
  region: string | undefined;
  /** ms, this machine's clock. */
  now(): number;
  signal: AbortSignal;
  google(): Promise<GoogleRest>;
  documents(): Promise<DocumentStore>;
  tokens(): Promise<Tally>;
  /** Those of a project. */
  functions(): Promise<DeployedFunction[]>;
  jobs(): Promise<ScheduledJob[]>;
  close(): Promise<void>;
}

export interface Given {
  deployment: Deployment;
  settings: Pick<Settings, "store">;
  region: string | undefined;
  /** What the names of the deployment begin with; `undefined`: there is only one. */
  prefix: string | undefined;
  now: () => number;
  signal: AbortSignal;
  /** Tells how many tokens were read so far. */
  counted?: (tokens: number) => void;
  /** `undefined`: with the credentials that are here. */
  google?: () => Promise<GoogleRest>;
}

/** Throws `CommandError` where the project is not known. */
export function patientOf(given: Given): Patient {
  const { deployment, settings, region, prefix, now, signal } = given;
  const { store } = settings;
  const firestore = store?.kind === "firestore" ? store : undefined;
  const kind =
    firestore === undefined ? "machine" : firestore.emulator === undefined ? "project" : "emulator";
  const project = kind === "project" ? firestore?.project : undefined;
  if (kind === "project" && project === undefined)
    throw new CommandError("which project? Set GOOGLE_CLOUD_PROJECT", 2);
  const inProject = project ?? "";
  const google = once(given.google ?? (() => openGoogle(inProject, signal)));
  const documents = once(() => deployment.open({ create: false }));
  const functions = once(async () =>
    deployedFunctions(await google(), { project: inProject, region, prefix }),
  );
  let opened = false;
  return {
    kind,
    deployment,
    project,
    database: firestore?.database ?? "(default)",
    region,
    now,
    signal,
    google,
    documents() {
      opened = true;
      return documents();
    },
    tokens: once(async () => tallied(await documents(), now, signal, given.counted)),
    functions,
    jobs: once(async () => {
      const { schedulerJobs } = await import("../scheduler-jobs.ts");
      const where = whereOf({ project: inProject, region: region ?? (await functions())[0]?.region ?? "" });
      return ofOneService(await schedulerJobs(where).all(), where, prefix);
    }),
    async close() {
      if (opened) await (await documents().catch(() => undefined))?.close();
    },
  };
}

async function openGoogle(project: string, signal: AbortSignal): Promise<GoogleRest> {
  // Google's library takes longer to load than most commands take to run.
  const rest = await import("./google-rest.ts");
  return rest.openGoogle({ project, signal });
}

function once<T>(work: () => T): () => T {
  let kept: { value: T } | undefined;
  return () => {
    kept ??= { value: work() };
    return kept.value;
  };
}
