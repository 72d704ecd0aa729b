import {
  always,
  answer,
  BUG,
  CORS,
  closed,
  constant,
  count,
  NAME,
  notLetIn,
  type Parts,
  parameter,
  problem,
  RETRY_AFTER,
  SECONDS,
  schema,
  sometimes,
  text,
  wrongMethod,
} from "./openapi-parts.ts";

/** What lookup takes and answers. */

export const LOOKUP_SCHEMAS: Parts = {
  Token: closed(
    { status: constant("200"), token: text("The access token: `Authorization: Bearer …`.") },
    {
      expiresIn: count("Seconds of life left. With `details=true`, as the three below."),
      orgId: text("The organization that the token belongs to, where the token says so."),
      cluster: text("Where that organization is at home, where the token says so."),
      scope: text("What was granted, where Webex said so."),
    },
  ),
  Health: closed({ status: constant("200") }),
};

const life = { type: "string", pattern: "^[0-9]+$" };
const TOKEN_HEADERS: Parts = {
  "x-token-expires-in": always("Seconds of life left.", life),
  "x-token-unchanged": sometimes(
    "This is the token that was rejected: there was no better one to be had just now.",
    constant("true"),
  ),
  ...CORS,
};

const READ = {
  tags: ["lookup"],
  security: [{ passphrase: [] }, { basic: [] }],
  parameters: [
    NAME,
    parameter("minTtl", {
      in: "query",
      about: "Seconds of life that the caller needs. Where they can't be had, the held token is answered.",
      schema: { type: "integer", minimum: 0, maximum: 999_999_999 },
      example: 600,
    }),
    parameter("wait", {
      in: "query",
      about: "Seconds to wait at most when nothing valid is held.",
      schema: { type: "integer", minimum: 0, maximum: 20, default: 8 },
      example: 8,
    }),
    parameter("details", {
      in: "query",
      about: "`true` adds `expiresIn`, `orgId`, `cluster` and `scope`.",
      schema: { type: "string" },
      example: "true",
    }),
    parameter("x-token-rejected", {
      in: "header",
      about:
        "The access token that an API has just refused with 401: a new one is fetched if it still is the stored one. Empty is as absent.",
      schema: { type: "string" },
    }),
  ],
};

const REFUSALS = {
  "400": problem(400, "No name, one that no token can have, or a parameter that is wrong or given twice.", {
    headers: CORS,
  }),
  "401": notLetIn("The passphrase is missing or wrong, or does not open this token.", CORS),
  "404": problem(404, "There is no such token.", { headers: CORS }),
  "409": problem(409, "Nothing valid is held, and only a person can help; the message says how.", {
    headers: CORS,
  }),
  "500": problem(500, BUG, { headers: CORS }),
  "503": problem(503, "Nothing valid is held, but trying again will help.", {
    headers: { "retry-after": always(RETRY_AFTER, SECONDS), ...CORS },
  }),
};

const healthy = { tags: ["lookup"], security: [] };

export const LOOKUP_PATHS = {
  "/": {
    get: {
      operationId: "getToken",
      summary: "An access token that works",
      ...READ,
      responses: {
        "200": answer("A token with life left.", { json: schema("Token"), headers: TOKEN_HEADERS }),
        ...REFUSALS,
        "405": wrongMethod("GET and HEAD", CORS),
      },
    },
    head: {
      operationId: "headToken",
      summary: "The same without a body",
      ...READ,
      responses: {
        "200": answer("A token with life left.", { headers: TOKEN_HEADERS }),
        ...bodiless(REFUSALS),
      },
    },
    options: {
      operationId: "preflight",
      summary: "The preflight of browsers",
      tags: ["lookup"],
      security: [],
      responses: {
        "204": answer("With `CORS_ORIGINS` or `COMPAT=sample`.", { headers: CORS }),
        "405": wrongMethod("GET and HEAD"),
      },
    },
  },
  "/health": {
    get: {
      operationId: "health",
      summary: "Whether lookup runs; needs no passphrase, and asks no store",
      ...healthy,
      responses: { "200": answer("It runs.", { json: schema("Health"), headers: CORS }) },
    },
    head: {
      operationId: "headHealth",
      summary: "The same without a body",
      ...healthy,
      responses: { "200": answer("It runs.", { headers: CORS }) },
    },
  },
};

function bodiless(answers: Parts): Parts {
  return Object.fromEntries(
    Object.entries(answers).map(([status, { content: _, ...rest }]) => [status, rest]),
  );
}
