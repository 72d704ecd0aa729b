import type { Incoming } from "./endpoint.ts";
import type { GrantRequest } from "./grants.ts";
import { Refusal } from "./refusal.ts";
import { bodyOf, formPairs } from "./request.ts";

/** The parameters of a token request, each there once and not empty (RFC 6749 §3.2); else a Refusal. */
export async function tokenParameters({ request, query }: Incoming): Promise<Map<string, string>> {
  const refuse = (why: string) => new Refusal("invalid_request", why);
  const body = await bodyOf(request);
  if (request.method !== "POST") throw refuse("The method must be POST.");
  if (query) throw refuse("Parameters belong in the body, not in the URL.");
  if (request.headers.authorization) throw refuse("Client credentials belong in the body.");
  const type = /^application\/(x-www-form-urlencoded|json)(?: *; *charset="?utf-8"?)?$/i;
  const kind = type.exec(request.headers["content-type"] ?? "")?.[1]?.toLowerCase();
  if (!kind) throw refuse("The content type must be application/x-www-form-urlencoded or application/json.");
  const pairs = kind === "json" ? jsonPairs(body) : formPairs(body);
  const parameters = new Map(pairs);
  if (parameters.size !== pairs.length) throw refuse("A parameter is repeated.");
  if (pairs.some(([, value]) => value === "")) throw refuse("A parameter is empty.");
  return parameters;
}

function jsonPairs(body: string): [string, string][] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw new Refusal("invalid_request", "The body is not JSON.");
  }
  const pairs = typeof parsed === "object" && parsed && !Array.isArray(parsed) ? Object.entries(parsed) : [];
  if (pairs.length === 0 || pairs.some(([, value]) => typeof value !== "string")) {
    throw new Refusal("invalid_request", "The body must be a JSON object of strings.");
  }
  // JSON.parse keeps the last of a repeated name; in a flat object of strings each name and value is one string.
  if (body.match(/"(?:[^"\\]|\\.)*"/g)?.length !== 2 * pairs.length) {
    throw new Refusal("invalid_request", "A parameter is repeated.");
  }
  return pairs;
}

/** Exactly the parameters of its grant type, or a Refusal. */
export function grantRequest(parameters: Map<string, string>): GrantRequest {
  const rest = new Map(parameters);
  const take = (name: string) => {
    const value = rest.get(name);
    if (value === undefined) throw new Refusal("invalid_request", `${name} is missing.`);
    rest.delete(name);
    return value;
  };
  const grantType = take("grant_type");
  if (grantType !== "authorization_code" && grantType !== "refresh_token") {
    throw new Refusal("unsupported_grant_type", "grant_type must be authorization_code or refresh_token.");
  }
  const client = { clientId: take("client_id"), clientSecret: take("client_secret") };
  let grant: GrantRequest;
  if (grantType === "refresh_token") {
    grant = { ...client, grantType, refreshToken: take("refresh_token") };
  } else {
    grant = { ...client, grantType, code: take("code"), redirectUri: take("redirect_uri") };
    if (rest.has("code_verifier")) grant.verifier = take("code_verifier");
    if (grant.verifier !== undefined && !/^[A-Za-z0-9._~-]{43,128}$/.test(grant.verifier)) {
      throw new Refusal("invalid_request", "code_verifier is malformed.");
    }
  }
  if (rest.size > 0) throw new Refusal("invalid_request", "A parameter is not known for this grant type.");
  return grant;
}
