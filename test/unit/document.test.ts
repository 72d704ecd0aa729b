import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { idProblem, nameProblem, parseDocument } from "../../functions/core/document.ts";
import { runs } from "../support/property.ts";

const STRINGS = [
  "clientId",
  "clientSecret",
  "redirectUri",
  "accessToken",
  "refreshToken",
  "scope",
  "orgId",
  "scopes",
  "passphraseHash",
] as const;
const NUMBERS = ["accessExpires", "refreshExpires", "lastRefresh", "lifetime", "refreshAt"] as const;
const FAILURE = { count: 2, code: "http_503", since: 1, at: 2, permanent: false, inputs: "hash" };
const LEASE = { id: "made-up", expires: 1_800_000_000_000 };

test("a document of Cisco's sample is read unchanged", () => {
  const sample = {
    clientId: "made-up-client",
    clientSecret: "made-up-secret",
    redirectUri: "https://setup.example/callback",
    accessToken: "made-up-access",
    refreshToken: "made-up-refresh",
    accessExpires: 1_800_000_000_000,
    refreshExpires: 1_805_000_000_000,
    lastRefresh: 1_799_956_801_000,
  };
  expect(parseDocument(sample)).toEqual({ document: sample, mistyped: [] });
});

test("an empty document is read", () => {
  expect(parseDocument({})).toEqual({ document: {}, mistyped: [] });
});

test("unknown fields are left out and not mistyped", () => {
  expect(parseDocument({ note: "made-up", toString: 1 })).toEqual({ document: {}, mistyped: [] });
});

describe.each(STRINGS)("the string field %s", (field) => {
  test.each(["made-up\n", "  made-up", "made-up\r\n", "\tmade-up "])("is trimmed: %j", (value) => {
    expect(parseDocument({ [field]: value })).toEqual({ document: { [field]: "made-up" }, mistyped: [] });
  });

  test.each(["", "  ", "\n", null, undefined])("is absent when it is %j", (value) => {
    const locked = field === "passphraseHash" && value !== undefined;
    expect(parseDocument({ [field]: value })).toEqual({ document: {}, mistyped: locked ? [field] : [] });
  });

  test.each([0, 42, true, false, {}, [], ["made-up"]])("is mistyped when it is %j", (value) => {
    expect(parseDocument({ [field]: value })).toEqual({ document: {}, mistyped: [field] });
  });
});

describe.each(NUMBERS)("the number field %s", (field) => {
  test.each<[unknown, number]>([
    [1_800_000_000_000, 1_800_000_000_000],
    ["1800000000000", 1_800_000_000_000],
    [" 1800000000000\n", 1_800_000_000_000],
    [0, 0],
    ["0", 0],
  ])("may be typed as %j", (value, number) => {
    expect(parseDocument({ [field]: value })).toEqual({ document: { [field]: number }, mistyped: [] });
  });

  test.each(["", " ", null, undefined])("is absent when it is %j", (value) => {
    expect(parseDocument({ [field]: value })).toEqual({ document: {}, mistyped: [] });
  });

  test.each([
    "tomorrow",
    "12 h",
    Number.NaN,
    "NaN",
    Number.POSITIVE_INFINITY,
    "Infinity",
    -1,
    "-1",
    true,
    {},
    [],
    [5],
  ])("is mistyped when it is %j", (value) => {
    expect(parseDocument({ [field]: value })).toEqual({ document: {}, mistyped: [field] });
  });
});

test("a timestamp of the console is read as ms", () => {
  const raw = { accessExpires: new Date(1_800_000_000_000) };
  expect(parseDocument(raw)).toEqual({ document: { accessExpires: 1_800_000_000_000 }, mistyped: [] });
});

describe("the field static", () => {
  test.each([
    [true, true],
    ["true", true],
    [false, false],
    ["false", false],
  ])("may be typed as %j", (value, fixed) => {
    expect(parseDocument({ static: value })).toEqual({ document: { static: fixed }, mistyped: [] });
  });

  test.each([1, "yes", {}, []])("is mistyped when it is %j", (value) => {
    expect(parseDocument({ static: value })).toEqual({ document: {}, mistyped: ["static"] });
  });

  test.each(["true\n", " true"])("is trimmed like any other string: %j", (value) => {
    expect(parseDocument({ static: value })).toEqual({ document: { static: true }, mistyped: [] });
  });
});

describe("the field lease", () => {
  test("is read", () => {
    expect(parseDocument({ lease: { ...LEASE, expires: String(LEASE.expires) } }).document.lease).toEqual(
      LEASE,
    );
  });

  test.each([
    "made-up",
    5,
    true,
    [],
    {},
    { id: 1, expires: 2 },
    { id: "made-up" },
    { id: "a", expires: "x" },
  ])("is mistyped when it is %j", (lease) => {
    expect(parseDocument({ lease })).toEqual({ document: {}, mistyped: ["lease"] });
  });
});

describe("the field failure", () => {
  test("is read", () => {
    expect(parseDocument({ failure: FAILURE }).document.failure).toEqual(FAILURE);
    expect(parseDocument({ failure: { ...FAILURE, permanent: true } }).document.failure?.permanent).toBe(
      true,
    );
  });

  test.each(["count", "code", "since", "at", "inputs"] as const)("is mistyped without %s", (field) => {
    const { [field]: _, ...failure } = FAILURE;
    expect(parseDocument({ failure })).toEqual({ document: {}, mistyped: ["failure"] });
  });
});

test("mistyped fields are named and do not hide a live token", () => {
  const raw = { accessToken: "made-up", accessExpires: "1800000000000", clientId: 7, lifetime: "long" };
  expect(parseDocument(raw)).toEqual({
    document: { accessToken: "made-up", accessExpires: 1_800_000_000_000 },
    mistyped: ["clientId", "lifetime"],
  });
});

test("a document of any values is parsed without an exception; each field is read, absent or named as mistyped", () => {
  const odd = fc.oneof(
    fc.anything({ withDate: true, withBigInt: true, withTypedArray: true, withNullPrototype: true }),
    fc.constantFrom(Number.NaN, -0, -1, "", " \n", "12", "1e3", "0x10"),
  );
  const raw = fc.dictionary(
    fc.constantFrom(...STRINGS, ...NUMBERS, "static", "lease", "failure", "__proto__", "other"),
    odd,
  );
  fc.assert(
    fc.property(raw, (fields) => {
      const { document, mistyped } = parseDocument(fields);
      for (const field of STRINGS) {
        const value = document[field];
        if (value !== undefined) expect(value).toBe(value.trim());
        expect(value).not.toBe("");
      }
      for (const field of NUMBERS) {
        const value = document[field];
        if (value !== undefined) expect(Number.isFinite(value) && value >= 0).toBe(true);
      }
      for (const field of mistyped) expect(document).not.toHaveProperty(field);
    }),
    runs(400, 3000),
  );
});

describe("a token may have the name", () => {
  test.each([
    "acme",
    "Acme 2 (prod)",
    "a.b",
    "...",
    "_",
    "__",
    "___",
    "__a",
    "a__",
    "ümläut",
    "日本",
    "a?b&c=d#e%20",
    "x".repeat(1500),
    "é".repeat(750),
  ])("%s", (name) => {
    expect(nameProblem(name)).toBeUndefined();
  });
});

describe("no token may have the name", () => {
  test.each([
    ["", "empty"],
    ["  ", "empty"],
    [" acme", "space"],
    ["acme ", "space"],
    ["a/b", '"/"'],
    [".", '"."'],
    ["..", '".."'],
    ["____", '"__"'],
    ["__acme__", '"__"'],
    ["__a\nb__", '"__"'],
    ["sales\u200b", "invisible"],
    ["sales\u202e", "invisible"],
    ["a\u009b31mb", "invisible"],
    ["a\u2028b", "invisible"],
    ["a\nb", "control"],
    ["a\u0000b", "control"],
    ["a\u007fb", "control"],
    ["\ud800", "Unicode"],
    ["x".repeat(1501), "1500"],
    ["é".repeat(751), "1500"],
  ])("%j, because of %s", (name, reason) => {
    expect(nameProblem(name)).toContain(reason);
  });
});

describe("a stored token may have a name that no new one may have", () => {
  test.each([" sales", "sales ", "sales\u200b", "\u202esales"])("%j", (name) => {
    expect(idProblem(name)).toBeUndefined();
    expect(nameProblem(name)).toBeDefined();
  });
});

describe("a passphrase hash that is blank counts as mistyped, so that it opens to no caller (row 36)", () => {
  test.each(["", "  ", "\u200b", '""', null])("%j", (passphraseHash) => {
    expect(parseDocument({ passphraseHash })).toEqual({ document: {}, mistyped: ["passphraseHash"] });
  });
});
