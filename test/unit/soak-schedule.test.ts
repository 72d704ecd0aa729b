import { describe, expect, test } from "vitest";
import { scheduleOf } from "../../bench/soak/schedule.ts";

const SECOND = 1000;
const FIVE_MINUTES = 300 * SECOND;
const troublesOf = (seed: string, length: number) =>
  new Set(scheduleOf(seed, length).map(({ trouble }) => trouble));

test("the same seed gives the same troubles, another one others", () => {
  expect(scheduleOf("7", FIVE_MINUTES)).toEqual(scheduleOf("7", FIVE_MINUTES));
  expect(scheduleOf("7", FIVE_MINUTES)).not.toEqual(scheduleOf("8", FIVE_MINUTES));
});

describe.each(Array.from({ length: 20 }, (_, index) => String(index)))(
  "in five minutes of seed %s",
  (seed) => {
    test("everything goes wrong at least once, and all of it is over at the end", () => {
      expect(troublesOf(seed, FIVE_MINUTES).size).toBe(12);
      for (const { from, until } of scheduleOf(seed, FIVE_MINUTES)) {
        expect(from).toBeGreaterThanOrEqual(15 * SECOND);
        expect(until).toBeGreaterThan(from);
        expect(until).toBeLessThanOrEqual(FIVE_MINUTES);
      }
    });

    test("the authority is down once for longer than a token lives", () => {
      const [long] = scheduleOf(seed, FIVE_MINUTES).filter(
        (one) => one.trouble === "authority down for long",
      );
      expect((long?.until ?? 0) - (long?.from ?? 0)).toBeGreaterThan(60 * SECOND);
    });
  },
);

test("a short run has short troubles, and no outage that would outlast it", () => {
  const planned = scheduleOf("7", 6 * SECOND);
  expect(planned.length).toBeGreaterThanOrEqual(4);
  expect(planned.every(({ until }) => until <= 6 * SECOND)).toBe(true);
  expect(troublesOf("7", 6 * SECOND)).not.toContain("authority down for long");
});
