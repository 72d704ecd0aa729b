import { createHash } from "node:crypto";
import type { Failure, TokenDocument } from "./document.ts";
import { sha256 } from "./hash.ts";

/** All arithmetic of token lifetimes, and `decide`, the only judge. Pure: every instant comes in, in ms. */

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Upper bound of the threshold unless the operator sets another. */
export const DEFAULT_THRESHOLD = 2 * HOUR;
/** The lifetime of a contact-centre access token where none is known: Webex gives 43,199 s. */
const DEFAULT_LIFETIME = 12 * HOUR;
/** How long the right to refresh lasts: longer than Webex may take (8 s, once repeated) and the write after it. */
export const LEASE_TIME = 30 * SECOND;
/** How long one try to publish a token may take. No other begins meanwhile, so a slow try brings back no old token. */
export const PUBLISH_TIME = 30 * SECOND;
/** ms after which a sweep begins to publish no token any more, nor a token in its next variable: other refreshes wait. */
export const PUBLISHING_TIME = 20 * SECOND;
/** `Retry-After` is obeyed up to this. */
export const LONGEST_RETRY_AFTER = 10 * MINUTE;

/** 30 years; longer values are bogus. */
export const LONGEST_LIFETIME = 30 * 365 * DAY;

const FORCED_GAP = 30 * SECOND;
const TRANSIENT = { first: 30 * SECOND, most: 10 * MINUTE };
/** However short a token lives, Webex is not asked for it more often. */
const SHORTEST_STEP = 5 * SECOND;
const UNCHANGED = { first: MINUTE, most: 10 * MINUTE };
/** The least between two grants that rejected reads asked for, one soon after the other. */
const REJECTED = { first: MINUTE, most: HOUR };
/** A token that was not rejected for this long after the gap was a good one. */
const GOOD_AFTER = 10 * MINUTE;
const PERMANENT = [10 * MINUTE, HOUR, 6 * HOUR, DAY];
/** The part of a lifetime that a reader may ask for. */
const ATTAINABLE = 23 / 24;
/** Less life than this is no life: `x-token-expires-in` would say 0. */
const SHORTEST_LIFE = SECOND;

/** `failure.code` of a refresh that was answered with the very token it was meant to replace. */
export const UNCHANGED_CODE = "unchanged";

/** ms that an access token lives when fresh. */
export function lifetimeOf(document: TokenDocument): number {
  const { lifetime, accessExpires, lastRefresh } = document;
  if (lifetime !== undefined && lifetime > 0) return Math.min(lifetime * SECOND, LONGEST_LIFETIME);
  const lived = (accessExpires ?? 0) - (lastRefresh ?? 0);
  return accessExpires !== undefined && lastRefresh !== undefined && lived > 0
    ? Math.min(lived, LONGEST_LIFETIME)
    : DEFAULT_LIFETIME;
}

/** ms of life below which a read asks for a refresh. */
export function thresholdOf(document: TokenDocument, upperBound: number): number {
  return Math.min(upperBound, lifetimeOf(document) / 2);
}

/** ms of life that the held access token has left; 0 when there is none. */
export function lifeOf(document: TokenDocument, now: number): number {
  const { accessToken, accessExpires } = document;
  if (accessToken === undefined || accessExpires === undefined) return 0;
  const life = accessExpires - now;
  return life >= SHORTEST_LIFE ? life : 0;
}

/**
 * When the refresher should next try after a good refresh: ahead of every reader, spread by the token's name so
 * that tokens made together are not refreshed together, and once at the latest a day before the refresh token ends.
 */
export function scheduleOf(name: string, document: TokenDocument, now: number, threshold: number): number {
  const lifetime = lifetimeOf(document);
  // The margin grows with the lifetime, so that a token of days outlives an outage of half a day.
  const lead = Math.min(DAY, Math.max(lifetime / 8 - HOUR, Math.min(30 * MINUTE, lifetime / 8)));
  const jitter = lead * fractionOf(name);
  const byAccess = (document.accessExpires ?? now) - thresholdOf(document, threshold) - lead - jitter;
  const lastDay = (document.refreshExpires ?? Number.POSITIVE_INFINITY) - DAY;
  // Where it is about to begin, this very refresh was that use: else a sliding end would be chased for ever.
  const ahead = lastDay > now + Math.min(HOUR, lifetime / 8);
  return Math.round(ahead ? Math.min(byAccess, lastDay) : byAccess);
}

/** ms to wait after this failure; with jitter, so that tokens that failed together do not return together. */
export function backoffOf(
  name: string,
  failure: Pick<Failure, "count" | "permanent" | "code">,
  lifetime: number,
  retryAfter = 0,
): number {
  const { count, permanent } = failure;
  const jitter = 0.8 + 0.4 * fractionOf(`${name} ${count}`);
  if (permanent) return (PERMANENT[Math.min(count, PERMANENT.length) - 1] ?? DAY) * jitter;
  if (failure.code === UNCHANGED_CODE) return doubled(UNCHANGED, count) * jitter;
  const step = Math.min(doubled(TRANSIENT, count), Math.max(lifetime / 8, SHORTEST_STEP));
  return Math.max(step * jitter, Math.min(retryAfter, LONGEST_RETRY_AFTER));
}

/**
 * ms to wait after a failed refresh: no back-off outlives the held token. While it lives, the wait is at most half of its
 * remaining life and ends when it ends; an hour at most for a day after that. `Retry-After` wins.
 */
export function retryWait(
  name: string,
  document: TokenDocument,
  failure: Pick<Failure, "count" | "permanent" | "code">,
  now: number,
  retryAfter = 0,
): number {
  const lifetime = lifetimeOf(document);
  const backoff = backoffOf(name, failure, lifetime);
  const life = lifeOf(document, now);
  const sinceEnd = now - (document.accessExpires ?? 0);
  const least = Math.min(10 * MINUTE, lifetime / 8);
  const soonest = Math.min(TRANSIENT.first, lifetime / 8);
  const wait =
    life > 0
      ? Math.min(backoff, Math.max(life / 2, least), Math.max(life, soonest))
      : Math.min(backoff, sinceEnd < DAY ? HOUR : backoff);
  return Math.max(wait, Math.min(retryAfter, LONGEST_RETRY_AFTER));
}

/**
 * The token seems to live longer than it can: its grant was stored by a clock that ran ahead. It may be dead at Webex, so
 * it is due now.
 */
export function livesTooLong(document: TokenDocument, now: number): boolean {
  const { lifetime, lastRefresh } = document;
  const isKnown = lifetime !== undefined || lastRefresh !== undefined;
  return isKnown && lifeOf(document, now) > lifetimeOf(document) + MINUTE;
}

/** When a rejected read may ask for another token, in ms; `undefined`: the last grants were not rejected. */
function rejectedUntil({ rejections }: TokenDocument, now: number): number | undefined {
  if (rejections === undefined) return undefined;
  const until = rejections.at + doubled(REJECTED, rejections.count);
  // Noted by a clock that ran ahead, or by rejections that are over.
  return rejections.at > now || now > until + GOOD_AFTER ? undefined : until;
}

/**
 * What a grant makes of `rejections`. The first grant after a rejection counts one, each further one soon after it one more;
 * a grant that no rejected read asked for leaves the count until it is over.
 */
export function afterRejection(document: TokenDocument, rejected: boolean, now: number) {
  const known = rejectedUntil(document, now) === undefined ? undefined : document.rejections;
  return rejected ? { count: (known?.count ?? 0) + 1, at: now } : known;
}

/** Who asks for a token, and for what. */
export interface Ask {
  /** A reader wants life above the threshold, the sweep what is due, an operator a refresh now. */
  by: "reader" | "sweep" | "operator";
  /** Seconds of life the reader needs. Absent: the threshold will do. */
  minTtl?: number;
  /** An API refused the very token that is held. */
  rejected?: boolean;
}

/** An ask as it travels: the refused token itself is never sent on, only its hash. */
export interface AskByHash extends Omit<Ask, "rejected"> {
  /** sha256 hex of the access token that an API refused. */
  ifToken?: string;
}

/** The ask as it concerns this document: a token that was replaced since is not rejected any more. */
export function askFor({ ifToken, ...ask }: AskByHash, { accessToken }: TokenDocument): Ask {
  if (ifToken === undefined || accessToken === undefined) return { ...ask, rejected: false };
  return { ...ask, rejected: ifToken === sha256(accessToken) };
}

/** Why a person is needed: no grant yet, a fixed token that ended, or a refusal (`failure.code` says which). */
export type Need = "not_authorized" | "static_expired" | "refused";

export type Decision =
  /** The held token serves. */
  | { act: "answer" }
  /** A refresh is wanted now: lookup asks the refresher, the refresher refreshes. */
  | { act: "refresh" }
  /** A try is under way (`leased`) or was made too recently; not before `until` (ms). */
  | { act: "wait"; until: number; leased: boolean }
  /** Nothing is to be done before a person acts. */
  | { act: "refuse"; need: Need };

/** What `decide` needs to know of a stored token. */
export interface Judged {
  document: TokenDocument;
  /** Hash of its credentials as they stand, compared with `failure.inputs`. */
  inputs: string;
}

/** The only judge of what to do with a token, for lookup and refresher alike. `now` is the store's clock, in ms. */
export function decide(token: Judged, ask: Ask, now: number, threshold: number): Decision {
  const { document } = token;
  if (!wantsRefresh(document, ask, now, threshold)) return { act: "answer" };

  const need = needOf(document);
  if (need !== undefined) return lifeOf(document, now) > 0 ? { act: "answer" } : { act: "refuse", need };

  const { lease, failure } = document;
  if (lease !== undefined && isLeased(document, now))
    return { act: "wait", until: lease.expires, leased: true };
  if (ask.by === "operator" || (failure !== undefined && failure.inputs !== token.inputs))
    return { act: "refresh" };

  const until = earliestTry(document, ask, now);
  if (until <= now) return { act: "refresh" };
  if (failure?.permanent && lifeOf(document, now) === 0) return { act: "refuse", need: "refused" };
  return { act: "wait", until, leased: false };
}

/** A process holds the lease. One that would last far longer than any lease was written by a clock gone wrong. */
export function isLeased({ lease }: TokenDocument, now: number): boolean {
  return lease !== undefined && lease.expires > now && lease.expires <= now + 2 * LEASE_TIME;
}

function wantsRefresh(document: TokenDocument, ask: Ask, now: number, threshold: number): boolean {
  if (ask.by === "operator") return true;
  if (ask.by === "sweep") return isRenewable(document) && (document.refreshAt ?? 0) <= now;
  if (livesTooLong(document, now) && isRenewable(document) && !document.static) return true;
  return lifeOf(document, now) < thresholdOf(document, threshold) || isForced(document, ask, now);
}

/** True where a reader can't do with what is held, whatever the schedule says. */
function isForced(document: TokenDocument, ask: Ask, now: number): boolean {
  const life = lifeOf(document, now);
  // A reader can't ask for more life than a token has soon after its refresh.
  const wanted = (ask.minTtl ?? 0) * SECOND;
  const tooShort = wanted <= lifetimeOf(document) * ATTAINABLE && life < wanted;
  return life === 0 || ask.rejected === true || tooShort || livesTooLong(document, now);
}

function needOf(document: TokenDocument): Need | undefined {
  if (document.static) return "static_expired";
  return isRenewable(document) ? undefined : "not_authorized";
}

/** New tokens can be had for it: by its refresh token, or as a Service App. */
export const isRenewable = ({ refreshToken, serviceApp }: TokenDocument): boolean =>
  refreshToken !== undefined || serviceApp !== undefined;

/** The earliest ms at which this ask may lead to a request to Webex. */
function earliestTry(document: TokenDocument, ask: Ask, now: number): number {
  const { refreshAt = 0, failure, lastRefresh = 0 } = document;
  if (ask.by !== "reader" || !isForced(document, ask, now) || failure?.permanent) return refreshAt;
  const rejected = ask.rejected && lifeOf(document, now) > 0 ? (rejectedUntil(document, now) ?? 0) : 0;
  if (failure === undefined)
    return Math.min(refreshAt, Math.max(rejected, unlessFarOff(lastRefresh + FORCED_GAP, now)));
  const gap = failure.code === UNCHANGED_CODE ? doubled(UNCHANGED, failure.count) : FORCED_GAP;
  const backedOff = unlessFarOff(Math.max(failure.at + gap, failure.notBefore ?? 0), now);
  return Math.min(refreshAt, Math.max(rejected, backedOff));
}

const doubled = ({ first, most }: { first: number; most: number }, count: number) =>
  Math.min(first * 2 ** (count - 1), most);

/** An instant written by a clock that ran ahead must not hold a token back for longer than the longest gap. */
const unlessFarOff = (instant: number, now: number) => (instant > now + UNCHANGED.most ? now : instant);

/** A number in [0, 1) that is always the same for the same text. */
const fractionOf = (text: string) => createHash("sha256").update(text).digest().readUInt32BE(0) / 2 ** 32;

/** Seconds that are left until an instant, at least 1: what a caller is told to wait. */
export const secondsUntil = (instant: number, now: number) =>
  Math.max(1, Math.ceil((instant - now) / SECOND));
