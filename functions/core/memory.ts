import type { Runtime } from "./runtime.ts";
import { type StoredToken, StoreUnavailable, type TokenReader } from "./store.ts";
import { SECOND } from "./time.ts";

/** A document is answered from memory for this long at most; refreshes are scheduled, so it is exact till then. */
const FRESH = 30 * SECOND;
/** How old a document must be to be read again beside its readers. */
const MOMENT = SECOND;
/** How long a name without a document counts as missing, in ms. */
const MISSING = 5 * SECOND;
/** How long a store that did not answer is left alone by those who can do without it. */
const AWAY = 10 * SECOND;
const PROBE = SECOND;
const MOST_TOKENS = 5000;
const MOST_MISSING = 1000;

/** What one reading instance remembers of the store. Bounded; the oldest entry makes room. */
export interface Memory {
  /** The token as it was read not long ago and before its own `refreshAt`; "missing": there was none. */
  recent(name: string): StoredToken | "missing" | undefined;
  /** The token as it was read not long ago, due or not. */
  lately(name: string): StoredToken | undefined;
  /** The token as it was read last, however long ago: for when the store does not answer. */
  last(name: string): StoredToken | undefined;
  /** A mark in time: what is loaded since then has seen all that was written before. */
  mark(): number;
  /**
   * Reads the store. Readers of one name share one read, unless it began before the mark `since` (0: any will do).
   * `keepMissing`: a name that is not there is remembered, too. `proven`: the caller has shown a passphrase that opens
   * something here; only then does a failure count as the store's. Throws `StoreUnavailable`.
   */
  load(name: string, since: number, keepMissing: boolean, proven?: boolean): Promise<StoredToken | undefined>;
  /** Reads the store again beside those who are answered from memory, once a second at most. */
  renew(name: string): void;
  /** The store did not answer just now: a reader with a live token need not wait for it. */
  isAway(): boolean;
  /** A reader with a proven passphrase waited without an answer. */
  giveUp(): void;
  /** True once a second while it is away: a read in the background then finds out whether it is back. */
  mayProbe(): boolean;
}

/** From when to when an entry may be answered, in ms, and the mark at which its read began. */
interface Span {
  began: number;
  from: number;
  until: number;
}

export function remember(reader: TokenReader, { now }: Pick<Runtime, "now">): Memory {
  const tokens = new Map<string, Span & { token: StoredToken }>();
  const missing = new Map<string, Span>();
  const underWay = new Map<string, { began: number; work: Promise<StoredToken | undefined> }>();
  let marks = 0;
  let awayUntil = 0;
  let probeAfter = 0;

  const giveUp = () => {
    awayUntil = now() + AWAY;
  };

  const keep = (name: string, token: StoredToken | undefined, kept: Span, keepMissing: boolean) => {
    // A read that was overtaken by a later one must not put the older document back.
    if (kept.began < Math.max(tokens.get(name)?.began ?? 0, missing.get(name)?.began ?? 0)) return;
    tokens.delete(name);
    missing.delete(name);
    const { from } = kept;
    if (token === undefined)
      put(missing, name, { ...kept, until: keepMissing ? from + MISSING : from }, MOST_MISSING);
    else put(tokens, name, { ...kept, until: from + FRESH, token }, MOST_TOKENS);
  };

  const start = (name: string, keepMissing: boolean, proven: boolean) => {
    const kept = { began: ++marks, from: now(), until: 0 };
    const over = () => {
      if (underWay.get(name)?.began === kept.began) underWay.delete(name);
    };
    const work = reader.read(name).then(
      (token) => {
        over();
        awayUntil = 0;
        keep(name, token, kept, keepMissing);
        return token;
      },
      (error: unknown) => {
        over();
        if (proven && !(error instanceof StoreUnavailable && error.refused)) giveUp();
        throw error;
      },
    );
    underWay.set(name, { began: kept.began, work });
    return work;
  };

  // A clock that was set back must not make memory last longer.
  const isNow = ({ from, until }: Span) => from <= now() && now() < until;

  return {
    recent(name) {
      const known = tokens.get(name);
      if (known !== undefined) return isNow(known) && now() < dueAt(known.token) ? known.token : undefined;
      const none = missing.get(name);
      return none !== undefined && isNow(none) ? "missing" : undefined;
    },
    lately(name) {
      const known = tokens.get(name);
      return known !== undefined && isNow(known) ? known.token : undefined;
    },
    last: (name) => tokens.get(name)?.token,
    mark: () => marks,
    load(name, since, keepMissing, proven = true) {
      const running = underWay.get(name);
      return running !== undefined && running.began > since ? running.work : start(name, keepMissing, proven);
    },
    renew(name) {
      const age = now() - (tokens.get(name)?.from ?? 0);
      if (age >= MOMENT && !underWay.has(name))
        start(name, false, true).catch(() => "a reader that needs the store reports it");
    },
    isAway: () => now() < awayUntil && now() >= awayUntil - AWAY,
    giveUp,
    mayProbe() {
      if (now() < probeAfter && now() >= probeAfter - PROBE) return false;
      probeAfter = now() + PROBE;
      return true;
    },
  };
}

/** `refreshAt` by this machine's clock, in ms. */
const dueAt = ({ document: { refreshAt = Number.POSITIVE_INFINITY }, ahead }: StoredToken) =>
  refreshAt - ahead;

function put<T>(map: Map<string, T>, name: string, entry: T, most: number): void {
  const [oldest] = map.keys();
  if (map.size >= most && oldest !== undefined) map.delete(oldest);
  map.set(name, entry);
}
