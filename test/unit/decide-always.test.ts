import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TokenDocument } from "../../functions/core/document.ts";
import {
  type Ask,
  DAY,
  DEFAULT_THRESHOLD,
  LEASE_TIME,
  lifeOf,
  livesTooLong,
  MINUTE,
  SECOND,
  thresholdOf,
  UNCHANGED_CODE,
} from "../../functions/core/time.ts";
import { runs } from "../support/property.ts";
import {
  failed,
  INPUTS,
  judge,
  lifetimes,
  NOW,
  OPERATOR,
  READER,
  refusal,
  SWEEP,
  without,
} from "./time-documents.ts";

/** Times around now, of every order of magnitude, and 0. */
const instant = fc.oneof(
  fc.integer({ min: -40_000, max: 40_000 }).map((offset) => NOW + offset),
  fc.integer({ min: -15 * MINUTE, max: 15 * MINUTE }).map((offset) => NOW + offset),
  fc.integer({ min: -3 * DAY, max: 100 * DAY }).map((offset) => NOW + offset),
  fc.constant(0),
);
const anyFailure = fc.record({
  count: fc.integer({ min: 1, max: 40 }),
  code: fc.constantFrom(UNCHANGED_CODE, "http_503", "invalid_grant", "missing_clientId"),
  since: instant,
  at: instant,
  permanent: fc.boolean(),
  inputs: fc.constantFrom(INPUTS, "hash of other credentials"),
});
const anyDocument: fc.Arbitrary<TokenDocument> = fc.record(
  {
    accessToken: fc.constant("made-up-access-token"),
    refreshToken: fc.constant("made-up-refresh-token"),
    accessExpires: instant,
    refreshExpires: instant,
    lastRefresh: instant,
    lifetime: lifetimes,
    refreshAt: instant,
    lease: fc.record({ id: fc.constant("another process"), expires: instant }),
    failure: anyFailure,
    static: fc.boolean(),
  },
  { requiredKeys: [] },
);
const anyReader: fc.Arbitrary<Ask> = fc.record(
  { by: fc.constant("reader" as const), minTtl: fc.nat(100_000), rejected: fc.boolean() },
  { requiredKeys: ["by"] },
);
const anyAsk: fc.Arbitrary<Ask> = fc.oneof(anyReader, fc.constantFrom(SWEEP, OPERATOR));
const anyBound = fc.constantFrom(10 * SECOND, DEFAULT_THRESHOLD, 7 * DAY);

/** Checks a rule on any document, ask and threshold. */
const always = (
  asks: fc.Arbitrary<Ask>,
  check: (document: TokenDocument, ask: Ask, bound: number) => void,
  documents = anyDocument,
) => fc.assert(fc.property(documents, asks, anyBound, check), runs(500, 3000));

describe("for any document, decide", () => {
  test("answers no reader without a live token", () => {
    always(anyReader, (document, ask, bound) => {
      if (lifeOf(document, NOW) === 0) expect(judge(document, ask, NOW, bound).act).not.toBe("answer");
    });
  });

  test("refuses no ask while a token lives", () => {
    always(anyAsk, (document, ask, bound) => {
      if (lifeOf(document, NOW) > 0) expect(judge(document, ask, NOW, bound).act).not.toBe("refuse");
    });
  });

  test("never breaks a lease, and waits for it where it would refresh", () => {
    always(anyAsk, (document, ask, bound) => {
      const expires = NOW + 1 + ((document.lease?.expires ?? 0) % LEASE_TIME);
      const held = { ...document, lease: { id: "another process", expires } };
      const decision = judge(held, ask, NOW, bound);
      expect(decision.act).not.toBe("refresh");
      if (decision.act === "wait") expect(decision).toEqual({ act: "wait", until: expires, leased: true });
      if (judge(without("lease", document), ask, NOW, bound).act === "refresh")
        expect(decision.act).toBe("wait");
    });
  });

  test("answers a plain reader of a token above its threshold", () => {
    always(fc.constant(READER), (document, ask, bound) => {
      const life = lifeOf(document, NOW);
      if (life > 0 && life >= thresholdOf(document, bound) && !livesTooLong(document, NOW))
        expect(judge(document, ask, NOW, bound)).toEqual({ act: "answer" });
    });
  });

  test("lets only an operator repeat a refused refresh with the same credentials before it is due (row 7)", () => {
    const asks = fc.oneof(anyReader, fc.constant(SWEEP));
    always(asks, (document, ask, bound) => {
      const refused = {
        ...document,
        failure: refusal(),
        refreshAt: NOW + 1 + ((document.refreshAt ?? 0) % DAY),
      };
      expect(judge(refused, ask, NOW, bound).act).not.toBe("refresh");
    });
  });

  test("lets no reader repeat a try of the last 30 s before it is due", () => {
    const age = fc.integer({ min: 0, max: 30 * SECOND - 1 });
    fc.assert(
      fc.property(anyDocument, anyReader, age, fc.boolean(), (document, ask, ago, worked) => {
        const tried: TokenDocument = {
          ...document,
          refreshAt: NOW + MINUTE,
          ...(worked ? { lastRefresh: NOW - ago } : { failure: failed({ at: NOW - ago }) }),
        };
        const known = worked ? without("failure", tried) : tried;
        expect(judge(known, ask).act).not.toBe("refresh");
      }),
      runs(500, 3000),
    );
  });

  test("makes an operator wait only for a lease", () => {
    always(fc.constant(OPERATOR), (document, ask, bound) => {
      const decision = judge(document, ask, NOW, bound);
      if (document.refreshToken !== undefined && !document.static)
        expect(decision.act === "refresh" || (decision.act === "wait" && decision.leased)).toBe(true);
    });
  });

  test("makes the sweep skip a token that is not due", () => {
    always(fc.constant(SWEEP), (document, ask, bound) => {
      if ((document.refreshAt ?? 0) > NOW)
        expect(judge(document, ask, NOW, bound)).toEqual({ act: "answer" });
    });
  });

  test("waits until a later time, at which it refreshes or answers", () => {
    always(anyAsk, (document, ask, bound) => {
      const decision = judge(document, ask, NOW, bound);
      if (decision.act !== "wait") return;
      expect(decision.until).toBeGreaterThan(NOW);
      const later = judge(document, ask, decision.until, bound);
      if (!decision.leased) expect(later).not.toMatchObject({ act: "wait", leased: false });
      else expect(later).not.toMatchObject({ leased: true });
    });
  });

  test("makes a reader without a live token wait ten minutes at most, unless a person must act", () => {
    always(anyReader, (document, ask, bound) => {
      const decision = judge(document, ask, NOW, bound);
      if (decision.act === "wait" && lifeOf(document, NOW) === 0)
        expect(decision.until).toBeLessThanOrEqual(NOW + 10 * MINUTE);
    });
  });

  test("demands a person only where only a person can help", () => {
    always(anyAsk, (document, ask, bound) => {
      const decision = judge(document, ask, NOW, bound);
      if (decision.act !== "refuse") return;
      const { need } = decision;
      if (need === "static_expired") expect(document.static).toBe(true);
      if (need === "not_authorized") expect(document.refreshToken).toBeUndefined();
      if (need === "refused") {
        expect(document.failure).toMatchObject({ permanent: true, inputs: INPUTS });
        expect(document.refreshAt).toBeGreaterThan(NOW);
      }
    });
  });

  test("never refreshes a static token or one without a refresh token", () => {
    always(anyAsk, (document, ask, bound) => {
      if (document.refreshToken === undefined || document.static)
        expect(["answer", "refuse"]).toContain(judge(document, ask, NOW, bound).act);
    });
  });
});
