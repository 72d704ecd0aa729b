import { PROMISES, type PromiseName, type Verdict } from "./judge.ts";

const EXAMPLES = 5;

/** Counts verdicts, and keeps the first few that break a promise. */
export interface Tally {
  add(verdict: Verdict, about: About): void;
  failures(): Failure[];
  /** How many failures there were, and how many of them were wrong. */
  count(): { failures: number; wrong: number };
  promises(): { title: string; broken: number; examples: string[] }[];
  /** 1 where a promise was broken. */
  exitCode(): 0 | 1;
}

export interface About {
  what: string;
  /** What was wrong at that time; absent: it is about no certain time. */
  during?: readonly string[];
  /** Which one it was. */
  who?: string;
}

/** One kind of failure. */
export interface Failure {
  what: string;
  why: string;
  right: boolean;
  count: number;
  /** How often each thing was wrong at that time. */
  during: Map<string, number>;
}

export function makeTally(): Tally {
  const kinds = new Map<string, Failure>();
  const promises = new Map<PromiseName, { broken: number; examples: string[] }>();
  const note = (promise: PromiseName, example: string) => {
    const found = promises.get(promise) ?? { broken: 0, examples: [] };
    promises.set(promise, found);
    if (++found.broken <= EXAMPLES) found.examples.push(example);
  };
  return {
    add(verdict, { what, during = [], who }) {
      if (verdict.is === "kept") return;
      const { why } = verdict;
      const right = verdict.is === "excused";
      const key = JSON.stringify([what, why, right]);
      const kind = kinds.get(key) ?? { what, why, right, count: 0, during: new Map() };
      kinds.set(key, kind);
      kind.count++;
      for (const wrong of during) kind.during.set(wrong, (kind.during.get(wrong) ?? 0) + 1);
      if (verdict.is === "broken")
        note(
          verdict.promise,
          [what, who, why, verdict.details, during.join(" + ")].filter(Boolean).join("; "),
        );
    },
    failures: () => [...kinds.values()].sort((one, other) => other.count - one.count),
    count() {
      const sum = (failures: Failure[]) => failures.reduce((total, { count }) => total + count, 0);
      const all = [...kinds.values()];
      return { failures: sum(all), wrong: sum(all.filter(({ right }) => !right)) };
    },
    promises: () =>
      Object.entries(PROMISES).map(([name, title]) => ({
        title,
        ...(promises.get(name as PromiseName) ?? { broken: 0, examples: [] }),
      })),
    exitCode: () => (promises.size === 0 ? 0 : 1),
  };
}
