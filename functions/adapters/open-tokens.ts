import { type TokenStore, tokenStore } from "../core/store.ts";
import type { Boot } from "./boot.ts";
import { openStore } from "./open-store.ts";
import { runtime } from "./runtime.ts";
import { openSealer } from "./seal.ts";

/** The tokens for reading and writing, with the keys to what is sealed. */
export async function openTokens(boot: Omit<Boot<"store" | "sealing">, "ending">): Promise<TokenStore> {
  const { settings, log } = boot;
  // First, so that nothing has to be closed where they can't be had.
  const sealer = await openSealer(settings.sealing, log, runtime.now);
  return tokenStore(await openStore(boot), runtime.now, sealer);
}
