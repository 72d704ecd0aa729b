import type { Log } from "../core/log.ts";
import { type DocumentStore, StoreUnavailable } from "../core/store.ts";
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
    process.exit(1);
  });
  return async (request, response) => (await handler)(request, response);
}

async function start(needed: readonly Needed[], make: (boot: Boot) => Promise<Handler>, log: Log) {
  const settings = readSettings(process.env, needed);
  const metadata = metadataServer(process.env.GCE_METADATA_HOST ?? "metadata.google.internal", runtime.now);
  return make({ settings, metadata, log });
}

/** Opens the store that the environment names. Off Google Cloud it is tried at once: credentials may be missing. */
export async function openStore({ settings, metadata }: Boot): Promise<DocumentStore> {
  if (settings.store === undefined) throw new SettingsError("no store is configured");
  if (settings.store.kind === "sqlite") return openFile(settings.store.file);
  const project = settings.store.project ?? (await projectFrom(metadata));
  const { openFirestore } = await import("./firestore.ts");
  const store = openFirestore({ project, database: settings.store.database });
  if (!settings.onGoogleCloud && !settings.store.emulator) await tryStore(store, project);
  return store;
}

async function openFile(file: string): Promise<DocumentStore> {
  const { openSqlite } = await import("./sqlite.ts");
  try {
    return openSqlite(file, runtime.now);
  } catch (error) {
    throw new SettingsError((error as Error).message);
  }
}

async function projectFrom(metadata: Metadata): Promise<string> {
  return metadata.project().catch(() => {
    throw new SettingsError(
      "GOOGLE_CLOUD_PROJECT is not set and no metadata server answers: set it to the project that holds the tokens",
    );
  });
}

async function tryStore(store: DocumentStore, project: string): Promise<void> {
  await store.read("status", "sweeps").catch((error: unknown) => {
    throw new SettingsError(
      `can't read Firestore of project ${project}: ${(error as Error).message}; is "gcloud auth application-default login" done?`,
    );
  });
}
