import { fieldsOf, type RawFields } from "./document.ts";

/** What lasts: of these fields only sealed values are stored. */
export const SEALED_FIELDS = ["clientSecret", "refreshToken"] as const;

export type SealedField = (typeof SEALED_FIELDS)[number];

/** Where a value is kept. A sealed one opens there and nowhere else. */
export interface Spot {
  token: string;
  field: SealedField;
}

/** Seals and opens what a token document keeps. */
export interface Sealer {
  /** False: sealing is off, and `seal` gives back what it is given. */
  seals: boolean;
  /** A compact JWE (RFC 7516). */
  seal(plain: string, spot: Spot): Promise<string>;
  /** Throws `Unopened`. */
  open(sealed: string, spot: Spot): Promise<string>;
}

/** A sealed value can't be read. The message says why, in words that hold no secret. */
export class Unopened extends Error {
  override name = "Unopened";
}

/** Sealing is off. */
export const unsealed: Sealer = {
  seals: false,
  seal: async (plain) => plain,
  open: () => Promise.reject(new Unopened("it is sealed, and no sealing keys are configured (SEAL_KEYS)")),
};

/** A compact JWE under a key that both sides hold ("dir": its second part is empty). */
export const isSealed = (text: string): boolean => /^eyJ[\w-]+\.\.[\w-]+\.[\w-]+\.[\w-]+$/.test(text.trim());

/** Which key a sealed value needs; `undefined`: it does not say. */
export function keyOf(sealed: string): string | undefined {
  try {
    const header: unknown = JSON.parse(
      Buffer.from(sealed.trim().split(".")[0] ?? "", "base64url").toString(),
    );
    const { kid } = fieldsOf(header);
    return typeof kid === "string" ? kid : undefined;
  } catch {
    return undefined;
  }
}

/** A document whose sealed fields are read. `unopened`: those that can't be, left in `fields` as they are, and why. */
export interface Opened {
  fields: RawFields;
  unopened: Readonly<Record<string, string>>;
}

export async function openFields(token: string, fields: RawFields, sealer: Sealer): Promise<Opened> {
  const opened: Record<string, unknown> = { ...fields };
  const unopened: Record<string, string> = {};
  for (const field of SEALED_FIELDS) {
    const value = fields[field];
    if (typeof value !== "string" || !isSealed(value)) continue;
    try {
      opened[field] = await sealer.open(value.trim(), { token, field });
    } catch (error) {
      if (!(error instanceof Unopened)) throw error;
      unopened[field] = error.message;
    }
  }
  return { fields: opened, unopened };
}

/** The same fields, ready to be stored. */
export async function sealFields(token: string, fields: RawFields, sealer: Sealer): Promise<RawFields> {
  const sealed: Record<string, unknown> = { ...fields };
  for (const field of SEALED_FIELDS) {
    const value = fields[field];
    if (typeof value === "string" && value !== "") sealed[field] = await sealer.seal(value, { token, field });
  }
  return sealed;
}

/** One symmetric key of 256 bits (RFC 7517, RFC 7518 §6.4). */
export interface SealKey {
  kid: string;
  /** base64url. */
  k: string;
  /** ms: since when it has been in its present part. `undefined`: it does not say. */
  since?: number;
}

export interface SealKeys {
  /** The one that seals. */
  primary: SealKey;
  /** All that open, the primary included. */
  all: readonly SealKey[];
}

/**
 * Reads a JSON Web Key Set. The one key whose `key_ops` name "encrypt" seals; the others only open. Throws an `Error`
 * that names what is wrong, and quotes no key.
 */
export function parseSealKeys(text: string): SealKeys {
  const { keys } = fieldsOf(jsonOf(text));
  if (!Array.isArray(keys) || keys.length === 0)
    throw new Error('it is no JSON Web Key Set: {"keys":[…]} with a key or more is wanted');
  const read = keys.map((key: unknown, index) => readKey(fieldsOf(key), index + 1));
  const kids = new Set(read.map(({ key }) => key.kid));
  if (kids.size < read.length) throw new Error("two of its keys have the same kid");
  const sealing = read.filter(({ seals }) => seals);
  const [primary] = sealing;
  if (primary === undefined || sealing.length > 1)
    throw new Error(
      `${sealing.length === 0 ? "none" : sealing.length} of its keys may encrypt (key_ops); exactly one must`,
    );
  return { primary: primary.key, all: read.map(({ key }) => key) };
}

/** The set as it is kept. */
export function formatSealKeys({ primary, all }: SealKeys): string {
  const keys = all.map(({ kid, k, since }) => ({
    kty: "oct",
    alg: "A256GCM",
    kid,
    key_ops: kid === primary.kid ? ["encrypt", "decrypt"] : ["decrypt"],
    ...(since !== undefined && { since }),
    k,
  }));
  return `${JSON.stringify({ keys }, undefined, 2)}\n`;
}

function readKey({ kty, kid, k, key_ops: operations, since }: RawFields, place: number) {
  if (typeof kid !== "string" || kid === "") throw new Error(`its key no. ${place} has no kid`);
  if (kty !== "oct") throw new Error(`its key "${kid}" is no symmetric key (kty "oct")`);
  if (typeof k !== "string" || !/^[\w-]{43}$/.test(k))
    throw new Error(`its key "${kid}" is not 256 bits long (k: 43 characters of base64url)`);
  const key: SealKey = { kid, k, ...(typeof since === "number" && { since }) };
  return { key, seals: Array.isArray(operations) && operations.includes("encrypt") };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
