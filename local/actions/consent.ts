import {
  type Callback,
  finishAuthorization,
  startAuthorization,
} from "../../functions/core/authorization.ts";
import { STATE_TIME } from "../../functions/core/consent.ts";
import { sha256 } from "../../functions/core/hash.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { SECOND } from "../../functions/core/time.ts";
import { CommandError } from "../commands/errors.ts";
import { edit, findToken } from "../commands/stored.ts";
import type { Deployment } from "../deployment.ts";

/** Between a state's use and its tokens lie an exchange (8 s) and a write that may be repeated (10 s), in ms. */
export const EXCHANGE = 20 * SECOND;

export interface ConsentWishes {
  /** Remembered. `undefined`: those of last time. */
  scope?: string | undefined;
  newOrg?: boolean | undefined;
  pkce: boolean;
}

/** A consent that a person has been asked for. */
export interface AskedConsent {
  /** Where the person consents. It holds the state. */
  url: URL;
  /** By which the store knows what comes of it. */
  id: string;
  /** Where the browser comes back to. */
  redirectUri: string;
  /** ms, by this machine's clock. */
  expires: number;
}

/** Makes the address at which a person consents. Throws `CommandError`, `Problem` and `SettingsError`. */
export async function askForConsent(
  name: string,
  { scope, newOrg, pkce }: ConsentWishes,
  store: TokenStore,
  deployment: Pick<Deployment, "webexUrl">,
  runtime: Runtime,
): Promise<AskedConsent> {
  const webexUrl = deployment.webexUrl();
  const token = await withScopes(await findToken(name, store), scope, store);
  const options = { webexUrl, pkce, newOrg: newOrg === true };
  const url = await startAuthorization(token, options, { store, runtime });
  const expires = runtime.now() + STATE_TIME;
  const id = sha256(url.searchParams.get("state") ?? "");
  return { url, id, redirectUri: token.document.redirectUri ?? "", expires };
}

async function withScopes(
  token: StoredToken,
  scope: string | undefined,
  store: TokenStore,
): Promise<StoredToken> {
  if (scope !== undefined && scope !== token.document.scopes)
    return edit(token.name, store, () => ({ scopes: scope }));
  if (token.document.scopes !== undefined) return token;
  throw new CommandError(
    `token "${token.name}" has no scopes yet: give them once, such as --scope "cjp:config_read cjp:config_write"`,
  );
}

/** What has come of a consent so far. */
export interface ConsentState {
  /** The browser came back: what came of it is known soon. */
  used: boolean;
  /** `AUTHORIZED`, or the sentence that the browser was told. `undefined`: nothing is known yet. */
  result: string | undefined;
}

/** Throws `StoreUnavailable`. */
export async function consentState(id: string, { documents }: TokenStore): Promise<ConsentState> {
  const { usedAt, result } = (await documents.read("authorizations", id))?.fields ?? {};
  return { used: usedAt !== undefined, result: typeof result === "string" ? result : undefined };
}

/**
 * The part of the callback on this machine, where the browser can't reach the service: `pasted` is the address at which
 * it ended. Throws `CommandError`, `Problem` and `StoreUnavailable`.
 */
export async function finishPasted(
  name: string,
  pasted: string,
  store: TokenStore,
  deployment: Pick<Deployment, "webexUrl" | "threshold">,
  runtime: Runtime,
): Promise<void> {
  const callback = callbackIn(pasted, name);
  const state = await store.documents.read("authorizations", sha256(callback.state));
  if (state !== undefined && state.fields.name !== name)
    throw new CommandError(`this address belongs to token "${state.fields.name}", not to "${name}"`);
  const { webexEndpoint } = await import("../../functions/adapters/webex.ts");
  await finishAuthorization(callback, {
    store,
    endpoint: webexEndpoint(deployment.webexUrl()),
    runtime,
    log: () => {},
    threshold: deployment.threshold,
    plainStates: false,
  });
}

/** What the redirect carries (RFC 6749 §4.1.2). */
export function callbackIn(pasted: string, name: string): Callback {
  const url = URL.parse(pasted);
  if (url === null)
    throw new CommandError("what was pasted is no address: copy all of the browser's address line");
  const error = url.searchParams.get("error");
  if (error !== null)
    throw new CommandError(
      `Webex was not allowed to authorize token "${name}" (${/^[\x20-\x7e]{1,60}/.exec(error)?.[0] ?? "for no reason that can be read"})`,
    );
  const code = url.searchParams.get("code");
  const state = url.searchParams.get("state");
  if (code && state) return { code, state };
  throw new CommandError(
    "the address holds no code and state: paste the one at which the browser ended after the consent",
  );
}
