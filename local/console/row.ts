import type { Failure, Publish } from "../../functions/core/document.ts";
import { ownerOf } from "../../functions/core/grant.ts";
import { type State, stateOf } from "../../functions/core/state.ts";
import type { StoredToken } from "../../functions/core/store.ts";
import { isRenewable, lifetimeOf, thresholdOf } from "../../functions/core/time.ts";

/**
 * A token as the overview shows it; never a secret. Instants are ms of the store's clock; what is absent is not there.
 * It says nothing that changes by itself as time passes but the state: only what changed is sent again.
 */
export interface Row {
  name: string;
  state: State;
  /** ms that the access token lives when fresh, and below which a reader asks for a refresh. */
  lifetime: number;
  threshold: number;
  accessExpires?: number;
  refreshAt?: number;
  refreshExpires?: number;
  /** New tokens can be had for it: by a refresh token, whatever is known of its end, or by a manager. */
  refreshes?: boolean;
  /** Token that asks for new ones when the refresh token is refused: a Service App's. */
  manager?: string;
  lastRefresh?: number;
  failure?: Pick<Failure, "code" | "count" | "permanent" | "since" | "at">;
  orgId?: string;
  cluster?: string;
  ownPassphrase?: boolean;
  /** Global variables that hold it. */
  publish?: Publish;
  /** Fields of a wrong kind. */
  mistyped?: string[];
}

/** `now` is the store's clock, in ms; `threshold` its upper bound. */
export function rowOf(token: StoredToken, now: number, threshold: number): Row {
  const { document, name, mistyped } = token;
  const { accessToken, accessExpires, refreshAt, lastRefresh, failure, publish, serviceApp } = document;
  const owner = accessToken === undefined ? undefined : ownerOf(accessToken);
  const orgId = owner?.orgId ?? document.orgId;
  const refreshes = isRenewable(document) && document.static !== true;
  const refreshExpires = document.refreshToken === undefined ? undefined : document.refreshExpires;
  return {
    name,
    state: stateOf(token, now),
    lifetime: lifetimeOf(document),
    threshold: thresholdOf(document, threshold),
    ...(accessToken !== undefined && accessExpires !== undefined && { accessExpires }),
    ...(refreshes && { refreshes }),
    ...(refreshes && refreshAt !== undefined && { refreshAt }),
    ...(refreshes && refreshExpires !== undefined && { refreshExpires }),
    ...(refreshes && serviceApp !== undefined && { manager: serviceApp.manager }),
    ...(lastRefresh !== undefined && { lastRefresh }),
    ...(failure !== undefined && { failure: shownFailure(failure) }),
    ...(orgId !== undefined && { orgId }),
    ...(owner !== undefined && { cluster: owner.cluster }),
    ...(document.passphraseHash !== undefined && { ownPassphrase: true }),
    ...(publish !== undefined && { publish }),
    ...(mistyped.length > 0 && { mistyped }),
  };
}

const shownFailure = ({ code, count, permanent, since, at }: Failure) => ({
  code,
  count,
  permanent,
  since,
  at,
});
