import type { ServerResponse } from "node:http";

/** What the console answers. */
export interface Reply {
  status: number;
  type: string;
  text: string;
  headers?: Record<string, string>;
}

/** Nothing of the page comes from elsewhere, and nothing of it goes anywhere else. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "x-frame-options": "DENY",
};

export const json = (status: number, body: object): Reply => ({
  status,
  type: "application/json; charset=utf-8",
  text: JSON.stringify(body),
});

/** A page of plain text for a person who is not let in. None of it comes from outside. */
export function refusal(status: number, ...sentences: string[]): Reply {
  return { status, type: "text/plain; charset=utf-8", text: `${sentences.join("\n\n")}\n` };
}

/** The one place that writes an answer. */
export function write(response: ServerResponse, { status, type, text, headers }: Reply, method = "GET") {
  response.writeHead(status, {
    ...HEADERS,
    "content-type": type,
    "content-length": Buffer.byteLength(text),
    ...headers,
  });
  response.end(method === "HEAD" ? undefined : text);
}
