import { judgeMemory, PROMISES } from "./judge.ts";
import { readLogs } from "./logs.ts";
import type { Run, SoakOptions } from "./run.ts";
import type { Outcome } from "./summary.ts";
import type { Usage } from "./usage.ts";

/** What the run itself does not know. */
export interface Rest {
  usage: Usage;
  /** ms since things began to go wrong. */
  lasted: number;
  skipped: number;
  sweeps: { good: number; failed: number };
}

/** Judges what can be judged at the end only, and gathers all that a run has to tell. */
export async function sumUp(options: SoakOptions, run: Run, rest: Rest): Promise<Outcome> {
  const { world, plan, tally, figures, ending } = run;
  const { names, lookups, refreshers, witness } = world;
  const used = rest.usage.all();
  for (const growth of used) tally.add(judgeMemory(growth), { what: "process" });
  const { events, verdicts } = await readLogs([...lookups, ...refreshers].flatMap((member) => member.logs));
  for (const verdict of verdicts) tally.add(verdict, { what: "log" });
  return {
    title: titleOf(options, ending.aborted),
    troubles: plan.filter(({ from }) => from < rest.lasted),
    groups: figures.groups(),
    tally,
    requests: names.map((name) => witness.requests.get(name) ?? 0),
    answers: witness.answers,
    events,
    used,
    late: run.lateness.whole(),
    unjudged: [
      ...(ending.aborted ? [PROMISES.back] : []),
      ...(used.every(({ end }) => end === undefined) ? [PROMISES.memory] : []),
    ],
    ...rest,
  };
}

function titleOf({ tokens, store, minutes, seed, rate }: SoakOptions, early: boolean): string {
  const where = store === "sqlite" ? "SQLite" : "Firestore's emulator";
  const what = `${tokens.toLocaleString("en")} tokens of a minute on ${where}, ${rate} reads a second`;
  return `${what}, ${minutes} minutes, --seed ${seed}${early ? " (ended early)" : ""}`;
}
