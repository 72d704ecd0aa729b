import fc from "fast-check";
import { STORE_FAULTS, type StoreFault, WEBEX_FAULTS, type WebexFault } from "./faults.ts";
import { PROCESSES, type ProcessName } from "./process.ts";

export const NAMES = ["a", "b"] as const;
export type Name = (typeof NAMES)[number];

export const EDITS = [
  /** The client secret that Webex accepts now. */
  "secret",
  "wrong secret",
  /** A refresh token that was made elsewhere. */
  "import",
  "no access token",
  "no secret",
  "no refreshAt",
  "scopes",
  "remove",
  "add",
] as const;
export type Edit = (typeof EDITS)[number];

export type Lookup = Extract<ProcessName, `lookup ${number}`>;
export type Refresher = Extract<ProcessName, `refresher ${number}`>;

/** One thing that happens. `pace` decides how quick the calls of the process are from now on; 0: all alike. */
export type Step =
  | { do: "pass"; ms: number }
  /** Time passes until a token is due, below the threshold, or at its end, and `ms` more. */
  | { do: "wait"; name: Name; until: "due" | "threshold" | "end"; ms: number }
  /** So many messages arrive. */
  | { do: "messages"; count: number }
  | {
      do: "read";
      by: Lookup;
      name: Name;
      ask: "plain" | "minTtl" | "rejected" | "older";
      /** s */
      wait: number;
      pace: number;
    }
  | { do: "sweep" | "census"; by: Refresher; pace: number }
  /** One sweep a minute, as the Scheduler does. */
  | { do: "sweeps"; by: Refresher; minutes: number }
  /** An operator wants a refresh now. */
  | { do: "refresh"; name: Name; pace: number }
  | { do: "consent"; name: Name; plain: boolean; pace: number }
  /** `byHand`: in the console, that field alone; else by the command line. */
  | { do: "edit"; name: Name; edit: Edit; byHand: boolean }
  /** Webex accepts another client secret from now on. */
  | { do: "new secret"; name: Name }
  | { do: "revoke"; name: Name }
  /** `arrives`: what it sent still does its work. */
  | { do: "crash"; who: ProcessName; arrives: boolean }
  | { do: "freeze"; who: ProcessName; ms: number }
  | { do: "clock"; who: ProcessName; ahead: number }
  | { do: "store"; fault: StoreFault; meets: "reads" | "writes"; times: number }
  | { do: "webex"; fault: WebexFault; times: number }
  | { do: "refreshers"; are: "well" | "down" | "hangs" };

/** All that one run depends on, as plain data. */
export interface History {
  /** What the store keeps is sealed. */
  sealing: boolean;
  /** A consent ends the refresh tokens before it. */
  single: boolean;
  /** ms by which the clocks of the processes are ahead of the store's, in the order of `PROCESSES`; absent: 0. */
  clocks: number[];
  /** s: how long the tokens live, and how much of that is left. */
  tokens: Record<Name, { lifetime: number; left: number }>;
  steps: Step[];
}

const { constantFrom, constant, record, integer, oneof, array, boolean } = fc;
const weighted = <const T>(...choices: [number, T][]) =>
  constantFrom(...choices.flatMap(([n, it]) => Array<T>(n).fill(it)));

const name = constantFrom<Name[]>("a", "a", "a", "a", "b");
const by = constantFrom<Refresher[]>("refresher 1", "refresher 2");
const pace = oneof(
  { weight: 2, arbitrary: constant(0) },
  { weight: 3, arbitrary: integer({ min: 1, max: 999 }) },
);
const who = constantFrom(...PROCESSES);
const times = weighted([5, 1], [2, 2], [2, 5], [1, 1000]);
const AHEAD = [0, 1500, -1500, 90_000, -90_000, 3_600_000, -3_600_000];

const ms = oneof(
  { weight: 6, arbitrary: integer({ min: 0, max: 100 }) },
  { weight: 4, arbitrary: integer({ min: 100, max: 2000 }) },
  { weight: 4, arbitrary: integer({ min: 2, max: 40 }).map((s) => s * 1000) },
  { weight: 2, arbitrary: integer({ min: 1, max: 30 }).map((min) => min * 60_000) },
  { weight: 1, arbitrary: integer({ min: 1, max: 13 }).map((h) => h * 3_600_000) },
);

const step: fc.Arbitrary<Step> = oneof(
  { weight: 10, arbitrary: record({ do: constant("pass" as const), ms }) },
  {
    weight: 6,
    arbitrary: record({
      do: constant("wait" as const),
      name,
      until: constantFrom("due" as const, "threshold" as const, "end" as const),
      ms: constantFrom(0, -100, -1500, -4000, 1000, 60_000),
    }),
  },
  {
    weight: 8,
    arbitrary: record({ do: constant("messages" as const), count: integer({ min: 1, max: 12 }) }),
  },
  {
    weight: 14,
    arbitrary: record({
      do: constant("read" as const),
      by: constantFrom<Lookup[]>("lookup 1", "lookup 2"),
      name,
      ask: weighted([5, "plain" as const], [2, "minTtl"], [2, "rejected"], [1, "older"]),
      wait: weighted([3, 8], [1, 0], [1, 1], [1, 20]),
      pace,
    }),
  },
  { weight: 7, arbitrary: record({ do: constant("sweep" as const), by, pace }) },
  { weight: 2, arbitrary: record({ do: constant("sweeps" as const), by, minutes: constantFrom(3, 12, 40) }) },
  { weight: 1, arbitrary: record({ do: constant("census" as const), by, pace }) },
  { weight: 1, arbitrary: record({ do: constant("refresh" as const), name, pace }) },
  {
    weight: 4,
    arbitrary: record({
      do: constant("consent" as const),
      name,
      plain: weighted([3, false], [1, true]),
      pace,
    }),
  },
  {
    weight: 5,
    arbitrary: record({
      do: constant("edit" as const),
      name,
      edit: constantFrom(...EDITS, "add" as const),
      byHand: boolean(),
    }),
  },
  { weight: 1, arbitrary: record({ do: constant("new secret" as const), name }) },
  { weight: 1, arbitrary: record({ do: constant("revoke" as const), name }) },
  { weight: 3, arbitrary: record({ do: constant("crash" as const), who, arrives: boolean() }) },
  {
    weight: 2,
    arbitrary: record({
      do: constant("freeze" as const),
      who,
      ms: constantFrom(200, 2000, 10_000, 40_000, 120_000),
    }),
  },
  { weight: 2, arbitrary: record({ do: constant("clock" as const), who, ahead: constantFrom(...AHEAD) }) },
  {
    weight: 6,
    arbitrary: record({
      do: constant("store" as const),
      fault: constantFrom(...STORE_FAULTS),
      meets: constantFrom("reads" as const, "writes" as const),
      times,
    }),
  },
  {
    weight: 7,
    arbitrary: record({
      do: constant("webex" as const),
      fault: constantFrom(...(Object.keys(WEBEX_FAULTS) as WebexFault[])),
      times,
    }),
  },
  {
    weight: 1,
    arbitrary: record({
      do: constant("refreshers" as const),
      are: constantFrom("well" as const, "down" as const, "hangs" as const),
    }),
  },
);

const LIFETIMES = [43_199, 3600, 600, 14 * 86_400];
/** s; more than the lifetime is as much as it lives. */
const LEFT = [0, 3, 20, 240, 1700, 7000, 9500, 10 ** 7];
const token = record({ lifetime: constantFrom(...LIFETIMES), left: constantFrom(...LEFT) });

export const history: fc.Arbitrary<History> = record({
  sealing: boolean(),
  single: boolean(),
  clocks: oneof(
    { weight: 2, arbitrary: constant<number[]>([]) },
    { weight: 1, arbitrary: array(constantFrom(...AHEAD), { maxLength: PROCESSES.length }) },
  ),
  tokens: record({ a: token, b: token }),
  steps: array(step, { minLength: 3, maxLength: 25, size: "max" }),
});
