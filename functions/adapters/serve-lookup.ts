import { sampleProblem } from "../core/compat.ts";
import type { Log } from "../core/log.ts";
import { type Lookup, makeLookup } from "../core/lookup.ts";
import { corsFor, sampleCors } from "./cors.ts";
import type { Settings } from "./env.ts";
import { type Handler, serve } from "./http.ts";
import { runtime } from "./runtime.ts";

type Parts = Pick<Lookup, "reader" | "askRefresher" | "passphrases"> & { log: Log };

/** Lookup over HTTP as the settings want it, deployed or on one machine. */
export function serveLookup(parts: Parts, settings: Settings): Handler {
  const { sample, corsOrigins, setupUrl, threshold } = settings;
  return serve({
    handle: makeLookup({ ...parts, runtime, threshold, setupUrl, anyMethod: sample }),
    log: parts.log,
    ...(sample ? { tell: sampleProblem, cors: sampleCors } : { cors: corsFor(corsOrigins) }),
  });
}
