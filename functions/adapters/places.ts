import type { DocumentStore } from "../core/store.ts";
import { SettingsError } from "./env.ts";
import type { Metadata } from "./metadata.ts";
import { runtime } from "./runtime.ts";

/** The store in a file. Throws `SettingsError` where it can't be opened. */
export async function openFile(file: string): Promise<DocumentStore> {
  const { openSqlite } = await import("./sqlite.ts");
  try {
    return openSqlite(file, runtime.now);
  } catch (error) {
    throw new SettingsError((error as Error).message);
  }
}

/** The project whose Firestore holds the tokens: as configured, else the one this runs in. */
export async function projectOf(project: string | undefined, metadata: Metadata): Promise<string> {
  if (project !== undefined) return project;
  return metadata.project().catch(() => {
    throw new SettingsError(
      "GOOGLE_CLOUD_PROJECT is not set and no metadata server answers: set it to the project that holds the tokens",
    );
  });
}
