import type { Member } from "./member.ts";

/** ms between two sweeps; each refresher has its turn. */
const EVERY = 2000;
const PATIENCE = 60_000;

export interface Sweeps {
  /** Sweeps that were answered well, and those that were not. */
  counts: { good: number; failed: number };
  stop(): void;
}

/** Plays Cloud Scheduler's part. One whose last sweep has not ended is passed over, as Cloud Scheduler does it. */
export function startSweeps(refreshers: Member[]): Sweeps {
  const counts = { good: 0, failed: 0 };
  const busy = new Set<Member>();
  let turn = 0;
  const sweep = async (refresher: Member) => {
    busy.add(refresher);
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch(refresher.url, { method: "POST", signal }).catch(() => undefined);
    await answer?.text().catch(() => "cut off");
    counts[answer?.status === 200 ? "good" : "failed"]++;
    busy.delete(refresher);
  };
  const next = () => {
    const refresher = refreshers[turn++ % refreshers.length];
    if (refresher !== undefined && !busy.has(refresher)) void sweep(refresher);
  };
  next();
  const timer = setInterval(next, EVERY);
  return { counts, stop: () => clearInterval(timer) };
}
