import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { finishAuthorization } from "../../functions/core/authorization.ts";
import { redeemState } from "../../functions/core/consent.ts";
import { parseDocument } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { Problem } from "../../functions/core/reply.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { needText, stateOf } from "../../functions/core/state.ts";
import { readCensus, readSweeps, recordSweep } from "../../functions/core/status.ts";
import { inputsOf, type StoredToken, tokenStore } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD, decide, lifeOf, scheduleOf } from "../../functions/core/time.ts";
import { prospects, viewOf } from "../../local/commands/view.ts";
import { runs } from "../support/property.ts";
import { CANARY, expectSound, expectUnpolluted, oddJson, oddText, oddValue } from "./hostile-values.ts";
import { NOW, OPERATOR, READER, REJECTED, SWEEP } from "./time-documents.ts";

/** Documents of any values can be read, and all that computes with them gets sound values. */

const documents = openSqlite(":memory:", () => NOW);
const store = tokenStore(documents, () => NOW);
const runtime: Runtime = { now: () => NOW, sleep: async () => {}, secret: () => "made-up" };
afterAll(() => documents.close());

let count = 0;
const newId = () => `made-up-${++count}`;

describe("a token document", () => {
  const FIELDS = [
    ...["clientId", "clientSecret", "redirectUri", "accessToken", "refreshToken", "scope", "orgId", "scopes"],
    ...[
      "accessExpires",
      "refreshExpires",
      "lastRefresh",
      "lifetime",
      "refreshAt",
      "passphraseHash",
      "static",
    ],
    ...["lease", "failure", "__proto__", "constructor", "toString"],
  ];
  const raw = fc.dictionary(fc.constantFrom(...FIELDS), oddValue, { minKeys: 1 });
  const stored = (fields: Record<string, unknown>): StoredToken => ({
    name: "made-up",
    ...parseDocument(fields),
    unopened: {},
    inputs: "made-up",
    version: "1",
    writtenAt: NOW,
    ahead: 0,
    snapshot: { id: "made-up", fields, version: "1", readAt: NOW, writtenAt: NOW },
  });

  test("of any values is read without an exception, and reads as sound values", () => {
    fc.assert(
      fc.property(raw, (fields) => {
        const { document, mistyped } = parseDocument(fields);
        expectSound(document);
        expect(FIELDS).toEqual(expect.arrayContaining(mistyped));
        expectUnpolluted();
      }),
      runs(200, 1000),
    );
  });

  test("of any values can be judged, scheduled and shown", () => {
    fc.assert(
      fc.property(raw, fc.constantFrom(READER, REJECTED, SWEEP, OPERATOR), (fields, ask) => {
        const token = stored(fields);
        const { document } = token;
        expectSound(lifeOf(document, NOW));
        expectSound(decide(token, ask, NOW, DEFAULT_THRESHOLD));
        expect(scheduleOf("made-up", document, NOW, DEFAULT_THRESHOLD)).not.toBeNaN();
        expectSound(viewOf(token, NOW));
        expect(`${stateOf(token, NOW)} ${prospects(token, NOW)}`).not.toMatch(
          /NaN|Infinity|undefined|\[object/,
        );
        for (const need of ["not_authorized", "static_expired", "refused"] as const)
          expect(needText(token, need)).toMatch(/run "npm run tokens -- /);
      }),
      runs(200, 1000),
    );
  });

  test("has a hash of any credentials", () => {
    fc.assert(
      fc.property(oddJson, oddJson, oddJson, (clientId, clientSecret, refreshToken) => {
        expect(inputsOf({ clientId, clientSecret, refreshToken })).toMatch(/^[0-9a-f]{64}$/);
      }),
      runs(100, 1000),
    );
  });
});

describe("the service's status documents", () => {
  const SWEEP_DONE = {
    due: 1,
    refreshed: 1,
    failed: 0,
    deferred: 0,
    paused: 0,
    remaining: 0,
    overdueSeconds: 0,
    elapsedMs: 1,
  };
  const entry = fc.oneof(oddJson, fc.record({ at: oddJson }), fc.record({ at: fc.nat(), due: oddJson }));
  const fields = fc.record(
    { last: oddJson, sweeps: fc.oneof(fc.array(entry), oddJson) },
    { requiredKeys: [] },
  );

  test("of any values are read, and the next sweep is recorded", async () => {
    await fc.assert(
      fc.asyncProperty(fields, async (fields) => {
        await documents.remove("status", "sweeps");
        await documents.create("status", "sweeps", fields);
        const before = await readSweeps(documents);
        expectSound(before.last);
        for (const sweep of before.sweeps) {
          expect(typeof sweep.at).toBe("number");
          expectSound(sweep.at);
        }
        await recordSweep(SWEEP_DONE, NOW, documents);
        const after = await readSweeps(documents);
        expect(after.last).toBe(NOW);
        expect(after.sweeps.at(-1)).toEqual({ ...SWEEP_DONE, at: NOW });
        expect(after.sweeps.length).toBe(Math.min(100, before.sweeps.length + 1));
      }),
      runs(80, 300),
    );
  });

  test("of any values give a time of the last census, or none", async () => {
    await fc.assert(
      fc.asyncProperty(oddJson, async (last) => {
        await documents.remove("status", "census");
        await documents.create("status", "census", { last });
        expectSound(await readCensus(documents));
      }),
      runs(80, 300),
    );
  });
});

describe("a state document of any values", () => {
  const fields = fc.record(
    {
      name: fc.oneof(oddJson, fc.constant("made-up-token")),
      expires: fc.oneof(oddJson, fc.integer({ min: NOW - 10, max: NOW + 10 })),
      verifier: fc.oneof(oddJson, fc.constant(CANARY)),
      usedAt: oddJson,
      newOrg: oddJson,
    },
    { requiredKeys: [] },
  );

  test("is redeemed once or refused in a sentence", async () => {
    await fc.assert(
      fc.asyncProperty(fields, async (fields) => {
        const state = newId();
        await documents.create("authorizations", sha256(state), fields);
        const redeem = () => redeemState(state, false, { store, runtime }).catch((error: unknown) => error);
        const first = await redeem();
        if (first instanceof Error) expectRefused(first);
        else {
          const { name, verifier, newOrg } = first as Awaited<ReturnType<typeof redeemState>>;
          expect([typeof name, typeof (verifier ?? ""), typeof newOrg]).toEqual([
            "string",
            "string",
            "boolean",
          ]);
          expect(fields).not.toHaveProperty("usedAt");
          expect(Number(fields.expires)).toBeGreaterThan(NOW);
        }
        expectRefused(await redeem());
      }),
      runs(80, 300),
    );
  });

  test("refuses any made-up code and state in a sentence, without a request to Webex (row 10)", async () => {
    let asked = 0;
    const never = async () => {
      asked++;
      return { error: "network" as const };
    };
    const endpoint = { exchange: never, refresh: never, issue: never };
    const authorizer = {
      store,
      endpoint,
      runtime,
      log: () => {},
      threshold: DEFAULT_THRESHOLD,
      plainStates: true,
    };
    await fc.assert(
      fc.asyncProperty(oddText, oddText, async (code, state) => {
        const ended = await finishAuthorization({ code, state }, authorizer).catch((error: unknown) => error);
        expectRefused(ended);
      }),
      runs(80, 300),
    );
    expect(asked).toBe(0);
  });

  function expectRefused(error: unknown): void {
    expect(error).toBeInstanceOf(Problem);
    expect((error as Problem).code).toMatch(/^(state_refused|unset_state|not_found)$/);
    expect((error as Problem).message).not.toContain(CANARY);
  }
});
