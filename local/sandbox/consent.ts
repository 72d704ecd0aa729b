import { createHash } from "node:crypto";
import { type AuthorizationRequest, type Client, Refusal } from "./authority.ts";
import type { Reply } from "./faults.ts";

/** What becomes of an authorization request: ask a person, send the browser back, or stop here (400, no redirect). */
export type Verdict = { ask: AuthorizationRequest } | { redirect: string } | { stop: string };

const PARAMETERS = ["response_type", "client_id", "redirect_uri", "scope", "state"] as const;
const OPTIONAL = ["code_challenge", "code_challenge_method"] as const;

/** The pairs of a form or query, strictly: what cannot be decoded is refused, never mended. */
export function formPairs(text: string): [name: string, value: string][] {
  if (text === "") return [];
  return text.split("&").map((pair) => {
    const [name, ...value] = pair.split("=");
    if (!name || value.length === 0)
      throw new Refusal("invalid_request", "A parameter lacks its name or value.");
    return [decoded(name), decoded(value.join("="))];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new Refusal("invalid_request", "A parameter is not percent-encoded UTF-8.");
  }
}

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

/** A reply that sends the browser on; 303, so that a form's POST becomes a GET. */
export function redirection(to: string): Reply {
  return { status: 303, headers: { location: to, "referrer-policy": "no-referrer" } };
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}
button{font:inherit;padding:.4rem 1.2rem;margin-right:.6rem}code{word-break:break-all}`;
const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function page(status: number, title: string, content: string, formAction: string): Reply {
  const policy = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action ${formAction}; base-uri 'none'; frame-ancestors 'none'`;
  const body = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><main><h1>${escaped(title)}</h1>${content}</main></body></html>`;
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
  };
  return { status, headers, body };
}

/** Asks a person to allow or deny; `id` ties the answer to this request. */
export function consentPage(id: string, request: AuthorizationRequest, orgId: string): Reply {
  const { origin, protocol, hostname } = new URL(request.redirectUri);
  // Chromium applies form-action to the redirect after the POST too, and has no syntax for an IPv6 host.
  const target = hostname.startsWith("[") ? protocol : origin;
  const scopes = request.scope.split(" ").map((scope) => `<li><code>${escaped(scope)}</code></li>`);
  const content = `<p>Sandbox, not Webex: no real account is involved.</p>
<p>The integration <code>${escaped(request.clientId)}</code> asks for access to the organization
<code>${escaped(orgId)}</code>:</p><ul>${scopes.join("")}</ul>
<p>You will be sent to <code>${escaped(request.redirectUri)}</code>.</p>
<form method="post" action="/v1/authorize/decision"><input type="hidden" name="request" value="${escaped(id)}">
<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button></form>`;
  return page(200, "Allow access?", content, `'self' ${target}`);
}

/** Tells a person why nothing was asked or redirected. */
export function problemPage(status: number, message: string): Reply {
  return page(status, "This request cannot go on", `<p>${escaped(message)}</p>`, "'none'");
}
