import { randomBytes } from "node:crypto";
import { afterGrant } from "../functions/core/changes.ts";
import { judge } from "../functions/core/grant.ts";
import type { TokenStore } from "../functions/core/store.ts";
import type { Authority } from "./sandbox/authority.ts";

/** The token that a newcomer finds: authorized at the first start, with lifetimes of minutes. */
export const EXAMPLE = "example";

const CLIENT_ID = "example-integration";
/** Seconds: refreshed after about a minute, and dead after three where nobody does. */
const ACCESS_LIFETIME = 3 * 60;
const REFRESH_LIFETIME = 60 * 24 * 60 * 60;
/** An organization that does not exist. */
const ORG_ID = "00000000-feed-4bad-8bad-0123456789ab";
const SCOPES = ["cjp:config_read", "cjp:config_write", "cjp:user"];

/** Makes the example where this sandbox never had it; later starts leave alone what a person did with it. */
export async function prepareExample(
  authority: Authority,
  store: TokenStore,
  redirectUri: string,
  threshold: number,
): Promise<void> {
  const known = authority.client(CLIENT_ID);
  const clientSecret = known?.clientSecret ?? `sandbox-secret-${randomBytes(16).toString("hex")}`;
  authority.registerClient({
    clientId: CLIENT_ID,
    clientSecret,
    redirectUris: [...new Set([...(known?.redirectUris ?? []), redirectUri])],
    scopes: SCOPES,
    orgId: ORG_ID,
    accessLifetime: ACCESS_LIFETIME,
    refreshLifetime: REFRESH_LIFETIME,
  });
  if (known === undefined)
    await store.create(EXAMPLE, {
      clientId: CLIENT_ID,
      clientSecret,
      redirectUri,
      scopes: SCOPES.join(" "),
    });
  const token = await store.read(EXAMPLE);
  if (token === undefined) return;
  const now = Date.now();
  const outlived = token.document.refreshExpires !== undefined && token.document.refreshExpires <= now;
  if (known !== undefined && !outlived) return;
  const { grant } = judge({ status: 200, body: JSON.stringify(authority.issue(CLIENT_ID)) }, now);
  if (grant !== undefined)
    await store.update(token, afterGrant(token, grant, { from: now, until: now }, threshold));
}
