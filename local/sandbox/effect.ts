import type { Fault, FaultRequest } from "./faults.ts";
import type { RefreshMode, TokenResponse } from "./grants.ts";
import { DEAD_REFRESH_TOKEN } from "./refusal.ts";
import { brokerError, contactCentreError, type Reply, UNAUTHORIZED, webexError } from "./reply.ts";

/** The authority's own answer, bent: `mode` before it is made, `bend` after; late, or lost on its way. */
export interface Processing {
  kind: "process";
  mode?: RefreshMode;
  bend?: (tokens: TokenResponse) => object;
  delayMs?: number;
  lose?: true;
}

/** What a fault does: no answer, one in the authority's stead, or the authority's own, bent. */
export type Effect = { kind: "destroy" } | { kind: "hang" } | { kind: "reply"; reply: Reply } | Processing;

/** The effect of a fault; pure but for the tracking id in an error body. */
export function effectOf(request: FaultRequest): Effect {
  return EFFECTS[request.fault](request);
}

const EFFECTS: Record<Fault, (request: FaultRequest) => Effect> = {
  down: () => ({ kind: "destroy" }),
  hang: () => ({ kind: "hang" }),
  slow: ({ delayMs = 5000 }) => ({ kind: "process", delayMs }),
  "429": (request) => tooMany({ "retry-after": retryAfter(request) }),
  "429-none": () => tooMany(),
  "429-zero": () => tooMany({ "retry-after": "0" }),
  "429-rand": () => tooMany({ "retry-after": "rand(30),add(30)" }),
  "429-empty": (request) => reply({ status: 429, headers: { "retry-after": retryAfter(request) } }),
  html: () => reply(page(200)),
  "html-403": () => reply(page(403)),
  "html-500": () => reply(page(500)),
  "500": () => reply(webexError(500, "Something went wrong on the server.")),
  "invalid-request": () => reply(brokerError(400, "invalid_request", DEAD_REFRESH_TOKEN)),
  "webex-400": () => reply(webexError(400, "The request was invalid or cannot be otherwise served.")),
  unauthorized: () => reply(webexError(401, UNAUTHORIZED)),
  "same-token": () => ({ kind: "process", mode: "same-token" }),
  rotate: () => ({ kind: "process", mode: "rotate" }),
  lost: () => ({ kind: "process", lose: true }),
  omit: () => bend(({ access_token, token_type }) => ({ access_token, token_type })),
  "null-fields": () =>
    bend((tokens) => ({
      ...mapValues(tokens, () => null),
      access_token: tokens.access_token,
      token_type: "Bearer",
    })),
  strings: () => bend((tokens) => mapValues(tokens, String)),
  "empty-token": () => bend((tokens) => ({ ...tokens, access_token: "" })),
  redirect: () => reply({ status: 302, headers: { location: "/v1/elsewhere" } }),
  "variable-401": () => reply(contactCentreError(401)),
  "variable-403": () => reply(contactCentreError(403)),
  "variable-404": () => reply(contactCentreError(404)),
  "variable-412": () => reply(contactCentreError(412)),
  "variable-429": () => reply({ status: 429 }),
  "variable-500": () => reply(contactCentreError(500)),
  "variable-html": () => reply(page(200)),
};

const TOO_MANY = "The request was throttled. Too many requests have been sent in a given amount of time.";

const reply = (reply: Reply): Effect => ({ kind: "reply", reply });
const bend = (bend: (tokens: TokenResponse) => object): Effect => ({ kind: "process", bend });
const tooMany = (headers?: Record<string, string>) => reply(webexError(429, TOO_MANY, headers));
const retryAfter = (request: FaultRequest) => String(request.retryAfter ?? 7);

function page(status: number): Reply {
  const body =
    "<!doctype html><html><head><title>Webex</title></head><body><h1>Access Denied</h1></body></html>";
  return { status, headers: { "content-type": "text/html; charset=utf-8" }, body };
}

function mapValues(object: object, change: (value: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
}
