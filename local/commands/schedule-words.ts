import type { Kind, ScheduledJob } from "../google/scheduler-jobs.ts";
import { durationText } from "./durations.ts";

// `at`: the options that say which service is meant, such as " --region europe-west1"; none where they were given already.

/** Whatever was changed outside of Pulumi becomes again as the program has it. */
const MEND = "npm run deploy -- -- --refresh";

/** Why a run was not taken. */
export const cantRun = ({ kind, state }: ScheduledJob, at = "") =>
  state === "enabled"
    ? `Cloud Scheduler does not run the ${kind} in its present state: npm run tokens -- schedule status${at} shows it`
    : `Cloud Scheduler does not run a job that is ${state}: npm run tokens -- schedule resume ${kind}${at}`;

/** What a person is told of a job that does not run. */
export function stillText(kind: Kind, state: ScheduledJob["state"], at = ""): string {
  switch (state) {
    case "paused":
      return `the ${kind} is paused: npm run tokens -- schedule resume ${kind}${at}`;
    case "disabled":
      return `the ${kind} was disabled by Google because of an error, which the job's log in Cloud Scheduler names`;
    case "broken":
      return `the last update of the ${kind} failed, and it may not run before one succeeds: ${MEND} tries it`;
    case "enabled":
      return `the ${kind} was resumed by somebody else just now: look again`;
  }
}

/** What ends with a job. Readers ask for a refresh themselves (`core/time.ts`), so that only unread tokens are lost. */
export const STOPS: Record<Kind, string> = {
  sweep: [
    "No token is refreshed ahead of its readers any more:",
    "- one that is read is refreshed when less than 2 hours, or half its life, are left; that reader waits for Webex;",
    "- one that nobody reads ends: a token of 12 hours has between 2 and 12 left as a rule (npm run tokens -- list);",
    "- a refresh token that nobody uses ends, too: then a person must consent again.",
    'After 15 minutes the alert "No sweep was completed" reaches whomever the deployment tells.',
  ].join("\n"),
  census:
    "Nobody is warned any more of refresh tokens and fixed tokens that end, and tokens that were written by hand are not refreshed ahead.",
};

/** gRPC's status, which Cloud Scheduler makes of the answer's HTTP status. */
const RESULTS: Record<number, [word: string, remedy: string]> = {
  0: ["well", ""],
  2: ["failed", "the job's log in Cloud Scheduler says more"],
  3: ["refused (400)", `is the job's address that of the refresher? ${MEND} puts it right`],
  4: ["too late (504)", "the refresher took too long: how much was due says its log (sweep.done)"],
  5: ["not found (404)", `the refresher is not at the job's address: ${MEND} puts it right`],
  7: [
    "denied (403)",
    `the Scheduler's account lacks "Cloud Run Invoker" on the refresher: ${MEND} grants it`,
  ],
  8: ["too many (429)", "the refresher had no instance free: the next run does it"],
  13: ["failed (500)", 'the refresher met a bug: its log says where ("bug")'],
  14: ["unavailable (503)", "the refresher did not start or could not read its store: its log says why"],
  16: ["not signed in (401)", `the refresher did not take the job's identity token: ${MEND} puts it right`],
};

const resultOf = (code: number) =>
  RESULTS[code] ?? [`failed (gRPC ${code})`, "the job's log in Cloud Scheduler says more"];

/** What came of a run that did not go well. */
export const endedText = ({ kind, result = 2 }: ScheduledJob) =>
  `the ${kind} was run, and ended: ${resultOf(result)[0]}`;

/** The same, with what to do. */
export const failureText = (job: ScheduledJob) => `${endedText(job)}; ${resultOf(job.result ?? 2)[1]}`;

/** What is said of a run of which nothing was heard. `patience`: for how long, in ms. */
export function unknownText({ kind, state }: ScheduledJob, patience: number, at = ""): string {
  const paused = state === "enabled" ? "" : `; the job is ${state}, which may be why`;
  return `the ${kind} was started, but ${durationText(patience)} later nothing is known of it${paused}: npm run tokens -- schedule status${at} tells once it has ended`;
}

/** What came of the last attempt, in a word or two. */
export function resultText({ attemptedAt, result }: ScheduledJob): string {
  if (attemptedAt === undefined) return "-";
  return result === undefined ? "under way" : resultOf(result)[0];
}
