import {
  always,
  answer,
  BUG,
  CORS,
  closed,
  constant,
  NAME,
  notLetIn,
  type Parts,
  parameter,
  problem,
  RETRY_AFTER,
  SECONDS,
  schema,
  sometimes,
  wrongMethod,
} from "./openapi-parts.ts";

/** What setup takes and answers; lookup sends on to it where `SETUP_URL` is set. */

export const SETUP_SCHEMAS: Parts = {
  Initialized: closed({ status: constant("200"), message: constant("Token document initialized") }),
  Authorized: closed({ status: constant("200"), message: constant("Access & Refresh tokens created") }),
};

const SENT_ON = answer("From lookup's address: the same at setup's.", {
  headers: { location: always("Setup's address."), ...CORS },
});

const retry: Parts = { "retry-after": sometimes(RETRY_AFTER, SECONDS), ...CORS };

const init = (operationId: string) => ({
  operationId,
  summary: "Makes a token's document, with empty settings",
  tags: ["setup"],
  security: [{ passphrase: [] }, { basic: [] }],
  parameters: [NAME],
  responses: {
    "200": answer("It is there, and empty.", { json: schema("Initialized"), headers: CORS }),
    "307": SENT_ON,
    "400": problem(400, "No name, or one that no token can have.", { headers: CORS }),
    "401": notLetIn("The passphrase is missing, or is not a shared one.", CORS),
    "404": problem(404, "With `LEGACY_SETUP=off`; and at lookup's address without `SETUP_URL`.", {
      headers: CORS,
    }),
    "409": problem(409, "It exists already, and was left as it is.", { headers: CORS }),
    "500": problem(500, BUG, { headers: CORS }),
    "503": problem(503, "The store did not answer.", { headers: retry }),
  },
});

const fromWebex = (name: string, about: string) =>
  parameter(name, { in: "query", about, schema: { type: "string" } });

/** A page for browsers (`Accept: text/html`), JSON for programs. */
const shown = { page: true, headers: CORS };

const byGet = init("init");
const wrong = { "405": wrongMethod("GET and POST", CORS) };

export const SETUP_PATHS = {
  "/init": {
    get: { ...byGet, responses: { ...byGet.responses, ...wrong } },
    post: init("initByPost"),
  },
  "/callback": {
    get: {
      operationId: "callback",
      summary: "Where a browser comes back to from consent",
      tags: ["setup"],
      security: [],
      parameters: [
        fromWebex("code", "The authorization code."),
        fromWebex("state", "What `tokens authorize` made; or the plain name, as in Cisco's sample."),
        fromWebex("error", "In place of both, where consent was refused."),
        fromWebex("error_description", "What Webex says of that."),
      ],
      responses: {
        "200": answer("The tokens are stored.", { json: schema("Authorized"), ...shown }),
        "307": SENT_ON,
        "400": problem(400, "Consent was refused, or the state is unknown, old or used.", shown),
        "404": problem(
          404,
          "The token was removed meanwhile; and at lookup's address without `SETUP_URL`.",
          shown,
        ),
        "405": problem(405, "Any method but GET.", {
          ...shown,
          headers: { allow: always("What it takes."), ...CORS },
        }),
        "409": problem(
          409,
          "Webex refused the code, the settings are incomplete or were changed, or the tokens belong to another organization.",
          shown,
        ),
        "500": problem(500, BUG, shown),
        "503": problem(503, "Webex or the store did not answer: authorize again.", {
          page: true,
          headers: retry,
        }),
      },
    },
  },
};
