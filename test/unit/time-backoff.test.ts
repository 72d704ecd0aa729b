import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  backoffOf,
  DAY,
  HOUR,
  LONGEST_RETRY_AFTER,
  MINUTE,
  SECOND,
  UNCHANGED_CODE,
} from "../../functions/core/time.ts";
import { runs } from "../support/property.ts";
import { lifetimes } from "./time-documents.ts";

const names = fc.string({ minLength: 1, maxLength: 40 });

describe("the backoff after transient failures", () => {
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
  ])("number %i in a row is about %i ms", (count, expected) => {
    around(wait(count), expected);
  });

  test("is at most an eighth of the token's lifetime", () => {
    around(wait(9, HOUR), 7.5 * MINUTE);
    around(wait(9, 8 * MINUTE), MINUTE);
    around(wait(1, 80 * SECOND), 10 * SECOND);
  });

  test("differs between tokens that failed together (row 11)", () => {
    const waits = Array.from({ length: 100 }, (_, index) =>
      Math.round(backoffOf(`token-${index}`, { count: 6, permanent: false, code: "timeout" }, 12 * HOUR)),
    );
    expect(new Set(waits).size).toBeGreaterThan(90);
    expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(2 * MINUTE);
  });

  test("does not end before a Retry-After", () => {
    expect(wait(1, 12 * HOUR, 5 * MINUTE)).toBe(5 * MINUTE);
    expect(wait(1, HOUR, 5 * MINUTE)).toBe(5 * MINUTE);
    expect(wait(6, 12 * HOUR, SECOND)).toBe(wait(6));
  });

  test("obeys a Retry-After up to ten minutes", () => {
    expect(wait(1, 12 * HOUR, DAY)).toBe(10 * MINUTE);
    expect(wait(1, 12 * HOUR, Number.POSITIVE_INFINITY)).toBe(LONGEST_RETRY_AFTER);
  });

  test("is neither zero nor longer than its step with jitter or the Retry-After, for any count", () => {
    const counts = fc.integer({ min: 1, max: 100_000 });
    fc.assert(
      fc.property(names, counts, lifetimes, fc.nat(3 * HOUR), (name, count, lifetime, retryAfter) => {
        const failure = { count, permanent: false, code: "timeout" };
        const wait = backoffOf(name, failure, lifetime * SECOND, retryAfter);
        const most = Math.max(
          1.2 * Math.min(10 * MINUTE, Math.max((lifetime * SECOND) / 8, 5 * SECOND)),
          Math.min(retryAfter, 10 * MINUTE),
        );
        expect(wait).toBeGreaterThan(0);
        expect(wait).toBeLessThanOrEqual(most);
        expect(wait).toBeGreaterThanOrEqual(Math.min(retryAfter, 10 * MINUTE));
      }),
      runs(100, 1000),
    );
  });
});

describe("the backoff after permanent failures (10 min, 1 h, 6 h, then daily)", () => {
  test.each([
    [1, 10 * MINUTE],
    [2, HOUR],
    [3, 6 * HOUR],
    [4, DAY],
    [5, DAY],
    [5000, DAY],
  ])("number %i in a row is about %i ms, for any lifetime", (count, expected) => {
    for (const lifetime of [MINUTE, 12 * HOUR]) {
      const wait = backoffOf("name", { count, permanent: true, code: "invalid_grant" }, lifetime);
      expect(wait).toBeGreaterThanOrEqual(expected * 0.75);
      expect(wait).toBeLessThanOrEqual(expected * 1.25);
    }
  });
});

test("the backoff while Webex returns the same token begins at a minute and ends at ten", () => {
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
