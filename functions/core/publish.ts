import { toPublish } from "./changes.ts";
import { isId, type Publish, type PublishFailure, type TokenDocument } from "./document.ts";
import { ownerOf, RATE_LIMITED } from "./grant.ts";
import type { Log } from "./log.ts";
import type { Pauses } from "./pauses.ts";
import type { Runtime } from "./runtime.ts";
import type { StoredToken, TokenStore } from "./store.ts";
import { backoffOf, lifeOf, lifetimeOf, PUBLISH_TIME, PUBLISHING_TIME, SECOND } from "./time.ts";
import {
  type Code,
  type GlobalVariables,
  isLasting,
  judgeVariable,
  LONGEST_VALUE,
  type Trouble,
} from "./variable.ts";

export interface Publisher {
  store: TokenStore;
  variables: GlobalVariables;
  runtime: Runtime;
  log: Log;
  pauses: Pauses;
}

/** What a token must hold to change a global variable. */
export const WRITING_SCOPE = "cjp:config_write";

/**
 * What became of one token. `moved`: the document changed meanwhile, and a later try publishes what is there now. `paused`:
 * the contact centre throttles the client that writes.
 */
export type Published = "published" | "nothing" | "moved" | "paused" | Trouble;

/**
 * Puts the access token into the global variables that its document names, if that is due. Each write to the contact
 * centre comes right after one of the document, on the condition that it still is the version that was read: it proves that
 * no newer token is there, and moves `nextAt` ahead, so that no other process begins before this try must be over. A process that dies
 * in between leaves a token that is due again.
 */
export async function publish(token: StoredToken, publisher: Publisher): Promise<Published> {
  const { runtime, log } = publisher;
  const now = runtime.now() + token.ahead;
  const { publish: wish, accessToken } = token.document;
  if (wish?.nextAt === undefined || wish.nextAt > now) return "nothing";
  if (accessToken === undefined || lifeOf(token.document, now) === 0) {
    // The next grant makes it due again.
    await settle(token, withoutNext(wish), publisher);
    return "nothing";
  }

  const ended = await putAll(token, wish, accessToken, publisher);
  if (ended === "moved" || ended === "paused") return ended;
  const { current, trouble } = ended;
  const at = runtime.now() + token.ahead;
  if (trouble === undefined) {
    const { failure: _, ...well } = withoutNext(wish);
    if (!(await settle(current, { ...well, publishedAt: at }, publisher))) return "moved";
    log("publish.done", { token: token.name, variables: wish.variables.length });
    return "published";
  }
  const failure = failureAfter(wish.failure, trouble.code, at);
  const permanent = isLasting(trouble.code);
  const wait = backoffOf(
    token.name,
    { ...failure, permanent },
    lifetimeOf(token.document),
    trouble.retryAfter,
  );
  const next = { ...wish, failure, nextAt: at + Math.round(wait) };
  if (!(await settle(current, next, publisher))) return "moved";
  const { code, count } = failure;
  log(permanent || count >= STUCK ? "publish.stuck" : "publish.failed", { token: token.name, code, count });
  return trouble;
}

/** After so many failures in a row a person should know. */
const STUCK = 5;

/** Of two troubles the one that says when to try next: a trouble that needs a person must not delay the retry of a transient one. */
function sooner(before: Trouble | undefined, next: Trouble | undefined): Trouble | undefined {
  if (before === undefined || next === undefined) return before ?? next;
  return next.code === RATE_LIMITED || (isLasting(before.code) && !isLasting(next.code)) ? next : before;
}

/** The token as it stands after all was tried, and the trouble that there was. */
interface Ended {
  current: StoredToken;
  trouble: Trouble | undefined;
}

async function putAll(
  token: StoredToken,
  wish: Publish,
  accessToken: string,
  publisher: Publisher,
): Promise<Ended | "moved" | "paused"> {
  const writer = await writerOf(token, publisher);
  if ("code" in writer) return { current: token, trouble: writer };
  if (accessToken.length > LONGEST_VALUE) return { current: token, trouble: { code: "too_long" } };
  const gate = publisher.pauses.gate(token.name);
  if (gate.enter(`variables of client ${writer.clientId}`) !== undefined) return "paused";
  try {
    const ended = await putEach(token, wish, accessToken, writer, publisher);
    const { code, retryAfter = 0 } = (ended !== "moved" && ended.trouble) || {};
    if (ended !== "moved" && code !== "unavailable")
      gate.leave(code === RATE_LIMITED ? { throttled: retryAfter } : "answered");
    return ended;
  } finally {
    gate.leave("unknown");
  }
}

async function putEach(
  token: StoredToken,
  wish: Publish,
  accessToken: string,
  writer: Writer,
  publisher: Publisher,
): Promise<Ended | "moved"> {
  const { runtime } = publisher;
  const began = runtime.now();
  let current = token;
  let trouble: Trouble | undefined;
  for (const id of wish.variables) {
    // One that hangs, or asks for a pause, is not asked for the rest now: the next sweep has refreshes to begin.
    if (trouble?.code === RATE_LIMITED) break;
    if (runtime.now() >= began + PUBLISHING_TIME)
      return { current, trouble: sooner(trouble, { code: "unavailable" }) };
    const put = await putOne(id, current, accessToken, writer, publisher);
    if (put === "moved") return "moved";
    current = put.current;
    trouble = sooner(trouble, put.trouble);
  }
  return { current, trouble };
}

async function putOne(
  id: string,
  token: StoredToken,
  accessToken: string,
  { orgId, ...writer }: Writer,
  { store, variables, runtime }: Publisher,
): Promise<Ended | "moved"> {
  const wish = token.document.publish;
  if (wish === undefined) return "moved";
  const place = { region: wish.region, orgId, id };
  const read = judgeVariable(await variables.read(place, writer.accessToken), id, runtime.now());
  if (read.trouble !== undefined) return { current: token, trouble: read.trouble };
  if (read.variable.defaultValue === accessToken) return { current: token, trouble: undefined };

  const until = runtime.now() + token.ahead + PUBLISH_TIME;
  const claim = { publish: { ...wish, nextAt: until } };
  const version = await store.update(token, claim);
  // A process that was frozen meanwhile must not bring back an old token.
  if (version === undefined || runtime.now() + token.ahead > until - LONGEST_WRITE) return "moved";
  const current = { ...token, version, document: { ...token.document, ...claim } };
  const changed = { ...read.variable, defaultValue: accessToken };
  const written = judgeVariable(await variables.write(place, writer.accessToken, changed), id, runtime.now());
  return { current, trouble: written.trouble };
}

/** A write is over after this, in ms. */
const LONGEST_WRITE = 10 * SECOND;

/** The token that asks the contact centre. */
interface Writer {
  accessToken: string;
  orgId: string;
  /** The contact centre limits requests by client. */
  clientId: string | undefined;
}

/**
 * A token is published inside its own organization only: a document that names a foreign token as `via` must not carry
 * access tokens there.
 */
async function writerOf(token: StoredToken, { store, runtime }: Publisher): Promise<Writer | Trouble> {
  const via = token.document.publish?.via;
  const other = via === undefined || holdsScope(token.document) ? token : await store.read(via);
  if (other === undefined) return { code: "via_missing" };
  const { document, ahead } = other;
  const { accessToken } = document;
  if (accessToken === undefined || lifeOf(document, runtime.now() + ahead) === 0)
    return { code: "via_ended" };
  const [own, orgId] = [organizationOf(token.document), organizationOf(document)];
  if (!isId(own) || !isId(orgId)) return { code: "no_organization" };
  return own.toLowerCase() === orgId.toLowerCase()
    ? { accessToken, orgId, clientId: document.clientId }
    : { code: "foreign_organization" };
}

/** What the access token itself says comes before what was written beside it. */
const organizationOf = ({ accessToken = "", orgId }: TokenDocument) => ownerOf(accessToken)?.orgId ?? orgId;

const holdsScope = ({ scope = "" }: TokenDocument) => scope.split(" ").includes(WRITING_SCOPE);

function withoutNext({ nextAt: _, ...wish }: Publish): Publish {
  return wish;
}

function failureAfter(before: PublishFailure | undefined, code: Code, at: number): PublishFailure {
  const goesOn = before !== undefined && isLasting(before.code) === isLasting(code);
  const { count, since } = goesOn ? before : { count: 0, since: at };
  return { count: count + 1, code, since, at };
}

/** How often the outcome of a try is written again because another process wrote the document meanwhile. */
const TRIES = 5;

/**
 * Writes what came of a try. False: the token or the wish is another one by now, and is due: again, where it was published
 * already, since our late write may have come over it.
 */
async function settle(token: StoredToken, publish: Publish, { store, runtime }: Publisher): Promise<boolean> {
  let current: StoredToken | undefined = token;
  for (let attempt = 0; attempt < TRIES && current !== undefined; attempt++) {
    const same = isSameTry(current.document, token.document);
    const there = current.document.publish;
    if (!same && (there === undefined || there.nextAt !== undefined)) return false;
    const changes = same ? { publish } : toPublish(current.document, runtime.now() + token.ahead);
    if ((await store.update(current, changes)) !== undefined) return same;
    current = await store.read(token.name);
  }
  return false;
}

/** No other token was stored, no wish changed and no try begun since. */
const isSameTry = (one: TokenDocument, other: TokenDocument): boolean =>
  one.accessToken === other.accessToken && wishOf(one) === wishOf(other);

const wishOf = ({ publish }: TokenDocument) =>
  JSON.stringify([publish?.variables, publish?.region, publish?.via, publish?.nextAt]);
