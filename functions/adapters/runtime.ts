import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { Runtime } from "../core/runtime.ts";

const STARTED = Date.now() - performance.now();

/** The time and the chance of this machine. */
export const runtime: Runtime = {
  // A clock that is set back must bring no dead token to life; a machine that was asleep must not have missed the time.
  now: () => Math.max(Date.now(), Math.ceil(STARTED + performance.now())),
  sleep: (ms) => setTimeout(ms),
  secret: () => randomBytes(32).toString("base64url"),
};
