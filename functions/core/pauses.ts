import { LONGEST_RETRY_AFTER, SECOND } from "./time.ts";

/**
 * What one process knows of rate limits. Webex counts requests by client, so a 429 concerns one client: it sends one
 * request at a time from then on, and pauses once a second token is throttled soon after. Other clients go on.
 */
export interface Pauses {
  /** For one request of `token`. */
  gate(token: string): Gate;
  /** Ends all that is new: the process is being stopped. What is in flight goes on. */
  drain(): void;
  /** The process is being stopped. */
  isDraining(): boolean;
}

/** The way to Webex for one request. */
export interface Gate {
  /** Takes the way for a request counted under `key`. `undefined`: it is open; else ms until which it is closed. */
  enter(key: string): number | undefined;
  /** Says how the request ended, once; later calls do nothing. */
  leave(how: Ending): void;
}

/** `answered`: anything but a 429, which proves the way open. `unknown`: no answer, or no request was sent. */
type Ending = "answered" | "unknown" | { throttled: number };

/** Two tokens of one client throttled within this, in ms, mean that the client is. */
const SOON = 10 * SECOND;
/** How long a client pauses where Webex names no time, in ms. */
const USUAL_PAUSE = 30 * SECOND;
/** After what time another request may be tried while one is in flight, in ms. */
const ONE_AT_A_TIME = SECOND;
/** Bounds the memory for throttled clients. */
const MOST_CLIENTS = 1000;

interface Throttled {
  /** The token whose request was throttled last, and when, in ms. */
  token: string;
  at: number;
  /** ms until which nothing is sent; 0: one request at a time. */
  until: number;
  inFlight: number;
}

/** `now`: this machine's clock, in ms. */
export function makePauses(now: () => number): Pauses {
  const throttled = new Map<string, Throttled>();
  let draining = false;

  const isPaused = ({ until }: Throttled) => until > now() && until <= now() + LONGEST_RETRY_AFTER + SOON;

  const throttle = (key: string, token: string, retryAfter: number, known: Throttled | undefined) => {
    const at = now();
    const others = known !== undefined && known.token !== token && Math.abs(at - known.at) <= SOON;
    const probed = known !== undefined && known.until > 0;
    const pause = Math.min(retryAfter > 0 ? retryAfter : USUAL_PAUSE, LONGEST_RETRY_AFTER);
    const until = others || probed ? Math.max(at + pause, known.until) : 0;
    if (known === undefined && throttled.size >= MOST_CLIENTS) throttled.clear();
    throttled.set(key, Object.assign(known ?? { inFlight: 0 }, { token, at, until }));
  };

  return {
    gate(token) {
      let entered: { key: string; known: Throttled | undefined } | undefined;
      return {
        enter(key) {
          if (entered !== undefined) return undefined;
          const known = throttled.get(key);
          if (known !== undefined && isPaused(known)) return known.until;
          if (known !== undefined && known.inFlight > 0) return now() + ONE_AT_A_TIME;
          if (known !== undefined) known.inFlight++;
          entered = { key, known };
          return undefined;
        },
        leave(how) {
          if (entered === undefined) return;
          const { key, known } = entered;
          entered = undefined;
          if (known !== undefined) known.inFlight--;
          const current = throttled.get(key);
          if (typeof how === "object") throttle(key, token, how.throttled, current);
          // Only an answer to a request that began after the 429 proves that the way is open again.
          else if (how === "answered" && current !== undefined && current === known) throttled.delete(key);
        },
      };
    },
    drain() {
      draining = true;
    },
    isDraining: () => draining,
  };
}
