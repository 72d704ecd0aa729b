import type { Failure, Publish, Region, ServiceApp } from "../../functions/core/document.ts";
import { ownerOf } from "../../functions/core/grant.ts";
import { type State, stateOf } from "../../functions/core/state.ts";
import type { StoredToken } from "../../functions/core/store.ts";
import { lifeOf, SECOND } from "../../functions/core/time.ts";
import { durationText } from "./durations.ts";

/** A token as programs are shown it; never a secret. Instants are ISO 8601, `null`: unknown or not there. */
export interface TokenView {
  name: string;
  state: State;
  /** Seconds of life that the access token has left. */
  expiresIn: number;
  accessExpires: string | null;
  refreshAt: string | null;
  refreshExpires: string | null;
  failure: { code: string; count: number; permanent: boolean; since: string | null } | null;
  publish: PublishView | null;
  serviceApp: ServiceApp | null;
  orgId: string | null;
  cluster: string | null;
}

interface PublishView {
  variables: readonly string[];
  region: Region;
  via: string | null;
  /** `null`: what is held is published. */
  nextAt: string | null;
  publishedAt: string | null;
  failure: { code: string; count: number; since: string | null } | null;
}

/** `now` is the store's clock, in ms. */
export function viewOf(token: StoredToken, now: number): TokenView {
  const { document } = token;
  const { accessToken, accessExpires, refreshAt, refreshExpires, failure, publish, serviceApp } = document;
  const owner = accessToken === undefined ? undefined : ownerOf(accessToken);
  return {
    name: token.name,
    state: stateOf(token, now),
    expiresIn: Math.floor(lifeOf(document, now) / SECOND),
    accessExpires: iso(accessExpires),
    refreshAt: iso(refreshAt),
    refreshExpires: iso(refreshExpires),
    failure: failure ? failureView(failure) : null,
    publish: publish ? publishView(publish) : null,
    serviceApp: serviceApp ?? null,
    orgId: owner?.orgId ?? document.orgId ?? null,
    cluster: owner?.cluster ?? null,
  };
}

/** The view, the other fields, and which secrets are held; never one of them. */
export function detailsOf(token: StoredToken, now: number) {
  const { document } = token;
  const { clientId, redirectUri, scope, scopes, lifetime, lastRefresh, lease } = document;
  const held = Object.entries(secretsOf(token)).map(([field, value]) => [field, value !== undefined]);
  return {
    ...viewOf(token, now),
    clientId: clientId ?? null,
    redirectUri: redirectUri ?? null,
    scope: scope ?? null,
    scopes: scopes ?? null,
    lifetime: lifetime ?? null,
    lastRefresh: iso(lastRefresh),
    leaseExpires: iso(lease?.expires),
    static: document.static === true,
    ownPassphrase: document.passphraseHash !== undefined,
    mistyped: token.mistyped,
    unopened: token.unopened,
    holds: Object.fromEntries(held) as Record<keyof ReturnType<typeof secretsOf>, boolean>,
  };
}

/** The secrets that a token holds, for those who asked for them in so many words. */
export function secretsOf({ document: { clientSecret, refreshToken, accessToken } }: StoredToken) {
  return { clientSecret, refreshToken, accessToken };
}

const failureView = ({ code, count, permanent, since }: Failure) => ({
  code,
  count,
  permanent,
  since: iso(since),
});

const publishView = ({ variables, region, via, nextAt, publishedAt, failure }: Publish): PublishView => ({
  variables,
  region,
  via: via ?? null,
  nextAt: iso(nextAt),
  publishedAt: iso(publishedAt),
  failure: failure ? { code: failure.code, count: failure.count, since: iso(failure.since) } : null,
});

/** `null` too where a number that was typed by hand is no instant. */
export function iso(instant: number | undefined): string | null {
  const date = new Date(instant ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** What becomes of a token next, as a person says it. */
export function prospects({ document }: StoredToken, now: number): string {
  const { refreshAt, refreshToken, refreshExpires } = document;
  const parts = [`it lives ${durationText(lifeOf(document, now))}`];
  if (refreshToken !== undefined && refreshAt !== undefined && refreshAt > now)
    parts.push(`is refreshed in ${durationText(refreshAt - now)}`);
  if (refreshExpires !== undefined)
    parts.push(`and its refresh token lives ${durationText(Math.max(0, refreshExpires - now))}`);
  return parts.join(", ");
}
