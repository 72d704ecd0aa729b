import { once } from "node:events";
import type { Runtime } from "../../functions/core/runtime.ts";
import { SECOND } from "../../functions/core/time.ts";
import { durationText } from "../commands/durations.ts";
import { CommandError } from "../commands/errors.ts";
import type { ScheduledJob, SchedulerJobs } from "./scheduler-jobs.ts";

/** How often Cloud Scheduler is asked what became of a run. */
const LOOK = SECOND;
/** How often a person who waits is told so. */
const REMIND = 15 * SECOND;
/** What Cloud Scheduler may take beside the attempt itself. */
const SLACK = 30 * SECOND;

/** What waiting needs of the world. */
export interface Waiting {
  runtime: Pick<Runtime, "now" | "sleep">;
  /** Says something to whoever waits. */
  say(text: string): void;
  /** Aborted: nobody waits any more. */
  signal?: AbortSignal;
}

/** How long an attempt of this job can take at most, in ms. */
export const longest = ({ deadline }: ScheduledJob): number => deadline + SLACK;

/**
 * Resolves once an attempt that began after `before` has ended, with the job as it is then; `undefined`: after `patience`,
 * in ms, nothing is known of it. Throws `CommandError`.
 */
export async function attempted(
  before: ScheduledJob,
  jobs: SchedulerJobs,
  { runtime, say, signal }: Waiting,
  patience: number,
): Promise<ScheduledJob | undefined> {
  const begun = runtime.now();
  const stopped = signal === undefined ? [] : [ended(signal)];
  for (let reminded = begun; runtime.now() < begun + patience; ) {
    const job = await jobs.read(before);
    if ((job.attemptedAt ?? 0) > (before.attemptedAt ?? 0) && job.result !== undefined) return job;
    if (runtime.now() - reminded >= REMIND) {
      reminded = runtime.now();
      say(`${durationText(reminded - begun)}: nothing is known of it yet`);
    }
    await Promise.race([runtime.sleep(LOOK), ...stopped]);
    if (signal?.aborted)
      throw new CommandError(
        `no longer waiting: the ${before.kind} goes on, and npm run tokens -- schedule status tells how it went`,
        130,
      );
  }
  return undefined;
}

const ended = (signal: AbortSignal): Promise<unknown> =>
  signal.aborted ? Promise.resolve() : once(signal, "abort");
