import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { judge, ownerOf, retryAfterOf } from "../../functions/core/grant.ts";
import { runs } from "../support/property.ts";

const NOW = Date.parse("2027-03-01T12:00:00Z");
const ORG = "11111111-2222-3333-4444-555555555555";
const FULL = {
  access_token: "made-up-access-token",
  expires_in: 43_199,
  refresh_token: "made-up-refresh-token",
  refresh_token_expires_in: 5_184_000,
  token_type: "Bearer",
  scope: "cjp:config_read cjp:config_write",
};
const HTML = "<html><body><h1>Maintenance</h1>made-up-canary</body></html>";

const answered = (status: number, body: unknown, retryAfter?: string) =>
  judge(
    {
      status,
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...(retryAfter !== undefined && { retryAfter }),
    },
    NOW,
  );
const granted = (changes: Record<string, unknown>) => answered(200, { ...FULL, ...changes });
const omitting = (field: keyof typeof FULL) => {
  const { [field]: _, ...rest } = FULL;
  return answered(200, rest);
};
const transient = (code: string) => ({ refusal: { code, permanent: false } });
const permanent = (code: string) => ({ refusal: { code, permanent: true } });

test("a full answer is a grant", () => {
  expect(answered(200, FULL)).toEqual({
    grant: {
      accessToken: "made-up-access-token",
      expiresIn: 43_199,
      refreshToken: "made-up-refresh-token",
      refreshTokenExpiresIn: 5_184_000,
      scope: "cjp:config_read cjp:config_write",
    },
  });
});

test("an access token alone is a grant, and what is missing is absent from it", () => {
  expect(answered(200, { access_token: "made-up" })).toEqual({ grant: { accessToken: "made-up" } });
});

const FIELDS = [
  ["expires_in", "expiresIn"],
  ["refresh_token", "refreshToken"],
  ["refresh_token_expires_in", "refreshTokenExpiresIn"],
  ["scope", "scope"],
] as const;

describe.each(FIELDS)("a grant's %s", (field, known) => {
  test("is absent when omitted (row 5)", () => {
    expect(omitting(field).grant).not.toHaveProperty(known);
  });

  test.each([null, "", "  ", {}, [], true])("is absent when it is %j (row 5)", (value) => {
    expect(granted({ [field]: value }).grant).not.toHaveProperty(known);
  });
});

describe("a grant's number of seconds", () => {
  test.each(["expires_in", "refresh_token_expires_in"])("may be a string: %s (row 14)", (field) => {
    const known = field === "expires_in" ? "expiresIn" : "refreshTokenExpiresIn";
    expect(granted({ [field]: "3600" }).grant).toHaveProperty(known, 3600);
    expect(granted({ [field]: " 3600 " }).grant).toHaveProperty(known, 3600);
  });

  test.each(["soon", "12 h", "NaN", "Infinity"])("is absent when it is %j", (value) => {
    expect(granted({ expires_in: value }).grant).not.toHaveProperty("expiresIn");
  });

  test("is absent when it is too large for a number", () => {
    const body = JSON.stringify(FULL).replace("43199", "1e999");
    expect(answered(200, body).grant).not.toHaveProperty("expiresIn");
  });
});

describe("a grant's access token", () => {
  test.each([null, "", "   ", 42, {}, [], true, "line\nbreak", "nul\u0000", "ü"])(
    "that could not be sent is no grant: %j",
    (value) => {
      expect(granted({ access_token: value })).toEqual(transient("no_access_token"));
    },
  );

  test("that is omitted makes it no grant", () => {
    expect(omitting("access_token")).toEqual(transient("no_access_token"));
  });

  test("is trimmed", () => {
    expect(granted({ access_token: " made-up\n" }).grant?.accessToken).toBe("made-up");
  });

  test.each([0, -1, "0", "-3600"])("that has already ended makes it no grant: expires_in %j", (value) => {
    expect(granted({ expires_in: value })).toEqual(transient("no_lifetime"));
  });
});

test.each([7, "line\nbreak"])("a refresh token that cannot be sent back is absent: %j", (value) => {
  expect(granted({ refresh_token: value }).grant).not.toHaveProperty("refreshToken");
});

describe("status 200 without JSON is a transient failure (row 6)", () => {
  test.each([
    ["an HTML page", HTML],
    ["nothing", ""],
    ["half an answer", '{"access_token":"made-up-canary","expi'],
    ["a list", [FULL]],
    ["a word", '"made-up-canary"'],
    ["null", "null"],
    ["a number", "12"],
  ])("%s", (_, body) => {
    expect(answered(200, body)).toEqual(transient("not_json"));
  });
});

describe("a refusal with JSON and 400 or 401 is permanent", () => {
  const general = { message: "made-up canary", errors: [{ description: "made-up" }], trackingId: "ROUTER_1" };
  test.each<[string, number, unknown, string]>([
    [
      "an expired refresh token at the identity broker",
      400,
      {
        error: "invalid_request",
        error_description: "The refresh token provided is expired, revoked, malformed, or invalid.",
        trackingID: "made-up",
      },
      "invalid_request",
    ],
    ["invalid_grant", 400, { error: "invalid_grant" }, "invalid_grant"],
    ["invalid_client", 401, { error: "invalid_client" }, "invalid_client"],
    ["the general shape of Webex", 400, general, "http_400"],
    ["the general shape with 401", 401, general, "http_401"],
    ["the contact centre's shape", 400, { trackingId: "x", error: { key: "1", message: ["x"] } }, "http_400"],
    ["a sentence instead of a word", 400, { error: "The made-up canary is wrong" }, "http_400"],
    ["a token instead of a word", 401, { error: "MadeUp-Canary.123" }, "http_401"],
    ["an overlong word", 400, { error: "a".repeat(41) }, "http_400"],
  ])("%s", (_, status, body, code) => {
    expect(answered(status, body)).toEqual(permanent(code));
  });
});

test.each([200, 201, 203])("a grant with status %i is a grant", (status) => {
  expect(answered(status, FULL).grant?.accessToken).toBe(FULL.access_token);
});

describe("a success with an error word and no token is judged by that word", () => {
  test.each([200, 201, 203])("invalid_grant with %i is final", (status) => {
    expect(answered(status, { error: "invalid_grant" })).toEqual(permanent("invalid_grant"));
  });

  test("temporarily_unavailable with 200 is transient", () => {
    expect(answered(200, { error: "temporarily_unavailable" })).toEqual(transient("temporarily_unavailable"));
  });

  test("an error that is no word is a missing token", () => {
    expect(answered(200, { error: { code: 7 } })).toEqual(transient("no_access_token"));
  });
});

describe("a refusal that says later is transient whatever its status (row 32)", () => {
  const words = ["temporarily_unavailable", "server_error", "slow_down"];
  test.each(words.flatMap((word) => [400, 401, 403, 503].map((status) => [word, status] as const)))(
    "%s with %i",
    (error, status) => {
      expect(answered(status, { error })).toEqual(transient(error));
    },
  );

  test.each([400, 401])("%i with Retry-After is asked again after that time", (status) => {
    expect(answered(status, { message: "made-up" }, "20")).toEqual({
      refusal: { code: `http_${status}`, permanent: false, retryAfter: 20_000 },
    });
  });

  test("a Retry-After that makes no sense still asks for a retry", () => {
    expect(answered(400, { error: "invalid_grant" }, "later")).toEqual(transient("invalid_grant"));
  });

  test("a blank Retry-After says nothing", () => {
    expect(answered(400, { error: "invalid_grant" }, " ")).toEqual(permanent("invalid_grant"));
  });
});

describe("any other answer is a transient failure (row 6)", () => {
  test.each([
    ["an HTML page with 400", 400, HTML, "http_400"],
    ["an HTML page with 401", 401, HTML, "http_401"],
    ["an HTML page with 403", 403, HTML, "http_403"],
    ["an HTML page with 500", 500, HTML, "http_500"],
    ["an empty 400", 400, "", "http_400"],
    ["JSON with 403", 403, { error: "invalid_grant" }, "http_403"],
    ["JSON with 404", 404, { message: "made-up" }, "http_404"],
    ["JSON with 500", 500, { error: "invalid_grant" }, "http_500"],
    ["JSON with 503", 503, { error: "invalid_grant" }, "http_503"],
    ["a redirect", 302, "", "http_302"],
    ["a redirect that brings a grant", 307, FULL, "http_307"],
    ["nothing with 204", 204, "", "http_204"],
  ])("%s", (_, status, body, code) => {
    expect(answered(status, body)).toEqual(transient(code));
  });

  test.each(["timeout", "network"] as const)("a request without an answer: %s", (error) => {
    expect(judge({ error }, NOW)).toEqual(transient(error));
  });

  test("an answer with Retry-After is asked for again after that", () => {
    expect(answered(503, HTML, "120").refusal).toEqual({
      code: "http_503",
      permanent: false,
      retryAfter: 120_000,
    });
  });
});

describe("status 429 is a transient failure with any Retry-After (row 6)", () => {
  test.each<[string, string | undefined, number]>([
    ["absent", undefined, 0],
    ["empty", "", 0],
    ["0", "0", 0],
    ["seconds", "30", 30_000],
    ["seconds among blanks", " 30 ", 30_000],
    ["decimal seconds", "120.0", 120_000],
    ["decimal seconds that are not whole", "292.05", 293_000],
    ["an unfilled template", "rand(30),add(30)", 60_000],
    ["an HTTP date", "Mon, 01 Mar 2027 12:02:00 GMT", 120_000],
    ["an HTTP date that has been", "Mon, 01 Mar 2027 11:00:00 GMT", 0],
    ["nonsense", "later", 0],
    ["less than nothing", "-30", 0],
  ])("%s", (_, header, retryAfter) => {
    expect(answered(429, "", header)).toEqual({
      refusal: { code: "rate_limited", permanent: false, retryAfter },
    });
  });

  test("also with a body that says otherwise", () => {
    expect(answered(429, { error: "invalid_grant" }).refusal).toMatchObject({ permanent: false });
    expect(answered(429, FULL).grant).toBeUndefined();
  });

  test.each([undefined, "", "  ", "later", "soon, please"])("Retry-After %j is undefined", (header) => {
    expect(retryAfterOf(header, NOW)).toBeUndefined();
  });

  test("no header gives a negative wait or NaN", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.,:; +-]{0,30}$/)), (header) => {
        const wait = retryAfterOf(header, NOW) ?? 0;
        expect(wait).toBeGreaterThanOrEqual(0);
      }),
      runs(400, 2000),
    );
  });
});

describe("any answer of Webex", () => {
  const status = fc.oneof(fc.constantFrom(200, 400, 401, 403, 429, 500), fc.integer({ min: 100, max: 599 }));
  const odd = fc.oneof(fc.jsonValue(), fc.string(), fc.constantFrom(0, -1, "0", "3600", null));
  const shaped = fc.record(
    {
      access_token: odd,
      expires_in: odd,
      refresh_token: odd,
      refresh_token_expires_in: odd,
      scope: odd,
      error: odd,
    },
    { requiredKeys: [] },
  );
  const body = fc.oneof(
    fc.string(),
    fc.json(),
    shaped.map((value) => JSON.stringify(value)),
  );
  const header = fc.option(fc.string(), { nil: undefined });

  test("is judged without an exception, and is permanent only as JSON with 200, 201, 203, 400 or 401", () => {
    fc.assert(
      fc.property(status, body, header, (status, body, retryAfter) => {
        const { grant, refusal } = answered(status, body, retryAfter);
        expect(grant === undefined).not.toBe(refusal === undefined);
        if (refusal?.permanent) {
          expect([200, 201, 203, 400, 401]).toContain(status);
          expect(typeof JSON.parse(body)).toBe("object");
        }
        if (grant !== undefined) {
          expect([200, 201, 203]).toContain(status);
          expect(grant.accessToken).toMatch(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/);
          expect(grant.expiresIn ?? 1).toBeGreaterThan(0);
        }
      }),
      runs(500, 5000),
    );
  });

  test("has a code of ours or one of OAuth's form", () => {
    const OURS = /^(not_json|no_access_token|no_lifetime|rate_limited|http_\d{3})$/;
    fc.assert(
      fc.property(status, body, (status, body) => {
        const code = answered(status, body).refusal?.code;
        if (code === undefined || OURS.test(code)) return;
        expect(code).toMatch(/^[a-z_]{1,40}$/);
        expect(JSON.parse(body).error).toBe(code);
      }),
      runs(500, 5000),
    );
  });

  test("gives a refusal of code, permanent and retryAfter, without text from the body (row 12)", () => {
    const { refusal } = answered(400, { error: "Made-Up-Canary", error_description: "made-up canary" });
    expect(Object.keys(refusal ?? {}).sort()).toEqual(["code", "permanent"]);
    expect(JSON.stringify(refusal)).not.toMatch(/canary/i);
    expect(JSON.stringify(answered(500, HTML))).not.toMatch(/canary/i);
  });
});

describe("the owner of an access token", () => {
  test.each([
    [`${"x".repeat(64)}_PF84_${ORG}`, { orgId: ORG, cluster: "PF84" }],
    [
      `${"x".repeat(64)}_P0A1_AAAAAAAA-bbbb-CCCC-dddd-EEEEEEEEEEEE`,
      {
        orgId: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        cluster: "P0A1",
      },
    ],
  ])("is written into it: %s", (token, owner) => {
    expect(ownerOf(token)).toEqual(owner);
  });

  test.each([
    "made-up_PF84_consumer",
    "made-up_PF84_",
    "made-up_PF84",
    "made-up",
    "",
    `made-up_PF84_${ORG}0`,
    `made-up_PF84_${ORG.replaceAll("-", "")}`,
  ])("is unknown where its third part is no organization's id: %j", (token) => {
    expect(ownerOf(token)).toBeUndefined();
  });

  test("is looked for in anything without an exception", () => {
    fc.assert(
      fc.property(fc.string(), (token) => void ownerOf(token)),
      runs(100, 1000),
    );
  });
});
