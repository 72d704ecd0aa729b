import {
  type Authorizer,
  type Callback,
  finishAuthorization,
  startAuthorization,
} from "../../functions/core/authorization.ts";
import { Problem } from "../../functions/core/reply.ts";
import { CLIENT, SETTINGS, type World } from "../support/world.ts";

export const OTHER_ORG = "99999999-8888-7777-6666-555555555555";
export const SCOPES = CLIENT.scopes.join(" ");

/** A process of setup. */
export const authorizer = (world: World, more: Partial<Authorizer> = {}): Authorizer => ({
  ...world.refresher(),
  plainStates: true,
  ...more,
});

/** What comes back from a consent for this token, by an address that was made for it. */
export async function consented(
  world: World,
  name: string,
  { newOrg = false, pkce = true } = {},
): Promise<Callback> {
  const options = { webexUrl: world.url, pkce, newOrg };
  return allow(world, await startAuthorization(await world.token(name), options, world));
}

export const consent = async (world: World, name: string) =>
  finishAuthorization(await consented(world, name), authorizer(world));

/** What comes back where a person typed the plain name as state, as in the original set-up. */
export function plainConsent(world: World, state: string): Promise<Callback> {
  world.sandbox.authority.registerClient(CLIENT);
  const { clientId, redirectUri } = SETTINGS;
  const asked = {
    response_type: "code",
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: SCOPES,
    state,
  };
  return allow(world, `${world.url}/authorize?${new URLSearchParams(asked)}`);
}

/** The code of the problem that this ends in; anything else throws. */
export async function problem(ended: Promise<unknown>): Promise<string> {
  const end = await ended.then(
    () => "it was accepted",
    (error: unknown) => error,
  );
  if (!(end instanceof Problem)) throw new Error(`no problem was told: ${end}`);
  return end.code;
}

/** A person who opens the address and allows. */
async function allow(world: World, address: string | URL): Promise<Callback> {
  const page = await (await fetch(address)).text();
  const request = /name="request" value="([^"]+)"/.exec(page)?.[1];
  if (request === undefined) throw new Error(`no consent was asked for: ${page}`);
  const body = new URLSearchParams({ request, decision: "allow" });
  const answer = await fetch(`${world.url}/authorize/decision`, { method: "POST", body, redirect: "manual" });
  const query = new URL(answer.headers.get("location") ?? "nowhere:").searchParams;
  return { code: query.get("code") ?? "", state: query.get("state") ?? "" };
}
