import { SECOND } from "../core/time.ts";
import { readText } from "./text-file.ts";

const PATIENCE = 5 * SECOND;

/** `projects/…/secrets/…`: a secret of Secret Manager; anything else names a file. */
export const isManaged = (where: string): boolean => /^projects\/[^/]+\/secrets\/[^/]+$/.test(where);

/** The text of a file, or of a secret's newest version. Throws an `Error` that says why not, in codes alone. */
export async function readSecret(where: string): Promise<string> {
  if (!isManaged(where)) return readText(where);
  const { accessLatest } = await import("./secret-manager.ts");
  return accessLatest(where, PATIENCE);
}
