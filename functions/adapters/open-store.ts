import type { DocumentStore, StoreUnavailable } from "../core/store.ts";
import type { Boot } from "./boot.ts";
import { SettingsError } from "./env.ts";
import { openFile, projectOf } from "./places.ts";

/** Opens the store for reading and writing. Off Google Cloud it is tried at once: credentials may be missing. */
export async function openStore({ settings, metadata }: Omit<Boot, "log">): Promise<DocumentStore> {
  const { store: where, onGoogleCloud } = settings;
  if (where === undefined) throw new SettingsError("no store is configured");
  if (where.kind === "sqlite") return openFile(where.file);
  const project = await projectOf(where.project, metadata);
  const { openFirestore } = await import("./firestore.ts");
  const store = openFirestore({ project, database: where.database });
  if (!onGoogleCloud && where.emulator === undefined) await tryStore(store, project);
  return store;
}

async function tryStore(store: DocumentStore, project: string): Promise<void> {
  await store.read("status", "sweeps").catch((error: unknown) => {
    const { message, detail } = error as StoreUnavailable;
    throw new SettingsError(
      `can't read Firestore of project ${project}: ${detail ?? message}; is "gcloud auth application-default login" done?`,
    );
  });
}
