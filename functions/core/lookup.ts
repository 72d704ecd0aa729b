import { type Asker, type AskRefresher, makeAsker, within } from "./asker.ts";
import { nameProblem } from "./document.ts";
import { ownerOf } from "./grant.ts";
import type { Log } from "./log.ts";
import { admit, type Caller, identify, type Passphrases } from "./passphrase.ts";
import { onlyMethods, Problem, type Reply, type Request, seconds, single } from "./reply.ts";
import type { Runtime } from "./runtime.ts";
import { needText } from "./state.ts";
import type { StoredToken, TokenReader } from "./store.ts";
import {
  type AskByHash,
  askFor,
  type Decision,
  decide,
  lifeOf,
  SECOND,
  secondsUntil,
  sha256,
} from "./time.ts";

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
const POLL = 300;
const WAIT = { usual: 8, most: 20 };
const MIN_TTL_MOST = 999_999_999;
const TRY_AGAIN = 5;

/** Makes the handler of `GET /?name=`. */
export function makeLookup(lookup: Lookup): (request: Request) => Promise<Reply> {
  const asker = makeAsker(lookup);
  return async (request) => {
    const elsewhere = route(request, lookup);
    if (elsewhere !== undefined) return elsewhere;
    const wanted = parse(request);
    const caller = await identify(request, lookup.passphrases);
    const reading = { wanted, caller, asker, lookup, started: lookup.runtime.now() };
    const { token, decision, lives } = await read(reading);
    if (decision.act === "answer") return tokenReply(token, reading);
    return lives ? serveBetter(token, decision, reading) : waitForToken(reading);
  };
}

/** What is not a lookup: `undefined` for all that is, whatever the path. */
function route(request: Request, { setupUrl, anyMethod }: Lookup): Reply | undefined {
  const { path, query } = request;
  if (path === "/health") return { status: 200, body: { status: "200" } };
  if (path === "/init" || path === "/callback") {
    if (setupUrl === undefined) throw new Problem("not_found", `${path} is served by the setup function`);
    const search = query.size > 0 ? `?${query}` : "";
    return { status: 307, headers: { location: `${setupUrl}${path}${search}` }, body: "" };
  }
  if (!anyMethod) onlyMethods(request, "GET", "HEAD");
  return undefined;
}

interface Wanted {
  name: string;
  ask: AskByHash;
  /** ms to wait at most when nothing valid is held. */
  wait: number;
  details: boolean;
}

function parse({ query, headers }: Request): Wanted {
  const name = single(query, "name")?.trim();
  if (name === undefined || name === "") throw new Problem("no_name", 'no token name: ask with "?name=NAME"');
  const problem = nameProblem(name);
  if (problem !== undefined) throw new Problem("bad_request", `no token can have this name: ${problem}`);
  const minTtl = seconds(query, "minTtl", MIN_TTL_MOST);
  const wait = seconds(query, "wait", WAIT.most) ?? WAIT.usual;
  const rejected = headers["x-token-rejected"]?.trim().replace(/^Bearer\s+/i, "");
  const ask: AskByHash = {
    by: "reader",
    ...(minTtl !== undefined && { minTtl }),
    ...(rejected && { ifToken: sha256(rejected) }),
  };
  return { name, ask, wait: wait * SECOND, details: single(query, "details") === "true" };
}

interface Reading {
  wanted: Wanted;
  caller: Caller;
  asker: Asker;
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

/** Reads and judges. Throws the problem that this caller is to be told, `StoreUnavailable` included. */
async function read({ wanted, caller, lookup }: Reading): Promise<Read> {
  const { name, ask } = wanted;
  const token = await lookup.reader.read(name);
  // Who has not shown a shared passphrase learns nothing about which names exist.
  if (token === undefined && caller.shared)
    throw new Problem("not_found", `there is no token "${name}": "tokens list" shows which there are`);
  // A passphrase that can't be read is one that nobody has: it must not open the token to the shared ones.
  const hidden = token?.mistyped.includes("passphraseHash") ? "" : undefined;
  admit(caller, hidden ?? token?.document.passphraseHash);
  if (token === undefined) throw new Problem("not_found", `there is no token "${name}"`);
  const now = lookup.runtime.now() + token.ahead;
  const decision = decide(token, askFor(ask, token.document), now, lookup.threshold);
  if (decision.act === "refuse") throw new Problem("needs_person", needText(token, decision.need));
  return { token, decision, lives: lifeOf(token.document, now) > 0 };
}

/** A live token is held: it is answered in any case, a better one if it comes before the deadline. */
async function serveBetter(held: StoredToken, decision: Decision, reading: Reading): Promise<Reply> {
  const { wanted, asker, lookup, started } = reading;
  if (decision.act === "refresh" && asker.ready(wanted.name)) {
    const left = () => started + HELD_DEADLINE - lookup.runtime.now();
    const outcome = await asker.ask(wanted.name, wanted.ask, left() - READ_AGAIN);
    if (outcome === undefined) asker.rest(wanted.name);
    const again = await within(left(), quietly(read(reading)), lookup.runtime);
    if (again?.lives) return tokenReply(again.token, reading);
    // It may have ended while we waited.
    if (lifeOf(held.document, lookup.runtime.now() + held.ahead) === 0) return waitForToken(reading);
  }
  return tokenReply(held, reading);
}

/** Nothing valid is held: asks, and reads until a live token is there, or waiting is of no use any more. */
async function waitForToken(reading: Reading): Promise<Reply> {
  const { wanted, asker, lookup, started } = reading;
  const { runtime } = lookup;
  const deadline = started + wanted.wait;
  for (;;) {
    const { token, decision, lives } = await read(reading);
    if (lives) return tokenReply(token, reading);
    let until = decision.act === "wait" && !decision.leased ? decision.until - token.ahead : 0;
    let pause = POLL;
    if (decision.act === "refresh") {
      const outcome = await asker.ask(wanted.name, wanted.ask, deadline - runtime.now());
      if (outcome?.outcome === "refreshed") continue;
      if (outcome?.outcome === "deferred") until = outcome.until;
      if (outcome === undefined) pause = SECOND;
    }
    if (Math.max(until, runtime.now() + pause) > deadline) throw nothingYet(token, until, runtime.now());
    await runtime.sleep(pause);
  }
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

function tokenReply(token: StoredToken, { wanted, lookup }: Reading): Reply {
  const { accessToken = "", scope } = token.document;
  const life = lifeOf(token.document, lookup.runtime.now() + token.ahead);
  const expiresIn = Math.floor(life / SECOND);
  const owner = ownerOf(accessToken);
  const unchanged = wanted.ask.ifToken === sha256(accessToken);
  return {
    status: 200,
    headers: {
      "x-token-expires-in": String(expiresIn),
      ...(unchanged && { "x-token-unchanged": "true" }),
    },
    body: {
      status: "200",
      token: accessToken,
      ...(wanted.details && { expiresIn, orgId: owner?.orgId, cluster: owner?.cluster, scope }),
    },
  };
}

/** A second look that fails is no reason to withhold what the first one found. */
const quietly = <T>(work: Promise<T>): Promise<T | undefined> => work.catch(() => undefined);
