import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Settings, StoreSettings } from "../functions/adapters/env.ts";
import type { RunningService } from "./place.ts";

/** Where the sealing keys of a store are looked for when nothing says otherwise; `undefined`: nowhere. */
export const keysBeside = (store: StoreSettings): string | undefined =>
  store.kind === "sqlite" ? join(dirname(store.file), "seal-keys.json") : undefined;

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
