import type { DocumentStore, StoreUnavailable } from "../core/store.ts";
import type { Boot } from "./boot.ts";
import { SettingsError } from "./env.ts";
import { openFile, projectOf } from "./places.ts";

/** Opens the store for reading and writing. Off Google Cloud it is tried at once: credentials may be missing. */
export async function openStore({
  settings,
  metadata,
}: Pick<Boot<"store">, "settings" | "metadata">): Promise<DocumentStore> {
  const { store: where, onGoogleCloud } = settings;
  if (where.kind === "sqlite") return openFile(where.file);
  const project = await projectOf(where.project, metadata);
  const { openFirestore, requireCredentials } = await import("./firestore.ts");
  const foreign = !onGoogleCloud && where.emulator === undefined;
  if (foreign) await requireCredentials().catch((error: Error) => unreadable(project, error.message));
  const store = openFirestore({ project, database: where.database });
  if (foreign)
    await store
      .read("status", "sweeps")
      .catch(({ message, detail }: StoreUnavailable) => unreadable(project, detail ?? message));
  return store;
}

function unreadable(project: string, why: string): never {
  throw new SettingsError(
    `can't read Firestore of project ${project}: ${why.replace(/\s*\n\s*/g, " ")}; is "gcloud auth application-default login" done?`,
  );
}
