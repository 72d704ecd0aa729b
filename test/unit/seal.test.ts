import fc from "fast-check";
import { decodeProtectedHeader } from "jose";
import { describe, expect, test } from "vitest";
import { keep } from "../../functions/adapters/kept.ts";
import { sealerWith } from "../../functions/adapters/seal.ts";
import {
  formatSealKeys,
  isSealed,
  keyOf,
  openFields,
  parseSealKeys,
  type SealKey,
  type SealKeys,
  sealFields,
  Unopened,
  unsealed,
} from "../../functions/core/seal.ts";
import { MINUTE, SECOND } from "../../functions/core/time.ts";
import { fakeClock } from "../support/clock.ts";
import { runs } from "../support/property.ts";

const key = (kid: string, fill = kid): SealKey => ({
  kid,
  k: Buffer.alloc(32, `canary sealing key ${fill}`).toString("base64url"),
});
const OLD = key("old");
const NEW = key("new");
const SPOT = { token: "sales", field: "clientSecret" } as const;
const SECRET = "canary-client-secret";

async function opened(first: SealKeys) {
  const clock = fakeClock();
  const state = { keys: first, reads: 0, broken: false, reported: [] as string[] };
  const read = async () => {
    state.reads++;
    if (state.broken) throw new Error("no answer");
    return state.keys;
  };
  const kept = await keep(read, clock.now, ({ message }) => state.reported.push(message));
  return { sealer: sealerWith(kept, clock.now), clock, state };
}

describe("a sealed value", () => {
  test("is a compact JWE that names its key, token and field, and opens for them", async () => {
    const { sealer } = await opened({ primary: NEW, all: [OLD, NEW] });
    const sealed = await sealer.seal(SECRET, SPOT);
    expect(isSealed(sealed)).toBe(true);
    expect(sealed).not.toContain(Buffer.from(SECRET).toString("base64url"));
    expect(decodeProtectedHeader(sealed)).toEqual({ alg: "dir", enc: "A256GCM", kid: "new", ...SPOT });
    expect(keyOf(sealed)).toBe("new");
    expect(await sealer.open(sealed, SPOT)).toBe(SECRET);
  });

  test("differs each time", async () => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    expect(await sealer.seal(SECRET, SPOT)).not.toBe(await sealer.seal(SECRET, SPOT));
  });

  test("opens to the same string, for any string", async () => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const texts = fc.string({ unit: "grapheme", minLength: 1 });
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        expect(await sealer.open(await sealer.seal(text, SPOT), SPOT)).toBe(text);
      }),
      runs(40, 100),
    );
  });

  test.each([
    ["token", { token: "support", field: "clientSecret" }],
    ["field", { token: "sales", field: "refreshToken" }],
  ] as const)("opens for no other %s", async (_, spot) => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const sealed = await sealer.seal(SECRET, SPOT);
    await expect(sealer.open(sealed, spot)).rejects.toThrow("sealed for another token or another field");
  });

  test("whose header was rewritten for another token does not open", async () => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const [header = "", ...rest] = (await sealer.seal(SECRET, SPOT)).split(".");
    const moved = { ...JSON.parse(Buffer.from(header, "base64url").toString()), token: "support" };
    const forged = [Buffer.from(JSON.stringify(moved)).toString("base64url"), ...rest].join(".");
    await expect(sealer.open(forged, { ...SPOT, token: "support" })).rejects.toThrow(
      /key "new" does not open/,
    );
  });

  test("opens neither with another key of the same name nor without its key", async () => {
    const { sealer } = await opened({ primary: OLD, all: [OLD] });
    const sealed = await sealer.seal(SECRET, SPOT);
    const other = await opened({ primary: key("old", "other"), all: [key("old", "other")] });
    await expect(other.sealer.open(sealed, SPOT)).rejects.toThrow(/key "old" does not open it/);
    const without = await opened({ primary: NEW, all: [NEW] });
    await expect(without.sealer.open(sealed, SPOT)).rejects.toThrow(
      'sealed with key "old", which is not configured',
    );
    await expect(unsealed.open(sealed, SPOT)).rejects.toThrow(/no sealing keys are configured \(SEAL_KEYS\)/);
  });

  test("of another algorithm is refused, even with the right key", async () => {
    const { CompactEncrypt } = await import("jose");
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const sealed = await new CompactEncrypt(Buffer.from(SECRET))
      .setProtectedHeader({ alg: "A256KW", enc: "A256GCM", kid: "new", ...SPOT })
      .encrypt(Buffer.from(NEW.k, "base64url"));
    await expect(sealer.open(sealed, SPOT)).rejects.toBeInstanceOf(Unopened);
  });

  test("altered anywhere does not open, and its error does not contain the secret", async () => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const sealed = await sealer.seal(SECRET, SPOT);
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: sealed.length - 1 }),
        fc.constantFrom("A", "z", "-", "."),
        async (at, by) => {
          const altered = sealed.slice(0, at) + by + sealed.slice(at + 1);
          const bytes = (text: string) =>
            text.split(".").map((part) => Buffer.from(part, "base64url").toString("hex"));
          // The last character of a part may have unused bits.
          if (bytes(altered).join() === bytes(sealed).join()) return;
          const problem = await sealer.open(altered, SPOT).catch((error: Error) => error);
          expect(problem).toBeInstanceOf(Unopened);
          expect(String(problem)).not.toContain("canary");
        },
      ),
      runs(80, 200),
    );
  });
});

describe("the sealing keys", () => {
  test("are read again for an unknown key, once in ten seconds, without a restart", async () => {
    const { sealer, clock, state } = await opened({ primary: OLD, all: [OLD] });
    const sealed = await (await opened({ primary: NEW, all: [NEW] })).sealer.seal(SECRET, SPOT);
    await expect(sealer.open(sealed, SPOT)).rejects.toBeInstanceOf(Unopened);
    await expect(sealer.open(sealed, SPOT)).rejects.toBeInstanceOf(Unopened);
    expect(state.reads).toBe(2);
    state.keys = { primary: OLD, all: [OLD, NEW] };
    clock.advance(10 * SECOND);
    expect(await sealer.open(sealed, SPOT)).toBe(SECRET);
    expect(state.reads).toBe(3);
  });

  test("are read again once a minute, and stay as they were when that fails", async () => {
    const { sealer, clock, state } = await opened({ primary: OLD, all: [OLD, NEW] });
    expect(keyOf(await sealer.seal(SECRET, SPOT))).toBe("old");
    state.keys = { primary: NEW, all: [OLD, NEW] };
    clock.advance(MINUTE);
    expect(keyOf(await sealer.seal(SECRET, SPOT))).toBe("new");
    state.broken = true;
    clock.advance(MINUTE);
    expect(keyOf(await sealer.seal(SECRET, SPOT))).toBe("new");
    expect(state.reported).toEqual(["no answer"]);
  });

  test("are a JSON Web Key Set that names the key that seals", () => {
    const set = { primary: NEW, all: [OLD, { ...NEW, since: 1 }] };
    const text = formatSealKeys(set);
    expect(parseSealKeys(text)).toEqual({ primary: { ...NEW, since: 1 }, all: set.all });
    expect(JSON.parse(text).keys).toEqual([
      { kty: "oct", alg: "A256GCM", kid: "old", key_ops: ["decrypt"], k: OLD.k },
      { kty: "oct", alg: "A256GCM", kid: "new", key_ops: ["encrypt", "decrypt"], since: 1, k: NEW.k },
    ]);
  });

  const jwk = (more: object) => ({
    kty: "oct",
    kid: "a",
    k: OLD.k,
    key_ops: ["encrypt", "decrypt"],
    ...more,
  });
  test.each<[string, unknown, RegExp]>([
    ["no JSON", "canary", /no JSON Web Key Set/],
    ["no set", jwk({}), /no JSON Web Key Set/],
    ["an empty set", { keys: [] }, /no JSON Web Key Set/],
    ["a key without a name", { keys: [jwk({ kid: undefined })] }, /key no. 1 has no kid/],
    ["a short key", { keys: [jwk({ k: "canary-short" })] }, /"a" is not 256 bits/],
    ["a public key", { keys: [jwk({ kty: "RSA" })] }, /"a" is no symmetric key/],
    ["none that seals", { keys: [jwk({ key_ops: ["decrypt"] })] }, /none of its keys may encrypt/],
    ["two that seal", { keys: [jwk({}), jwk({ kid: "b" })] }, /2 of its keys may encrypt/],
    ["two of one name", { keys: [jwk({}), jwk({ key_ops: ["decrypt"] })] }, /same kid/],
  ])("are refused when they are %s, without being quoted", (_, value, words) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    expect(() => parseSealKeys(text)).toThrow(words);
    expect(() => parseSealKeys(text)).toThrow(/^(?!.*canary)/);
  });
});

describe("a document with sealing keys", () => {
  test("stores long-lived secrets sealed, and other fields unchanged", async () => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const fields = {
      clientId: "C1",
      clientSecret: SECRET,
      refreshToken: "canary-refresh",
      accessToken: "live",
    };
    const stored = await sealFields("sales", fields, sealer);
    expect(stored).toMatchObject({ clientId: "C1", accessToken: "live" });
    expect(JSON.stringify(stored)).not.toContain("canary");
    expect(await openFields("sales", stored, sealer)).toEqual({ fields, unopened: {} });
  });

  test("with values moved from another token does not open them, and names their fields", async () => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const stored = await sealFields("sales", { clientId: "C1", refreshToken: "canary-refresh" }, sealer);
    const { fields, unopened } = await openFields("support", stored, sealer);
    expect(fields).toEqual(stored);
    expect(unopened).toEqual({ refreshToken: "it was sealed for another token or another field" });
  });

  test("written before sealing, or by hand, is read unchanged", async () => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const fields = { clientSecret: ` ${SECRET}\n`, refreshToken: 7, scope: "s" };
    expect(await openFields("sales", fields, sealer)).toEqual({ fields, unopened: {} });
  });

  test("whose sealed value was pasted with a line break opens", async () => {
    const { sealer } = await opened({ primary: NEW, all: [NEW] });
    const { clientSecret } = await sealFields("sales", { clientSecret: SECRET }, sealer);
    const pasted = await openFields("sales", { clientSecret: `${clientSecret}\n` }, sealer);
    expect(pasted.fields).toEqual({ clientSecret: SECRET });
  });
});
