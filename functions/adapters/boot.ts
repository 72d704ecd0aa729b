import type { Log } from "../core/log.ts";
import { StoreUnavailable } from "../core/store.ts";
import { type Needed, readSettings, type Settings, SettingsError } from "./env.ts";
import type { Handler } from "./http.ts";
import { jsonLog } from "./log.ts";
import { type Metadata, metadataServer } from "./metadata.ts";
import { runtime } from "./runtime.ts";

/** What every function starts from. */
export interface Boot {
  settings: Settings;
  metadata: Metadata;
  log: Log;
}

/**
 * Makes the function that is exported: the environment is read at once, what `make` builds is waited for by the first
 * request. Where it can't start it says so in one line and ends the process; the platform then keeps the old revision.
 */
export function boot(needed: readonly Needed[], make: (boot: Boot) => Promise<Handler>): Handler {
  const log = jsonLog();
  const handler = start(needed, make, log).catch((error: unknown): never => {
    const expected = error instanceof SettingsError || error instanceof StoreUnavailable;
    log("service.stopped", { reason: expected ? error.message : `unexpected: ${(error as Error).stack}` });
    // The framework has a listener that adds a stack trace to the sentence above.
    process.removeAllListeners("exit");
    process.exit(1);
  });
  return async (request, response) => (await handler)(request, response);
}

async function start(needed: readonly Needed[], make: (boot: Boot) => Promise<Handler>, log: Log) {
  const settings = readSettings(process.env, needed);
  const metadata = metadataServer(settings.metadataHost, runtime.now);
  return make({ settings, metadata, log });
}
