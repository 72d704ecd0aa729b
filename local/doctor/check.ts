import { explain } from "../commands/errors.ts";
import type { Patient } from "./patient.ts";

/** `skipped`: it does not apply here, or could not be looked at because of what is broken already. */
export type Verdict = "well" | "warning" | "broken" | "skipped";

/** What a check came to. No secret is in it. */
export interface Finding {
  verdict: Verdict;
  /** What is so, in a few words. */
  says: string;
  /** A command to paste that mends it. Absent: nothing is to be mended, or `says` tells how. */
  remedy?: string;
}

export interface Check {
  /** For programs: it never changes. */
  id: string;
  title: string;
  /** Ids of checks before it without which there is nothing to look at. */
  needs?: readonly string[];
  /** ms it may take; 30 s unless given. */
  limit?: number;
  /** What it throws is broken, too: nobody knows that it is well. */
  run(patient: Patient): Finding | Promise<Finding>;
}

export type Examined = Finding & Pick<Check, "id" | "title">;

const LIMIT = 30_000;

export const well = (says: string): Finding => ({ verdict: "well", says });
export const warning = (says: string, remedy?: string): Finding => found("warning", says, remedy);
export const broken = (says: string, remedy?: string): Finding => found("broken", says, remedy);
export const skipped = (says: string): Finding => ({ verdict: "skipped", says });

const found = (verdict: Verdict, says: string, remedy?: string): Finding => ({
  verdict,
  says,
  ...(remedy !== undefined && { remedy }),
});

/** Starts every check at once, but for what one needs. None rejects, and none takes longer than its limit. */
export function examine(checks: readonly Check[], patient: Patient): Promise<Examined>[] {
  const started = new Map<string, Promise<Outcome>>();
  for (const check of checks) started.set(check.id, outcomeOf(check, patient, started));
  return [...started.values()].map(async (outcome) => (await outcome).examined);
}

interface Outcome {
  examined: Examined;
  /** What needs it can't be looked at. */
  blocks: boolean;
}

async function outcomeOf(
  { id, title, needs = [], limit = LIMIT, run }: Check,
  patient: Patient,
  others: ReadonlyMap<string, Promise<Outcome>>,
): Promise<Outcome> {
  const needed = await Promise.all(needs.flatMap((need) => others.get(need) ?? []));
  const blocking = needed.find(({ blocks }) => blocks);
  if (blocking !== undefined) {
    const finding = skipped(`it needs what is broken above: ${blocking.examined.title}`);
    return { examined: { id, title, ...finding }, blocks: true };
  }
  const finding = await within(limit, async () => run(patient)).catch((error: unknown) =>
    broken(explain(error).sentence),
  );
  return { examined: { id, title, ...finding }, blocks: finding.verdict === "broken" };
}

async function within(limit: number, work: () => Promise<Finding>): Promise<Finding> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding>((resolve) => {
    timer = setTimeout(() => resolve(broken(`no answer within ${limit / 1000} s: try it again`)), limit);
  });
  return Promise.race([work(), late]).finally(() => clearTimeout(timer));
}
