import type { Settings } from "../../functions/adapters/env.ts";
import type { DocumentStore } from "../../functions/core/store.ts";
import { CommandError } from "../commands/errors.ts";
import type { Deployment } from "../deployment.ts";
import type { ScheduledJob, SchedulerJobs, Where } from "../google/scheduler-jobs.ts";
import { ofOneService, whereOf } from "../google/service-jobs.ts";
import { presentSecret } from "../secret-text.ts";
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
  /** The text of a secret or a file; `undefined`: there is none. */
  secret(where: string): Promise<string | undefined>;
  /** Headers that tell the private function at this address who works here. */
  identity(url: string): Promise<Record<string, string>>;
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
  /** Google's services; `undefined`: the real ones, with the credentials that are here. */
  google?: Google;
}

interface Google {
  rest(): Promise<GoogleRest>;
  jobs(where: Where): SchedulerJobs;
  secret(where: string): Promise<string | undefined>;
  identity(url: string): Promise<Record<string, string>>;
}

/** Throws `CommandError` where the project is not known. */
export async function patientOf(given: Given): Promise<Patient> {
  const { deployment, settings, region, prefix, now, signal } = given;
  const { store } = settings;
  const firestore = store?.kind === "firestore" ? store : undefined;
  const kind =
    firestore === undefined ? "machine" : firestore.emulator === undefined ? "project" : "emulator";
  const project = kind === "project" ? firestore?.project : undefined;
  if (kind === "project" && project === undefined)
    throw new CommandError("which project? Set GOOGLE_CLOUD_PROJECT", 2);
  const inProject = project ?? "";
  const services = given.google ?? (await real(inProject, signal));
  const google = once(services.rest);
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
      const where = whereOf({ project: inProject, region: region ?? (await functions())[0]?.region ?? "" });
      return ofOneService(await services.jobs(where).all(), where, prefix);
    }),
    secret: services.secret,
    identity: services.identity,
    async close() {
      if (opened) await (await documents().catch(() => undefined))?.close();
    },
  };
}

/** Google's libraries take longer to load than most commands take to run: off a project none is. */
async function real(project: string, signal: AbortSignal): Promise<Google> {
  if (project === "") return { ...NOWHERE, secret: presentSecret };
  const [{ openGoogle }, { schedulerJobs }, { identityToken }] = await Promise.all([
    import("./google-rest.ts"),
    import("../google/scheduler-jobs.ts"),
    import("../google/identity-token.ts"),
  ]);
  return {
    rest: () => openGoogle({ project, signal }),
    jobs: schedulerJobs,
    secret: presentSecret,
    async identity(url) {
      if (!url.startsWith("https:")) return {};
      return { authorization: `Bearer ${await identityToken(new URL(url).origin)}` };
    },
  };
}

const never = () => {
  throw new Error("this is no project's");
};
const NOWHERE = { rest: never, jobs: never, identity: never };

function once<T>(work: () => T): () => T {
  let kept: { value: T } | undefined;
  return () => {
    kept ??= { value: work() };
    return kept.value;
  };
}
