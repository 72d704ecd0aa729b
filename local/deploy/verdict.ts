import { MINUTE, SECOND } from "../../functions/core/time.ts";
import { durationText } from "../commands/durations.ts";
import { CommandError } from "../commands/errors.ts";
import { cantRun, endedText, failureText, stillText, unknownText } from "../commands/schedule-words.ts";
import { attempted, longest, type Waiting } from "../google/attempt.ts";
import type { Kind, SchedulerJobs } from "../google/scheduler-jobs.ts";
import { theJob } from "../google/service-jobs.ts";
import { isAway } from "./google.ts";
import type { Outputs } from "./outputs.ts";

/** What the trial depends on. */
export interface Trying extends Waiting {
  jobs: SchedulerJobs;
  /** ms: new permissions take minutes to reach all of Google. */
  wait: number;
}

/** Between two tries, in ms. */
const PAUSE = 5 * SECOND;
/** Timeout of a request to `/health`, in ms. */
const PATIENCE = 15 * SECOND;
/** The shortest wait for a run that was started, in ms. Most take seconds. */
const RUN = 2 * MINUTE;

/** The result of one try. `again`: waiting may help. */
type Tried = { ok: true } | { ok: false; problem: string; sentence: string; again: boolean };

/**
 * Tests the deployed service: runs a sweep and a census, whose absence raises alerts, and requests lookup's `/health`.
 * Returns one sentence; throws a `CommandError` that says what does not work, and what to do.
 */
export async function tryOut(outputs: Outputs, trying: Trying): Promise<string> {
  const deadline = trying.runtime.now() + trying.wait;
  await untilOk("sweep", () => tryJob("sweep", outputs, deadline, trying), deadline, trying);
  await untilOk("census", () => tryJob("census", outputs, deadline, trying), deadline, trying);
  await untilOk("/health", () => tryHealth(outputs), deadline, trying);
  return `the service works: a sweep and a census were completed, and lookup answers at ${outputs.baseUrl} (redirect URI: ${outputs.redirectUri})`;
}

async function untilOk(
  what: string,
  attempt: () => Promise<Tried>,
  deadline: number,
  { runtime, say }: Trying,
): Promise<void> {
  say(`trying ${what}`);
  for (let said = ""; ; await runtime.sleep(PAUSE)) {
    const tried = await attempt();
    if (tried.ok) return;
    const left = deadline - runtime.now() - PAUSE;
    if (!tried.again || left < 0) throw new CommandError(`the service does not work yet: ${tried.sentence}`);
    if (tried.problem !== said)
      say(`${tried.problem}; new permissions take minutes, so it is tried again for ${durationText(left)}`);
    said = tried.problem;
  }
}

async function tryJob(kind: Kind, outputs: Outputs, deadline: number, trying: Trying): Promise<Tried> {
  const { jobs, runtime } = trying;
  const at = ` --project ${outputs.project} --region ${outputs.region}`;
  const then = `; npm run tokens -- schedule run ${kind}${at} tries it again`;
  const ids = Object.values(outputs.jobs);
  try {
    const job = theJob(
      kind,
      (await jobs.all()).filter(({ id }) => ids.includes(id)),
    );
    if (job.state !== "enabled") return forGood(stillText(kind, job.state, at));
    if (!(await jobs.run(job))) return failed(cantRun(job, at));
    const patience = Math.min(longest(job), Math.max(RUN, deadline - runtime.now()));
    const after = await attempted(job, jobs, trying, patience);
    if (after === undefined) return forGood(unknownText(job, patience, at));
    return after.result === 0 ? { ok: true } : failed(endedText(after), `${failureText(after)}${then}`);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return failed(error.message, `${error.message}${then}`);
  }
}

/** `problem`: shown between tries; `sentence`: shown after the last one, with what to do. */
const failed = (problem: string, sentence = problem): Tried => ({
  ok: false,
  problem,
  sentence,
  again: true,
});

const forGood = (sentence: string): Tried => ({ ok: false, problem: sentence, sentence, again: false });

async function tryHealth({ baseUrl, project, region }: Outputs): Promise<Tried> {
  const address = `${baseUrl}/health`;
  const unhealthy = (
    problem: string,
    remedy = `run "curl -i ${address}", and look into the log of lookup`,
  ): Tried => failed(problem, `${problem}: ${remedy}`);
  try {
    const { status } = await fetch(address, { redirect: "manual", signal: AbortSignal.timeout(PATIENCE) });
    if (status === 200) return { ok: true };
    if (status !== 401 && status !== 403) return unhealthy(`lookup answers ${status} at ${address}`);
    const name = new URL(baseUrl).pathname.split("/").at(-1) || "token-lookup";
    return unhealthy(
      `${address} is not open to everybody (${status})`,
      `run "gcloud run services update ${name} --no-invoker-iam-check --region=${region} --project=${project}"`,
    );
  } catch (error) {
    return unhealthy(isAway(error) ? `${address} can't be reached` : `lookup does not answer at ${address}`);
  }
}
