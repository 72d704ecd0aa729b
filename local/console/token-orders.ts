import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { type ImportedTokens, putTokens } from "../actions/import.ts";
import { asSeen, giveOwn, hasOwn, OWN_WITHIN, takeOwn } from "../actions/own-passphrase.ts";
import { type ClientSettings, changeSettings } from "../actions/settings.ts";
import { outcomeText, refreshNow } from "../commands/refresh.ts";
import { create, findToken } from "../commands/stored.ts";
import { adviceOf } from "./advice.ts";
import type { Endpoints, Input, Parts } from "./api.ts";
import { inputOf } from "./input.ts";

/** What came of an order, for the person who gave it. */
export interface Told {
  text: string;
  /** What was asked for is so. */
  well: boolean;
}

/** ms that a person waits for somebody else's refresh. */
const PATIENCE = 45_000;

/** What the page does with tokens, each by the same means as the command of that name. */
export const TOKENS: Endpoints = {
  "POST add": async (parts, { body }): Promise<Told> => {
    const input = inputOf(body);
    const name = input.newName();
    const settings = {
      clientId: input.needed("clientId", "Paste the client id that Webex shows."),
      clientSecret: input.secret("clientSecret", "Paste the client secret that Webex showed once.") ?? "",
      redirectUri: input.redirectUri() ?? needRedirectUri(input, parts),
      scopes: input.scopes() ?? needScopes(input),
    };
    const store = await forSecrets(parts);
    await mustBeNew(name, store, input);
    input.check();
    await create(name, settings, store);
    return { well: true, text: `Token "${name}" is added.` };
  },

  "POST import": async (parts, { body }): Promise<Told> => {
    const input = inputOf(body);
    const name = input.flag("replace") ? input.name() : input.newName();
    const store = await forSecrets(parts);
    const existing = input.flag("replace") ? await findToken(name, store) : undefined;
    if (existing === undefined) await mustBeNew(name, store, input);
    const stored = existing?.document;
    const clientId = input.text("clientId") ?? stored?.clientId;
    const asking = stored?.clientSecret === undefined ? "Paste the client secret." : undefined;
    const clientSecret = input.secret("clientSecret", asking);
    const refreshToken = input.secret("refreshToken", "Paste the refresh token.") ?? "";
    const accessToken = input.secret("accessToken", undefined);
    if (clientId === undefined) input.wrong("clientId", "Paste the client id.");
    input.check();
    parts.deployment().webexUrl();
    const tokens = { clientId: clientId ?? "", clientSecret, refreshToken, accessToken };
    return importTokens(name, tokens, existing, store, parts);
  },

  "POST settings": async (parts, { body }): Promise<Told> => {
    const input = inputOf(body);
    const name = input.name();
    const clientId = input.text("clientId");
    const clientSecret = input.secret("clientSecret", undefined);
    const redirectUri = input.redirectUri();
    const nothing = clientId === undefined && clientSecret === undefined && redirectUri === undefined;
    if (nothing) input.wrong("clientSecret", "Paste the new client secret.");
    input.check();
    const settings: ClientSettings = {
      ...(clientId !== undefined && { clientId }),
      ...(clientSecret !== undefined && { clientSecret }),
      ...(redirectUri !== undefined && { redirectUri }),
    };
    const { document } = await changeSettings(name, settings, await forSecrets(parts), parts.runtime);
    const next = document.refreshToken === undefined ? "authorize it next" : "the next sweep tries it";
    return { well: true, text: `The settings of "${name}" are changed: ${next}.` };
  },

  "POST refresh": async (parts, { body }): Promise<Told> => {
    const store = await forSecrets(parts);
    const { name } = await tokenIn(inputOf(body), store);
    return refreshed(name, store, parts);
  },

  "POST passphrase": async (parts, { body }): Promise<Told> => {
    const input = inputOf(body);
    const own = input.needed("passphrase", "Make a passphrase first.");
    // Made by the page, and as strong as those of the command: only its plain hash is stored.
    if (!/^[\w-]{43}$/.test(own))
      input.wrong("passphrase", "Let the page make it: it must be 256 random bits.");
    const store = await parts.open();
    const seen = await tokenIn(input, store);
    input.check();
    await giveOwn(seen.name, own, store, (current) => asSeen(current, seen));
    return {
      well: true,
      text: `Token "${seen.name}" opens with the new passphrase alone, within ${OWN_WITHIN} seconds.`,
    };
  },

  "POST passphrase/clear": async (parts, { body }): Promise<Told> => {
    const store = await parts.open();
    const seen = await tokenIn(inputOf(body), store);
    if (!hasOwn(seen)) return { well: true, text: `Token "${seen.name}" has no passphrase of its own.` };
    await takeOwn(seen.name, store, (current) => asSeen(current, seen));
    return {
      well: true,
      text: `The shared passphrase opens "${seen.name}" again, within ${OWN_WITHIN} seconds.`,
    };
  },

  "POST remove": async (parts, { body }): Promise<Told> => {
    const input = inputOf(body);
    const name = input.name();
    if (input.text("confirm") !== name.trim()) input.wrong("confirm", "Type the name exactly as it is.");
    input.check();
    const store = await parts.open();
    const token = await findToken(name, store);
    const removed = await store.remove(token.name);
    return { well: true, text: `Token "${token.name}" is ${removed ? "removed" : "gone already"}.` };
  },
};

/** Puts tokens that were made elsewhere into a token, new or `existing`, and refreshes them. */
export async function importTokens(
  name: string,
  tokens: Omit<ImportedTokens, "accessExpires">,
  existing: StoredToken | undefined,
  store: TokenStore,
  parts: Parts,
): Promise<Told> {
  await putTokens(name, { ...tokens, accessExpires: undefined }, existing, store, parts.runtime);
  const { text, well } = await refreshed(name, store, parts);
  return { well, text: well ? `Imported: ${text}` : `It is stored, but not refreshed yet: ${text}` };
}

/** Whether secrets are sealed must be known before any is written. */
export function forSecrets({ deployment, open }: Parts): Promise<TokenStore> {
  deployment().requireSealing();
  return open();
}

/** The token that a form names. Throws `InputProblem` and `CommandError`. */
export async function tokenIn(input: Input, store: TokenStore): Promise<StoredToken> {
  const name = input.name();
  input.check();
  return findToken(name, store);
}

async function refreshed(name: string, store: TokenStore, parts: Parts): Promise<Told> {
  const { runtime, deployment } = parts;
  const signal = AbortSignal.timeout(PATIENCE);
  const result = await refreshNow(name, store, deployment(), { runtime, signal });
  const { outcome, token } = result;
  const { text, well } = outcomeText(result, { runtime });
  const advice = adviceOf(token, runtime.now() + token.ahead);
  // What a command would have a person type, the page has a button for.
  if (outcome.outcome === "failed" && outcome.permanent && advice !== undefined)
    return { well, text: `${advice.problem} ${advice.todo}` };
  return { well, text: `${text.charAt(0).toUpperCase()}${text.slice(1)}.` };
}

export async function mustBeNew(name: string, store: TokenStore, input: Input): Promise<void> {
  if (name !== "" && (await store.read(name).catch(() => undefined)) !== undefined)
    input.wrong("name", "There is a token of this name already: choose another, or open that one.");
}

function needRedirectUri(input: Input, { deployment }: Parts): string {
  const { redirectUri } = deployment();
  if (redirectUri === undefined) input.wrong("redirectUri", "Give the address of /callback of the service.");
  return redirectUri ?? "";
}

function needScopes(input: Input): string {
  input.wrong("scopes", "Choose at least one scope.");
  return "";
}
