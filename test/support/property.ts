import fc from "fast-check";

/** `npm run test:long`: the full numbers, with a seed of its own. */
const LONG = process.env.TEST_LONG === "1";

/**
 * fast-check's seed, fixed in the source: a commit is green or red for its own reasons. `SEED` repeats another one; a long
 * run takes a new one each time. fast-check names it in what a failing property throws.
 */
const SEED = Number(process.env.SEED ?? (LONG ? Date.now() % 2 ** 31 : 20_261_128));

/** fast-check's parameters: `few` runs in `npm test`, `many` in `npm run test:long`; `RUNS` overrides both. */
export const runs = (few: number, many: number) => ({
  seed: SEED,
  numRuns: Number(process.env.RUNS ?? (LONG ? many : few)),
});

/** Any code point but surrogates, half of them ASCII. fast-check's own unit "binary" first builds a table for a second. */
const character = fc
  .oneof(fc.nat(0x7f), fc.nat(0x10ffff - 0x800))
  .map((code) => String.fromCodePoint(code < 0xd800 ? code : code + 0x800));

/** Strings of any characters. */
export const anyText = fc.string({ unit: character });
