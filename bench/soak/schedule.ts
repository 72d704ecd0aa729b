import { chanceOf } from "./chance.ts";

/** What goes wrong, and for how many seconds at least and at most in a run of five minutes or more. */
const LENGTHS = {
  "authority down": [6, 12],
  /** Longer than a token lives: every one of them ends, and all come back at once. */
  "authority down for long": [70, 80],
  "authority hanging": [6, 12],
  "authority slow": [8, 16],
  "authority 429": [5, 10],
  "authority HTML with 200": [5, 10],
  "authority 500": [5, 10],
  "authority refusing some": [6, 10],
  "authority's answers lost": [5, 10],
  "refresher killed": [2, 8],
  "lookup killed": [2, 6],
  "store frozen": [3, 7],
} as const;

export type Trouble = keyof typeof LENGTHS;

/** Instants are ms since the run began. */
export interface Planned {
  trouble: Trouble;
  from: number;
  until: number;
  /** In [0, 1): which one it meets, or how badly. */
  chance: number;
}

const SECOND = 1000;
const FULL = 300 * SECOND;
const WARM_UP = 15 * SECOND;
/** Between the end of one trouble and the beginning of the next, in s: below 0 they overlap. */
const GAP = [-3, 8] as const;
const SHORTEST = 0.8 * SECOND;

/**
 * What goes wrong in a run of `length` ms, always the same for the same seed: every trouble in a shuffled order, again
 * and again. In a run shorter than five minutes each is shorter, too; the long one is left out where it would take more
 * than a third of the run.
 */
export function scheduleOf(seed: string, length: number): Planned[] {
  const chance = chanceOf(`troubles of ${seed}`);
  const scale = Math.min(1, length / FULL);
  const between = ([least, most]: readonly [number, number]) =>
    (least + (most - least) * chance()) * SECOND * scale;
  const planned: Planned[] = [];
  let next = WARM_UP * scale;
  for (let placed = -1; placed !== planned.length; ) {
    placed = planned.length;
    for (const trouble of shuffled(Object.keys(LENGTHS) as Trouble[], chance)) {
      const lasting = Math.max(SHORTEST, between(LENGTHS[trouble]));
      if (trouble === "authority down for long" && lastsTooLong(length)) continue;
      const from = Math.round(next);
      const until = Math.round(from + lasting);
      if (until > length) continue;
      planned.push({ trouble, from, until, chance: chance() });
      next = Math.max(from, until + between(GAP));
    }
  }
  return planned;
}

const lastsTooLong = (length: number) => LENGTHS["authority down for long"][1] * SECOND > length / 3;

function shuffled<T>(items: readonly T[], chance: () => number): T[] {
  return items
    .map((item) => ({ item, place: chance() }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item);
}
