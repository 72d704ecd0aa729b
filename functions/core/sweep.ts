import { type Publisher, publish } from "./publish.ts";
import { type Outcome, type Refresher, refresh } from "./refresh.ts";
import { recordSweep } from "./status.ts";
import { type Indexed, type StoredToken, StoreUnavailable, type TokenStore } from "./store.ts";
import { PUBLISHING_TIME, SECOND } from "./time.ts";

/** What one sweep did. A type, not an interface: it goes into a log line and into the store as it is. */
export type Sweep = {
  /** Tokens found due. */
  due: number;
  refreshed: number;
  failed: number;
  /** Passed over: fresh by now, leased by another process, or backed off. */
  deferred: number;
  /** Passed over because Webex throttles their client (429): a later sweep takes them. */
  paused: number;
  /** Due and not reached: the next sweep goes on with them. */
  remaining: number;
  /** How long the longest waiting token had been due when the sweep began. */
  overdueSeconds: number;
  elapsedMs: number;
};

export interface Sweeper extends Refresher, Publisher {
  /** How many tokens are refreshed at a time. */
  concurrency: number;
  /** Runs work as soon as one of the process's `concurrency` places is free. */
  limit<T>(work: () => Promise<T>): Promise<T>;
  /** ms the caller waits for a sweep; no token is taken up after four fifths of that. */
  deadline: number;
}

const PAGE = 500;

/**
 * Refreshes every token that is due, the longest overdue first. Overlapping sweeps are harmless: leases decide.
 * Throws `StoreUnavailable` where what is due can't be found out.
 */
export async function sweep(sweeper: Sweeper): Promise<Sweep> {
  const { store, runtime, limit, concurrency, deadline, log, pauses } = sweeper;
  const started = runtime.now();
  const counts = { due: 0, refreshed: 0, failed: 0, deferred: 0, paused: 0 };
  const queue = dueTokens(store, started);
  let first: StoredToken | undefined;
  let last: StoredToken | undefined;
  const mayGoOn = () => runtime.now() < started + deadline * 0.8 && !pauses.isDraining();

  const work = async () => {
    while (mayGoOn()) {
      const { value: token, done } = await queue.next();
      if (done) return;
      first ??= token;
      last = token;
      counts.due++;
      const outcome = await limit(() => refreshDue(token, sweeper));
      counts[KIND[outcome.outcome]]++;
    }
  };
  // A page that can't be read must not answer the caller while refreshes are in flight: the platform would freeze them.
  const workers = await Promise.allSettled(Array.from({ length: concurrency }, work));
  for (const worker of workers) if (worker.status === "rejected") throw worker.reason;

  const remaining = mayGoOn() ? 0 : await store.countDue(started, last);
  if (remaining > 0) first ??= (await store.due(started, 1))[0];
  const overdueSeconds = Math.round((started - (first?.document.refreshAt ?? started)) / SECOND);
  const summary = { ...counts, remaining, overdueSeconds, elapsedMs: runtime.now() - started };
  log("sweep.done", summary);
  await recordSweep(summary, runtime.now(), store.documents);
  await publishAll(sweeper, mayGoOn);
  return summary;
}

/**
 * Publishes what is due, whatever became of the refreshes. It begins after them and takes none of their places, so no
 * reader's ask waits behind it. Never throws `StoreUnavailable`: a sweep that refreshed has worked.
 */
async function publishAll(sweeper: Sweeper, mayGoOn: () => boolean): Promise<void> {
  const { store, runtime, concurrency } = sweeper;
  const began = runtime.now();
  const queue = dueTokens(store, began, "publish.nextAt");
  const work = async () => {
    while (mayGoOn() && runtime.now() < began + PUBLISHING_TIME) {
      const { value: token, done } = await queue.next();
      if (done) return;
      await publishDue(token, sweeper);
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: concurrency }, work));
  for (const worker of workers) {
    if (worker.status === "fulfilled") continue;
    if (!(worker.reason instanceof StoreUnavailable)) throw worker.reason;
    sweeper.log("store.unavailable", { reason: worker.reason.message });
  }
}

const KIND: Record<Outcome["outcome"], "refreshed" | "failed" | "deferred" | "paused"> = {
  refreshed: "refreshed",
  unchanged: "deferred",
  fresh: "deferred",
  deferred: "deferred",
  held: "paused",
  leased: "deferred",
  discarded: "deferred",
  missing: "deferred",
  failed: "failed",
  unsaved: "failed",
};

/** One token that can't be read or written must not keep the others from being refreshed. */
async function refreshDue(token: StoredToken, sweeper: Sweeper): Promise<Outcome> {
  try {
    return await refresh(token.name, { by: "sweep" }, sweeper, token);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    sweeper.log("store.unavailable", { token: token.name });
    return { outcome: "failed", code: "store_unavailable", permanent: false };
  }
}

async function publishDue(token: StoredToken, sweeper: Sweeper): Promise<void> {
  try {
    await publish(token, sweeper);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    sweeper.log("store.unavailable", { token: token.name });
  }
}

/** What is due, page by page; the next page is fetched while this one is worked on. */
async function* dueTokens(store: TokenStore, until: number, field?: Indexed) {
  let page = store.due(until, PAGE, undefined, field);
  for (;;) {
    const tokens = await page;
    const next = tokens.length === PAGE ? store.due(until, PAGE, tokens.at(-1), field) : undefined;
    next?.catch(() => "reported when its turn comes");
    yield* tokens;
    if (next === undefined) return;
    page = next;
  }
}
