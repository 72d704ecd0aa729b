import { setTimeout as sleep } from "node:timers/promises";
import { MOMENT } from "./guard.ts";
import { judgeRead } from "./judge.ts";
import type { Answer } from "./reader.ts";
import type { Run } from "./run.ts";

/** Judges one read, and remembers what it showed. */
export async function take(answer: Answer, run: Run): Promise<void> {
  const { world, ledger, lateness, tally, figures, ending } = run;
  const { name, kind, member, lookup, sent, answered, status, token, expiresIn } = answer;
  if (status === 0) await sleep(MOMENT);
  if (ending.aborted) return;
  const late = lateness.between(sent, answered);
  const known = ledger.around({ name, member, lookup, sent, answered, late });
  const liveUntil = token === undefined ? undefined : world.records.endOf(name, token);
  const verdict = judgeRead({ name, sent, answered, status, late, liveUntil }, known);
  figures.add(answer, known);
  const what = status === 0 ? "no answer" : String(status);
  const who = `${kind} read of ${name} at ${member.title}, ${answered - sent} ms`;
  tally.add(verdict, { what, who, during: ledger.during(sent, answered) });
  if (status === 200 && lookup !== undefined) ledger.sawAnswered(name, answered + expiresIn * 1000, lookup);
}
