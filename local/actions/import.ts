import { toPublish } from "../../functions/core/changes.ts";
import type { Changes, TokenDocument } from "../../functions/core/document.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { lifeOf } from "../../functions/core/time.ts";
import { create, edit, renewed } from "../commands/stored.ts";

/** Tokens that were made elsewhere, such as a Service App's. */
export interface ImportedTokens {
  clientId: string;
  /** `undefined`: the one that is stored stays. */
  clientSecret: string | undefined;
  /** `undefined`: the one that is stored stays; a Service App that names its manager needs none. */
  refreshToken: string | undefined;
  accessToken: string | undefined;
  /** ms: when the access token ends. `undefined`: nobody knows. */
  accessExpires: number | undefined;
  /** `undefined`: what is stored stays. */
  serviceApp?: TokenDocument["serviceApp"];
}

/** Puts tokens into a token, new or `existing`, to be refreshed at once. Throws `CommandError`. */
export const putTokens = (
  name: string,
  { clientId, clientSecret, refreshToken, accessToken, accessExpires, serviceApp }: ImportedTokens,
  existing: StoredToken | undefined,
  store: TokenStore,
  { now }: Runtime,
): Promise<StoredToken> =>
  put(name, store, existing, (current) => ({
    ...(clientSecret !== undefined && { clientSecret }),
    ...(refreshToken !== undefined && { refreshToken, ...UNKNOWN }),
    ...(serviceApp !== undefined && { serviceApp }),
    clientId,
    static: undefined,
    authorizedAt: now() + (current?.ahead ?? 0),
    ...accessChanges(accessToken, accessExpires, current, now()),
    ...renewed(true, now() + (current?.ahead ?? 0)),
  }));

/** What a refresh token that came from elsewhere does not tell, before its first refresh. */
const UNKNOWN: Changes = { orgId: undefined, refreshExpires: undefined, scope: undefined };

/** What the tokens before had learned, and new ones have to learn anew. */
export const FORGOTTEN: Changes = {
  refreshExpires: undefined,
  lastRefresh: undefined,
  lifetime: undefined,
  scope: undefined,
};

/** A live token that is held goes on serving until the refresh has worked, unless the new one is known to live. */
function accessChanges(
  accessToken: string | undefined,
  accessExpires: number | undefined,
  current: StoredToken | undefined,
  now: number,
): Changes {
  const held = current !== undefined && lifeOf(current.document, now + current.ahead) > 0;
  if (accessToken === undefined || (held && accessExpires === undefined)) return {};
  const published = toPublish(current?.document ?? {}, now + (current?.ahead ?? 0));
  return { ...FORGOTTEN, accessToken, accessExpires, ...published };
}

/** Creates the token, or changes the one that is there. */
export const put = (
  name: string,
  store: TokenStore,
  existing: StoredToken | undefined,
  changesFor: (current: StoredToken | undefined) => Changes,
): Promise<StoredToken> =>
  existing === undefined ? create(name, changesFor(undefined), store) : edit(name, store, changesFor);
