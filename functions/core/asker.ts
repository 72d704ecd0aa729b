import type { Log } from "./log.ts";
import type { Outcome } from "./refresh.ts";
import type { Runtime } from "./runtime.ts";
import { type AskByHash, SECOND } from "./time.ts";

/**
 * Asks the refresher for one token. Rejects with `RefresherFailed` where the refresher answered without an outcome, and
 * with anything else where it could not be reached. A caller that stops waiting does not abort the request.
 */
export type AskRefresher = (name: string, ask: AskByHash) => Promise<Outcome>;

/** The refresher answered, but not with an outcome: its trouble may be with this one token. */
export class RefresherFailed extends Error {
  override name = "RefresherFailed";
}

/** After an ask that did not help, readers of a held token are answered at once for this long, in ms. */
const BACK_OFF = 10 * SECOND;
/** So many names in a row for which the refresher could not be reached make the instance back off. */
const UNREACHABLE = 3;
/** Bounds the memory for names that are backed off, in names; past it they are asked for early. */
const MOST_NAMES = 1000;

/** What one reading instance knows of the refresher: which asks are in flight, and whether an ask may help. */
export interface Asker {
  /**
   * False for a while after an ask that did not help: for this name, and for all names only while the refresher can't be
   * reached. A read whose token was `rejected` passes that once per name and back-off.
   */
  mayAsk(name: string, rejected: boolean): boolean;
  /** Skip asking for this name for a while; a reader of a held token just waited without result. */
  backOff(name: string): void;
  /** `undefined`: no answer within `patience` ms. Never throws. */
  ask(name: string, ask: AskByHash, patience: number): Promise<Asked | undefined>;
}

/** How an ask ended. */
export interface Asked {
  /** `undefined`: the refresher did not answer. */
  outcome: Outcome | undefined;
  /** Memory's mark at the end: a read that began after it has seen what the refresher wrote. */
  mark: number;
}

interface AskerParts {
  askRefresher: AskRefresher;
  mark: () => number;
  runtime: Runtime;
  log: Log;
}

/** One ask per name is in flight at a time; readers that come meanwhile share its answer. */
export function makeAsker({ askRefresher, mark, runtime, log }: AskerParts): Asker {
  const inFlight = new Map<string, Promise<Asked>>();
  const backedOff = boundedUntil(runtime);
  const passed = boundedUntil(runtime);
  const unreachable = new Set<string>();
  let allUntil = 0;

  const answered = (name: string, until: number) => {
    unreachable.clear();
    backedOff.set(name, until);
  };
  const failed = (name: string, error: unknown) => {
    log("lookup.refresher_failed", { token: name });
    if (error instanceof RefresherFailed) return answered(name, Number.POSITIVE_INFINITY);
    backedOff.set(name, Number.POSITIVE_INFINITY);
    if (unreachable.add(name).size < UNREACHABLE) return;
    allUntil = runtime.now() + BACK_OFF;
  };
  const start = async (name: string, ask: AskByHash): Promise<Asked> => {
    if (ask.ifToken !== undefined && isBackedOff(name)) passed.set(name, Number.POSITIVE_INFINITY);
    let outcome: Outcome | undefined;
    try {
      outcome = await askRefresher(name, ask);
      answered(name, "until" in outcome && outcome.outcome !== "leased" ? outcome.until : 0);
    } catch (error) {
      failed(name, error);
    }
    return { outcome, mark: mark() };
  };
  const isBackedOff = (name: string) => isAhead(allUntil, runtime) || backedOff.has(name);
  return {
    mayAsk: (name, rejected) => !isBackedOff(name) || (rejected && !passed.has(name)),
    backOff: (name) => backedOff.set(name, Number.POSITIVE_INFINITY),
    ask(name, ask, patience) {
      const running = inFlight.get(name) ?? start(name, ask).finally(() => inFlight.delete(name));
      inFlight.set(name, running);
      return within(patience, running, runtime);
    },
  };
}

/** Names with an instant each, at most `BACK_OFF` ahead; `has` until then. */
function boundedUntil(runtime: Runtime) {
  const instants = new Map<string, number>();
  return {
    has: (name: string) => isAhead(instants.get(name) ?? 0, runtime),
    set(name: string, until: number) {
      instants.delete(name);
      if (until <= runtime.now()) return;
      if (instants.size >= MOST_NAMES) instants.clear();
      instants.set(name, Math.min(until, runtime.now() + BACK_OFF));
    },
  };
}

/** Still to come. An instant further ahead than any back-off was noted before the clock was set back. */
const isAhead = (until: number, { now }: Runtime) => until > now() && until <= now() + BACK_OFF;

/** What the work gives within `ms`, else `undefined`; the work goes on. */
export const within = <T>(ms: number, work: Promise<T>, runtime: Runtime): Promise<T | undefined> =>
  Promise.race([work, runtime.sleep(Math.max(0, ms)).then(() => undefined)]);
