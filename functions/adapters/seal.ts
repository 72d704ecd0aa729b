import { CompactEncrypt, compactDecrypt } from "jose";
import type { Log } from "../core/log.ts";
import {
  keyOf,
  parseSealKeys,
  type Sealer,
  type SealKeys,
  type Spot,
  Unopened,
  unsealed,
} from "../core/seal.ts";
import { SECOND } from "../core/time.ts";
import { type Settings, SettingsError } from "./env.ts";
import { type Kept, keep } from "./kept.ts";
import { readSecret } from "./secret.ts";

/** A key that is not known may have been added just now; for one that stays unknown nobody is asked more often. */
const LOOK_AGAIN = 10 * SECOND;
const ENCRYPTION = { alg: "dir", enc: "A256GCM" } as const;

/** The sealer that the settings name. Throws `SettingsError` where its keys can't be had. */
export async function openSealer(
  sealing: NonNullable<Settings["sealing"]>,
  log: Log,
  now: () => number,
): Promise<Sealer> {
  if (sealing === "off") return unsealed;
  const read = async () => {
    try {
      return parseSealKeys(await readSecret(sealing.keys));
    } catch (error) {
      throw new SettingsError(`the sealing keys (SEAL_KEYS) can't be used: ${(error as Error).message}`);
    }
  };
  return sealerWith(
    await keep(read, now, ({ message }) => log("seal.keys_unreadable", { reason: message })),
    now,
  );
}

/** Compact JWE (RFC 7516) under one of the keys. The header, which is authenticated, says where the value belongs. */
export function sealerWith(kept: Kept<SealKeys>, now: () => number): Sealer {
  let lookedAt = Number.NEGATIVE_INFINITY;
  const find = ({ all }: SealKeys, kid: string | undefined) => all.find((key) => key.kid === kid);
  const findKey = async (kid: string | undefined) => {
    const key = find(await kept.current(), kid);
    if (key !== undefined || Math.abs(now() - lookedAt) < LOOK_AGAIN) return key;
    lookedAt = now();
    return find(await kept.again(), kid);
  };
  return {
    seals: true,
    async seal(plain, { token, field }) {
      const { primary } = await kept.current();
      return new CompactEncrypt(new TextEncoder().encode(plain))
        .setProtectedHeader({ ...ENCRYPTION, kid: primary.kid, token, field })
        .encrypt(bytesOf(primary));
    },
    async open(sealed, spot) {
      const kid = keyOf(sealed);
      const key = await findKey(kid);
      if (key === undefined) throw new Unopened(`it is sealed with ${named(kid)}, which is not configured`);
      return openWith(key, sealed, spot);
    },
  };
}

const bytesOf = ({ k }: SealKeys["primary"]) => Buffer.from(k, "base64url");

/** A key's name from outside, where it is one that could be ours. */
const named = (kid = "") => (/^[\w.-]{1,64}$/.test(kid) ? `key "${kid}"` : "a key");

async function openWith(key: SealKeys["primary"], sealed: string, spot: Spot): Promise<string> {
  const { plaintext, protectedHeader } = await compactDecrypt(sealed, bytesOf(key), {
    keyManagementAlgorithms: [ENCRYPTION.alg],
    contentEncryptionAlgorithms: [ENCRYPTION.enc],
  }).catch(() => {
    throw new Unopened(`${named(key.kid)} does not open it: it was altered, or another key has this name`);
  });
  if (protectedHeader.token !== spot.token || protectedHeader.field !== spot.field)
    throw new Unopened("it was sealed for another token or another field");
  return new TextDecoder().decode(plaintext);
}
