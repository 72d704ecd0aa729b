import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Runtime } from "../../functions/core/runtime.ts";

/** A clock that stands still until it is moved: store, runtime and sandbox share one. */
export interface Clock {
  /** ms since epoch. */
  now(): number;
  advance(ms: number): void;
}

/** `start`: ms since epoch. */
export function fakeClock(start = Date.UTC(2026, 0, 5, 8)): Clock {
  let now = start;
  return {
    now: () => now,
    advance: (ms) => {
      now += ms;
    },
  };
}

/** Sleeping moves the clock at once; whatever else is under way gets its turn. */
export const runtimeOf = (clock: Clock): Runtime => ({
  now: clock.now,
  sleep: async (ms) => {
    clock.advance(ms);
    await setImmediate();
  },
  secret: () => randomBytes(32).toString("base64url"),
});
