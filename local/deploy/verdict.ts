import { SECOND } from "../../functions/core/time.ts";
import { durationText } from "../commands/durations.ts";
import { CommandError } from "../commands/errors.ts";
import { isAway } from "./google.ts";
import type { Ending, Scheduler } from "./jobs.ts";
import type { Outputs } from "./outputs.ts";

/** What the tries need of the world. */
export interface Trying {
  scheduler: Scheduler;
  now(): number;
  sleep(ms: number): Promise<unknown>;
  /** Says something to whoever waits. */
  say(text: string): void;
  /** ms: new permissions take minutes to reach all of Google. */
  wait: number;
}

/** Between two tries, in ms. */
const PAUSE = 5 * SECOND;
/** An answer that takes longer, in ms, is none. */
const PATIENCE = 15 * SECOND;

/** What came of one try. `again`: waiting may help. */
type Tried = { well: true } | { well: false; problem: string; remedy: string; again: boolean };

/**
 * Tries what was just deployed: a sweep and a census, which alerts on their absence wait for, and lookup's `/health`.
 * Gives one sentence that it works; throws a `CommandError` that says what does not, and what to do.
 */
export async function tryOut(outputs: Outputs, trying: Trying): Promise<string> {
  const deadline = trying.now() + trying.wait;
  const { sweep, census } = outputs.jobs;
  await untilWell("sweep", () => tryJob(sweep, outputs, trying.scheduler), deadline, trying);
  await untilWell("census", () => tryJob(census, outputs, trying.scheduler), deadline, trying);
  await untilWell("/health", () => tryHealth(outputs), deadline, trying);
  return `the service works: a sweep and a census were completed, and lookup answers at ${outputs.baseUrl} (redirect URI: ${outputs.redirectUri})`;
}

async function untilWell(
  what: string,
  attempt: () => Promise<Tried>,
  deadline: number,
  { now, sleep, say }: Trying,
): Promise<void> {
  say(`trying ${what}`);
  for (let said = ""; ; await sleep(PAUSE)) {
    const tried = await attempt();
    if (tried.well) return;
    const left = deadline - now() - PAUSE;
    if (!tried.again || left < 0)
      throw new CommandError(`the service does not work yet: ${tried.problem}: ${tried.remedy}`);
    if (tried.problem !== said)
      say(`${tried.problem}; new permissions take minutes, so it is tried again for ${durationText(left)}`);
    said = tried.problem;
  }
}

async function tryJob(job: string, { project, region }: Outputs, scheduler: Scheduler): Promise<Tried> {
  const ending = await scheduler.run(`projects/${project}/locations/${region}/jobs/${job}`);
  if (ending.ended && ending.code === 0) return { well: true };
  const flags = `${job} --location=${region} --project=${project}`;
  return { well: false, ...judged(ending, job, flags) };
}

const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

function judged(ending: Ending, job: string, flags: string): Omit<Tried & { well: false }, "well"> {
  const run = `gcloud scheduler jobs run ${flags}`;
  const log = `look into the log of the refresher, then run "${run}"`;
  if (ending.ended) {
    if (ending.code === undefined) return { problem: `${job} has not ended`, remedy: log, again: false };
    const denied = ending.code === PERMISSION_DENIED || ending.code === UNAUTHENTICATED;
    return denied
      ? {
          problem: `${job} may not call the refresher`,
          remedy: `wait some minutes, then run "${run}"`,
          again: true,
        }
      : { problem: `${job} failed with gRPC code ${ending.code}`, remedy: log, again: true };
  }
  switch (ending.problem) {
    case "paused":
      return {
        problem: `${job} is paused`,
        remedy: `run "gcloud scheduler jobs resume ${flags}"`,
        again: false,
      };
    case "denied":
      return {
        problem: `you may not run ${job}`,
        remedy: "add yourself to the operators in the stack's file, and deploy again",
        again: true,
      };
    case "missing":
      return { problem: `there is no job ${job}`, remedy: 'run "npm run deploy" again', again: true };
    case "away":
      return {
        problem: "the Scheduler can't be reached",
        remedy: `check the network, then run "${run}"`,
        again: true,
      };
    case "failed":
      return { problem: `the Scheduler did not run ${job}`, remedy: `run "${run}"`, again: true };
  }
}

async function tryHealth({ baseUrl, project, region }: Outputs): Promise<Tried> {
  const address = `${baseUrl}/health`;
  const remedy = `run "curl -i ${address}", and look into the log of lookup`;
  const ill = (problem: string, better = remedy): Tried => ({
    well: false,
    problem,
    remedy: better,
    again: true,
  });
  try {
    const { status } = await fetch(address, { redirect: "manual", signal: AbortSignal.timeout(PATIENCE) });
    if (status === 200) return { well: true };
    if (status !== 401 && status !== 403) return ill(`lookup answers ${status} at ${address}`);
    const name = new URL(baseUrl).pathname.split("/").at(-1) || "token-lookup";
    return ill(
      `${address} is not open to everybody (${status})`,
      `run "gcloud run services update ${name} --no-invoker-iam-check --region=${region} --project=${project}"`,
    );
  } catch (error) {
    return ill(isAway(error) ? `${address} can't be reached` : `lookup does not answer at ${address}`);
  }
}
