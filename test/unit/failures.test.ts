import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

const TESTS = path.resolve(import.meta.dirname, "..");
/** A name such as `"refreshes once (rows 1 and 4)"`. */
const NAME = /["`][^"`\n]*\(rows? ([\d, and]+)\)[^"`\n]*["`]/g;

/** Those of token brokers in general, then those found in this service whose repair is done. */
const ROWS = Array.from({ length: 18 }, (_, index) => index + 1);
const FOUND_HERE = [19, 22, 23, 24, 26, 27, 28, 30, 31, 32, 34, 36, 37];

test("each known failure of a token broker is named in a test", () => {
  const files = readdirSync(TESTS, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".test.ts") && path.join(TESTS, file) !== import.meta.filename,
  );
  const rows = files.flatMap((file) =>
    [...readFileSync(path.join(TESTS, file), "utf8").matchAll(NAME)].flatMap(([, list = ""]) =>
      (list.match(/\d+/g) ?? []).map(Number),
    ),
  );
  const missing = [...ROWS, ...FOUND_HERE].filter((row) => !rows.includes(row));
  expect(missing, "rows without a test").toEqual([]);
});
