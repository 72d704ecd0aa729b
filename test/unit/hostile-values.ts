import fc from "fast-check";
import { expect } from "vitest";
import { anyText } from "../support/property.ts";

/** What no error, log or message may quote. */
export const CANARY = "canary-0815";

/** Texts that look like something else, or like nothing. */
export const oddText = fc.oneof(
  fc.constantFrom(
    ...[
      "",
      " ",
      "\n",
      "NaN",
      "Infinity",
      "-Infinity",
      "1e308",
      "1e999",
      "-1",
      "0",
      "-0",
      "0x10",
      "1_000",
      "٣",
    ],
    ...["null", "undefined", "true", "[object Object]", "__proto__", "\u0000", "\ud800", "\u202e", "💥"],
    ...["9".repeat(400), `${CANARY} `, "x".repeat(2000), "1800000000000", "2027-01-15T08:00:00Z"],
  ),
  anyText,
);

export const oddNumber = fc.oneof(
  fc.constantFrom(0, -0, -1, 0.5, 1e-300, 5e-324, 2 ** 31, 2 ** 53, 8.64e15, 1e21, 1e300, 1e308, -1e308),
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.double(),
  fc.integer(),
);

/** Any value of JSON, numbers of every size and prototypes' names among it. */
export const oddJson = fc.oneof(
  oddText,
  oddNumber.filter(Number.isFinite),
  fc.jsonValue(),
  fc.dictionary(fc.constantFrom("__proto__", "constructor", "at", "id", "toString", "then"), fc.jsonValue()),
  fc.constantFrom(null, true, false, [], [[1]], {}, nested(100)),
);

/** Any value that a store's client may hand over. */
export const oddValue = fc.oneof(
  oddJson,
  oddNumber,
  fc.date({ noInvalidDate: false }),
  fc.constantFrom<unknown>(undefined, Buffer.from(CANARY), new Date(Number.NaN), Object.create(null)),
  fc.anything({ withBigInt: true, withDate: true, withTypedArray: true, withNullPrototype: true }),
);

/** Lists in lists, this deep. */
export function nested(depth: number): unknown {
  let value: unknown = CANARY;
  for (let level = 0; level < depth; level++) value = [value];
  return value;
}

/** Every number in it, however deep, is one that can be kept and counted with. */
export function expectSound(value: unknown): void {
  expect(numbersIn(value).filter((number) => !Number.isFinite(number) || number < 0)).toEqual([]);
}

function numbersIn(value: unknown): number[] {
  if (typeof value === "number") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

/** Nothing that was read has changed what every object has. */
export function expectUnpolluted(): void {
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(Object.keys(Array.prototype)).toEqual([]);
}
