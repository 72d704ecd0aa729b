import { AUTHORIZED } from "../../functions/core/consent.ts";
import {
  type AskedConsent,
  askForConsent,
  consentState,
  EXCHANGE,
  finishPasted,
} from "../actions/consent.ts";
import { findToken } from "../commands/stored.ts";
import { prospects } from "../commands/view.ts";
import type { Endpoints, Parts } from "./api.ts";
import { inputOf } from "./input.ts";
import { forSecrets, type Told, tokenIn } from "./token-orders.ts";

/** A consent that was asked for on the page. */
export interface Opened {
  /** Where a person consents; it holds the state, as Webex wants it. */
  url: string;
  /** By which the page asks what came of it. */
  consent: string;
  redirectUri: string;
  /** The service that runs here gets the browser back. */
  comesBack: boolean;
}

/** What has come of a consent. */
export interface Progress {
  state: "waiting" | "exchanging" | "authorized" | "failed";
  text: string;
}

interface Waiting extends AskedConsent {
  name: string;
  usedAt?: number;
}

/** Those that this process asked for; the newest few are enough. */
const MOST = 100;
const asked = new Map<string, Waiting>();

export const CONSENTS: Endpoints = {
  "POST authorize": async (parts, { body }): Promise<Opened> => {
    const { runtime, deployment } = parts;
    const input = inputOf(body);
    const scope = input.scopes();
    const store = await forSecrets(parts);
    const { name, document } = await tokenIn(input, store);
    if (scope === undefined && document.scopes === undefined)
      input.wrong("scopes", "Choose at least one scope.");
    input.check();
    const wishes = { scope, newOrg: input.flag("newOrg"), pkce: !input.flag("noPkce") };
    const consent = await askForConsent(name, wishes, store, deployment(), runtime);
    const id = remember({ ...consent, name }, runtime.secret());
    const { url, redirectUri } = consent;
    const { service, redirectUri: own } = deployment();
    return {
      url: url.href,
      consent: id,
      redirectUri,
      comesBack: service !== undefined && redirectUri === own,
    };
  },

  "GET consent": async (parts, { query }): Promise<Progress> => {
    const consent = asked.get(query.get("id") ?? "");
    if (consent === undefined)
      return { state: "failed", text: "This consent is not known any more: begin again." };
    return progressOf(consent, parts);
  },

  "POST authorize/paste": async (parts, { body }): Promise<Told> => {
    const { runtime, deployment } = parts;
    const input = inputOf(body);
    const address = input.needed("address", "Paste the address at which the browser ended.");
    const store = await forSecrets(parts);
    const { name } = await tokenIn(input, store);
    await finishPasted(name, address, store, deployment(), runtime);
    const token = await findToken(name, store);
    return {
      well: true,
      text: `Token "${name}" is authorized: ${prospects(token, runtime.now() + token.ahead)}.`,
    };
  },
};

function remember(consent: Waiting, secret: string): string {
  const id = secret.slice(0, 16);
  asked.set(id, consent);
  for (const oldest of asked.keys()) if (asked.size > MOST) asked.delete(oldest);
  return id;
}

async function progressOf(consent: Waiting, { runtime, open, watch }: Parts): Promise<Progress> {
  const store = await open();
  const { used, result } = await consentState(consent.id, store);
  if (result !== undefined) watch.stir();
  if (result === AUTHORIZED) {
    const token = await findToken(consent.name, store);
    const text = `Token "${consent.name}" is authorized: ${prospects(token, runtime.now() + token.ahead)}.`;
    return { state: "authorized", text };
  }
  if (result !== undefined) return { state: "failed", text: forThePage(result) };
  if (used) consent.usedAt ??= runtime.now();
  const { usedAt, expires } = consent;
  if (usedAt !== undefined && runtime.now() >= usedAt + EXCHANGE)
    return { state: "failed", text: "The consent came back, but nobody said what came of it: begin again." };
  if (usedAt === undefined && runtime.now() >= expires)
    return { state: "failed", text: "Nobody consented within 15 minutes: begin again." };
  return used
    ? { state: "exchanging", text: "The consent came back; Webex is asked for the tokens." }
    : { state: "waiting", text: "Waiting for the consent." };
}

/** The callback's sentences name what is typed after a command; of a refusal at Webex there is its code. */
function forThePage(result: string): string {
  if (/^\w+(: |$)/.test(result))
    return `It was not allowed at Webex (${result}). Begin again, and press Allow there.`;
  const said = result.replace("authorize it with --new-org", 'tick "another organization" and begin again');
  return `${said.charAt(0).toUpperCase()}${said.slice(1)}.`;
}
