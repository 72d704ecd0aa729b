import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { Runtime } from "../core/runtime.ts";

/** The time and the chance of this machine. */
export const runtime: Runtime = {
  now: Date.now,
  sleep: (ms) => setTimeout(ms),
  secret: () => randomBytes(32).toString("base64url"),
};
