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
const SCOPES = ["cjp:config_read", "cjp:config_write", "cjp:user", "spark:applications_token"];

/** What the documentation tries things with. */
const VARIABLE = {
  id: "00000000-cad0-4000-8000-000000000001",
  name: "Webex_Token",
  active: true,
  agentEditable: false,
  agentViewable: false,
  reportable: false,
  sensitive: true,
  variableType: "String",
  defaultValue: "",
};
const SERVICE_APP = {
  clientId: "example-service-app",
  clientSecret: "sandbox-secret-of-the-service-app",
  redirectUris: [],
  scopes: ["cjp:config_read"],
  orgId: ORG_ID,
  accessLifetime: ACCESS_LIFETIME,
  refreshLifetime: REFRESH_LIFETIME,
};
const APPLICATION = {
  applicationId: "example-application",
  clientId: SERVICE_APP.clientId,
  authorizedBy: [ORG_ID],
};

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
  if (authority.variable(ORG_ID, VARIABLE.id) === undefined) authority.putVariable(ORG_ID, VARIABLE);
  authority.registerClient(SERVICE_APP);
  authority.registerApplication(APPLICATION);
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
