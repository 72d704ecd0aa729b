import { type Asker, type AskRefresher, makeAsker, within } from "./asker.ts";
import { ownerOf } from "./grant.ts";
import { sha256 } from "./hash.ts";
import type { Log } from "./log.ts";
import { parse, route, type Wanted } from "./lookup-request.ts";
import { type Memory, remember } from "./memory.ts";
import { admit, type Caller, identify, type Passphrases } from "./passphrase.ts";
import { Problem, type Reply, type Request } from "./reply.ts";
import type { Runtime } from "./runtime.ts";
import { needText } from "./state.ts";
import { type StoredToken, StoreUnavailable, type TokenReader } from "./store.ts";
import { askFor, type Decision, decide, lifeOf, SECOND, secondsUntil } from "./time.ts";

export interface Lookup {
  reader: TokenReader;
  askRefresher: AskRefresher;
  passphrases: Passphrases;
  runtime: Runtime;
  log: Log;
  /** ms: upper bound of the threshold. */
  threshold: number;
  /** Where `/init` and `/callback` are sent on to. `undefined`: they are not known here. */
  setupUrl?: string | undefined;
  /** Take any method for a GET, as Cisco's sample does. */
  anyMethod?: boolean;
}

/** Flow Designer gives up after 2 s: with a live token in hand, everything else must end before. */
const HELD_DEADLINE = 1.6 * SECOND;
/** Of that, what is kept for reading the new token. */
const READ_AGAIN = 200;
/** How long the store may take where a live token is remembered. */
const STORE_PATIENCE = SECOND;
const POLL = 300;
/** How long an ask may keep a reader from looking at the store itself. */
const LOOK_AGAIN = SECOND;
const TRY_AGAIN = 5;

/**
 * Makes the handler of `GET /?name=`. What memory can answer is answered at once, without a promise: under the
 * Functions Framework, which tracks each of them, they are what a read would cost most.
 */
export function makeLookup(lookup: Lookup): (request: Request) => Reply | Promise<Reply> {
  const memory = remember(lookup.reader, lookup.runtime);
  const proofs = makeProofs();
  const asker = makeAsker({ ...lookup, mark: memory.mark });
  return (request) => {
    const elsewhere = route(request, lookup);
    if (elsewhere !== undefined) return elsewhere;
    const wanted = parse(request);
    const answer = (passphrases: readonly string[]) => {
      const caller = identify(request, passphrases);
      const started = lookup.runtime.now();
      const answerFor = (wanted: Wanted) => {
        const reading = { wanted, caller, asker, memory, proofs, lookup, started };
        const token = recall(reading);
        return token === undefined ? find(reading) : tokenReply(token, reading);
      };
      const { trimmed } = wanted;
      if (trimmed === undefined) return answerFor(wanted);
      return Promise.try(answerFor, wanted).catch((error: unknown) => {
        if (!isUnknown(error)) throw error;
        return answerFor({ ...wanted, name: trimmed });
      });
    };
    const live = lookup.passphrases.live();
    return live instanceof Promise ? live.then(answer) : answer(live);
  };
}

/** There is no such token, as far as this caller may learn. */
const isUnknown = (error: unknown) =>
  error instanceof Problem && (error.code === "not_found" || error.code === "wrong_passphrase");

async function find(reading: Reading): Promise<Reply> {
  const found = await readInTime(reading);
  if (found.decision.act === "answer") return tokenReply(found.token, reading);
  return found.lives ? serveBetter(found, reading) : waitForToken(found, reading);
}

/** What memory holds and needs no better; `undefined`: the store is to be asked. Throws what this caller is to be told. */
function recall(reading: Reading): StoredToken | undefined {
  const { wanted, asker, memory } = reading;
  const { name, ask } = wanted;
  if (ask.ifToken !== undefined) return undefined;
  const recent = memory.recent(name);
  if (recent === "missing") throw unknownToken(reading);
  const useful = asker.mayAsk(name, false);
  const known = recent ?? (useful ? undefined : memory.lately(name));
  if (known === undefined || lifeNow(known, reading) === 0) return undefined;
  const { decision } = judge(known, reading);
  if (decision.act === "refresh" && !useful) {
    // The ask is backed off. Revalidate in the background, in case a sweep refreshed the token.
    memory.renew(name);
    return known;
  }
  const settled = decision.act === "answer" || (decision.act === "wait" && !decision.leased);
  return settled ? recent : undefined;
}

/** Passphrases of tokens' own that opened their token on this instance. */
interface Proofs {
  has(name: string, hash: string): boolean;
  add(name: string, hash: string): void;
}

/** So many are remembered. */
const MOST_PROOFS = 5000;

function makeProofs(): Proofs {
  const proven = new Map<string, string>();
  return {
    has: (name, hash) => proven.get(name) === hash,
    add(name, hash) {
      if (proven.size >= MOST_PROOFS && !proven.has(name)) proven.clear();
      proven.set(name, hash);
    },
  };
}

interface Reading {
  wanted: Wanted;
  caller: Caller;
  asker: Asker;
  memory: Memory;
  proofs: Proofs;
  lookup: Lookup;
  /** ms. */
  started: number;
}

interface Read {
  token: StoredToken;
  decision: Decision;
  /** The token has life left. */
  lives: boolean;
}

/**
 * Finds the token and judges it. `since`: a mark of memory before which nothing that was read will do. Throws the
 * problem that this caller is to be told, and `StoreUnavailable` where nothing live is held.
 */
async function read(reading: Reading, since = 0): Promise<Read> {
  const { wanted, memory } = reading;
  const held = memory.last(wanted.name);
  if (held === undefined || lifeNow(held, reading) === 0) return judge(await load(reading, since), reading);
  const loaded = await loadSoon(reading, since);
  if (loaded !== undefined) return judge(loaded.token, reading);
  // The store is away, and so is all that the refresher could do: what is held is the best to be had, while it lives.
  const last = memory.last(wanted.name) ?? held;
  if (lifeNow(last, reading) === 0) return judge(await load(reading, since), reading);
  return { ...judge(last, reading), decision: { act: "answer" } };
}

/**
 * The same, again after a failure of the store until the reader's own wait is over: one unanswered read must not end a wait
 * of 20 s. Throws the last `StoreUnavailable`.
 */
async function readInTime(reading: Reading, since = 0): Promise<Read> {
  const { wanted, lookup, started } = reading;
  const left = () => started + wanted.wait - lookup.runtime.now();
  // The first read takes the time it needs; later ones end with the wait.
  let reads: Promise<Read | undefined> = read(reading, since);
  let failure: unknown;
  for (;;) {
    try {
      const found = await reads;
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      failure = error;
    }
    if (left() < POLL) throw failure;
    await lookup.runtime.sleep(POLL);
    reads = within(left(), read(reading, since), lookup.runtime);
  }
}

/** What the store says; `undefined` where it does not answer soon enough for a reader that has a live token. */
async function loadSoon(reading: Reading, since: number) {
  const { wanted, memory, lookup } = reading;
  const loadIfThere = async () => {
    try {
      return { token: await load(reading, since) };
    } catch (error) {
      if (error instanceof StoreUnavailable) return undefined;
      throw error;
    }
  };
  if (memory.isAway()) {
    if (memory.mayProbe()) loadIfThere().catch(() => "a reader that needs the store reports it");
    return undefined;
  }
  const loaded = await within(STORE_PATIENCE, loadIfThere(), lookup.runtime);
  if (loaded === undefined && isProven(reading)) {
    memory.giveUp();
    lookup.log("store.unavailable", { token: wanted.name, reason: "a token from memory was answered" });
  }
  return loaded;
}

const load = (reading: Reading, since: number) => {
  const { wanted, caller, memory } = reading;
  return memory.load(wanted.name, since, caller.shared, isProven(reading));
};

/** What strangers ask must not decide whether the store counts as away. */
const isProven = ({ wanted, caller, proofs }: Reading) =>
  caller.shared || proofs.has(wanted.name, caller.hash);

const lifeNow = ({ document, ahead }: StoredToken, { lookup }: Reading) =>
  lifeOf(document, lookup.runtime.now() + ahead);

/** Who may have it, and what is to be done. */
function judge(token: StoredToken | undefined, reading: Reading): Read {
  if (token === undefined) throw unknownToken(reading);
  const { wanted, caller, lookup } = reading;
  const { ask } = wanted;
  // A hash that can't be read matches no passphrase, and must not open the token to the shared ones.
  const hidden = token.mistyped.includes("passphraseHash") ? "" : undefined;
  admit(caller, hidden ?? token.document.passphraseHash);
  if (!caller.shared) reading.proofs.add(token.name, caller.hash);
  const now = lookup.runtime.now() + token.ahead;
  const decision = decide(token, askFor(ask, token.document), now, lookup.threshold);
  if (decision.act === "refuse") throw new Problem("needs_person", needText(token, decision.need));
  return { token, decision, lives: lifeOf(token.document, now) > 0 };
}

function unknownToken({ wanted, caller }: Reading): Problem {
  // Who has not shown a shared passphrase learns nothing about which names exist.
  admit(caller, undefined);
  return new Problem("not_found", `there is no token "${wanted.name}": "tokens list" shows which there are`);
}

/** A live token is held: it is answered in any case, a better one if it comes before the deadline. */
async function serveBetter({ token: held, decision }: Read, reading: Reading): Promise<Reply> {
  const { wanted, asker, memory, lookup, started } = reading;
  const rejected = wanted.ask.ifToken !== undefined;
  if (decision.act === "refresh" && asker.mayAsk(wanted.name, rejected)) {
    const left = () => started + HELD_DEADLINE - lookup.runtime.now();
    const asked = await asker.ask(wanted.name, wanted.ask, left() - READ_AGAIN);
    if (asked === undefined) asker.backOff(wanted.name);
    const mark = asked?.mark ?? memory.mark();
    const again = await within(left(), quietly(read(reading, mark)), lookup.runtime);
    if (again?.lives) return tokenReply(again.token, reading);
    // It may have ended while we waited.
    if (lifeNow(held, reading) === 0) return waitForToken(await readInTime(reading, mark), reading);
  }
  return tokenReply(held, reading);
}

/** Nothing valid is held: asks, and reads until a live token is there, or waiting is of no use any more. */
async function waitForToken(first: Read, reading: Reading): Promise<Reply> {
  const { wanted, asker, memory, lookup, started } = reading;
  const { runtime } = lookup;
  const deadline = started + wanted.wait;
  let last = first;
  while (!last.lives) {
    const { token, decision } = last;
    // Waiters share one read, so the mark is taken when the wait starts.
    let mark = memory.mark();
    let until = decision.act === "wait" && !decision.leased ? decision.until - token.ahead : 0;
    let pause = POLL;
    const asks = decision.act === "refresh";
    if (asks) {
      const patience = Math.min(LOOK_AGAIN, deadline - runtime.now());
      const asked = await asker.ask(wanted.name, wanted.ask, patience);
      const outcome = asked?.outcome;
      mark = asked?.mark ?? mark;
      if (outcome?.outcome === "deferred" || outcome?.outcome === "held") until = outcome.until - token.ahead;
      if (asked === undefined || outcome?.outcome === "refreshed") pause = 0;
      else if (outcome === undefined) pause = SECOND;
    }
    const over = Math.max(until, runtime.now() + pause) > deadline;
    if (over && !asks) throw nothingYet(token, until, runtime.now());
    if (!over && pause > 0) await runtime.sleep(pause);
    // Asking takes its time: whatever came of it, a consent or a sweep may have stored a token meanwhile.
    last = await readInTime(reading, mark);
    if (over && !last.lives) throw nothingYet(last.token, until, runtime.now());
  }
  return tokenReply(last.token, reading);
}

function nothingYet(token: StoredToken, until: number, now: number): Problem {
  const code = token.document.failure?.code;
  const why = code === undefined ? "it is being refreshed" : `the last refresh failed (${code})`;
  return new Problem(
    "nothing_yet",
    `token "${token.name}" has ended and there is no new one yet: ${why}; try again`,
    { "retry-after": String(until > now ? secondsUntil(until, now) : TRY_AGAIN) },
  );
}

function tokenReply(token: StoredToken, reading: Reading): Reply {
  const { wanted } = reading;
  const { accessToken = "", scope } = token.document;
  const expiresIn = Math.floor(lifeNow(token, reading) / SECOND);
  const { ifToken } = wanted.ask;
  const unchanged = ifToken !== undefined && ifToken === sha256(accessToken);
  return {
    status: 200,
    headers: {
      "x-token-expires-in": String(expiresIn),
      ...(unchanged && { "x-token-unchanged": "true" }),
    },
    body: {
      status: "200",
      token: accessToken,
      ...(wanted.details && { expiresIn, ...ownerOf(accessToken), scope }),
    },
  };
}

/** A second look that fails is no reason to withhold what the first one found. */
const quietly = <T>(work: Promise<T>): Promise<T | undefined> => work.catch(() => undefined);
