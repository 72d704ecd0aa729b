import type { DocumentReader } from "../core/store.ts";
import type { Boot } from "./boot.ts";
import { SettingsError } from "./env.ts";
import { firestoreReader } from "./firestore-rest.ts";
import { openFile, projectOf } from "./places.ts";
import { runtime } from "./runtime.ts";

/**
 * Opens what lookup needs of the store: single reads. On Firestore they go over REST, without the library that would
 * cost most of lookup's start-up time; nothing here may import it.
 */
export async function openReader({ settings, metadata }: Boot<"store">): Promise<DocumentReader> {
  const { store, onGoogleCloud } = settings;
  if (store.kind === "sqlite") return openFile(store.file);
  if (!onGoogleCloud && store.emulator === undefined)
    await metadata.accessToken().catch(() => {
      throw new SettingsError(
        `can't read Firestore of project ${store.project}: lookup takes its credentials from Google Cloud's metadata server, and none answers; run it there, or with FIRESTORE_EMULATOR_HOST or STORE`,
      );
    });
  return firestoreReader({
    project: await projectOf(store.project, metadata),
    database: store.database,
    emulator: store.emulator,
    accessToken: metadata.accessToken,
    now: runtime.now,
  });
}
