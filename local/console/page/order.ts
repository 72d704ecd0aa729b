import type { State } from "../../../functions/core/state.ts";
import { DAY } from "../../../functions/core/time.ts";
import type { Row } from "../row.ts";

/** Days before its end at which a token that works moves up. */
const SOON = 14 * DAY;

const RANK: Record<State, number> = {
  "needs a person": 0,
  ended: 1,
  "not authorized": 2,
  retrying: 3,
  refreshing: 5,
  working: 6,
  static: 6,
};
/** Works, and will need a person within two weeks. */
const ENDING = 4;

/** ms: when a person is needed if nothing goes wrong before; `undefined`: never, or nobody knows. */
export const lastsUntil = (row: Row): number | undefined =>
  row.manager !== undefined
    ? undefined
    : row.refreshes
      ? row.refreshExpires
      : row.state === "static"
        ? row.accessExpires
        : undefined;

/** It works, and only a person can keep it working beyond the next two weeks. */
export function endsSoon(row: Row, now: number): boolean {
  const until = lastsUntil(row);
  return RANK[row.state] > ENDING && until !== undefined && until - now < SOON;
}

/** The most urgent first, then by what ends first, then by name. */
export function byUrgency(rows: readonly Row[], now: number): Row[] {
  const keyed = rows.map((row) => ({
    row,
    rank: endsSoon(row, now) ? ENDING : RANK[row.state],
    end: (endsSoon(row, now) ? lastsUntil(row) : row.accessExpires) ?? Number.POSITIVE_INFINITY,
  }));
  keyed.sort((one, other) => one.rank - other.rank || less(one.end, other.end) || byName(one.row, other.row));
  return keyed.map(({ row }) => row);
}

const less = (one: number, other: number) => (one === other ? 0 : one < other ? -1 : 1);

const byName = (one: Row, other: Row) => (one.name < other.name ? -1 : 1);

/** Rows in which each word of `search` is found. */
export function matching(rows: readonly Row[], search: string): Row[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...rows];
  return rows.filter((row) => {
    const { name, state, orgId, cluster, failure, publish } = row;
    const codes = [failure?.code, publish?.failure?.code];
    const text = [name, state, orgId, cluster, ...codes].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** How many there are of each state. */
export function totalsOf(rows: readonly Row[]): Map<State, number> {
  const totals = new Map<State, number>();
  for (const { state } of rows) totals.set(state, (totals.get(state) ?? 0) + 1);
  return totals;
}

/** Which rows of many are in view. */
export interface Span {
  from: number;
  /** Exclusive. */
  to: number;
}

/** Fewer rows than this are all kept on the page, where the browser's own search finds them. */
export const FEW = 200;
/** Rows kept on each side of what is in view. */
const SPARE = 12;

/** `top`: how far the first row is above the upper edge of the window; all in px. */
export function spanInView(count: number, top: number, height: number, rowHeight: number): Span {
  if (count <= FEW) return { from: 0, to: count };
  const first = Math.floor(top / rowHeight) - SPARE;
  const last = Math.ceil((top + height) / rowHeight) + SPARE;
  const from = Math.min(Math.max(0, first), Math.max(0, count - 2 * SPARE));
  return { from, to: Math.min(count, Math.max(last, from + 2 * SPARE)) };
}
