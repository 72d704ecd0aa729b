import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { afterGrant, afterRefusal, merged as mergedFields } from "../../functions/core/changes.ts";
import type { Changes, Failure, TokenDocument } from "../../functions/core/document.ts";
import type { Grant, Refusal } from "../../functions/core/grant.ts";
import { inputsOf, type StoredToken } from "../../functions/core/store.ts";
import {
  type Ask,
  DAY,
  DEFAULT_THRESHOLD,
  decide,
  HOUR,
  LEASE_TIME,
  lifeOf,
  MINUTE,
  SECOND,
  UNCHANGED_CODE,
} from "../../functions/core/time.ts";
import { runs } from "../support/property.ts";

/** The document that the store has after these changes, a failure with the hash of the credentials beside it. */
function merged(document: TokenDocument, changes: Changes): TokenDocument {
  const after = mergedFields(document, changes);
  const inputs = inputsOf({ ...after });
  return changes.failure === undefined ? after : { ...after, failure: { ...changes.failure, inputs } };
}

const NOW = 1_800_000_000_000;
const ORG = "11111111-2222-3333-4444-555555555555";
const OTHER_ORG = "99999999-2222-3333-4444-555555555555";
const tokenOf = (org: string, mark = "made-up") => `${mark}_PF84_${org}`;

const HELD: TokenDocument = {
  clientId: "made-up-client",
  clientSecret: "made-up-secret",
  redirectUri: "https://setup.example/callback",
  accessToken: "made-up-old-access",
  refreshToken: "made-up-refresh",
  accessExpires: NOW + 2 * HOUR,
  refreshExpires: NOW + 50 * DAY,
  lastRefresh: NOW - 10 * HOUR,
  lifetime: 43_200,
  scope: "cjp:config_read",
  refreshAt: NOW,
  lease: { id: "ours", expires: NOW + LEASE_TIME },
};
const FULL: Grant = {
  accessToken: "made-up-new-access",
  expiresIn: 43_199,
  refreshToken: "made-up-new-refresh",
  refreshTokenExpiresIn: 5_184_000,
  scope: "cjp:config_read cjp:config_write",
};
const DOWN: Refusal = { code: "http_503", permanent: false };
const DEAD: Refusal = { code: "invalid_grant", permanent: true };

function stored(document: TokenDocument, name = "name"): StoredToken {
  const fields = { ...document };
  const snapshot = { id: name, fields, version: "1", readAt: NOW, writtenAt: NOW };
  return {
    name,
    document,
    mistyped: [],
    unopened: {},
    inputs: inputsOf(fields),
    version: "1",
    ahead: 0,
    writtenAt: NOW,
    snapshot,
  };
}

const granted = (document: TokenDocument, grant: Grant, from = NOW, until = from): Changes =>
  afterGrant(stored(document), grant, { from, until }, DEFAULT_THRESHOLD);
const refused = (document: TokenDocument, refusal: Refusal, now = NOW): Changes =>
  afterRefusal(stored(document), refusal, now);

describe("a full grant", () => {
  test("replaces the tokens, counts lifetimes from the start of the request and drops the lease", () => {
    expect(granted(HELD, FULL, NOW, NOW + 7 * SECOND)).toEqual({
      accessToken: "made-up-new-access",
      accessExpires: NOW + 43_199 * SECOND,
      refreshToken: "made-up-new-refresh",
      refreshExpires: NOW + 5_184_000 * SECOND,
      lastRefresh: NOW,
      lifetime: 43_199,
      scope: "cjp:config_read cjp:config_write",
      refreshAt: expect.any(Number),
      failure: undefined,
      lease: undefined,
    });
  });

  test("names the lease and the failure, so that the store deletes them", () => {
    const changes = granted(HELD, FULL);
    expect(Object.keys(changes)).toEqual(expect.arrayContaining(["lease", "failure"]));
  });

  test("clears a failure of any kind", () => {
    const failure: Failure = { count: 9, code: "x", since: NOW, at: NOW, permanent: true, inputs: "x" };
    expect(granted({ ...HELD, failure }, FULL).failure).toBeUndefined();
  });

  test("touches no client setting", () => {
    const changes = granted(HELD, FULL);
    for (const field of ["clientId", "clientSecret", "redirectUri", "scopes", "passphraseHash", "static"])
      expect(changes).not.toHaveProperty(field);
  });
});

describe("a field that Webex leaves out keeps its value (row 5)", () => {
  test.each<[keyof Grant, (keyof TokenDocument)[]]>([
    ["refreshToken", ["refreshToken"]],
    ["refreshTokenExpiresIn", ["refreshExpires"]],
    ["scope", ["scope"]],
  ])("%s", (left, kept) => {
    const { [left]: _, ...grant } = FULL;
    const after = merged(HELD, granted(HELD, grant as Grant));
    for (const field of kept) expect(after[field]).toEqual(HELD[field]);
  });

  test("a grant of an access token alone keeps all other fields, the refresh token's end included (row 5)", () => {
    const after = merged(HELD, granted(HELD, { accessToken: "made-up-new-access" }));
    expect(after).toMatchObject({
      accessToken: "made-up-new-access",
      refreshToken: HELD.refreshToken,
      refreshExpires: HELD.refreshExpires,
      scope: HELD.scope,
      lifetime: HELD.lifetime,
      clientSecret: HELD.clientSecret,
    });
  });
});

describe("a missing expires_in (row 14)", () => {
  const { expiresIn: _, ...grant } = FULL;

  test.each<[string, TokenDocument, number]>([
    ["means the previous lifetime", { ...HELD, lifetime: 3600 }, 3600],
    [
      "means what the two instants of Cisco's sample say",
      { accessToken: "made-up", accessExpires: NOW, lastRefresh: NOW - 2 * HOUR },
      7200,
    ],
    ["means 12 hours where nothing is known", { refreshToken: "made-up" }, 43_200],
  ])("%s", (_, document, lifetime) => {
    expect(granted(document, grant)).toMatchObject({
      lifetime,
      accessExpires: NOW + lifetime * SECOND,
      lastRefresh: NOW,
    });
  });

  // The held token's end is known; an answer without a new one must not extend it, or an ended token is served.
  test("for the same token keeps its known end", () => {
    const again: Grant = { accessToken: "made-up-old-access" };
    const after = merged(HELD, granted(HELD, again));
    expect(after.accessExpires).toBe(HELD.accessExpires);
    expect(after.failure?.code).toBe(UNCHANGED_CODE);
  });
});

describe("a token's organization", () => {
  test("is taken from the first grant", () => {
    expect(granted(HELD, { ...FULL, accessToken: tokenOf(ORG) }).orgId).toBe(ORG);
  });

  test("is kept when a later grant names another", () => {
    const changes = granted({ ...HELD, orgId: ORG }, { ...FULL, accessToken: tokenOf(OTHER_ORG) });
    expect(merged({ orgId: ORG }, changes).orgId).toBe(ORG);
  });

  test.each(["made-up-opaque", "made-up_PF84_consumer"])(
    "stays unknown for a token that does not name it: %s",
    (accessToken) => {
      expect(granted(HELD, { ...FULL, accessToken })).not.toHaveProperty("orgId");
    },
  );
});

describe("the next refresh after a grant", () => {
  test("is due before any reader's threshold", () => {
    const { refreshAt, accessExpires } = merged(HELD, granted(HELD, FULL));
    expect(refreshAt).toBeGreaterThan(NOW + 8 * HOUR);
    expect(refreshAt).toBeLessThan((accessExpires ?? 0) - 2 * HOUR);
  });

  test("is not due at once when the answer took longer than the schedule allows", () => {
    const until = NOW + 8 * SECOND;
    const { refreshAt } = granted(HELD, { ...FULL, expiresIn: 10 }, NOW, until);
    expect(refreshAt).toBeGreaterThan(until);
  });

  test("is a whole number later than the answer, for any grant and duration", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 90 * 86_400 }),
        fc.option(fc.integer({ min: -100, max: 90 * 86_400 }), { nil: undefined }),
        fc.nat(20 * SECOND),
        fc.constantFrom("made-up-old-access", "made-up-new-access"),
        fc.string(),
        (expiresIn, refreshTokenExpiresIn, took, accessToken, name) => {
          const grant = {
            accessToken,
            expiresIn,
            ...(refreshTokenExpiresIn !== undefined && { refreshTokenExpiresIn }),
          };
          const asked = { from: NOW, until: NOW + took };
          const { refreshAt } = afterGrant(stored(HELD, name), grant, asked, DEFAULT_THRESHOLD);
          expect(refreshAt).toBeGreaterThan(asked.until);
          expect(Number.isInteger(refreshAt)).toBe(true);
        },
      ),
      runs(300, 1000),
    );
  });
});

/** Refreshes at each `refreshAt`, as the sweep does, and gives the instants of the requests. */
function sweepOn(
  start: TokenDocument,
  answer: (now: number, document: TokenDocument) => Grant | Refusal,
  times: number,
  took = 0,
): { instants: number[]; document: TokenDocument } {
  let document = start;
  const instants: number[] = [];
  for (let index = 0; index < times; index++) {
    const from = Math.max(document.refreshAt ?? NOW, (instants.at(-1) ?? NOW) + took);
    const reply = answer(from, document);
    const changes =
      "accessToken" in reply
        ? granted(document, reply, from, from + took)
        : refused(document, reply, from + took);
    document = merged(document, changes);
    instants.push(from);
  }
  return { instants, document };
}

const gaps = (instants: number[]) => instants.slice(1).map((at, index) => at - (instants[index] ?? 0));

describe("no refresh loop (row 14)", () => {
  test("for any lifetime: ten refreshes a lifetime at most", () => {
    const refreshLifetime = fc.constantFrom(undefined, 60, 3600, 86_400, 60 * 86_400, 90 * 86_400);
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 14 * 86_400 })),
        refreshLifetime,
        fc.nat(2 * SECOND),
        (expiresIn, refreshTokenExpiresIn, took) => {
          let made = 0;
          const { instants } = sweepOn(
            HELD,
            () => ({
              accessToken: `made-up-${made++}`,
              expiresIn,
              ...(refreshTokenExpiresIn !== undefined && { refreshTokenExpiresIn }),
            }),
            20,
            took,
          );
          const short = gaps(instants).filter((gap) => gap < expiresIn * SECOND * 0.09);
          // If the refresh token's end does not move, the use a day before it may follow another soon.
          expect(short.length).toBeLessThanOrEqual(refreshTokenExpiresIn === undefined ? 1 : 0);
        },
      ),
      runs(100, 1000),
    );
  });

  test.each([
    ["1 h", 3600],
    ["12 h", 43_199],
    ["14 days", 14 * 86_400],
  ])("for a token of %s: fewer than four refreshes a lifetime", (_, expiresIn) => {
    let made = 0;
    const { instants } = sweepOn(HELD, () => ({ accessToken: `made-up-${made++}`, expiresIn }), 20);
    for (const gap of gaps(instants)) expect(gap).toBeGreaterThan((expiresIn * SECOND) / 4);
  });

  test("for a refresh token that is not renewed: one use a day before its end (row 15)", () => {
    const end = NOW + 40 * DAY;
    let made = 0;
    const { instants } = sweepOn(
      { ...HELD, refreshExpires: end },
      (now) => ({
        accessToken: `made-up-${made++}`,
        expiresIn: 14 * 86_400,
        refreshTokenExpiresIn: Math.round((end - now) / SECOND),
      }),
      5,
    );
    // Webex counts whole seconds, so the time may differ by one.
    const between = (from: number, until: number) =>
      instants.filter((at) => at >= from && at <= until).length;
    expect(between(end - DAY - SECOND, end - DAY + SECOND)).toBe(1);
    expect(between(end - DAY + SECOND, end)).toBe(0);
  });

  // "at the latest a day before refreshExpires, once": a refresh token that is renewed by every use and lives
  // a little over a day brings the day before its end round every few seconds.
  test.each([86_401, 86_410, 86_700])(
    "a refresh token that lives %i s from each use makes no loop",
    (refreshTokenExpiresIn) => {
      let made = 0;
      const { instants } = sweepOn(
        HELD,
        () => ({ accessToken: `made-up-${made++}`, expiresIn: 43_199, refreshTokenExpiresIn }),
        20,
      );
      expect(Math.min(...gaps(instants))).toBeGreaterThan(0.09 * 43_199 * SECOND);
    },
  );
});

describe("an unchanged access token (row 14)", () => {
  const again = (left = 7200): Grant => ({ accessToken: "made-up-old-access", expiresIn: left });

  test("is recorded with the credentials it was asked for with", () => {
    const document = merged(HELD, granted(HELD, again()));
    expect(document.failure).toEqual({
      count: 1,
      code: UNCHANGED_CODE,
      since: NOW,
      at: NOW,
      permanent: false,
      inputs: inputsOf({ ...document }),
    });
  });

  test("with a difference of a second has the same end", () => {
    expect(granted(HELD, again(7201)).failure?.code).toBe(UNCHANGED_CODE);
    expect(granted(HELD, again(7199)).failure?.code).toBe(UNCHANGED_CODE);
  });

  test("with an earlier end gets that end", () => {
    const changes = granted(HELD, again(60));
    expect(changes.accessExpires).toBe(NOW + MINUTE);
    expect(changes.failure?.code).toBe(UNCHANGED_CODE);
  });

  test("with a later end is a normal refresh", () => {
    const changes = granted(HELD, again(43_199));
    expect(changes.failure).toBeUndefined();
    expect(changes.accessExpires).toBe(NOW + 43_199 * SECOND);
  });

  test("with a new refresh token is recorded with the new credentials", () => {
    const document = merged(HELD, granted(HELD, { ...again(), refreshToken: "made-up-rotated" }));
    expect(document.refreshToken).toBe("made-up-rotated");
    expect(document.failure?.inputs).toBe(inputsOf({ ...document }));
  });

  test("is never due at once, and a new token ends its count", () => {
    const first = merged(HELD, granted(HELD, again()));
    expect(first.refreshAt).toBeGreaterThanOrEqual(NOW + 45 * SECOND);
    expect(granted(first, FULL, NOW + HOUR).failure).toBeUndefined();
  });

  test("is counted from the first time on", () => {
    const { document } = sweepOn(HELD, () => again(7200), 1);
    const later = merged(document, granted(document, again(7100), NOW + 100 * SECOND));
    expect(later.failure).toMatchObject({ count: 2, since: NOW, at: NOW + 100 * SECOND });
  });

  // `lifetime` becomes what is left, and schedule and backoff (at most lifetime / 8) would shrink with it.
  test("with the same end each time is tried less and less often, never more than once in 45 s", () => {
    const end = HELD.accessExpires ?? 0;
    const { instants } = sweepOn(HELD, (now) => again(Math.max(1, Math.round((end - now) / SECOND))), 20);
    const before = instants.filter((at) => at < end);
    for (const gap of gaps(before)) expect(gap).toBeGreaterThanOrEqual(45 * SECOND);
  });
});

describe("a refusal", () => {
  test("changes the failure, the next try and the lease, and no token (row 6)", () => {
    expect(Object.keys(refused(HELD, DOWN)).sort()).toEqual(["failure", "lease", "refreshAt"]);
    expect(Object.keys(refused(HELD, DEAD)).sort()).toEqual(["failure", "lease", "refreshAt"]);
    expect(refused(HELD, DEAD).lease).toBeUndefined();
  });

  test("is recorded with its code", () => {
    expect(refused(HELD, DEAD).failure).toEqual({
      count: 1,
      code: "invalid_grant",
      since: NOW,
      at: NOW,
      permanent: true,
    });
  });

  test("is tried again in about 30 s if transient, in about 10 min if permanent", () => {
    expect(refused(HELD, DOWN).refreshAt).toBeGreaterThanOrEqual(NOW + 22 * SECOND);
    expect(refused(HELD, DOWN).refreshAt).toBeLessThanOrEqual(NOW + 38 * SECOND);
    expect(refused(HELD, DEAD).refreshAt).toBeGreaterThanOrEqual(NOW + 7.5 * MINUTE);
    expect(refused(HELD, DEAD).refreshAt).toBeLessThanOrEqual(NOW + 12.5 * MINUTE);
  });

  test("with a Retry-After is tried again after that, or after ten minutes", () => {
    const limited = (retryAfter: number) =>
      refused(HELD, { code: "rate_limited", permanent: false, retryAfter }).refreshAt;
    expect(limited(4 * MINUTE)).toBe(NOW + 4 * MINUTE);
    expect(limited(DAY)).toBe(NOW + 10 * MINUTE);
    expect(limited(0)).toBeGreaterThan(NOW + 20 * SECOND);
  });
});

describe("consecutive failures", () => {
  const second = (first: Refusal, next: Refusal, change: TokenDocument = {}) => {
    const after = merged(HELD, refused(HELD, first));
    return refused({ ...after, ...change }, next, NOW + MINUTE).failure;
  };

  test("of one kind are counted over different codes, with the last code, the first time and the last", () => {
    expect(second(DOWN, { code: "timeout", permanent: false })).toMatchObject({
      count: 2,
      code: "timeout",
      since: NOW,
      at: NOW + MINUTE,
    });
    expect(second(DEAD, { code: "invalid_client", permanent: true })).toMatchObject({ count: 2, since: NOW });
  });

  test.each<[string, Refusal, Refusal]>([
    ["transient, then for good", DOWN, DEAD],
    ["for good, then transient", DEAD, DOWN],
  ])("of another kind begin a new count: %s", (_, first, next) => {
    expect(second(first, next)).toMatchObject({
      count: 1,
      since: NOW + MINUTE,
      at: NOW + MINUTE,
      code: next.code,
      permanent: next.permanent,
    });
  });

  test("with other credentials begin a new count", () => {
    expect(second(DEAD, DEAD, { clientSecret: "made-up-other-secret" })).toMatchObject({ count: 1 });
  });

  test("after an unchanged token begin a new count", () => {
    const unchanged = merged(HELD, granted(HELD, { accessToken: "made-up-old-access", expiresIn: 7200 }));
    expect(refused(unchanged, DOWN, NOW + MINUTE).failure).toMatchObject({ count: 1, code: "http_503" });
  });

  test("wait 30 s, doubling to 10 min, while they are transient", () => {
    const { instants } = sweepOn(HELD, () => DOWN, 10);
    const expected = [30, 60, 120, 240, 480, 600, 600, 600, 600].map((seconds) => seconds * SECOND);
    gaps(instants).forEach((gap, index) => {
      expect(gap / (expected[index] ?? 0)).toBeGreaterThan(0.75);
      expect(gap / (expected[index] ?? 0)).toBeLessThan(1.25);
    });
  });
});

/** Reads every `every` ms for `span` ms, beside the sweep; refreshes when `decide` says so. */
function readOn(
  start: TokenDocument,
  ask: (document: TokenDocument) => Ask,
  answer: (now: number, document: TokenDocument) => Grant | Refusal,
  span: number,
  every = 10 * SECOND,
) {
  let document = start;
  let requests = 0;
  let unserved = 0;
  for (let now = NOW; now < NOW + span; now += every) {
    for (const by of [{ by: "sweep" } as const, ask(document)]) {
      const decision = decide({ document, inputs: inputsOf({ ...document }) }, by, now, DEFAULT_THRESHOLD);
      if (decision.act !== "refresh") continue;
      requests++;
      const reply = answer(now, document);
      const changes = "accessToken" in reply ? granted(document, reply, now) : refused(document, reply, now);
      document = merged(document, changes);
    }
    if (lifeOf(document, now) === 0) unserved++;
  }
  return { requests, unserved, document };
}

describe("no storm of requests, with a read every ten seconds and the sweep", () => {
  const reader = (): Ask => ({ by: "reader" });
  const { lease: _, ...start } = HELD;
  let made = 0;
  const fresh = (): Grant => ({ accessToken: `made-up-${made++}`, expiresIn: 43_199 });

  test("for a revoked token: 40 requests in two days at most, and the held token is served to its end (row 7)", () => {
    const { requests, unserved } = readOn(start, reader, () => DEAD, 2 * DAY);
    expect(requests).toBeLessThanOrEqual(40);
    expect(unserved).toBe((2 * DAY - 2 * HOUR) / (10 * SECOND));
  });

  test("in an outage of two hours: fewer than 20 requests, and a live token at each read (row 6)", () => {
    const well = NOW + 100 * MINUTE;
    const { requests, unserved } = readOn(start, reader, (now) => (now < well ? DOWN : fresh()), 10 * HOUR);
    expect(unserved).toBe(0);
    expect(requests).toBeLessThan(20);
  });

  test("in an outage without a live token: one request in 30 s at most", () => {
    const { requests } = readOn({ ...start, accessExpires: NOW - 1 }, reader, () => DOWN, HOUR);
    expect(requests).toBeLessThanOrEqual(125);
    expect(requests).toBeGreaterThan(60);
  });

  test("for a healthy token: four requests a day at most, and a token at each read", () => {
    const { requests, unserved } = readOn(start, reader, fresh, DAY);
    expect(requests).toBeLessThanOrEqual(4);
    expect(unserved).toBe(0);
  });

  test("for a token that a flow rejects and Webex returns unchanged: fewer and fewer requests", () => {
    const held: TokenDocument = { ...start, accessExpires: NOW + 12 * HOUR, refreshAt: NOW + 9 * HOUR };
    const again = (now: number): Grant => ({
      accessToken: "made-up-old-access",
      expiresIn: Math.round((NOW + 12 * HOUR - now) / SECOND),
    });
    const { requests } = readOn(held, () => ({ by: "reader", rejected: true }), again, 2 * HOUR);
    expect(requests).toBeLessThanOrEqual(5 + 12);
  });

  test("for a minTtl above the lifetime: no more requests than without", () => {
    const { requests, unserved } = readOn(start, () => ({ by: "reader", minTtl: 86_400 }), fresh, DAY);
    expect(requests).toBeLessThanOrEqual(4);
    expect(unserved).toBe(0);
  });

  test("for a token of ten seconds: one request a second at most", () => {
    const short = (): Grant => ({ accessToken: `made-up-${made++}`, expiresIn: 10 });
    const { requests } = readOn(start, reader, short, 10 * MINUTE, 250);
    expect(requests).toBeLessThanOrEqual(10 * 60);
  });
});
