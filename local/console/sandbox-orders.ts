import {
  breakSandbox,
  grantInSandbox,
  mendSandbox,
  registerInSandbox,
  revokeInSandbox,
  type SandboxStatus,
  sandboxStatus,
} from "../actions/sandbox.ts";
import { CommandError } from "../commands/errors.ts";
import { FAULTS } from "../sandbox/faults.ts";
import { SCOPES } from "../scopes.ts";
import type { Endpoints, Parts } from "./api.ts";
import { inputOf } from "./input.ts";
import { forSecrets, importTokens, mustBeNew, type Told, tokenIn } from "./token-orders.ts";

/** How the sandbox is, and how it can be broken. */
export interface SandboxView extends Pick<SandboxStatus, "faults"> {
  known: { fault: string; about: string }[];
}

/** As the contact centre's, but that the access token's life can be watched. Seconds. */
const LIFETIMES = { accessLifetime: 30 * 60, refreshLifetime: 60 * 24 * 60 * 60 };
const ALL_SCOPES = SCOPES.map(({ scope }) => scope);
/** An organization that does not exist. */
const ORG_ID = "00000000-feed-4bad-8bad-0123456789ab";

/** What the page does with the sandbox; there is none where the tokens are Webex's. */
export const SANDBOX: Endpoints = {
  "GET sandbox": async (parts): Promise<SandboxView> => {
    const { faults } = await sandboxStatus(controlOf(parts));
    return { faults, known: FAULTS.map(({ fault, about }) => ({ fault, about })) };
  },

  "POST sandbox/fault": async (parts, { body }): Promise<Told> => {
    const control = controlOf(parts);
    const input = inputOf(body);
    const wanted = input.needed("fault", "Choose what goes wrong.");
    const fault = FAULTS.find((known) => known.fault === wanted);
    if (fault === undefined) input.wrong("fault", "Choose what goes wrong.");
    const seconds = input.seconds("seconds");
    input.check();
    if (fault !== undefined) await breakSandbox(control, { fault: fault.fault, seconds });
    return { well: true, text: `The sandbox is now "${wanted}": ${fault?.about}.` };
  },

  "POST sandbox/well": async (parts): Promise<Told> => {
    await mendSandbox(controlOf(parts));
    return { well: true, text: "The sandbox is well: no fault is left." };
  },

  "POST sandbox/revoke": async (parts, { body }): Promise<Told> => {
    const control = controlOf(parts);
    const { name, document } = await tokenIn(inputOf(body), await parts.open());
    if (document.clientId === undefined) throw new CommandError(`token "${name}" has no client id`);
    await revokeInSandbox(control, document.clientId, false);
    return { well: true, text: `The grant of "${name}" is withdrawn: its next refresh is refused for good.` };
  },

  "POST sandbox/integration": async (parts, { body }): Promise<Told> => {
    const control = controlOf(parts);
    const input = inputOf(body);
    const clientId = input.needed("clientId", "Give a client id.");
    const clientSecret = input.secret("clientSecret", "Give a client secret.");
    const redirectUri = input.redirectUri();
    if (redirectUri === undefined) input.wrong("redirectUri", "Give the redirect URI.");
    // Whatever else is chosen later can be asked for, too.
    const wanted = input.scopes()?.split(" ") ?? [];
    const scopes = [...new Set([...ALL_SCOPES, ...wanted])];
    input.check();
    const its = { redirectUris: [redirectUri], scopes, orgId: ORG_ID, ...LIFETIMES };
    await registerInSandbox(control, { clientId, clientSecret, ...its });
    return {
      well: true,
      text: "The sandbox has a made-up integration, and its settings are filled in below.",
    };
  },

  // Its refresh token goes from the sandbox to the store: the page never sees it.
  "POST sandbox/service-app": async (parts, { body }): Promise<Told> => {
    const control = controlOf(parts);
    const input = inputOf(body);
    const name = input.newName();
    const clientId = input.needed("clientId", "Give a client id.");
    const clientSecret = input.secret("clientSecret", "Give a client secret.");
    const store = await forSecrets(parts);
    await mustBeNew(name, store, input);
    input.check();
    const its = { redirectUris: [], scopes: ALL_SCOPES, orgId: ORG_ID, ...LIFETIMES };
    await registerInSandbox(control, { clientId, clientSecret, ...its });
    const refreshToken = await grantInSandbox(control, clientId);
    const tokens = { clientId, clientSecret, refreshToken, accessToken: undefined };
    return importTokens(name, tokens, undefined, store, parts);
  },
};

function controlOf({ deployment }: Parts): string {
  const url = deployment().service?.sandboxUrl;
  if (url !== undefined) return url;
  throw new CommandError('there is no sandbox here: "npm start" runs one');
}
