import type { History } from "./history.ts";

/** Histories that broke a rule once. They are run before all others. */
export const REGRESSIONS: History[] = [
  // A refresh that was written again over an edited document brought back what it had been judged by before.
  {
    sealing: false,
    single: false,
    clocks: [],
    tokens: { a: { lifetime: 43199, left: 0 }, b: { lifetime: 43199, left: 3 } },
    steps: [
      { do: "sweep", by: "refresher 1", pace: 1 },
      { do: "webex", fault: "same token", times: 5 },
      { do: "messages", count: 7 },
      { do: "edit", name: "b", edit: "no access token", byHand: true },
      { do: "sweep", by: "refresher 1", pace: 1 },
      { do: "pass", ms: 250 },
      { do: "sweep", by: "refresher 1", pace: 1 },
    ],
  },
  // A claim that landed unnoticed was left behind where the read after it failed, too.
  {
    sealing: false,
    single: false,
    clocks: [],
    tokens: { a: { lifetime: 43199, left: 0 }, b: { lifetime: 43199, left: 0 } },
    steps: [
      { do: "read", by: "lookup 1", name: "a", ask: "plain", wait: 8, pace: 57 },
      { do: "store", fault: "lost", meets: "writes", times: 1 },
      { do: "pass", ms: 11 },
      { do: "read", by: "lookup 1", name: "a", ask: "plain", wait: 8, pace: 273 },
      { do: "store", fault: "down", meets: "reads", times: 1 },
      { do: "messages", count: 5 },
      { do: "edit", name: "a", edit: "secret", byHand: true },
    ],
  },
  // The same, where the second claim landed and the first had not been answered either.
  {
    sealing: false,
    single: false,
    clocks: [],
    tokens: { a: { lifetime: 43199, left: 7000 }, b: { lifetime: 43199, left: 0 } },
    steps: [
      { do: "read", by: "lookup 1", name: "a", ask: "plain", wait: 8, pace: 0 },
      { do: "read", by: "lookup 1", name: "b", ask: "plain", wait: 8, pace: 0 },
      { do: "sweep", by: "refresher 2", pace: 0 },
      { do: "messages", count: 4 },
      { do: "read", by: "lookup 1", name: "b", ask: "plain", wait: 8, pace: 1 },
      { do: "store", fault: "hangs", meets: "writes", times: 5 },
      { do: "pass", ms: 2000 },
      { do: "store", fault: "lost", meets: "writes", times: 1 },
      { do: "pass", ms: 4000 },
      { do: "crash", who: "lookup 1", arrives: false },
      { do: "edit", name: "a", edit: "secret", byHand: false },
      { do: "crash", who: "lookup 1", arrives: false },
    ],
  },
];
