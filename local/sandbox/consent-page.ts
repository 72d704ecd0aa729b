import { createHash } from "node:crypto";
import type { AuthorizationRequest } from "./authorization-request.ts";
import type { Reply } from "./reply.ts";

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
