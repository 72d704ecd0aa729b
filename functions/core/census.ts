import type { TokenDocument } from "./document.ts";
import type { Refresher } from "./refresh.ts";
import { STATES, type State, stateOf } from "./state.ts";
import { readCensus, recordCensus } from "./status.ts";
import { type StoredToken, StoreUnavailable } from "./store.ts";
import { DAY, isRenewable, lifeOf, livesTooLong, scheduleOf } from "./time.ts";

/** Totals over all tokens. */
export interface Census {
  tokens: number;
  /** Documents that had no `refreshAt` (written by hand or by Cisco's sample), now known to the sweep. */
  adopted: number;
  /** Documents that should have been adopted and could not be written: the next census tries them again. */
  failed: number;
  states: Record<State, number>;
  elapsedMs: number;
}

const PAGE = 500;
/** Days before the end of a refresh token, or of a fixed access token, at which a person is told. */
const RUNWAY_MARKS = [14, 7, 3, 1];

type Counter = Pick<Refresher, "store" | "runtime" | "log" | "threshold">;

/**
 * Reads every document once. One that can't be written is reported and counted, and the run goes on. Throws
 * `StoreUnavailable` where documents can't be read.
 */
export async function census(counter: Counter): Promise<Census> {
  const { store, runtime, log } = counter;
  const started = runtime.now();
  const before = await readCensus(store.documents);
  const states = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>;
  let tokens = 0;
  const counts = { adopted: 0, failed: 0 };
  for await (const page of store.pages(PAGE)) {
    for (const token of page) {
      const now = runtime.now() + token.ahead;
      tokens++;
      states[stateOf(token, now)]++;
      try {
        if (await adopt(token, now, counter)) counts.adopted++;
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        counts.failed++;
        log("store.unavailable", { token: token.name, reason: error.message });
      }
      for (const field of token.mistyped) log("token.mistyped", { token: token.name, field });
      for (const [field, reason] of Object.entries(token.unopened))
        log("token.unopened", { token: token.name, field, reason });
      remind(token, counter);
      forecast(token, now, before, counter);
    }
  }
  await recordCensus(started, store.documents);
  const result = { tokens, ...counts, states, elapsedMs: runtime.now() - started };
  log("census.done", { tokens, ...counts, ...states, elapsedMs: result.elapsedMs });
  return result;
}

/**
 * Makes a document due that the sweep would not find in time: one without a numeric `refreshAt`, with credentials that were
 * changed by hand, or with more life than it can have. False: nothing to do, or another process wrote the document meanwhile.
 */
export async function adopt(token: StoredToken, now: number, counter: Counter): Promise<boolean> {
  const { document, name, inputs, snapshot } = token;
  const { refreshAt, failure } = document;
  // Typed by hand as text or as a timestamp it can be read, but no query for numbers finds it.
  const indexed = refreshAt !== undefined && typeof snapshot.fields.refreshAt === "number";
  const later = (refreshAt ?? 0) > now;
  const edited = failure !== undefined && failure.inputs !== inputs && later;
  const tooLong = livesTooLong(document, now) && later;
  if (!isRenewable(document) || document.static || (indexed && !edited && !tooLong)) return false;
  const urgent = edited || tooLong || lifeOf(document, now) === 0 || isLastDay(document, now);
  const at = urgent ? now : scheduleOf(name, document, now, counter.threshold);
  if ((await counter.store.update(token, { refreshAt: at })) === undefined) return false;
  counter.log("census.adopted", { token: name });
  return true;
}

/** Its refresh token ends within a day: it is used before. */
const isLastDay = ({ refreshExpires = Number.POSITIVE_INFINITY }: TokenDocument, now: number) =>
  refreshExpires > now && refreshExpires - now < DAY;

/** The line that calls a person may have been lost with the process that was about to write it. */
function remind({ name, document: { failure } }: StoredToken, { log }: Counter): void {
  if (failure?.permanent)
    log("refresh.refused", { token: name, count: failure.count, code: failure.code, permanent: true });
}

function forecast(token: StoredToken, now: number, before: number | undefined, { log }: Counter): void {
  const { document, name } = token;
  const kind = document.refreshToken === undefined ? "access token" : "refresh token";
  const end = document.refreshToken === undefined ? document.accessExpires : document.refreshExpires;
  if (end === undefined || (document.accessToken === undefined && document.refreshToken === undefined))
    return;
  const mark = markCrossed(end, now, before === undefined ? undefined : before + token.ahead);
  if (mark !== undefined) log("token.ending", { token: name, kind, days: end > now ? mark : 0 });
}

/** The nearest mark (days) that was crossed since the last census: each is told once, however the days are cut. */
export function markCrossed(end: number, now: number, before: number | undefined): number | undefined {
  const left = end - now;
  const leftBefore = before === undefined ? Number.POSITIVE_INFINITY : end - before;
  return RUNWAY_MARKS.findLast((days) => left <= days * DAY && leftBefore > days * DAY);
}
