import pLimit from "p-limit";
import { makePauses } from "../core/pauses.ts";
import type { Sweeper } from "../core/sweep.ts";
import type { Settings } from "./env.ts";
import { runtime } from "./runtime.ts";

/** What refreshes, as the settings want it: one of it in a process, because its places and Webex's pauses are shared. */
export function makeSweeper(
  parts: Pick<Sweeper, "store" | "endpoint" | "variables" | "log">,
  settings: Settings,
): Sweeper {
  const { concurrency, sweepDeadline: deadline, threshold } = settings;
  return {
    ...parts,
    runtime,
    threshold,
    pauses: makePauses(runtime.now),
    concurrency,
    limit: pLimit(concurrency),
    deadline,
  };
}
