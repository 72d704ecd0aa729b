/** The judge of the promises: pure, and told all that it needs. Instants and durations are ms. */

/** What must hold, whatever goes wrong. */
export const PROMISES = {
  live: "every 200 holds a token of that name that the authority takes",
  answered: "no error while a valid token is held",
  fast: "no read of a held token takes more than 2 s",
  single: "one refresh of a token at a time",
  patient: "no blip is taken for a refusal",
  memory: "no function's memory keeps growing",
  alive: "no process ends by itself",
  logs: "no log tells of a bug, or holds a secret",
  back: "after the last fault every token comes back",
} as const;

export type PromiseName = keyof typeof PROMISES;

export type Verdict =
  | { is: "kept" }
  /** It failed, and that was right. */
  | { is: "excused"; why: string }
  /** `why` is the same for all of a kind, `details` are those of this one. */
  | { is: "broken"; promise: PromiseName; why: string; details?: string };

/** A reader gives up after this; and what has come this long ago must be known. */
export const FAST = 2000;
/**
 * A token counts as held that lives this much longer. A lookup waits for a better one for 1.6 s, and the last second of a
 * life is none: what ends sooner may end while the read waits.
 */
export const LASTING = 3000;
/** A token that ended this much before its answer came was alive when the answer was written. */
const EXPIRY_SLACK = 1000;
/** What a token may need to come back after a fault: a lease that nobody holds any more, a backoff, a sweep. */
export const RECOVERY = 60_000;
/** A lease lasts 30 s from a moment before the request. */
const LEASE = 29_000;
/** A token that is due for longer than this is left behind. */
const OVERDUE = 10_000;

const kept: Verdict = { is: "kept" };
const excused = (why: string): Verdict => ({ is: "excused", why });
const broken = (promise: PromiseName, why: string, details = ""): Verdict => ({
  is: "broken",
  promise,
  why,
  details,
});

/** One read as it ended. */
export interface Read {
  name: string;
  sent: number;
  answered: number;
  /** 0: no whole answer came. */
  status: number;
  /** Until when the authority takes the token of a 200; `undefined`: it gave no such token for this name. */
  liveUntil: number | undefined;
  /** By how much the reading process itself was late meanwhile: nobody else is to blame for that. */
  late: number;
}

/** What is known of the world during a read. Ends of life are by the store's document; 0: there was no token. */
export interface Circumstances {
  /** End of the token that had been seen in the store when the read began. */
  heldUntil: number;
  /** End of the token that had been seen in the store 2 s before the answer. */
  cameUntil: number;
  /** End of the token that this very lookup process had answered before the read began. */
  rememberedUntil: number;
  /** Reads of the store were not answered for a part of the time. */
  storeAway: boolean;
  /** The lookup process was killed, or not yet started again. */
  lookupDown: boolean;
  /** Nothing had been wrong since `RECOVERY` before the read began. */
  quiet: boolean;
}

export function judgeRead(read: Read, known: Circumstances): Verdict {
  const { status, sent, answered, late } = read;
  if (status === 200) {
    const took = answered - sent - late;
    const slow = took > FAST && wasHeld(read, known);
    const details = `${took} ms, with ${Math.max(known.heldUntil, known.rememberedUntil) - sent} ms to live`;
    return whyDead(read) ?? (slow ? broken("fast", "it took too long", details) : kept);
  }
  if (status === 0) {
    const why = "its lookup process was down";
    return known.lookupDown ? excused(why) : broken("answered", "no answer from a lookup that ran");
  }
  if (status !== 503 && status !== 409) return broken("answered", "no outage calls for this status");
  if (wasHeld(read, known)) return broken("answered", "a valid token was held");
  if (hadCome(read, known)) return broken("answered", "a new token had come");
  if (known.quiet) return broken("answered", "nothing had been wrong for a minute");
  return excused(
    known.storeAway && known.heldUntil >= sent + LASTING
      ? "the store did not answer, and this lookup had never read the token"
      : "no valid token was held",
  );
}

function whyDead({ liveUntil, answered, late }: Read): Verdict | undefined {
  if (liveUntil === undefined) return broken("live", "the authority never gave it for this name");
  const dead = answered - late - liveUntil;
  return dead > EXPIRY_SLACK ? broken("live", "it had ended", `${dead} ms before`) : undefined;
}

/** A token with life enough was held when the read began, and this lookup could know it. */
function wasHeld({ sent }: Read, { heldUntil, rememberedUntil, storeAway }: Circumstances): boolean {
  return rememberedUntil >= sent + LASTING || (!storeAway && heldUntil >= sent + LASTING);
}

/** A new token came while the read waited, early enough to be found. */
function hadCome({ answered }: Read, { cameUntil, storeAway }: Circumstances): boolean {
  return !storeAway && cameUntil >= answered + EXPIRY_SLACK;
}

/** A request for a refresh began at `at`, while another one for the same token was open. */
export interface Overlap {
  name: string;
  at: number;
  /** When the other one began; where that repeats one that got no answer, when the first of them did. */
  since: number;
}

export function judgeOverlap({ name, at, since }: Overlap): Verdict {
  if (at - since >= LEASE) return excused("the lease of the earlier refresh had run out");
  return broken("single", "an earlier one was open", `${name}, ${at - since} ms after it began`);
}

/** What one process held without garbage, in MB: when it was warm, and in the end. `undefined`: it was not there for so long. */
export interface Growth {
  title: string;
  settled: number | undefined;
  end: number | undefined;
}

export function judgeMemory({ title, settled, end }: Growth): Verdict {
  if (settled === undefined || end === undefined || end <= settled * 1.5 + 16) return kept;
  return broken("memory", "it grew", `${title}: from ${settled.toFixed(1)} to ${end.toFixed(1)} MB`);
}

/** One token as it stands in the store. */
export interface Held {
  name: string;
  until: number;
  refreshAt: number;
  /** `failure.code`, and whether it is final; `undefined`: all is well. */
  failure: { code: string; permanent: boolean } | undefined;
}

/** What keeps a token from being as it should be when all is well; `undefined`: nothing. */
export function whyNotBack({ until, refreshAt, failure }: Held, now: number): string | undefined {
  if (failure !== undefined) return `its last refresh failed (${failure.code})`;
  if (until < now + LASTING) return "no valid token is held";
  return refreshAt < now - OVERDUE ? "its refresh is overdue" : undefined;
}

/** `now`: when there was no more time to come back. */
export function judgeReturn(held: Held, now: number): Verdict {
  const why = whyNotBack(held, now);
  return why === undefined ? kept : broken("back", why, held.name);
}

/** `refused`: the authority was told to refuse this token. */
export function judgeFailure({ name, failure }: Held, refused: boolean): Verdict {
  if (failure?.permanent !== true || refused) return kept;
  return broken("patient", `${failure.code} was taken for final`, name);
}
