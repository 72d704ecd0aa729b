import { type Figures, makeFigures } from "./figures.ts";
import { type Guard, standGuard } from "./guard.ts";
import { judgeOverlap } from "./judge.ts";
import { type Lateness, watchLateness } from "./lateness.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import { sumUp } from "./outcome.ts";
import { clockText, type Progress } from "./progress.ts";
import { startReaders } from "./reader.ts";
import { recover } from "./recovery.ts";
import { type Planned, scheduleOf } from "./schedule.ts";
import type { Outcome } from "./summary.ts";
import { startSweeps } from "./sweeps.ts";
import { take } from "./take.ts";
import { makeTally, type Tally } from "./tally.ts";
import { makeTrouble } from "./troubles.ts";
import { type Usage, watchUsage } from "./usage.ts";
import { makeWorld, type World, type WorldOptions } from "./world.ts";

export interface SoakOptions extends Omit<WorldOptions, "say"> {
  /** How long things go wrong. */
  minutes: number;
  /** Reads a second. */
  rate: number;
}

/** What a run knows, for every part of it. */
export interface Run {
  world: World;
  plan: Planned[];
  ledger: Ledger;
  lateness: Lateness;
  tally: Tally;
  figures: Figures;
  /** A process did not get ready. */
  onDeath(error: Error): void;
  /** Aborted when the run is ended early: what happens then says nothing any more. */
  ending: AbortSignal;
}

/** The whole run. `ending` ends it early, with what there is by then. */
export async function soak(options: SoakOptions, progress: Progress, ending: AbortSignal): Promise<Outcome> {
  const tally = makeTally();
  const ledger = openLedger();
  const now = () => ledger.during(Date.now(), Date.now());
  const world = await makeWorld({ ...options, say: progress.say }, (overlap) =>
    tally.add(judgeOverlap(overlap), { what: "request to Webex", during: now() }),
  );
  const plan = scheduleOf(options.seed, options.minutes * 60_000);
  const run: Run = {
    world,
    plan,
    ledger,
    lateness: watchLateness(),
    tally,
    figures: makeFigures(),
    onDeath: ({ message: why }) =>
      tally.add({ is: "broken", promise: "alive", why }, { what: "process", during: now() }),
    ending,
  };
  const usage = watchUsage();
  const guard = await standGuard(run, usage);
  const sweeps = startSweeps(world.refreshers);
  const readers = startReaders({ ...options, ...world }, (answer) => take(answer, run));
  progress.say(`all is up; from now on things go wrong for ${options.minutes} minutes`);
  progress.follow(lineOf(run, guard, usage));

  const began = Date.now();
  await makeTrouble(plan, { ...world, ledger, onDeath: run.onDeath }, ending);
  if (!ending.aborted) {
    await world.authority.clear();
    await recover(run);
  }
  const unread = readers.stop();
  if (!ending.aborted) await unread;
  sweeps.stop();
  await guard.stop();
  if (!ending.aborted) await usage.conclude(running(world));
  progress.stop();
  run.lateness.stop();
  const rest = {
    usage,
    lasted: Date.now() - began,
    skipped: readers.skipped(),
    sweeps: sweeps.counts,
  };
  await world.close();
  return sumUp(options, run, rest);
}

const running = ({ lookups, refreshers }: World) =>
  [...lookups, ...refreshers].flatMap((member) => member.process() ?? []);

/** One line on how it stands. */
function lineOf({ world, ledger, tally, figures }: Run, guard: Guard, usage: Usage): () => string {
  const began = Date.now();
  return () => {
    const { failures, wrong } = tally.count();
    const now = Date.now();
    return [
      clockText(now - began),
      `${figures.reads().toLocaleString("en")} reads`,
      `${failures.toLocaleString("en")} failed (${wrong} wrong)`,
      `${guard.due()} due`,
      `${Math.round(usage.total(running(world)))} MB`,
      ledger.during(now, now).join(" + "),
    ].join("  ");
  };
}
