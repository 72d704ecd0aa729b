import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Settings, StoreSettings } from "../functions/adapters/env.ts";
import { openSealer } from "../functions/adapters/seal.ts";
import { isManaged } from "../functions/adapters/secret.ts";
import type { Sealer } from "../functions/core/seal.ts";
import { CommandError } from "./commands/errors.ts";
import type { RunningService } from "./place.ts";
import { presentSecret } from "./secret-text.ts";

/** Where the sealing keys of a store are looked for when nothing says otherwise; `undefined`: nowhere. */
export const keysBeside = (store: StoreSettings): string | undefined =>
  store.kind === "sqlite" ? join(dirname(store.file), "seal-keys.json") : undefined;

/** The sealer of a piece of work on this machine. Throws `SettingsError`, or `CommandError` of what stands in Google's way. */
export async function openSealerHere(
  sealing: NonNullable<Settings["sealing"]>,
  now: () => number,
): Promise<Sealer> {
  try {
    return await openSealer(sealing, () => {}, now);
  } catch (error) {
    if (sealing === "off" || !isManaged(sealing.keys)) throw error;
    // It was read to no avail: why, is told to whoever asks again.
    if ((await presentSecret(sealing.keys)) !== undefined) throw error;
    throw new CommandError(
      `there is no secret ${sealing.keys}, or it has no version: SEAL_KEYS must name the one that the service uses (npx pulumi stack output sealKeys --cwd infra)`,
    );
  }
}

/**
 * How this machine seals: as the environment says; as the service does that runs on this store; else with the keys
 * beside the store, which `tokens keys add` makes. `undefined`: it has to be said.
 */
export function sealingHere(
  { sealing }: Pick<Settings, "sealing">,
  store: StoreSettings,
  service?: RunningService,
): Settings["sealing"] {
  if (typeof sealing === "object") return sealing;
  if (service !== undefined) return service.sealKeys === undefined ? "off" : { keys: service.sealKeys };
  const beside = keysBeside(store);
  if (beside === undefined) return sealing;
  return existsSync(beside) ? { keys: beside } : "off";
}
