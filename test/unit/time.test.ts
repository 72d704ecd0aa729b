import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Failure, TokenDocument } from "../../functions/core/document.ts";
import {
  type Ask,
  askFor,
  backoffOf,
  DAY,
  DEFAULT_THRESHOLD,
  decide,
  HOUR,
  LEASE_TIME,
  LONGEST_RETRY_AFTER,
  lifeOf,
  lifetimeOf,
  MINUTE,
  SECOND,
  scheduleOf,
  secondsUntil,
  sha256,
  thresholdOf,
  UNCHANGED_CODE,
} from "../../functions/core/time.ts";

const NOW = 1_800_000_000_000;
const INPUTS = "hash of the credentials";
const READER: Ask = { by: "reader" };
const SWEEP: Ask = { by: "sweep" };
const OPERATOR: Ask = { by: "operator" };
const REJECTED: Ask = { by: "reader", rejected: true };

/** A 12-hour token, refreshed an hour ago. */
const WELL: TokenDocument = {
  clientId: "made-up-client",
  clientSecret: "made-up-secret",
  accessToken: "made-up-access-token",
  refreshToken: "made-up-refresh-token",
  accessExpires: NOW + 11 * HOUR,
  refreshExpires: NOW + 60 * DAY,
  lastRefresh: NOW - HOUR,
  lifetime: 12 * 60 * 60,
  refreshAt: NOW + 8 * HOUR,
};
/** The same with this much life left, and not due. */
const withLife = (life: number, more: TokenDocument = {}): TokenDocument => ({
  ...WELL,
  accessExpires: NOW + life,
  ...more,
});
const failed = (more: Partial<Failure> = {}): Failure => ({
  count: 1,
  code: "http_503",
  since: NOW - MINUTE,
  at: NOW - MINUTE,
  permanent: false,
  inputs: INPUTS,
  ...more,
});
const refusal = (more: Partial<Failure> = {}) => failed({ permanent: true, code: "invalid_grant", ...more });
const judge = (document: TokenDocument, ask: Ask = READER, now = NOW, threshold = DEFAULT_THRESHOLD) =>
  decide({ document, inputs: INPUTS }, ask, now, threshold);
const without = (field: keyof TokenDocument, document: TokenDocument = WELL): TokenDocument => {
  const { [field]: _, ...rest } = document;
  return rest;
};

describe("the life of a held token", () => {
  test.each([
    ["an hour", { accessToken: "a", accessExpires: NOW + HOUR }, HOUR],
    ["one second", { accessToken: "a", accessExpires: NOW + SECOND }, SECOND],
    ["less than a second counts as none", { accessToken: "a", accessExpires: NOW + SECOND - 1 }, 0],
    ["ended now", { accessToken: "a", accessExpires: NOW }, 0],
    ["ended long ago", { accessToken: "a", accessExpires: NOW - DAY }, 0],
    ["no token", { accessExpires: NOW + HOUR }, 0],
    ["no expiry", { accessToken: "a" }, 0],
    ["an empty document", {}, 0],
  ])("%s", (_, document, life) => {
    expect(lifeOf(document, NOW)).toBe(life);
  });
});

describe("the lifetime is what the last grant said; for a document of Cisco's sample, what it can be told from", () => {
  test.each<[string, TokenDocument, number]>([
    ["its own lifetime", { lifetime: 3600, accessExpires: NOW, lastRefresh: NOW - DAY }, HOUR],
    ["no lifetime: from the two instants", { accessExpires: NOW + HOUR, lastRefresh: NOW - HOUR }, 2 * HOUR],
    ["zero is no lifetime", { lifetime: 0, accessExpires: NOW + HOUR, lastRefresh: NOW - HOUR }, 2 * HOUR],
    ["instants in the wrong order", { accessExpires: NOW - HOUR, lastRefresh: NOW }, 12 * HOUR],
    ["only one instant", { accessExpires: NOW }, 12 * HOUR],
    ["nothing at all", {}, 12 * HOUR],
  ])("%s", (_, document, lifetime) => {
    expect(lifetimeOf(document)).toBe(lifetime);
  });
});

describe("the threshold is two hours or half the lifetime, whichever is less", () => {
  test.each([
    ["1 h", 3600, 30 * MINUTE],
    ["12 h", 43_199, 2 * HOUR],
    ["14 days", 14 * 86_400, 2 * HOUR],
    ["1 s", 1, 500],
  ])("a token of %s", (_, lifetime, threshold) => {
    expect(thresholdOf({ lifetime }, DEFAULT_THRESHOLD)).toBe(threshold);
  });

  test("an operator's upper bound replaces the two hours, not the half", () => {
    expect(thresholdOf({ lifetime: 43_200 }, 10 * MINUTE)).toBe(10 * MINUTE);
    expect(thresholdOf({ lifetime: 43_200 }, 7 * DAY)).toBe(6 * HOUR);
  });
});

const lifetimes = fc.oneof(
  fc.constantFrom(1, 10, 3600, 43_199, 14 * 86_400),
  fc.integer({ min: 1, max: 90 * 86_400 }),
);
const names = fc.string({ minLength: 1, maxLength: 40 });

describe("the scheduler comes before any reader", () => {
  test.each([
    ["1 h", 3600, HOUR / 8],
    ["12 h", 43_200, 30 * MINUTE],
    ["14 days", 14 * 86_400, 30 * MINUTE],
  ])("a token of %s is due between one and two leads before its threshold", (_, lifetime, lead) => {
    const document = { lifetime, accessExpires: NOW + lifetime * SECOND };
    const threshold = thresholdOf(document, DEFAULT_THRESHOLD);
    for (let index = 0; index < 200; index++) {
      const at = scheduleOf(`token-${index}`, document, NOW, DEFAULT_THRESHOLD);
      const ahead = document.accessExpires - threshold - at;
      expect(ahead).toBeGreaterThanOrEqual(lead);
      expect(ahead).toBeLessThanOrEqual(2 * lead);
    }
  });

  test("for any name, lifetime and upper bound: due before a reader asks, and after it was made", () => {
    fc.assert(
      fc.property(
        names,
        lifetimes,
        fc.integer({ min: 10, max: 7 * 86_400 }),
        (name, lifetime, upperBound) => {
          const document = { lifetime, accessExpires: NOW + lifetime * SECOND };
          const at = scheduleOf(name, document, NOW, upperBound * SECOND);
          expect(at).toBeLessThan(document.accessExpires - thresholdOf(document, upperBound * SECOND));
          expect(at).toBeGreaterThan(NOW);
          expect(Number.isInteger(at)).toBe(true);
        },
      ),
    );
  });

  test("one name is always due at the same instant", () => {
    fc.assert(
      fc.property(names, lifetimes, (name, lifetime) => {
        const document = { lifetime, accessExpires: NOW + lifetime * SECOND };
        expect(scheduleOf(name, document, NOW, DEFAULT_THRESHOLD)).toBe(
          scheduleOf(name, document, NOW, DEFAULT_THRESHOLD),
        );
      }),
    );
  });

  test("tokens made together are spread over the whole jitter", () => {
    const document = { lifetime: 43_200, accessExpires: NOW + 12 * HOUR };
    const tenths = Array.from({ length: 1000 }, (_, index) => {
      const at = scheduleOf(`token-${index}`, document, NOW, DEFAULT_THRESHOLD);
      return Math.floor(((document.accessExpires - 2.5 * HOUR - at) / (30 * MINUTE)) * 10);
    });
    for (let tenth = 0; tenth < 10; tenth++) {
      const share = tenths.filter((each) => each === tenth).length;
      expect(share).toBeGreaterThan(60);
      expect(share).toBeLessThan(140);
    }
  });
});

describe("a refresh token is used once more, a day before it ends", () => {
  const lasting = (refreshExpires: number): TokenDocument => ({
    lifetime: 14 * 86_400,
    accessExpires: NOW + 14 * DAY,
    refreshExpires,
  });
  const schedule = (document: TokenDocument, now = NOW) =>
    scheduleOf("name", document, now, DEFAULT_THRESHOLD);

  test("its access token outlives it: due a day before its end", () => {
    expect(schedule(lasting(NOW + 5 * DAY))).toBe(NOW + 4 * DAY);
  });

  test("its access token ends earlier: due for that", () => {
    const plain = schedule(without("refreshExpires", lasting(0)));
    expect(schedule(lasting(NOW + 60 * DAY))).toBe(plain);
  });

  test.each([
    ["exactly a day", DAY],
    ["an hour", HOUR],
    ["nothing", 0],
    ["less than nothing", -DAY],
  ])("%s is left of it: the day before has been, and is not made up for again", (_, left) => {
    expect(schedule(lasting(NOW + left))).toBe(schedule(without("refreshExpires", lasting(0))));
  });

  test("after the refresh a day before its end, the next one is due as if it never ended", () => {
    const document = lasting(NOW + 5 * DAY);
    const at = schedule(document);
    expect(schedule({ ...document, accessExpires: at + 14 * DAY }, at)).toBeGreaterThan(at + 13 * DAY);
  });
});

describe("backoff after a transient failure", () => {
  const wait = (count: number, lifetime = 12 * HOUR, retryAfter?: number) =>
    backoffOf("name", { count, permanent: false, code: "http_503" }, lifetime, retryAfter);
  const around = (actual: number, expected: number) => {
    expect(actual).toBeGreaterThanOrEqual(expected * 0.75);
    expect(actual).toBeLessThanOrEqual(expected * 1.25);
  };

  test.each([
    [1, 30 * SECOND],
    [2, MINUTE],
    [3, 2 * MINUTE],
    [4, 4 * MINUTE],
    [5, 8 * MINUTE],
    [6, 10 * MINUTE],
    [7, 10 * MINUTE],
    [5000, 10 * MINUTE],
  ])("the %ith in a row waits about %i ms", (count, expected) => {
    around(wait(count), expected);
  });

  test("a short-lived token is tried again within an eighth of its lifetime", () => {
    around(wait(9, HOUR), 7.5 * MINUTE);
    around(wait(9, 8 * MINUTE), MINUTE);
    around(wait(1, 80 * SECOND), 10 * SECOND);
  });

  test("tokens that failed together come back apart", () => {
    const waits = Array.from({ length: 100 }, (_, index) =>
      Math.round(backoffOf(`token-${index}`, { count: 6, permanent: false, code: "timeout" }, 12 * HOUR)),
    );
    expect(new Set(waits).size).toBeGreaterThan(90);
    expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(2 * MINUTE);
  });

  test("is never over before a Retry-After", () => {
    expect(wait(1, 12 * HOUR, 5 * MINUTE)).toBe(5 * MINUTE);
    expect(wait(1, HOUR, 5 * MINUTE)).toBe(5 * MINUTE);
    expect(wait(6, 12 * HOUR, SECOND)).toBe(wait(6));
  });

  test("obeys a Retry-After up to ten minutes", () => {
    expect(wait(1, 12 * HOUR, DAY)).toBe(10 * MINUTE);
    expect(wait(1, 12 * HOUR, Number.POSITIVE_INFINITY)).toBe(LONGEST_RETRY_AFTER);
  });

  test("for any row of failures: never now, never longer than the ladder with its jitter or the Retry-After", () => {
    const counts = fc.integer({ min: 1, max: 100_000 });
    fc.assert(
      fc.property(names, counts, lifetimes, fc.nat(3 * HOUR), (name, count, lifetime, retryAfter) => {
        const failure = { count, permanent: false, code: "timeout" };
        const wait = backoffOf(name, failure, lifetime * SECOND, retryAfter);
        const most = Math.max(
          1.2 * Math.min(10 * MINUTE, (lifetime * SECOND) / 8),
          Math.min(retryAfter, 10 * MINUTE),
        );
        expect(wait).toBeGreaterThan(0);
        expect(wait).toBeLessThanOrEqual(most);
        expect(wait).toBeGreaterThanOrEqual(Math.min(retryAfter, 10 * MINUTE));
      }),
    );
  });
});

describe("backoff after a permanent failure: 10 min, 1 h, 6 h, then daily", () => {
  test.each([
    [1, 10 * MINUTE],
    [2, HOUR],
    [3, 6 * HOUR],
    [4, DAY],
    [5, DAY],
    [5000, DAY],
  ])("the %ith in a row waits about %i ms, however short the token lives", (count, expected) => {
    for (const lifetime of [MINUTE, 12 * HOUR]) {
      const wait = backoffOf("name", { count, permanent: true, code: "invalid_grant" }, lifetime);
      expect(wait).toBeGreaterThanOrEqual(expected * 0.75);
      expect(wait).toBeLessThanOrEqual(expected * 1.25);
    }
  });
});

test("backoff while Webex returns the same token begins at a minute and ends at ten", () => {
  const wait = (count: number) =>
    backoffOf("name", { count, permanent: false, code: UNCHANGED_CODE }, 12 * HOUR) / MINUTE;
  for (const [count, expected] of [
    [1, 1],
    [2, 2],
    [3, 4],
    [4, 8],
    [5, 10],
    [99, 10],
  ] as const) {
    expect(wait(count)).toBeGreaterThanOrEqual(expected * 0.75);
    expect(wait(count)).toBeLessThanOrEqual(expected * 1.25);
  }
});

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

describe("a forced ask does not wait for the schedule", () => {
  const LATER = NOW + 8 * HOUR;
  test.each<[string, TokenDocument, Ask]>([
    ["the token has ended", withLife(0, { refreshAt: LATER }), READER],
    ["less than a second is left", withLife(SECOND - 1, { refreshAt: LATER }), READER],
    ["an API refused the token", withLife(11 * HOUR, { refreshAt: LATER }), REJECTED],
    [
      "less is left than is needed",
      withLife(3 * HOUR, { refreshAt: LATER }),
      { by: "reader", minTtl: 10_801 },
    ],
    ["no access token was ever held", without("accessToken", { ...WELL, refreshAt: LATER }), READER],
  ])("when %s", (_, document, ask) => {
    expect(judge(document, ask)).toEqual({ act: "refresh" });
  });

  test("it is not one when just enough is left", () => {
    expect(judge(withLife(3 * HOUR), { by: "reader", minTtl: 10_800 })).toEqual({ act: "answer" });
  });

  test("it is not one when nothing special is needed", () => {
    expect(judge(withLife(3 * HOUR), { by: "reader", minTtl: 0 })).toEqual({ act: "answer" });
  });
});

describe("a forced ask still waits 30 s after a try", () => {
  const kinds: [string, (more: TokenDocument) => TokenDocument, Ask][] = [
    ["expired", (more) => withLife(0, more), READER],
    ["rejected", (more) => withLife(11 * HOUR, more), REJECTED],
    ["below minTtl", (more) => withLife(3 * HOUR, more), { by: "reader", minTtl: 4 * 3600 }],
  ];
  test.each(kinds)("%s, after a good refresh", (_, document, ask) => {
    const at = NOW - 29 * SECOND;
    expect(judge(document({ lastRefresh: at }), ask)).toEqual({
      act: "wait",
      until: at + 30 * SECOND,
      leased: false,
    });
    expect(judge(document({ lastRefresh: NOW - 30 * SECOND }), ask)).toEqual({ act: "refresh" });
  });

  test.each(kinds)("%s, after a transient failure, however far its backoff has grown", (_, document, ask) => {
    const at = NOW - 29 * SECOND;
    const late = { lastRefresh: NOW - DAY, refreshAt: NOW + 9 * MINUTE };
    expect(judge(document({ ...late, failure: failed({ at, count: 9 }) }), ask)).toEqual({
      act: "wait",
      until: at + 30 * SECOND,
      leased: false,
    });
    const older = { ...late, failure: failed({ at: NOW - 30 * SECOND, count: 9 }) };
    expect(judge(document(older), ask)).toEqual({ act: "refresh" });
  });

  test.each([
    [1, 1],
    [2, 2],
    [3, 4],
    [4, 8],
    [5, 10],
    [50, 10],
  ])("%i times the same token came back: %i min", (count, minutes) => {
    const document = (age: number) =>
      withLife(11 * HOUR, {
        lastRefresh: NOW - age,
        failure: failed({ code: UNCHANGED_CODE, count, at: NOW - age }),
      });
    expect(judge(document(minutes * MINUTE - 1), REJECTED)).toEqual({
      act: "wait",
      until: NOW + 1,
      leased: false,
    });
    expect(judge(document(minutes * MINUTE), REJECTED)).toEqual({ act: "refresh" });
  });

  test.each<[string, TokenDocument]>([
    ["lastRefresh", { lastRefresh: NOW + DAY }],
    ["failure.at", { failure: failed({ at: NOW + DAY }) }],
  ])("an instant written by a clock far ahead (%s) holds nothing back", (_, more) => {
    expect(judge(withLife(0, more))).toEqual({ act: "refresh" });
  });
});

describe("a token whose refresh was refused for good", () => {
  const refused = (life: number, more: TokenDocument = {}) =>
    withLife(life, { refreshAt: NOW + HOUR, failure: refusal({ at: NOW - HOUR }), ...more });

  test("is not asked for again by readers: the held one serves while it lives", () => {
    expect(judge(refused(HOUR))).toEqual({ act: "wait", until: NOW + HOUR, leased: false });
    expect(judge(refused(HOUR), REJECTED)).toEqual({ act: "wait", until: NOW + HOUR, leased: false });
    expect(judge(refused(HOUR), { by: "reader", minTtl: 7200 }).act).toBe("wait");
  });

  test("needs a person once nothing is held", () => {
    expect(judge(refused(0))).toEqual({ act: "refuse", need: "refused" });
    expect(judge(refused(0), REJECTED)).toEqual({ act: "refuse", need: "refused" });
  });

  test("is tried again when its long backoff is over", () => {
    expect(judge(refused(0, { refreshAt: NOW }), SWEEP)).toEqual({ act: "refresh" });
    expect(judge(refused(0, { refreshAt: NOW }), READER)).toEqual({ act: "refresh" });
  });

  test("is tried at once when its credentials were changed", () => {
    const fixed = { failure: refusal({ inputs: "hash of the wrong secret", at: NOW - SECOND }) };
    expect(judge(refused(0, fixed))).toEqual({ act: "refresh" });
    expect(judge(refused(HOUR, fixed))).toEqual({ act: "refresh" });
    expect(judge(refused(0, { ...fixed, refreshAt: NOW }), SWEEP)).toEqual({ act: "refresh" });
  });

  test("is tried at once for an operator", () => {
    expect(judge(refused(0), OPERATOR)).toEqual({ act: "refresh" });
    expect(judge(refused(HOUR), OPERATOR)).toEqual({ act: "refresh" });
  });
});

describe("changed credentials are due at once", () => {
  test.each<[string, Ask, number]>([
    ["for a reader with nothing held", READER, 0],
    ["for a reader below the threshold", READER, HOUR],
    ["for a rejected token", REJECTED, 11 * HOUR],
  ])("%s, after a transient failure a second ago", (_, ask, life) => {
    const failure = failed({ inputs: "hash of the old credentials", at: NOW - SECOND });
    expect(judge(withLife(life, { refreshAt: NOW + HOUR, failure }), ask)).toEqual({ act: "refresh" });
  });

  test("but not while somebody holds the lease", () => {
    const failure = refusal({ inputs: "hash of the old credentials" });
    const document = withLife(0, { failure, lease: { id: "l", expires: NOW + SECOND } });
    expect(judge(document)).toEqual({ act: "wait", until: NOW + SECOND, leased: true });
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

test.each([
  [NOW + 1, 1],
  [NOW + 1000, 1],
  [NOW + 1001, 2],
  [NOW, 1],
  [NOW - DAY, 1],
])("a caller is told whole seconds to wait, at least one", (instant, seconds) => {
  expect(secondsUntil(instant, NOW)).toBe(seconds);
});

/** Instants around now, of every order of magnitude; absent ones too. */
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
    lease: fc.record({ id: fc.constant("somebody"), expires: instant }),
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

/** Checks a sentence about every document, ask and threshold. */
const always = (
  asks: fc.Arbitrary<Ask>,
  check: (document: TokenDocument, ask: Ask, bound: number) => void,
  documents = anyDocument,
) => fc.assert(fc.property(documents, asks, anyBound, check), { numRuns: 3000 });

describe("whatever the document says", () => {
  test("no reader is told that the held token serves when none lives", () => {
    always(anyReader, (document, ask, bound) => {
      if (lifeOf(document, NOW) === 0) expect(judge(document, ask, NOW, bound).act).not.toBe("answer");
    });
  });

  test("nobody is refused while a token lives", () => {
    always(anyAsk, (document, ask, bound) => {
      if (lifeOf(document, NOW) > 0) expect(judge(document, ask, NOW, bound).act).not.toBe("refuse");
    });
  });

  test("a held lease is never broken, and is waited for by whoever wants a refresh that can be had", () => {
    always(anyAsk, (document, ask, bound) => {
      const expires = NOW + 1 + ((document.lease?.expires ?? 0) % LEASE_TIME);
      const held = { ...document, lease: { id: "somebody", expires } };
      const decision = judge(held, ask, NOW, bound);
      expect(decision.act).not.toBe("refresh");
      if (decision.act === "wait") expect(decision).toEqual({ act: "wait", until: expires, leased: true });
      if (judge(without("lease", document), ask, NOW, bound).act === "refresh")
        expect(decision.act).toBe("wait");
    });
  });

  test("a reader with life above the threshold, and no special wish, is answered", () => {
    always(fc.constant(READER), (document, ask, bound) => {
      const life = lifeOf(document, NOW);
      if (life > 0 && life >= thresholdOf(document, bound))
        expect(judge(document, ask, NOW, bound)).toEqual({ act: "answer" });
    });
  });

  test("nobody but an operator repeats what was refused with the same credentials before it is due", () => {
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

  test("no reader repeats a try of the last 30 s before it is due", () => {
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
      { numRuns: 3000 },
    );
  });

  test("an operator's refresh waits for nothing but a lease", () => {
    always(fc.constant(OPERATOR), (document, ask, bound) => {
      const decision = judge(document, ask, NOW, bound);
      if (document.refreshToken !== undefined && !document.static)
        expect(decision.act === "refresh" || (decision.act === "wait" && decision.leased)).toBe(true);
    });
  });

  test("the sweep does nothing before it is due", () => {
    always(fc.constant(SWEEP), (document, ask, bound) => {
      if ((document.refreshAt ?? 0) > NOW)
        expect(judge(document, ask, NOW, bound)).toEqual({ act: "answer" });
    });
  });

  test("a wait lies ahead and ends: then a refresh may be made, whatever else has happened to be written", () => {
    always(anyAsk, (document, ask, bound) => {
      const decision = judge(document, ask, NOW, bound);
      if (decision.act !== "wait") return;
      expect(decision.until).toBeGreaterThan(NOW);
      const later = judge(document, ask, decision.until, bound);
      if (!decision.leased) expect(later).not.toMatchObject({ act: "wait", leased: false });
      else expect(later).not.toMatchObject({ leased: true });
    });
  });

  test("who can't do with what is held waits ten minutes at most, unless a person is needed", () => {
    always(anyReader, (document, ask, bound) => {
      const decision = judge(document, ask, NOW, bound);
      if (decision.act === "wait" && lifeOf(document, NOW) === 0)
        expect(decision.until).toBeLessThanOrEqual(NOW + 10 * MINUTE);
    });
  });

  test("a person is called only where none but a person can help", () => {
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

  test("nothing is refreshed that has no refresh token or is fixed", () => {
    always(anyAsk, (document, ask, bound) => {
      if (document.refreshToken === undefined || document.static)
        expect(["answer", "refuse"]).toContain(judge(document, ask, NOW, bound).act);
    });
  });
});
