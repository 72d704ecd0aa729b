import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TokenDocument } from "../../functions/core/document.ts";
import {
  DAY,
  DEFAULT_THRESHOLD,
  HOUR,
  lifeOf,
  lifetimeOf,
  MINUTE,
  SECOND,
  scheduleOf,
  secondsUntil,
  thresholdOf,
} from "../../functions/core/time.ts";
import { runs } from "../support/property.ts";
import { lifetimes, NOW, without } from "./time-documents.ts";

const names = fc.string({ minLength: 1, maxLength: 40 });

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

describe("the lifetime is the last grant's, or derived for a document of Cisco's sample", () => {
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

describe("the sweep is due before any reader asks", () => {
  test.each([
    ["1 h", 3600, HOUR / 8],
    ["12 h", 43_200, 30 * MINUTE],
    ["14 days", 14 * 86_400, DAY],
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

  test("a token of 14 days is due more than a day before it ends, so it outlives an outage of 13 h (row 26)", () => {
    const document = { lifetime: 14 * 86_400, accessExpires: NOW + 14 * DAY };
    for (let index = 0; index < 200; index++)
      expect(scheduleOf(`token-${index}`, document, NOW, DEFAULT_THRESHOLD)).toBeLessThan(NOW + 13 * DAY);
  });

  test("for any name, lifetime and bound, and after the token was issued", () => {
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
      runs(100, 1000),
    );
  });

  test("at the same time for the same name", () => {
    fc.assert(
      fc.property(names, lifetimes, (name, lifetime) => {
        const document = { lifetime, accessExpires: NOW + lifetime * SECOND };
        expect(scheduleOf(name, document, NOW, DEFAULT_THRESHOLD)).toBe(
          scheduleOf(name, document, NOW, DEFAULT_THRESHOLD),
        );
      }),
      runs(100, 1000),
    );
  });

  test("spread over the whole jitter for tokens issued together (row 11)", () => {
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

describe("a refresh token is used once more a day before it ends (row 15)", () => {
  const lasting = (refreshExpires: number): TokenDocument => ({
    lifetime: 14 * 86_400,
    accessExpires: NOW + 14 * DAY,
    refreshExpires,
  });
  const schedule = (document: TokenDocument, now = NOW) =>
    scheduleOf("name", document, now, DEFAULT_THRESHOLD);

  test("when its access token outlives it", () => {
    expect(schedule(lasting(NOW + 5 * DAY))).toBe(NOW + 4 * DAY);
  });

  test("but earlier when its access token ends earlier", () => {
    const plain = schedule(without("refreshExpires", lasting(0)));
    expect(schedule(lasting(NOW + 60 * DAY))).toBe(plain);
  });

  test.each([
    ["exactly a day", DAY],
    ["an hour", HOUR],
    ["nothing", 0],
    ["less than nothing", -DAY],
  ])("but not again with %s left", (_, left) => {
    expect(schedule(lasting(NOW + left))).toBe(schedule(without("refreshExpires", lasting(0))));
  });

  test("and the refresh after that is due as if it had no end", () => {
    const document = lasting(NOW + 5 * DAY);
    const at = schedule(document);
    expect(schedule({ ...document, accessExpires: at + 14 * DAY }, at)).toBeGreaterThan(at + 11 * DAY);
  });
});

test.each([
  [NOW + 1, 1],
  [NOW + 1000, 1],
  [NOW + 1001, 2],
  [NOW, 1],
  [NOW - DAY, 1],
])("Retry-After is whole seconds, at least one", (instant, seconds) => {
  expect(secondsUntil(instant, NOW)).toBe(seconds);
});
