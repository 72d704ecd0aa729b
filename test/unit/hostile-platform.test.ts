import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { firestoreReader } from "../../functions/adapters/firestore-rest.ts";
import { metadataServer } from "../../functions/adapters/metadata.ts";
import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import { parseDocument } from "../../functions/core/document.ts";
import { StoreUnavailable, tokenReader } from "../../functions/core/store.ts";
import { DAY } from "../../functions/core/time.ts";
import { driveDeadlines } from "../support/deadlines.ts";
import { runs } from "../support/property.ts";
import { CANARY, expectSound, expectUnpolluted, oddJson, oddNumber, oddText } from "./hostile-values.ts";
import { NOW } from "./time-documents.ts";

/** Any answer in place of Firestore's, the metadata server's or the refresher's gives a sound value, or an error that quotes nothing. */

const reply = { status: 200, headers: {} as Record<string, string>, body: "" };
const server = createServer((_, response) => {
  response.writeHead(reply.status, reply.headers);
  response.end(reply.body);
});
let host = "";
// No limit of a request ends by itself, so no test depends on the machine's speed.
beforeEach(() => void driveDeadlines());
afterEach(() => vi.restoreAllMocks());
beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const says = (status: number, body: string, headers: Record<string, string> = {}) =>
  Object.assign(reply, { status, body, headers });
const status = fc.constantFrom(200, 200, 200, 200, 204, 302, 401, 404, 500);
const anyBody = fc.oneof(
  oddJson.map((value) => JSON.stringify(value) ?? ""),
  oddText,
  fc.constantFrom(
    "",
    "<html>",
    `{"${CANARY}`,
    CANARY,
    `"${CANARY}"`,
    "[".repeat(100_000),
    "null",
    `${"{}".repeat(9)}`,
  ),
);

/** The value, or the error of the rejection. */
const settled = async <T>(work: Promise<T>): Promise<{ value: T } | { error: Error }> =>
  work.then(
    (value) => ({ value }),
    (error: Error) => ({ error }),
  );

function expectNoQuote(error: Error): void {
  expect(error).toBeInstanceOf(Error);
  expect(error.message).not.toContain(CANARY);
  expect(error.message.length).toBeLessThan(200);
}

describe("Firestore over REST", () => {
  const leaf = fc.oneof(
    oddNumber.map((number) => ({ doubleValue: Number.isFinite(number) ? number : String(number) })),
    oddText.map((text) => ({ integerValue: text })),
    oddText.map((text) => ({ stringValue: text })),
    oddText.map((text) => ({ timestampValue: text })),
    oddJson.map((value) => ({ booleanValue: value })),
    fc.constantFrom<object>(
      { nullValue: null },
      { nullValue: "NULL_VALUE" },
      { bytesValue: "AAAA" },
      { geoPointValue: { latitude: "NaN" } },
      { referenceValue: "projects/p/databases/(default)/documents/tokens/1" },
      { mapValue: null },
      { mapValue: { fields: [] } },
      { arrayValue: { values: {} } },
      { newKindValue: 1 },
      {},
    ),
    oddJson.map((value) => ({ value })),
    oddJson as fc.Arbitrary<object>,
  );
  const typed = fc.oneof(
    leaf,
    fc.array(leaf, { maxLength: 3 }).map((values) => ({ arrayValue: { values } })),
    fc
      .dictionary(
        fc.constantFrom("id", "expires", "count", "code", "since", "at", "inputs", "__proto__"),
        leaf,
      )
      .map((fields) => ({ mapValue: { fields } })),
  );
  const FIELDS = [
    "clientId",
    "refreshToken",
    "accessToken",
    "accessExpires",
    "refreshAt",
    "lease",
    "failure",
    "static",
  ];
  const document = fc.record({
    name: fc.constant("projects/p/databases/(default)/documents/tokens/flow"),
    fields: fc.oneof(fc.dictionary(fc.constantFrom(...FIELDS, "__proto__"), typed), oddJson),
    updateTime: fc.oneof(fc.constant("2027-01-15T08:00:00.123456Z"), oddJson),
  });
  const date = fc.constantFrom("Fri, 15 Jan 2027 08:00:00 GMT", "yesterday", "", "0", "9".repeat(30));

  test("gives a sound token, none or StoreUnavailable for any document and any answer", async () => {
    const notNeeded = () => Promise.reject(new Error("not needed"));
    const options = { project: "p", database: "(default)", emulator: host, accessToken: notNeeded };
    const reader = firestoreReader({ ...options, now: () => NOW });
    const body = fc.oneof(
      { weight: 4, arbitrary: document.map((value) => JSON.stringify(value)) },
      { weight: 1, arbitrary: anyBody },
    );
    await fc.assert(
      fc.asyncProperty(status, body, date, async (status, body, date) => {
        says(status, body, { date });
        const read = await settled(reader.read("tokens", "flow"));
        if ("error" in read) {
          expect(read.error).toBeInstanceOf(StoreUnavailable);
          return expectNoQuote(read.error);
        }
        if (read.value === undefined) return expect(status).toBe(404);
        const { version, readAt, writtenAt, fields } = read.value;
        expect(version).toEqual(expect.any(String));
        expectSound([readAt, writtenAt, parseDocument(fields).document]);
        const { inputs } =
          (await tokenReader({ read: async () => read.value }, () => NOW).read("flow")) ?? {};
        expect(inputs).toMatch(/^[0-9a-f]{64}$/);
        expectUnpolluted();
      }),
      runs(150, 600),
    );
  });
});

describe("the metadata server", () => {
  const token = fc.oneof(oddJson, fc.constantFrom("made-up", "made-up\n", "made\nup", "mäde-up"));
  const answer = fc.oneof(
    fc
      .record({ access_token: token, expires_in: fc.oneof(oddJson, fc.constant(3600)) }, { requiredKeys: [] })
      .map((value) => JSON.stringify(value)),
    fc.constantFrom(
      '{"access_token":"made-up","expires_in":1e999}',
      '{"access_token":"made-up","expires_in":-1e999}',
    ),
    anyBody,
  );

  test("gives an access token that fits a header and is not cached for days, or an error that quotes nothing", async () => {
    await fc.assert(
      fc.asyncProperty(status, answer, async (status, body) => {
        let now = NOW;
        const metadata = metadataServer(host, () => now);
        says(status, body);
        const got = await settled(metadata.accessToken());
        if ("error" in got) return expectNoQuote(got.error);
        expect(got.value).toMatch(/^[\x21-\x7e]+$/);
        now += DAY;
        says(503, "");
        expect(await settled(metadata.accessToken())).toHaveProperty("error");
      }),
      runs(80, 400),
    );
  });

  test("gives an identity token that fits a header, or an error that quotes nothing", async () => {
    const claims = fc.oneof(
      fc.record({ exp: oddJson }).map((claims) => JSON.stringify(claims)),
      anyBody,
    );
    const jwt = fc.oneof(
      claims.map((claims) => `a.${Buffer.from(claims).toString("base64url")}.c`),
      anyBody,
    );
    await fc.assert(
      fc.asyncProperty(status, jwt, async (status, body) => {
        says(status, body);
        const got = await settled(metadataServer(host, () => NOW).identityToken("https://a.example"));
        if ("error" in got) expectNoQuote(got.error);
        else expect(got.value).toMatch(/^[\x21-\x7e]+$/);
      }),
      runs(80, 400),
    );
  });
});

describe("the refresher", () => {
  const OUTCOMES = [
    ...[
      "refreshed",
      "unchanged",
      "fresh",
      "deferred",
      "held",
      "leased",
      "failed",
      "discarded",
      "unsaved",
      "missing",
    ],
  ];
  const outcome = fc.record(
    {
      outcome: fc.oneof(fc.constantFrom(...OUTCOMES), oddJson),
      until: fc.oneof(oddJson, fc.constant(NOW)),
      code: oddJson,
      permanent: oddJson,
    },
    { requiredKeys: [] },
  );

  test("gives one of its outcomes with all fields, or an error that quotes nothing", async () => {
    const identityToken = () => Promise.reject(new Error("not needed"));
    const askRefresher = refresherAt(`http://${host}`, { identityToken });
    const body = fc.oneof(
      outcome.map((value) => JSON.stringify(value)),
      fc.constant('{"outcome":"held","until":1e999}'),
      anyBody,
    );
    await fc.assert(
      fc.asyncProperty(status, body, async (status, body) => {
        says(status, body);
        const got = await settled(askRefresher("flow", { by: "reader" }));
        if ("error" in got) return expectNoQuote(got.error);
        expect(OUTCOMES).toContain(got.value.outcome);
        if (["deferred", "held", "leased"].includes(got.value.outcome)) {
          const { until } = got.value as { until?: unknown };
          expect(typeof until).toBe("number");
          expectSound(until);
        }
      }),
      runs(80, 400),
    );
  });
});
