import type { Log } from "./log.ts";
import type { Outcome } from "./refresh.ts";
import type { Runtime } from "./runtime.ts";
import { type AskByHash, SECOND } from "./time.ts";

/** Asks the refresher for one token. Throws where it did not answer; nobody who stops waiting ever aborts it. */
export type AskRefresher = (name: string, ask: AskByHash) => Promise<Outcome>;

/** After an ask that did not help, held tokens are answered at once for this long. */
const BRAKE = 10 * SECOND;
/** Names that rest at a time, so that memory stays bounded; beyond it they are asked for early. */
const MOST_RESTING = 1000;

/** What one reading instance knows of the refresher: which asks are under way, and whether asking is of use. */
export interface Asker {
  /** False for a while after an ask that did not help. */
  ready(name: string): boolean;
  /** Nobody with a live token waits for this name for a while: somebody just did, in vain. */
  rest(name: string): void;
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

/** One ask per name at a time: whoever comes meanwhile waits for the same answer. */
export function makeAsker({ askRefresher, mark, runtime, log }: AskerParts): Asker {
  const underWay = new Map<string, Promise<Asked>>();
  const resting = new Map<string, number>();
  let brakedUntil = 0;
  const brake = (until: number) => {
    brakedUntil = Math.min(until, runtime.now() + BRAKE);
  };
  const rest = (name: string, until: number) => {
    if (resting.size >= MOST_RESTING) resting.clear();
    resting.set(name, Math.min(until, runtime.now() + BRAKE));
  };
  // A clock that was set back must not make it last longer.
  const isOver = (until = 0) => until <= runtime.now() || until > runtime.now() + BRAKE;
  const start = (name: string, ask: AskByHash) =>
    askRefresher(name, ask)
      .then((outcome) => {
        if (outcome.outcome === "held") brake(outcome.until);
        if (outcome.outcome === "deferred") rest(name, outcome.until);
        return outcome;
      })
      .catch((): undefined => {
        brake(Number.POSITIVE_INFINITY);
        log("lookup.refresher_failed", { token: name });
      })
      .then((outcome) => {
        underWay.delete(name);
        return { outcome, mark: mark() };
      });
  return {
    ready: (name) => isOver(brakedUntil) && isOver(resting.get(name)),
    rest: (name) => rest(name, Number.POSITIVE_INFINITY),
    ask(name, ask, patience) {
      const running = underWay.get(name) ?? start(name, ask);
      underWay.set(name, running);
      return within(patience, running, runtime);
    },
  };
}

/** What the work gives within `ms`, else `undefined`; the work goes on. */
export const within = <T>(ms: number, work: Promise<T>, runtime: Runtime): Promise<T | undefined> =>
  Promise.race([work, runtime.sleep(Math.max(0, ms)).then(() => undefined)]);
