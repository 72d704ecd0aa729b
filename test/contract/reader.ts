import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TokenDocument } from "../../functions/core/document.ts";
import { type DocumentReader, type TokenReader, tokenReader } from "../../functions/core/store.ts";

/** A value as Firestore's REST interface writes it: its only key names the type. */
export type Typed = Readonly<Record<string, unknown>>;
export type TypedFields = Readonly<Record<string, Typed>>;

export interface ReaderPlace {
  reader: DocumentReader;
  /** Writes a document as an operator does in the console, each value with the named type. */
  put(id: string, fields: TypedFields, collection?: string): Promise<void>;
  close(): Promise<void>;
}

const INSTANT = 1_800_000_000_000;
const WRONG = "of the wrong type";
const ABSENT = "absent";
/** How far the clocks of two processes on one machine may seem to differ, in ms. */
const CLOCKS_DIFFER = 1000;

/** Values that can be typed, and how they read in number fields and in string fields. */
export const KINDS: readonly {
  kind: string;
  typed: Typed;
  number: number | typeof WRONG | typeof ABSENT;
  text: string;
  /** Firestore has it, JSON has not. */
  beyondJson?: true;
}[] = [
  { kind: "an integer", typed: { integerValue: String(INSTANT) }, number: INSTANT, text: WRONG },
  { kind: "zero", typed: { integerValue: "0" }, number: 0, text: WRONG },
  { kind: "a negative integer", typed: { integerValue: "-1" }, number: WRONG, text: WRONG },
  { kind: "a double", typed: { doubleValue: INSTANT + 0.5 }, number: INSTANT + 0.5, text: WRONG },
  { kind: "a whole double", typed: { doubleValue: INSTANT }, number: INSTANT, text: WRONG },
  { kind: "NaN", typed: { doubleValue: "NaN" }, number: WRONG, text: WRONG, beyondJson: true },
  { kind: "infinity", typed: { doubleValue: "Infinity" }, number: WRONG, text: WRONG, beyondJson: true },
  { kind: "digits", typed: { stringValue: ` ${INSTANT} ` }, number: INSTANT, text: String(INSTANT) },
  { kind: "words", typed: { stringValue: " in ünder 2 h\n" }, number: WRONG, text: "in ünder 2 h" },
  { kind: "an empty string", typed: { stringValue: "" }, number: ABSENT, text: ABSENT },
  { kind: "a space", typed: { stringValue: " " }, number: ABSENT, text: ABSENT },
  { kind: "a timestamp", typed: { timestampValue: "2027-01-15T08:00:00Z" }, number: INSTANT, text: WRONG },
  {
    kind: "a timestamp with microseconds",
    typed: { timestampValue: "2027-01-15T08:00:00.123456Z" },
    number: INSTANT + 123,
    text: WRONG,
  },
  {
    kind: "a timestamp before 1970",
    typed: { timestampValue: "1969-12-31T23:59:59Z" },
    number: WRONG,
    text: WRONG,
  },
  { kind: "true", typed: { booleanValue: true }, number: WRONG, text: WRONG },
  { kind: "false", typed: { booleanValue: false }, number: WRONG, text: WRONG },
  { kind: "null", typed: { nullValue: null }, number: ABSENT, text: ABSENT },
  {
    kind: "a map",
    typed: { mapValue: { fields: { seconds: { integerValue: "1" } } } },
    number: WRONG,
    text: WRONG,
  },
  { kind: "an empty map", typed: { mapValue: {} }, number: WRONG, text: WRONG },
  { kind: "a list", typed: { arrayValue: { values: [{ integerValue: "1" }] } }, number: WRONG, text: WRONG },
  { kind: "an empty list", typed: { arrayValue: {} }, number: WRONG, text: WRONG },
  {
    kind: "a place on earth",
    typed: { geoPointValue: { latitude: 1, longitude: 2 } },
    number: WRONG,
    text: WRONG,
    beyondJson: true,
  },
  { kind: "bytes", typed: { bytesValue: "MTIzNA==" }, number: WRONG, text: WRONG, beyondJson: true },
  {
    kind: "a reference",
    typed: { referenceValue: "projects/p/databases/(default)/documents/tokens/1" },
    number: WRONG,
    text: WRONG,
    beyondJson: true,
  },
];

const NUMBERS = ["accessExpires", "refreshExpires", "lastRefresh", "lifetime", "refreshAt"] as const;
const TEXTS = [
  "clientId",
  "clientSecret",
  "accessToken",
  "refreshToken",
  "scope",
  "orgId",
  "passphraseHash",
] as const;

/**
 * Names that a URL, a path or a query could misread. (The emulator takes no request line of over 4 kB; else the last
 * one would have 1500 bytes, too.)
 */
export const ODD_NAMES = [
  "two words",
  'it\'s "quoted"',
  "100%",
  "%2F%00%2e%2e",
  "a+b",
  "a.b.c",
  "...",
  ".hidden",
  "naïve",
  "naïve".normalize("NFD"),
  "日本語",
  "🔑 key",
  "a?b=c&d",
  "a#b",
  "back\\slash",
  "a:b",
  "x:runQuery",
  "(default)",
  "`tick` $x {y} [z] |",
  "__",
  "x".repeat(1500),
  "ü".repeat(550),
];

const all = (fields: readonly string[], typed: Typed): TypedFields =>
  Object.fromEntries(fields.map((field) => [field, typed]));

/** The contract of a reader of single documents (`DocumentReader` in core/store.ts), and of tokens over it. */
export function readerContract(
  name: string,
  open: () => Promise<ReaderPlace>,
  { json = false, skipped = false } = {},
): void {
  describe.skipIf(skipped)(name, () => {
    let place: ReaderPlace;
    let tokens: TokenReader;
    let count = 0;

    beforeAll(async () => {
      place = await open();
      tokens = tokenReader(place.reader, Date.now);
    });
    afterAll(async () => {
      await place?.close();
    });

    async function made(fields: TypedFields, id = `token-${++count}`) {
      await place.put(id, fields);
      const token = await tokens.read(id);
      if (token === undefined) throw new Error(`${id} is not there`);
      return token;
    }

    test("a missing document reads as undefined", async () => {
      expect(await place.reader.read("tokens", "missing")).toBeUndefined();
      expect(await tokens.read("missing")).toBeUndefined();
      expect(await place.reader.read("status", "sweeps")).toBeUndefined();
    });

    test("the same id in another collection is another document", async () => {
      await place.put("twin", { clientId: { stringValue: "a" } }, "authorizations");
      expect(await tokens.read("twin")).toBeUndefined();
      expect((await place.reader.read("authorizations", "twin"))?.fields).toEqual({ clientId: "a" });
    });

    const kinds = KINDS.filter(({ beyondJson }) => !(json && beyondJson));
    test.each(kinds)("$kind is $number in a number field and $text in a string field", async (row) => {
      const expected = (fields: readonly (keyof TokenDocument)[], value: string | number) => ({
        mistyped: value === WRONG ? fields : [],
        document:
          value === WRONG || value === ABSENT ? {} : Object.fromEntries(fields.map((f) => [f, value])),
      });
      const token = await made(all([...NUMBERS, ...TEXTS], row.typed));
      const [numbers, texts] = [expected(NUMBERS, row.number), expected(TEXTS, row.text)];
      expect({ document: token.document, mistyped: token.mistyped.toSorted() }).toEqual({
        document: { ...numbers.document, ...texts.document },
        // A blank hash is mistyped, so that it opens to no caller.
        mistyped: [
          ...numbers.mistyped,
          ...(row.text === ABSENT ? ["passphraseHash"] : texts.mistyped),
        ].toSorted(),
      });
    });

    test("a lease and a failure read whole, with times of any type", async () => {
      const { document, mistyped } = await made({
        lease: {
          mapValue: {
            fields: { id: { stringValue: "l" }, expires: { stringValue: ` ${INSTANT}` } },
          },
        },
        failure: {
          mapValue: {
            fields: {
              count: { doubleValue: 2 },
              code: { stringValue: "http_503" },
              since: { stringValue: String(INSTANT) },
              at: { integerValue: String(INSTANT) },
              permanent: { booleanValue: false },
              inputs: { stringValue: "hash" },
            },
          },
        },
        static: { stringValue: " true " },
      });
      expect(mistyped).toEqual([]);
      expect(document).toEqual({
        lease: { id: "l", expires: INSTANT },
        failure: {
          count: 2,
          code: "http_503",
          since: INSTANT,
          at: INSTANT,
          permanent: false,
          inputs: "hash",
        },
        static: true,
      });
    });

    test("a document without fields is an empty token", async () => {
      const { name: id, document, mistyped, version } = await made({}, "bare");
      expect({ id, document, mistyped }).toEqual({ id: "bare", document: {}, mistyped: [] });
      expect(version).not.toBe("");
    });

    test.each(ODD_NAMES.map((odd) => [odd.slice(0, 20), odd] as const))(
      "the name %j finds its own document",
      async (_, odd) => {
        expect(await tokens.read(odd)).toBeUndefined();
        const token = await made({ clientId: { stringValue: odd } }, odd);
        expect(token.name).toBe(odd);
        expect(token.document.clientId).toBe(odd.trim());
      },
    );

    test("the version changes with every write, and only then", async () => {
      const first = await made({ clientId: { stringValue: "a" } }, "moving");
      expect((await tokens.read("moving"))?.version).toBe(first.version);
      const second = await made({ clientId: { stringValue: "b" } }, "moving");
      expect(second.version).not.toBe(first.version);
    });

    test("the store's clock is this machine's: writes have its time, and ahead is small", async () => {
      const before = Date.now();
      const { ahead, writtenAt } = await made({});
      const after = Date.now();
      expect(Math.abs(ahead)).toBeLessThanOrEqual(after - before + CLOCKS_DIFFER);
      expect(writtenAt).toBeGreaterThanOrEqual(before - CLOCKS_DIFFER);
      expect(writtenAt).toBeLessThanOrEqual(after + CLOCKS_DIFFER);
    });

    test("changed credentials change the hash of the inputs; another field does not", async () => {
      const text = (stringValue: string) => ({ stringValue });
      const first = await made({ clientId: text("a"), clientSecret: text("b"), refreshToken: text("c") });
      const scoped = { clientId: text("a"), clientSecret: text("b"), refreshToken: text("c") };
      expect((await made({ ...scoped, scope: text("s") })).inputs).toBe(first.inputs);
      expect((await made({ ...scoped, clientSecret: text("d") })).inputs).not.toBe(first.inputs);
    });
  });
}
