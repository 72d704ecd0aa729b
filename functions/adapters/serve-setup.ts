import { sampleProblem } from "../core/compat.ts";
import { makeSetup, type Setup, setupProblem } from "../core/setup.ts";
import { sampleCors } from "./cors.ts";
import type { Settings } from "./env.ts";
import { type Handler, serve } from "./http.ts";
import { runtime } from "./runtime.ts";

type Parts = Pick<Setup, "store" | "endpoint" | "passphrases" | "log">;

/** Setup over HTTP as the settings want it, deployed or on one machine. */
export function serveSetup(parts: Parts, settings: Settings): Handler {
  const { sample, legacySetup: plainStates, threshold } = settings;
  return serve({
    handle: makeSetup({ ...parts, runtime, threshold, plainStates, anyMethod: sample }),
    log: parts.log,
    ...(sample ? { tell: sampleProblem, cors: sampleCors } : { tell: setupProblem }),
  });
}
