import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { isManaged } from "../functions/adapters/secret.ts";
import { CommandError } from "./commands/errors.ts";

/** What a secret becomes of what it is; `undefined`: there is none yet. What it throws leaves the secret as it is. */
export type Change = (text: string | undefined) => string;

/** The new text is there, but something beside it could not be done: the sentence says what is left to do. */
export class Unfinished extends CommandError {
  override name = "Unfinished";
}

/**
 * Changes a file or a secret of Secret Manager as a whole: whoever reads it sees the old text or the new one. Two who
 * change it at a time don't overwrite each other. Throws `CommandError`; `Unfinished` where the new text is there.
 */
export async function changeSecret(where: string, change: Change): Promise<void> {
  if (!isManaged(where)) return changeFile(where, change);
  const { changeManaged } = await import("./google/managed-secret.ts");
  await changeManaged(where, change);
}

/** The text as it is; `undefined`: there is none yet. Throws `CommandError`. */
export async function presentSecret(where: string): Promise<string | undefined> {
  if (isManaged(where)) {
    const { presentManaged } = await import("./google/managed-secret.ts");
    return presentManaged(where);
  }
  try {
    return present(where);
  } catch (error) {
    throw new CommandError(`can't read ${where} (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** The new text is written beside the file, which takes its place once it is safely on the disk. */
export function changeFile(file: string, change: Change): void {
  const aside = `${file}.new`;
  const handle = openAside(aside, file);
  try {
    writeFileSync(handle, change(present(file)));
    keepOwner(handle, file);
    fsyncSync(handle);
    renameSync(aside, file);
  } catch (error) {
    rmSync(aside, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : new CommandError(`can't write ${file} (${code}): it is as it was`);
  } finally {
    closeSync(handle);
  }
}

/** Whoever could read the file before still can: a service may run as somebody else. */
function keepOwner(handle: number, file: string): void {
  const before = statSync(file, { throwIfNoEntry: false });
  if (before === undefined) return;
  const { uid, gid } = fstatSync(handle);
  if (before.uid !== uid || before.gid !== gid) fchownSync(handle, before.uid, before.gid);
  fchmodSync(handle, before.mode & 0o777);
}

/** Nobody else can have it open: it is the lock, too. */
function openAside(aside: string, file: string): number {
  try {
    return openSync(aside, "wx", 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandError(
      code === "EEXIST"
        ? `somebody else is changing ${file} just now; if nobody is, remove ${aside}`
        : `can't write ${file} (${code})`,
    );
  }
}

function present(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
