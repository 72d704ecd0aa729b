import { describe, expect, test } from "vitest";
import type { TokenDocument } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { type Ask, askFor, DAY, HOUR, LEASE_TIME, MINUTE, SECOND } from "../../functions/core/time.ts";
import {
  failed,
  judge,
  NOW,
  OPERATOR,
  READER,
  REJECTED,
  refusal,
  SWEEP,
  WELL,
  withLife,
  without,
} from "./time-documents.ts";

describe("a reader", () => {
  test.each([
    ["with life above the threshold", withLife(2 * HOUR + 1)],
    ["with life of exactly the threshold", withLife(2 * HOUR)],
    ["even when the sweep is late", withLife(3 * HOUR, { refreshAt: NOW - HOUR })],
    ["even while it is being refreshed", { ...WELL, lease: { id: "l", expires: NOW + 20 * SECOND } }],
    ["even after a refusal", { ...WELL, failure: refusal() }],
  ])("is answered %s", (_, document) => {
    expect(judge(document)).toEqual({ act: "answer" });
  });

  test("asks for a refresh below the threshold, once that is due", () => {
    expect(judge(withLife(2 * HOUR - 1, { refreshAt: NOW }))).toEqual({ act: "refresh" });
  });

  test("does not ask below the threshold before that is due: a try was made", () => {
    const document = withLife(HOUR, { refreshAt: NOW + 20 * SECOND, failure: failed() });
    expect(judge(document)).toEqual({ act: "wait", until: NOW + 20 * SECOND, leased: false });
  });

  test("asks for a refresh of a document that never was scheduled", () => {
    expect(judge(without("refreshAt", withLife(HOUR)))).toEqual({ act: "refresh" });
  });

  test.each([
    ["1 h", 3600, 30 * MINUTE],
    ["12 h", 43_200, 2 * HOUR],
    ["14 days", 14 * 86_400, 2 * HOUR],
  ])("asks below the threshold of a token of %s and not above", (_, lifetime, threshold) => {
    const document = (life: number) => withLife(life, { lifetime, refreshAt: NOW });
    expect(judge(document(threshold)).act).toBe("answer");
    expect(judge(document(threshold - 1)).act).toBe("refresh");
  });
});

describe("the sweep", () => {
  test("takes up what is due, however much it lives", () => {
    expect(judge({ ...WELL, refreshAt: NOW }, SWEEP)).toEqual({ act: "refresh" });
  });

  test("leaves what is not due, even when it has ended", () => {
    expect(judge(withLife(-HOUR, { refreshAt: NOW + 1 }), SWEEP)).toEqual({ act: "answer" });
  });

  test("takes up a document of Cisco's sample, which knows neither refreshAt nor lifetime", () => {
    const sample = without("refreshAt", without("lifetime"));
    expect(judge(sample, SWEEP)).toEqual({ act: "refresh" });
    expect(judge(sample, READER)).toEqual({ act: "answer" });
  });
});

describe("a sample document without lifetime is judged by its two instants, else as a 12-hour token", () => {
  const sample = (accessExpires: number, lastRefresh?: number): TokenDocument => ({
    accessToken: "made-up",
    refreshToken: "made-up",
    accessExpires,
    ...(lastRefresh !== undefined && { lastRefresh }),
  });

  test.each<[string, TokenDocument, string]>([
    ["an hour-token with 31 minutes", sample(NOW + 31 * MINUTE, NOW - 29 * MINUTE), "answer"],
    ["an hour-token with 29 minutes", sample(NOW + 29 * MINUTE, NOW - 31 * MINUTE), "refresh"],
    ["an unknown one with 2 h", sample(NOW + 2 * HOUR), "answer"],
    ["an unknown one below 2 h", sample(NOW + 2 * HOUR - 1), "refresh"],
  ])("%s", (_, document, act) => {
    expect(judge(document).act).toBe(act);
  });
});

describe("a fixed token", () => {
  const fixed = (life: number, more: TokenDocument = {}): TokenDocument => ({
    accessToken: "made-up",
    accessExpires: NOW + life,
    static: true,
    ...more,
  });

  test.each<[string, Ask]>([
    ["a reader", READER],
    ["a rejection", REJECTED],
    ["a need for more life", { by: "reader", minTtl: 7200 }],
    ["the sweep", SWEEP],
    ["an operator", OPERATOR],
  ])("is never refreshed while it lives: %s", (_, ask) => {
    expect(judge(fixed(HOUR), ask)).toEqual({ act: "answer" });
    expect(judge(fixed(HOUR, { refreshToken: "left over", refreshAt: NOW }), ask)).toEqual({ act: "answer" });
  });

  test("needs a person when it has ended", () => {
    expect(judge(fixed(0))).toEqual({ act: "refuse", need: "static_expired" });
    expect(judge(fixed(0, { refreshToken: "left over" }))).toEqual({ act: "refuse", need: "static_expired" });
    expect(judge(fixed(0), OPERATOR)).toEqual({ act: "refuse", need: "static_expired" });
    const due = fixed(0, { refreshToken: "left over", refreshAt: NOW });
    expect(judge(due, SWEEP)).toEqual({ act: "refuse", need: "static_expired" });
  });
});

describe("a token that is not authorized", () => {
  test.each([
    ["an empty document", {}],
    [
      "client settings only",
      { clientId: "made-up", clientSecret: "made-up", redirectUri: "https://x.example" },
    ],
    ["an access token that ended", without("refreshToken", withLife(0))],
  ])("needs a person: %s", (_, document) => {
    expect(judge(document)).toEqual({ act: "refuse", need: "not_authorized" });
  });

  test("is served while an access token lives", () => {
    expect(judge(without("refreshToken", withLife(MINUTE)))).toEqual({ act: "answer" });
    expect(judge(without("refreshToken", withLife(MINUTE)), REJECTED)).toEqual({ act: "answer" });
  });

  test("is nothing for the sweep", () => {
    expect(judge({}, SWEEP)).toEqual({ act: "answer" });
  });
});

describe("a held lease means wait", () => {
  const leased = (expires: number, more: TokenDocument = {}) =>
    withLife(0, { refreshAt: NOW, lease: { id: "somebody", expires }, ...more });

  test.each<[string, Ask]>([
    ["a reader", READER],
    ["a rejection", REJECTED],
    ["the sweep", SWEEP],
    ["an operator", OPERATOR],
  ])("for %s", (_, ask) => {
    const wait = { act: "wait", until: NOW + LEASE_TIME, leased: true };
    expect(judge(leased(NOW + LEASE_TIME), ask)).toEqual(wait);
    expect(judge(leased(NOW + 1), ask)).toEqual({ ...wait, until: NOW + 1 });
  });

  test("for a token that was refused and is tried again", () => {
    expect(judge(leased(NOW + 5000, { failure: refusal() })).act).toBe("wait");
  });

  test("until it expires: one that is never given back holds nobody up for longer", () => {
    expect(judge(leased(NOW))).toEqual({ act: "refresh" });
    expect(judge(leased(NOW - DAY))).toEqual({ act: "refresh" });
  });

  test("a lease from a clock far ahead is no lease", () => {
    expect(judge(leased(NOW + DAY))).toEqual({ act: "refresh" });
  });

  // Promise 2. SQLite takes readAt before it runs the query, and clocks are corrected by steps: a lease just
  // written can look a little longer than LEASE_TIME. Ignoring it makes a second request for the same token.
  test.each([1, 50, SECOND])(
    "a lease taken by a clock %i ms ahead of this one is held like any other",
    (skew) => {
      expect(judge(leased(NOW + LEASE_TIME + skew)).act).toBe("wait");
    },
  );
});

describe("a need for more life than there can be causes no storm", () => {
  test("more than a fresh token lives: the held one serves", () => {
    const document = withLife(11 * HOUR);
    expect(judge(document, { by: "reader", minTtl: 12 * 3600 + 1 })).toEqual({ act: "answer" });
    expect(judge(document, { by: "reader", minTtl: 90 * 86_400 })).toEqual({ act: "answer" });
  });

  test("below the threshold a refresh is asked for all the same", () => {
    const document = withLife(HOUR, { refreshAt: NOW });
    expect(judge(document, { by: "reader", minTtl: 90 * 86_400 })).toEqual({ act: "refresh" });
  });

  test("with nothing held, it is a reader like any other", () => {
    expect(judge(withLife(0), { by: "reader", minTtl: 90 * 86_400 })).toEqual({ act: "refresh" });
    expect(judge(withLife(0, { lastRefresh: NOW - SECOND }), { by: "reader", minTtl: 90 * 86_400 }).act).toBe(
      "wait",
    );
  });

  // A token never has its whole lifetime left: it is counted from the start of the request. minTtl=3600 with
  // tokens of an hour therefore asks Webex every 30 s, for ever, and no answer ever satisfies it.
  test("exactly what a fresh token lives can't be had either", () => {
    const fresh = { lifetime: 3600, accessExpires: NOW + 59 * MINUTE, lastRefresh: NOW - MINUTE };
    expect(judge({ ...WELL, ...fresh }, { by: "reader", minTtl: 3600 })).toEqual({ act: "answer" });
  });
});

describe("a rejected token is known by its hash", () => {
  test("the held token is the refused one", () => {
    expect(askFor({ by: "reader", ifToken: sha256("made-up-access-token") }, WELL).rejected).toBe(true);
  });

  test.each<[string, string | undefined, TokenDocument]>([
    ["it was replaced since", sha256("an older made-up token"), WELL],
    ["none was refused", undefined, WELL],
    ["none is held", sha256(""), {}],
    ["none was refused and none is held", undefined, {}],
  ])("it is not rejected: %s", (_, ifToken, document) => {
    expect(askFor({ by: "reader", ...(ifToken && { ifToken }) }, document).rejected).toBe(false);
  });

  test("who asks, and for how much, travels along", () => {
    expect(askFor({ by: "reader", minTtl: 60 }, WELL)).toMatchObject({ by: "reader", minTtl: 60 });
  });
});
