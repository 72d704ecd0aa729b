import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { afterGrant, afterRefusal } from "../../functions/core/changes.ts";
import { parseDocument } from "../../functions/core/document.ts";
import { judge, retryAfterOf } from "../../functions/core/grant.ts";
import { inputsOf, type StoredToken } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD } from "../../functions/core/time.ts";
import { runs } from "../support/property.ts";
import { expectSound, expectUnpolluted, oddJson, oddNumber, oddText } from "./hostile-values.ts";
import { NOW } from "./time-documents.ts";

/** Any answer of a token endpoint, about any document, gives changes that can be stored and computed with. */

const FIELDS = [
  "access_token",
  "expires_in",
  "refresh_token",
  "refresh_token_expires_in",
  "scope",
  "token_type",
  "error",
  "error_description",
  "__proto__",
] as const;
const odd = fc.oneof(oddJson, fc.constantFrom(1, 3600, "43199", "made-up"));
const body = fc.oneof(
  fc.dictionary(fc.constantFrom(...FIELDS), odd).map((fields) => JSON.stringify(fields)),
  fc
    .dictionary(fc.constantFrom(...FIELDS), odd)
    .map((fields) => JSON.stringify({ ...fields, access_token: "made-up-access" })),
  // Numbers that JSON can express and no double can represent.
  fc
    .tuple(
      fc.constantFrom("1e999", "-1e999", "1e308", "1e-400", "-0", "9".repeat(400)),
      fc.constantFrom(...FIELDS),
    )
    .map(([number, field]) => `{"access_token":"made-up-access","${field}":${number}}`),
  oddText,
);
const status = fc.constantFrom(200, 200, 200, 400, 401, 403, 429, 500, 503, 0, 999);
const retryAfter = fc.option(fc.oneof(oddText, oddNumber.map(String)), { nil: undefined });

const stored = (raw: Record<string, unknown>): StoredToken => ({
  name: "made-up",
  ...parseDocument(raw),
  unopened: {},
  inputs: inputsOf({}),
  version: "1",
  writtenAt: NOW,
  ahead: 0,
  snapshot: { id: "made-up", fields: raw, version: "1", readAt: NOW, writtenAt: NOW },
});
/** A store returns no -0. */
const number = oddNumber.map((number) => number + 0);
const counted = fc.record({
  count: number,
  code: fc.constantFrom("unchanged", "http_503"),
  since: number,
  at: number,
  permanent: fc.boolean(),
  inputs: fc.constant("x"),
});
const document = fc
  .record(
    {
      accessToken: fc.constantFrom("made-up-access", "another"),
      refreshToken: fc.constant("made-up-refresh"),
      accessExpires: number,
      refreshExpires: number,
      lastRefresh: number,
      lifetime: number,
      refreshAt: number,
      failure: counted,
    },
    { requiredKeys: [] },
  )
  .map(stored);

const judged = (status: number, body: string, retryAfter: string | undefined) =>
  judge({ status, body, ...(retryAfter !== undefined && { retryAfter }) }, NOW);

describe("any answer of a token endpoint", () => {
  test("is judged with sound numbers, known codes, and no strings but tokens and scope", () => {
    fc.assert(
      fc.property(status, body, retryAfter, (status, body, retryAfter) => {
        const { grant, refusal } = judged(status, body, retryAfter);
        expectSound(grant ?? refusal);
        for (const token of [grant?.accessToken, grant?.refreshToken])
          if (token !== undefined) expect(token).toMatch(/^[\x21-\x7e]+$/);
        if (refusal !== undefined) expect(refusal.code).toMatch(/^[a-z_]{1,40}$|^http_\d{1,3}$/);
        expectUnpolluted();
      }),
      runs(200, 1000),
    );
  });

  test("gives changes that JSON can store unchanged, with a valid refreshAt", () => {
    fc.assert(
      fc.property(status, body, retryAfter, document, (status, body, retryAfter, token) => {
        const { grant, refusal } = judged(status, body, retryAfter);
        const asked = { from: NOW, until: NOW + 100 };
        const changes = grant
          ? afterGrant(token, grant, asked, DEFAULT_THRESHOLD)
          : afterRefusal(token, refusal, asked.until);
        expectSound(changes);
        expect(JSON.parse(JSON.stringify(changes))).toEqual(
          Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)),
        );
        expect(changes.refreshAt).toBeGreaterThan(0);
        for (const instant of [changes.refreshAt, changes.accessExpires, changes.refreshExpires])
          if (instant !== undefined) expect(() => new Date(instant).toISOString()).not.toThrow();
      }),
      runs(200, 1000),
    );
  });

  test("gives a sound Retry-After or none", () => {
    fc.assert(
      fc.property(fc.oneof(oddText, oddNumber.map(String), fc.string()), (text) => {
        expectSound(retryAfterOf(text, NOW));
      }),
      runs(200, 1000),
    );
  });
});

describe.each(["access_token", "refresh_token", "scope"])("an answer's %s", (field) => {
  const granting = (text: string) =>
    judged(200, JSON.stringify({ access_token: "made-up", [field]: text }), undefined);

  test("of megabytes is not kept: no header and no store could hold it", () => {
    for (const text of ["x".repeat(2_000_000), "x ".repeat(1_000_000), " ".repeat(2_000_000)])
      expect(JSON.stringify(granting(text)).length).toBeLessThan(20_000);
    judged(400, JSON.stringify({ error: "a".repeat(2_000_000) }), " ".repeat(2_000_000));
  });

  // Firestore rejects a lone surrogate, and with it the whole write: the new token would be lost.
  test.each(["half \ud800 a character", "nothing\u0000", "line\nbreak"])(
    "with %j in it is not kept",
    (text) => {
      expect(JSON.stringify(granting(text))).not.toMatch(/half|nothing|line/);
    },
  );
});

test.each([
  ["a list a hundred thousand deep", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
  ["an object that never closes", '{"access_token":'.repeat(100_000)],
  ["a byte order mark", "\ufeff{}"],
])("%s is not a JSON object, and counts as a transient failure", (_, body) => {
  expect(judged(200, body, undefined)).toEqual({ refusal: { code: "not_json", permanent: false } });
  expect(judged(400, body, undefined)).toEqual({ refusal: { code: "http_400", permanent: false } });
});
