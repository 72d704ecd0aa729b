import type { Changes, NewFailure, TokenDocument } from "./document.ts";
import { type Grant, ownerOf, type Refusal } from "./grant.ts";
import type { StoredToken } from "./store.ts";
import {
  backoffOf,
  LONGEST_RETRY_AFTER,
  lifetimeOf,
  PUBLISH_TIME,
  retryWait,
  SECOND,
  scheduleOf,
  UNCHANGED_CODE,
} from "./time.ts";

/** Two answers for the same token differ by a rounded second and the request's way; more is new life. */
const SAME_EXPIRY = 5 * SECOND;

/** Between which instants Webex was asked, in ms of the store's clock. */
export interface Asked {
  /** Lifetimes count from here: the token can only have been made later. */
  from: number;
  until: number;
}

/**
 * What a grant changes in the document. Whatever Webex left out stays as it is. The same token with the same expiry
 * is not well: it is remembered as the failure `unchanged`, so that tries grow rarer.
 */
export function afterGrant(token: StoredToken, grant: Grant, asked: Asked, threshold: number): Changes {
  const { name, document } = token;
  const changes = grantedFields(document, grant, asked.from);
  const next = merged(document, changes);
  const unchanged =
    grant.accessToken === document.accessToken &&
    (changes.accessExpires ?? 0) <= (document.accessExpires ?? 0) + SAME_EXPIRY;
  const failure = unchanged
    ? streak(token, { code: UNCHANGED_CODE, permanent: false }, asked.until)
    : undefined;
  const scheduled = scheduleOf(name, next, asked.until, threshold);
  const notNow = backoffOf(name, failure ?? { count: 1, permanent: false, code: "" }, lifetimeOf(next));
  const soonest = asked.until + Math.round(notNow);
  return {
    ...changes,
    refreshAt: Math.max(scheduled, soonest),
    failure,
    lease: undefined,
    ...(grant.accessToken !== document.accessToken && toPublish(document, asked.until)),
  };
}

/** What a refusal changes in the document: the failure, and when to try again. No token is ever touched by it. */
export function afterRefusal(token: StoredToken, refusal: Refusal, now: number): Changes {
  const { name, document } = token;
  const { retryAfter } = refusal;
  const notBefore =
    retryAfter === undefined ? {} : { notBefore: now + Math.min(retryAfter, LONGEST_RETRY_AFTER) };
  const failure = { ...streak(token, refusal, now), ...notBefore };
  const wait = retryWait(name, document, failure, now, retryAfter);
  return { failure, refreshAt: now + Math.round(wait), lease: undefined };
}

/** Another access token is to be published where the one before was. */
export function toPublish({ publish }: TokenDocument, now: number): Changes {
  if (publish === undefined) return {};
  const { nextAt } = publish;
  // What comes soon anyway may be a try that is under way: while it lasts no other begins.
  const isSoon = nextAt !== undefined && nextAt > now && nextAt <= now + PUBLISH_TIME;
  return { publish: { ...publish, nextAt: isSoon ? nextAt : now } };
}

function grantedFields(document: TokenDocument, grant: Grant, from: number): Changes {
  const { accessToken, expiresIn, refreshToken, refreshTokenExpiresIn, scope } = grant;
  const usual = Math.round(lifetimeOf(document) / SECOND);
  const lifetime = expiresIn ?? usual;
  // The same token says how much is left of its life, or nothing at all; neither is a fresh token's lifetime.
  const same = accessToken === document.accessToken;
  const end = same && expiresIn === undefined ? document.accessExpires : undefined;
  const orgId = ownerOf(accessToken)?.orgId;
  return {
    accessToken,
    accessExpires: end ?? from + lifetime * SECOND,
    lastRefresh: from,
    lifetime: same ? Math.max(usual, lifetime) : lifetime,
    ...(refreshToken !== undefined && { refreshToken }),
    ...(refreshTokenExpiresIn !== undefined && { refreshExpires: from + refreshTokenExpiresIn * SECOND }),
    ...(scope !== undefined && { scope }),
    ...(orgId !== undefined && document.orgId === undefined && { orgId }),
  };
}

/** The failures in a row: one of another kind, or with other credentials, begins a new row. */
function streak(
  { document: { failure: before }, inputs }: StoredToken,
  { code, permanent }: Pick<Refusal, "code" | "permanent">,
  at: number,
): NewFailure {
  const kind = (failure: { code: string; permanent: boolean }) =>
    `${failure.permanent} ${failure.code === UNCHANGED_CODE}`;
  const sameInputs = before?.inputs === inputs || code === UNCHANGED_CODE;
  const goesOn = before !== undefined && sameInputs && kind(before) === kind({ code, permanent });
  const { count, since } = goesOn ? before : { count: 0, since: at };
  return { count: count + 1, code, since, at, permanent };
}

/** The document as it will be. */
export function merged(document: TokenDocument, changes: Changes): TokenDocument {
  const entries = Object.entries({ ...document, ...changes }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as TokenDocument;
}
