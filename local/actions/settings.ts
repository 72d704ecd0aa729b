import type { Changes, TokenDocument } from "../../functions/core/document.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { isRenewable } from "../../functions/core/time.ts";
import { edit, renewed } from "../commands/stored.ts";

/** What a person says of an integration; what is absent stays as it is. */
export type ClientSettings = Pick<TokenDocument, "clientId" | "clientSecret" | "redirectUri" | "scopes">;

/** Changes the settings of a token. Gives it as it is then. Throws `CommandError`. */
export const changeSettings = (
  name: string,
  settings: ClientSettings,
  store: TokenStore,
  { now }: Runtime,
): Promise<StoredToken> =>
  edit(name, store, (current) => changesFor(current, settings, now() + current.ahead));

/** Only a change of credentials concerns the refresher. */
function changesFor({ document }: StoredToken, settings: ClientSettings, now: number): Changes {
  const credentials = settings.clientId !== undefined || settings.clientSecret !== undefined;
  return { ...settings, ...(credentials && renewed(isRenewable(document), now)) };
}

/** An address that Webex can send a browser back to; `undefined`: this is none. */
export function redirectUriIn(text: string): string | undefined {
  const address = text.trim();
  return /^https?:$/.test(URL.parse(address)?.protocol ?? "") && !address.includes("#") ? address : undefined;
}

/** Separated by spaces or commas → distinct, one space between (RFC 6749 §3.3). `undefined`: there is none. */
export function scopesIn(text: string): string | undefined {
  const scopes = new Set(text.split(/[\s,]+/).filter((scope) => scope !== ""));
  return scopes.size === 0 ? undefined : [...scopes].join(" ");
}

/** What can travel in a request: no blanks, no line breaks, no letters beyond ASCII. `undefined`: it is none. */
export function secretIn(text: string): string | undefined {
  const secret = text.trim();
  return /^[\x21-\x7e]+$/.test(secret) ? secret : undefined;
}
