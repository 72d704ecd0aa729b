import { sealerWith } from "../../functions/adapters/seal.ts";
import type { Sealer, SealKey, SealKeys } from "../../functions/core/seal.ts";

/** A made-up key of that name. */
export const sealKey = (kid: string): SealKey => ({
  kid,
  k: Buffer.alloc(32, `canary sealing key ${kid}`).toString("base64url"),
});

/** Seals with the first of these keys, and opens with all. */
export function sealerOf(...kids: [string, ...string[]]): Sealer {
  const [primary, ...others] = kids;
  const keys: SealKeys = { primary: sealKey(primary), all: [primary, ...others].map(sealKey) };
  return sealerWith({ current: () => keys, again: async () => keys }, Date.now);
}
