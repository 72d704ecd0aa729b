import { styleText } from "node:util";
import { Argument, type Command, Option } from "commander";
import { attempted, longest } from "../google/attempt.ts";
import type { Kind, ScheduledJob, SchedulerJobs, Where } from "../google/scheduler-jobs.ts";
import { ofOneService, theJob, whereOf } from "../google/service-jobs.ts";
import { type Context, examples, jsonOption, type Register } from "./context.ts";
import { fromNow } from "./durations.ts";
import { CommandError } from "./errors.ts";
import { cantRun, failureText, resultText, STOPS, stillText, unknownText } from "./schedule-words.ts";
import { table } from "./table.ts";
import { iso } from "./view.ts";

interface Options {
  project?: string;
  region?: string;
  prefix?: string;
  json?: boolean;
}

/** `schedule`: the jobs of Cloud Scheduler that drive a deployed refresher. */
export const schedule: Register = (program, context) => {
  const group = program
    .command("schedule")
    .description("the jobs of a service on Google Cloud: the sweep every minute, the census every night")
    .addHelpText(
      "after",
      `
It needs your own Google credentials (gcloud auth application-default login), and the project and region that the
service is deployed in: GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_REGION, or --project and --region. npm start has a
schedule of its own, which needs none of this.`,
    )
    .addHelpText(
      "after",
      examples(
        ["schedule status --region europe-west1", "what runs when, and how it went"],
        ["schedule run sweep", "refreshes now what is due"],
        ["schedule pause", "while you work on the project"],
        ["schedule resume", "all as it was"],
      ),
    );
  status(group, context);
  run(group, context);
  pause(group, context);
  resume(group, context);
};

function status(group: Command, context: Context): void {
  placed(group.command("status"))
    .description("show the jobs: state, last attempt and what came of it, next run")
    .addHelpText(
      "after",
      examples(["schedule status", "a table"], ["schedule status --json", "for programs"]),
    )
    .action(async (options: Options) => {
      const { terminal, runtime } = context;
      const { jobs, where } = await find(options, context);
      if (options.json) return terminal.json({ ...where, jobs: jobs.map(jobView) });
      const head = ["job", "state", "schedule", "last attempt", "result", "next run"];
      const rows = jobs.map((job) => row(job, runtime.now()));
      terminal.print(await table(head, rows));
      for (const { kind, state } of jobs) if (state !== "enabled") terminal.say(stillText(kind, state));
    });
}

function run(group: Command, context: Context): void {
  placed(group.command("run"))
    .addArgument(kindArgument("which one").default("sweep"))
    .description("run a job now, and say what came of it")
    .option("--no-wait", "start it, and end")
    .addHelpText(
      "after",
      `
The sweep refreshes every token that is due, as it does each minute; for one token whatever the schedule says there
is "npm run tokens -- refresh NAME". The census counts all tokens and takes up those that were written by hand.`,
    )
    .addHelpText(
      "after",
      examples(["schedule run", "a sweep"], ["schedule run census", "what else runs at night"]),
    )
    .action(async (kind: Kind, options: Options & { wait: boolean }) => {
      const { terminal, runtime, signal } = context;
      const { say } = terminal;
      const { api, jobs } = await find(options, context);
      const before = theJob(kind, jobs);
      if (!(await api.run(before))) throw new CommandError(cantRun(before));
      if (!options.wait) {
        if (options.json) return terminal.json({ started: true, ...jobView(before) });
        return terminal.print(`the ${kind} is started: npm run tokens -- schedule status tells how it went`);
      }
      say(`Waiting for the ${kind}; Ctrl-C ends the waiting, not the ${kind}.`);
      const patience = longest(before);
      const after = await attempted(before, api, { runtime, say, signal }, patience);
      if (after === undefined) throw new CommandError(unknownText(before, patience));
      if (options.json) terminal.json({ started: true, ...jobView(after) });
      if (after.result !== 0) throw new CommandError(failureText(after));
      if (!options.json) terminal.print(`the ${kind} ran, and the refresher answered that all is well`);
    });
}

function pause(group: Command, context: Context): void {
  placed(group.command("pause"))
    .addArgument(kindArgument("which one; without it, both"))
    .description("stop the jobs until they are resumed; says what that means for the tokens")
    .addHelpText("after", "\nA pulumi up leaves a paused job paused.")
    .addHelpText(
      "after",
      examples(["schedule pause", "sweep and census"], ["schedule pause census", "the sweep goes on"]),
    )
    .action(async (kind: Kind | undefined, options: Options) => {
      const { terminal } = context;
      const { api, jobs } = await find(options, context);
      const changed: Change[] = [];
      for (const job of chosen(kind, jobs)) {
        const done = await change(job, "paused", api.pause, api);
        changed.push(done);
        if (options.json) continue;
        terminal.print(`the ${job.kind} is ${done.changed ? "paused" : "paused already"}`);
        terminal.say(STOPS[job.kind]);
      }
      if (options.json) return terminal.json({ jobs: changed.map(changeView) });
      terminal.say("npm run tokens -- schedule resume sets it going again");
    });
}

function resume(group: Command, context: Context): void {
  placed(group.command("resume"))
    .addArgument(kindArgument("which one; without it, both"))
    .description("set paused jobs going again")
    .addHelpText(
      "after",
      examples(["schedule resume", "sweep and census"], ["schedule resume sweep --json", "for programs"]),
    )
    .action(async (kind: Kind | undefined, options: Options) => {
      const { terminal, runtime } = context;
      const { api, jobs } = await find(options, context);
      const changed: Change[] = [];
      for (const job of chosen(kind, jobs)) {
        const done = await change(job, "enabled", api.resume, api);
        changed.push(done);
        if (options.json) continue;
        const { nextRun } = done.job;
        const next = nextRun === undefined ? "" : `, and runs ${soon(nextRun, runtime.now())}`;
        terminal.print(
          done.changed ? `the ${job.kind} is resumed${next}` : `the ${job.kind} is not paused${next}`,
        );
      }
      if (options.json) terminal.json({ jobs: changed.map(changeView) });
    });
}

const kindArgument = (about: string) => new Argument("[job]", about).choices(["sweep", "census"]);

/** What all of them can be told. */
const placed = (command: Command): Command =>
  command
    .addOption(new Option("--project <id>", "the Google Cloud project").env("GOOGLE_CLOUD_PROJECT"))
    .addOption(
      new Option("--region <region>", "where it is deployed, such as europe-west1").env(
        "GOOGLE_CLOUD_REGION",
      ),
    )
    .option("--prefix <name>", "what the jobs' names begin with, where a project has several services")
    .addOption(jsonOption());

/** The service's jobs, and what can be done with them. Throws `CommandError`. */
async function find(
  options: Options,
  { terminal }: Context,
): Promise<{ api: SchedulerJobs; jobs: ScheduledJob[]; where: Where }> {
  const where = whereOf(options);
  terminal.remark(`jobs of project ${where.project} in ${where.region}`);
  // The library takes longer to load than most commands take to run.
  const { schedulerJobs } = await import("../google/scheduler-jobs.ts");
  const api = schedulerJobs(where);
  return { api, jobs: ofOneService(await api.all(), where, options.prefix), where };
}

const chosen = (kind: Kind | undefined, jobs: ScheduledJob[]) =>
  kind === undefined ? jobs : [theJob(kind, jobs)];

interface Change {
  /** As it is then. */
  job: ScheduledJob;
  /** False: it was so already. */
  changed: boolean;
}

/** Brings a job into a state, unless it is in it. Throws `CommandError`. */
async function change(
  job: ScheduledJob,
  wanted: ScheduledJob["state"],
  order: (job: ScheduledJob) => Promise<boolean>,
  api: SchedulerJobs,
): Promise<Change> {
  if (job.state === wanted) return { job, changed: false };
  const changed = await order(job);
  const now = await api.read(job);
  if (now.state === wanted) return { job: now, changed };
  throw new CommandError(stillText(job.kind, now.state));
}

/** A run that is due is not told as one that is past. */
const soon = (instant: number, now: number) => (instant <= now ? "now" : fromNow(instant, now));

function row(job: ScheduledJob, now: number): string[] {
  const { kind, state, attemptedAt, nextRun, result } = job;
  const coloured = (text: string, well: boolean) =>
    styleText(well ? "green" : "red", text, { stream: process.stdout });
  return [
    kind,
    coloured(state, state === "enabled"),
    `${job.schedule} (${job.timeZone})`,
    attemptedAt === undefined ? "none yet" : fromNow(Math.min(attemptedAt, now), now),
    result === undefined ? resultText(job) : coloured(resultText(job), result === 0),
    nextRun === undefined || state !== "enabled" ? "-" : soon(nextRun, now),
  ];
}

/** A job as programs are shown it. Instants are ISO 8601, `null`: not there. */
function jobView(job: ScheduledJob) {
  const { kind, id, state, attemptedAt, result, nextRun } = job;
  return {
    job: kind,
    id,
    state,
    schedule: job.schedule,
    timeZone: job.timeZone,
    lastAttempt: iso(attemptedAt),
    result: attemptedAt === undefined ? null : { code: result ?? null, text: resultText(job) },
    nextRun: state === "enabled" ? iso(nextRun) : null,
  };
}

const changeView = ({ job, changed }: Change) => ({ ...jobView(job), changed });
