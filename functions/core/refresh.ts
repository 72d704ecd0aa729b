import { afterGrant, afterRefusal } from "./changes.ts";
import type { Changes, Lease } from "./document.ts";
import type { TokenEndpoint, Verdict } from "./grant.ts";
import type { Log } from "./log.ts";
import { newTokens } from "./new-tokens.ts";
import type { Gate, Pauses } from "./pauses.ts";
import type { Runtime } from "./runtime.ts";
import { type StoredToken, StoreUnavailable, sameCredentials, type TokenStore } from "./store.ts";
import {
  type AskByHash,
  afterRejection,
  askFor,
  type Decision,
  decide,
  isRenewable,
  LEASE_TIME,
} from "./time.ts";

export interface Refresher {
  store: TokenStore;
  endpoint: TokenEndpoint;
  runtime: Runtime;
  log: Log;
  /** ms: upper bound of the threshold. */
  threshold: number;
  /** Shared by everything that this process refreshes. */
  pauses: Pauses;
}

/** What became of one token. Instants are ms of the store's clock, on which all machines agree. */
export type Outcome =
  | { outcome: "refreshed" }
  /** Webex answered with the token it was meant to replace. */
  | { outcome: "unchanged" }
  /** Nothing to do. */
  | { outcome: "fresh" }
  | { outcome: "deferred"; until: number }
  /** This process asks nothing for this token's client for a while (429), or it is being stopped. */
  | { outcome: "held"; until: number }
  /** Another process is refreshing it. */
  | { outcome: "leased"; until: number }
  | { outcome: "failed"; code: string; permanent: boolean }
  /** A consent or a changed secret came in between, and wins. */
  | { outcome: "discarded" }
  /** Webex granted, but the store could not be written. */
  | { outcome: "unsaved" }
  | { outcome: "missing" };

/** How often a claim is tried that loses its race; after that the winner is believed. */
const CLAIMS = 5;
/** How often in a row the store may leave a claim unanswered before it counts as away. */
const OUTAGE = 2;
const SAVE_PAUSE = 250;

/**
 * Refreshes one token if it wants that: at most one request to Webex per token at a time, over all instances.
 * `known`: the token as it was just read, where it was; it saves a read.
 */
export async function refresh(
  name: string,
  ask: AskByHash,
  refresher: Refresher,
  known?: StoredToken,
): Promise<Outcome> {
  const gate = refresher.pauses.gate(name);
  try {
    const claim = await claimLease(name, ask, refresher, gate, known);
    return "outcome" in claim ? claim : await redeem(claim, ask, refresher, gate);
  } finally {
    gate.leave("unknown");
  }
}

async function redeem(claim: Claim, ask: AskByHash, refresher: Refresher, gate: Gate): Promise<Outcome> {
  const { store, runtime, log, threshold } = refresher;
  const { token } = claim;
  const from = runtime.now() + token.ahead;
  const verdict = await newTokens(token, ask.by === "sweep", refresher, gate);
  const asked = { from, until: runtime.now() + token.ahead };
  const rejected = askFor(ask, token.document).rejected === true;
  const changesFor = (current: StoredToken): Changes => ({
    ...store.toSeal(current),
    ...(verdict.grant
      ? {
          ...afterGrant(current, verdict.grant, asked, threshold),
          rejections: afterRejection(current.document, rejected, asked.until),
        }
      : afterRefusal(current, verdict.refusal, asked.until)),
  });
  return report(token.name, await save(claim, changesFor, store, runtime), verdict, log);
}

function report(name: string, { saved, changes }: Save, { refusal }: Verdict, log: Log): Outcome {
  const details = { token: name, count: changes.failure?.count };
  if (refusal !== undefined) {
    const { code, permanent } = refusal;
    const news = permanent && saved === "saved" && changes.failure?.count === 1;
    log(news ? "refresh.refused" : "refresh.failed", { ...details, code, permanent });
    return { outcome: "failed", code, permanent };
  }
  if (saved !== "saved") {
    log(saved === "unsaved" ? "refresh.unsaved" : "refresh.discarded", details);
    return { outcome: saved };
  }
  const unchanged = changes.failure !== undefined;
  log(unchanged ? "refresh.unchanged" : "refresh.done", { ...details, lifetime: changes.lifetime });
  return { outcome: unchanged ? "unchanged" : "refreshed" };
}

interface Claim {
  token: StoredToken;
  lease: Lease;
  /** The version that our lease made: while it stands, nothing was written since. */
  version: string;
}

async function claimLease(
  name: string,
  ask: AskByHash,
  refresher: Refresher,
  gate: Gate,
  known?: StoredToken,
): Promise<Claim | Outcome> {
  const { store, runtime, threshold, pauses } = refresher;
  const id = runtime.secret();
  const unanswered: StoreUnavailable[] = [];
  /** Claims in a row whose outcome is unknown. */
  let unknown = 0;
  for (let attempt = 0; attempt < CLAIMS; attempt++) {
    try {
      const token = attempt === 0 && known !== undefined ? known : await store.read(name);
      if (token === undefined) return { outcome: "missing" };
      const held = token.document.lease;
      if (held?.id === id) return { token, lease: held, version: token.version };
      if (unknown === OUTAGE) break;
      const now = runtime.now() + token.ahead;
      const decision = decide(token, askFor(ask, token.document), now, threshold);
      if (decision.act !== "refresh") return passOver(token, decision, store);
      // The process that takes this one's place can be asked at once.
      if (pauses.isDraining()) return { outcome: "held", until: now };
      const until = gate.enter(clientKey(token));
      if (until !== undefined) return { outcome: "held", until: until + token.ahead };
      const lease: Lease = { id, expires: now + LEASE_TIME };
      unknown++;
      const version = await store.update(token, { lease });
      if (version !== undefined) return { token, lease, version };
      unknown = 0;
      unanswered.length = 0;
    } catch (error) {
      // A claim may have landed all the same: the next read tells.
      if (!(error instanceof StoreUnavailable) || unknown === 0) throw error;
      if (unanswered.push(error) > OUTAGE) throw error;
    }
  }
  const [outage] = unanswered;
  if (outage !== undefined) throw outage;
  return { outcome: "leased", until: runtime.now() + LEASE_TIME };
}

/** Webex counts requests by client id. Without one, nothing is sent. */
const clientKey = ({ document: { clientId = "" } }: StoredToken) => `client ${clientId}`;

async function passOver(
  token: StoredToken,
  decision: Exclude<Decision, { act: "refresh" }>,
  store: TokenStore,
): Promise<Outcome> {
  const { document, snapshot } = token;
  // Without anything to refresh it would come up in every sweep for ever (it was edited by hand).
  if (snapshot.fields.refreshAt !== undefined && (!isRenewable(document) || document.static))
    await store.update(token, { refreshAt: undefined });
  switch (decision.act) {
    case "answer":
      return { outcome: "fresh" };
    case "wait":
      return { outcome: decision.leased ? "leased" : "deferred", until: decision.until };
    case "refuse":
      return {
        outcome: "failed",
        code: document.failure?.code ?? decision.need,
        permanent: true,
      };
  }
}

/**
 * Writes what Webex said, and drops the lease. Where the document moved: it is written again only while the very
 * credentials that we sent are still there, and our lease or nothing newer. Where the store does not answer: until the
 * lease runs out.
 */
async function save(
  claim: Claim,
  changesFor: (current: StoredToken) => Changes,
  store: TokenStore,
  runtime: Runtime,
): Promise<Save> {
  const { token, lease } = claim;
  let changes = changesFor(token);
  const ended = (saved: Save["saved"]): Save => ({ saved, changes });
  let over: StoredToken | undefined = { ...token, version: claim.version };
  let ours = true;
  for (;;) {
    try {
      if (over !== undefined) {
        changes = changesFor(over);
        const { lease: _, ...exceptLease } = changes;
        if ((await store.update(over, ours ? changes : exceptLease)) !== undefined) return ended("saved");
      }
      const current = await store.read(token.name);
      ours = current?.document.lease?.id === lease.id;
      if (!ours && isThere(changes, current)) return ended("saved");
      if (current === undefined || !sameCredentials(current, token)) {
        if (current !== undefined && ours) await store.update(current, { lease: undefined });
        return ended("discarded");
      }
      if (!ours && !isNews(changes, token, current)) return ended("discarded");
      over = current;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (runtime.now() + token.ahead + SAVE_PAUSE >= lease.expires) return ended("unsaved");
      // The write may have landed: look before writing again.
      over = undefined;
      await runtime.sleep(SAVE_PAUSE);
    }
  }
}

/**
 * Whether a grant that comes after its lease still tells something new: no other token was stored since. What was
 * refused meanwhile was refused because of it, where it replaces the refresh token.
 */
const isNews = ({ accessToken }: Changes, before: StoredToken, current: StoredToken): boolean =>
  accessToken !== undefined &&
  accessToken !== before.document.accessToken &&
  current.document.accessToken === before.document.accessToken;

/** Whether a write whose outcome was unknown has landed: only this process can have written it. */
function isThere({ accessToken, failure }: Changes, current: StoredToken | undefined): boolean {
  if (accessToken !== undefined) return current?.document.accessToken === accessToken;
  const there = current?.document.failure;
  return failure !== undefined && there?.at === failure.at && there.count === failure.count;
}

/** How it ended, and what was to be written last. */
interface Save {
  saved: "saved" | "discarded" | "unsaved";
  changes: Changes;
}
