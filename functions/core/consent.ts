import { asNumber, idProblem } from "./document.ts";
import { sha256 } from "./hash.ts";
import { Problem } from "./reply.ts";
import type { Runtime } from "./runtime.ts";
import { isRefusedByWebex } from "./state.ts";
import type { Snapshot, StoredToken, TokenStore } from "./store.ts";
import { HOUR, lifeOf, MINUTE } from "./time.ts";

/** How long a person may take from opening the address to coming back. */
export const STATE_TIME = 15 * MINUTE;
/** A document that holds no token yet may be authorized by its plain name for this long after its last edit. */
const PLAIN_STATE_TIME = HOUR;

export interface ConsentOptions {
  /** Webex's base URL, e.g. `https://webexapis.com/v1`. */
  webexUrl: string;
  /** Binds the code to the process that made the state (RFC 7636). Off: for integrations that refuse it. */
  pkce: boolean;
  /** The tokens may belong to another organization than before. */
  newOrg: boolean;
}

interface Keeper {
  store: TokenStore;
  runtime: Runtime;
}

/** What `authorizations/{id}.result` says when all went well; else it is the sentence that the browser was told. */
export const AUTHORIZED = "authorized";

/** Makes a single-use state. It is stored nowhere, only its hash; the verifier waits in the store for the code. */
export async function makeState(
  token: StoredToken,
  { pkce, newOrg }: ConsentOptions,
  { store, runtime }: Keeper,
): Promise<{ state: string; verifier?: string }> {
  const state = runtime.secret();
  const verifier = pkce ? { verifier: runtime.secret() } : {};
  await store.documents.create("authorizations", sha256(state), {
    name: token.name,
    expires: new Date(runtime.now() + token.ahead + STATE_TIME),
    ...verifier,
    ...(newOrg && { newOrg }),
  });
  return { state, ...verifier };
}

/** What a state stands for. */
export interface Consent {
  name: string;
  verifier?: string;
  newOrg: boolean;
  /** Where it was read on the way. */
  token?: StoredToken;
  /** Stores the outcome for the process that made the state. Never throws. */
  conclude(result: string): Promise<void>;
}

/**
 * What a state stands for, and uses it up, before Webex is asked. `plainStates`: a token's plain name will do, where
 * that token has nothing to lose. Throws `Problem`.
 */
export async function redeemState(state: string, plainStates: boolean, keeper: Keeper): Promise<Consent> {
  const { store, runtime } = keeper;
  if (state === "set_state_here")
    throw new Problem(
      "unset_state",
      'the address still says "state=set_state_here": put the token\'s name there',
    );
  const id = sha256(state);
  const authorization = await store.documents.read("authorizations", id);
  if (authorization !== undefined) return useOnce(authorization, keeper);
  const mayBeName = plainStates && idProblem(state) === undefined;
  const token = mayBeName ? await store.read(state) : undefined;
  if (token === undefined || !mayUsePlainState(token, runtime.now() + token.ahead))
    throw new Problem(
      "state_refused",
      'this address was not made here, or its token needs no consent: make a new one with "npm run tokens -- authorize NAME"',
    );
  return { name: token.name, newOrg: false, token, conclude: async () => undefined };
}

async function useOnce(authorization: Snapshot, { store, runtime }: Keeper): Promise<Consent> {
  const { id, fields, version, readAt } = authorization;
  const { name, verifier, usedAt, newOrg } = fields;
  const expires = asNumber(fields.expires);
  const refuse = (why: string) =>
    new Problem("state_refused", `this address ${why}: make a new one with "npm run tokens -- authorize"`);
  if (typeof name !== "string" || expires === undefined) throw refuse("was not made here");
  if (usedAt !== undefined) throw refuse("was used before");
  if (expires <= readAt) throw refuse("is too old");
  const { documents } = store;
  const used = await documents.update("authorizations", id, { usedAt: new Date(runtime.now()) }, version);
  if (used === undefined) throw refuse("was used before");
  return {
    name,
    newOrg: newOrg === true,
    ...(typeof verifier === "string" && { verifier }),
    async conclude(result) {
      await documents
        .update("authorizations", id, { result }, used)
        .catch(() => "the waiting command then times out");
    },
  };
}

/** A plain name can be guessed: it opens only what has nothing to lose. `now`: the store's clock, in ms. */
function mayUsePlainState({ document, writtenAt, inputs }: StoredToken, now: number): boolean {
  if (lifeOf(document, now) > 0) return false;
  const { accessToken, refreshToken, refreshExpires, failure } = document;
  const neverHeld = accessToken === undefined && refreshToken === undefined;
  if (neverHeld) return now - writtenAt < PLAIN_STATE_TIME;
  const refused = failure !== undefined && isRefusedByWebex(failure) && failure.inputs === inputs;
  return refused || (refreshExpires !== undefined && refreshExpires <= now);
}
