import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

const TESTS = path.resolve(import.meta.dirname, "..");
/** A name such as `"refreshes once (rows 1 and 4)"`. */
const NAME = /["`][^"`\n]*\(rows? ([\d, and]+)\)[^"`\n]*["`]/g;

test("each of the 18 known failures of token brokers is named in a test", () => {
  const files = readdirSync(TESTS, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".test.ts") && path.join(TESTS, file) !== import.meta.filename,
  );
  const rows = files.flatMap((file) =>
    [...readFileSync(path.join(TESTS, file), "utf8").matchAll(NAME)].flatMap(([, list = ""]) =>
      (list.match(/\d+/g) ?? []).map(Number),
    ),
  );
  const missing = Array.from({ length: 18 }, (_, index) => index + 1).filter((row) => !rows.includes(row));
  expect(missing, "rows without a test").toEqual([]);
});
