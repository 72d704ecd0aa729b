import type { Census } from "../../functions/core/census.ts";
import type { Outcome } from "../../functions/core/refresh.ts";
import { STATES } from "../../functions/core/state.ts";
import type { Sweep } from "../../functions/core/sweep.ts";
import {
  answer,
  BUG,
  closed,
  constant,
  count,
  NAME,
  type Parts,
  parameter,
  problem,
  RETRY_AFTER,
  type Schema,
  SECONDS,
  schema,
  sometimes,
  text,
  wrongMethod,
} from "./openapi-parts.ts";

/** What the refresher takes and answers. What it may answer is checked by the types of the code that does. */

const SWEEP: Record<keyof Sweep, Schema> = {
  due: count("Tokens found due."),
  refreshed: count(),
  failed: count(),
  deferred: count("Passed over: fresh by now, leased by another process, or backed off."),
  paused: count("Passed over because Webex throttles their client (429): a later sweep takes them."),
  remaining: count("Due and not reached: the next sweep goes on with them."),
  overdueSeconds: count("How long the longest waiting token had been due."),
  elapsedMs: count(),
};

const CENSUS: Record<keyof Census, Schema> = {
  tokens: count(),
  adopted: count("Documents that the sweep did not know of before."),
  failed: count("Documents that could not be written; the next census tries them again."),
  states: closed(Object.fromEntries(STATES.map((state) => [state, count()]))),
  elapsedMs: count(),
};

const until = { until: count("When trying will help; ms since 1970.") };
/** What each outcome says beside its name. */
const OUTCOMES: Record<Outcome["outcome"], Parts> = {
  refreshed: {},
  unchanged: {},
  fresh: {},
  deferred: until,
  held: until,
  leased: until,
  failed: { code: text("What Webex said, in a word."), permanent: { type: "boolean" } },
  discarded: {},
  unsaved: {},
  missing: {},
};

export const REFRESHER_SCHEMAS: Parts = {
  Sweep: closed(SWEEP),
  Census: closed(CENSUS),
  Outcome: {
    oneOf: Object.entries(OUTCOMES).map(([outcome, more]) => closed({ outcome: constant(outcome), ...more })),
  },
};

const REFUSALS = {
  "405": wrongMethod("POST"),
  "500": problem(500, BUG),
  "503": problem(503, "The store did not answer.", {
    headers: { "retry-after": sometimes(RETRY_AFTER, SECONDS) },
  }),
};

const common = { tags: ["refresher"], security: [{ identity: [] }] };

export const REFRESHER_PATHS = {
  "/": {
    post: {
      operationId: "refresh",
      summary: "Refreshes what is due; with a name, that token if it wants it",
      ...common,
      parameters: [
        { ...NAME, required: false, description: "One token in place of all that are due." },
        parameter("ifToken", {
          in: "query",
          about:
            "With a name: sha256 of a rejected token, lower-case hex. Refreshes if it still is the stored one.",
          schema: { type: "string", pattern: "^[0-9a-f]{64}$" },
        }),
        parameter("minTtl", {
          in: "query",
          about: "With a name: seconds of life that are needed.",
          schema: { type: "integer", minimum: 0, maximum: 999_999_999 },
        }),
      ],
      responses: {
        "200": answer("It worked as such, whatever became of the tokens.", {
          json: { oneOf: [schema("Sweep"), schema("Outcome")] },
        }),
        "400": problem(400, "No token can have this name, or a parameter is wrong."),
        ...REFUSALS,
      },
    },
  },
  "/census": {
    post: {
      operationId: "census",
      summary: "Counts all tokens by state, and finds those that the sweep does not know",
      ...common,
      responses: { "200": answer("Totals.", { json: schema("Census") }), ...REFUSALS },
    },
  },
};
