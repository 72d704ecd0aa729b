import type { Client } from "./client.ts";
import { Refusal } from "./refusal.ts";
import { formPairs } from "./request.ts";

/** What a person is asked to allow. `challenge` is the PKCE S256 challenge (RFC 7636 §4.3). */
export interface AuthorizationRequest {
  clientId: string;
  redirectUri: string;
  scope: string;
  state: string;
  challenge?: string;
}

/** What becomes of an authorization request: ask a person, send the browser back, or stop here (400, no redirect). */
export type Verdict = { ask: AuthorizationRequest } | { redirect: string } | { stop: string };

const PARAMETERS = ["response_type", "client_id", "redirect_uri", "scope", "state"] as const;
const OPTIONAL = ["code_challenge", "code_challenge_method"] as const;

/**
 * Judges the query of `/v1/authorize` (RFC 6749 §4.1.1, RFC 7636 §4.3); pure. Until client and redirect URI are
 * known to be good nothing is redirected (§4.1.2.1).
 */
export function judgeAuthorization(query: string, find: (clientId: string) => Client | undefined): Verdict {
  let pairs: [string, string][];
  try {
    pairs = formPairs(query);
  } catch (error) {
    if (error instanceof Refusal) return { stop: error.message };
    throw error;
  }
  const values = (name: string) => pairs.filter((pair) => pair[0] === name).map((pair) => pair[1]);
  const only = (name: string) => (values(name).length === 1 ? values(name)[0] : undefined);
  const client = find(only("client_id") ?? "");
  if (!client) return { stop: "client_id is missing, repeated or unknown." };
  const redirectUri = only("redirect_uri");
  if (redirectUri === undefined || !client.redirectUris.includes(redirectUri)) {
    return { stop: "redirect_uri is missing, repeated or not exactly one that the client registered." };
  }
  const state = only("state");
  const problem = problemOf(pairs, client);
  if (problem) {
    const [error, error_description] = problem;
    return { redirect: location(redirectUri, { error, error_description, ...(state ? { state } : {}) }) };
  }
  const challenge = only("code_challenge");
  const asked = { clientId: client.clientId, redirectUri, scope: only("scope") ?? "", state: state ?? "" };
  return { ask: { ...asked, ...(challenge ? { challenge } : {}) } };
}

/** The first fault of a request whose client and redirect URI are good: error and description. */
function problemOf(
  pairs: [string, string][],
  client: Client,
): [error: string, description: string] | undefined {
  const known: readonly string[] = [...PARAMETERS, ...OPTIONAL];
  const given = new Map(pairs);
  if (given.size !== pairs.length) return ["invalid_request", "a parameter is repeated"];
  if (pairs.some(([name]) => !known.includes(name))) return ["invalid_request", "a parameter is not known"];
  if (pairs.some(([, value]) => value === "")) return ["invalid_request", "a parameter is empty"];
  const missing = PARAMETERS.find((name) => !given.has(name));
  if (missing) return ["invalid_request", `${missing} is missing`];
  if (given.get("response_type") !== "code") {
    return ["unsupported_response_type", "response_type must be code"];
  }
  const scopes = given.get("scope")?.split(" ") ?? [];
  if (new Set(scopes).size !== scopes.length || scopes.some((scope) => !client.scopes.includes(scope))) {
    return ["invalid_scope", "scope must be distinct scopes of the client, one space between"];
  }
  const challenge = given.get("code_challenge");
  const method = given.get("code_challenge_method");
  if (challenge === undefined) {
    if (method !== undefined) return ["invalid_request", "code_challenge is missing"];
    if (client.requirePkce) return ["invalid_request", "code_challenge is required of this client"];
  } else {
    if (!/^[A-Za-z0-9_-]{43}$/.test(challenge)) return ["invalid_request", "code_challenge is malformed"];
    if (method !== "S256") return ["invalid_request", "code_challenge_method must be S256"];
  }
  return undefined;
}

/** `uri` with `parameters` added to its query, what is there left as it is (RFC 6749 §3.1.2). */
export function location(uri: string, parameters: Record<string, string>): string {
  return `${uri}${uri.includes("?") ? "&" : "?"}${new URLSearchParams(parameters)}`;
}
