import { createHash } from "node:crypto";
import { afterGrant } from "./changes.ts";
import { AUTHORIZED, type Consent, type ConsentOptions, makeState, redeemState } from "./consent.ts";
import type { Changes, TokenDocument } from "./document.ts";
import { type ExchangeRequest, type Grant, judge, ownerOf, type TokenEndpoint } from "./grant.ts";
import type { Log } from "./log.ts";
import { Problem } from "./reply.ts";
import type { Runtime } from "./runtime.ts";
import { type StoredToken, StoreUnavailable, type TokenStore } from "./store.ts";
import { SECOND } from "./time.ts";

/** How long a grant in hand is tried to be stored. */
const SAVE_TIME = 10 * SECOND;
const SAVE_PAUSE = 250;

export interface Authorizer {
  store: TokenStore;
  endpoint: TokenEndpoint;
  runtime: Runtime;
  log: Log;
  /** ms: upper bound of the threshold. */
  threshold: number;
  /** The plain token name is accepted as state too, as in the original set-up. */
  plainStates: boolean;
}

/**
 * Makes a single-use state and the address at which a person consents (RFC 6749 §4.1.1). The state itself is stored
 * nowhere, only its hash. Throws `Problem` where the token's settings are incomplete.
 */
export async function startAuthorization(
  token: StoredToken,
  options: ConsentOptions,
  keeper: Pick<Authorizer, "store" | "runtime">,
): Promise<URL> {
  const { clientId, redirectUri } = settingsOf(token);
  const { state, verifier } = await makeState(token, options, keeper);
  const url = new URL(`${options.webexUrl}/authorize`);
  url.searchParams.set("response_type", "code");
  url.searchParams.set("client_id", clientId);
  url.searchParams.set("redirect_uri", redirectUri);
  url.searchParams.set("scope", token.document.scopes ?? "");
  url.searchParams.set("state", state);
  if (verifier !== undefined) {
    url.searchParams.set("code_challenge", createHash("sha256").update(verifier).digest("base64url"));
    url.searchParams.set("code_challenge_method", "S256");
  }
  return url;
}

/** What the browser brought back (RFC 6749 §4.1.2). */
export interface Callback {
  code: string;
  state: string;
}

/** Exchanges the code and stores the tokens. Returns the token's name. Throws `Problem` and `StoreUnavailable`. */
export async function finishAuthorization(callback: Callback, authorizer: Authorizer): Promise<string> {
  const consent = await redeemState(callback.state, authorizer.plainStates, authorizer);
  try {
    const name = await exchange(callback.code, consent, authorizer);
    await consent.conclude(AUTHORIZED);
    return name;
  } catch (error) {
    if (error instanceof Problem) await consent.conclude(error.message);
    throw error;
  }
}

/** Authorization code → tokens, in the store. */
async function exchange(code: string, consent: Consent, authorizer: Authorizer): Promise<string> {
  const { store, runtime, endpoint, log, threshold } = authorizer;
  const token = consent.token ?? (await store.read(consent.name));
  if (token === undefined) throw new Problem("not_found", `there is no token "${consent.name}" any more`);
  const request: ExchangeRequest = {
    ...settingsOf(token),
    code,
    ...(consent.verifier !== undefined && { verifier: consent.verifier }),
  };
  const from = runtime.now() + token.ahead;
  const { grant, refusal } = judge(await endpoint.exchange(request), runtime.now());
  if (refusal?.permanent)
    throw new Problem(
      "code_refused",
      `Webex refused the authorization code for token "${token.name}" (${refusal.code}): check its client id, secret and redirect URI, then authorize it again`,
    );
  if (refusal !== undefined)
    throw new Problem(
      "webex_unavailable",
      `Webex did not exchange the authorization code for token "${token.name}" (${refusal.code}): authorize it again`,
    );
  const asked = { from, until: runtime.now() + token.ahead };
  await storeGrant(
    token,
    (current) => consented(current, grant, afterGrant(current, grant, asked, threshold), consent.newOrg),
    authorizer,
  );
  log("setup.authorized", { token: token.name });
  return token.name;
}

type Settings = Required<Pick<TokenDocument, "clientId" | "clientSecret" | "redirectUri">>;

function settingsOf({ name, document, mistyped, unopened }: StoredToken): Settings {
  const { clientId, clientSecret, redirectUri } = document;
  const sealed = unopened.clientSecret;
  if (sealed !== undefined)
    throw new Problem("settings_missing", `token "${name}" can't be authorized: its clientSecret: ${sealed}`);
  if (clientId !== undefined && clientSecret !== undefined && redirectUri !== undefined)
    return { clientId, clientSecret, redirectUri };
  const fields = Object.entries({ clientId, clientSecret, redirectUri });
  const lacking = fields.filter(([, value]) => value === undefined).map(([field]) => field);
  const wrong = lacking.filter((field) => mistyped.includes(field));
  const why = wrong.length > 0 ? `${wrong.join(", ")} must be text` : `${lacking.join(", ")} missing`;
  throw new Problem("settings_missing", `token "${name}" can't be authorized: ${why}`);
}

/** A consent is the newest word: it clears what was wrong, and what belonged to the tokens before it. */
function consented(token: StoredToken, grant: Grant, changes: Changes, newOrg: boolean): Changes {
  const { name, document } = token;
  const orgId = ownerOf(grant.accessToken)?.orgId;
  // Documents of Cisco's sample name no owner; the token they hold does.
  const before = document.orgId?.toLowerCase() ?? ownerOf(document.accessToken ?? "")?.orgId;
  if (!newOrg && before !== undefined && orgId !== undefined && orgId !== before)
    throw new Problem(
      "foreign_organization",
      `these tokens belong to another organization than token "${name}" did: if that is meant, authorize it with --new-org`,
    );
  return {
    ...changes,
    refreshExpires: grant.refreshTokenExpiresIn === undefined ? undefined : changes.refreshExpires,
    // What the tokens before were allowed says nothing of these.
    scope: grant.scope,
    orgId: orgId ?? (newOrg ? undefined : document.orgId),
    // Whatever the old organization gave must not come back at the next refresh.
    ...(newOrg && grant.refreshToken === undefined && { refreshToken: undefined, refreshAt: undefined }),
    static: undefined,
    failure: undefined,
    rejections: undefined,
    authorizedAt: changes.lastRefresh,
  };
}

/** Stores a grant over whatever happened meanwhile, unless the client settings it was made with were changed. */
async function storeGrant(
  token: StoredToken,
  changesFor: (current: StoredToken) => Changes,
  { store, runtime, log }: Authorizer,
): Promise<void> {
  const deadline = runtime.now() + SAVE_TIME;
  let current: StoredToken | undefined = token;
  for (;;) {
    try {
      if (current === undefined) throw new Problem("not_found", `there is no token "${token.name}" any more`);
      if (!sameClient(current, token))
        throw new Problem(
          "settings_changed",
          `the settings of token "${token.name}" were changed meanwhile: authorize it again`,
        );
      const changes = changesFor(current);
      if (isDone(current, token, changes)) return;
      if ((await store.update(current, { ...store.toSeal(current), ...changes })) !== undefined) return;
      current = await store.read(token.name);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (runtime.now() >= deadline) {
        log("refresh.unsaved", { token: token.name });
        throw new Problem(
          "not_saved",
          `the new tokens of "${token.name}" could not be stored: authorize it again`,
        );
      }
      await runtime.sleep(SAVE_PAUSE);
      // Where the store can't be read either, the old version is tried again: if it moved, nothing is written.
      current = (await store.read(token.name).catch(() => undefined)) ?? current;
    }
  }
}

/** Our write landed after all, or what a later consent or import brought is there. */
function isDone(current: StoredToken, before: StoredToken, changes: Changes): boolean {
  if (current.version === before.version) return false;
  const { accessToken, authorizedAt = 0 } = current.document;
  return accessToken === changes.accessToken || authorizedAt > (changes.authorizedAt ?? 0);
}

const sameClient = ({ document: one }: StoredToken, { document: other }: StoredToken) =>
  one.clientId === other.clientId && one.clientSecret === other.clientSecret;
