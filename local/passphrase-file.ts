import { existsSync, lstatSync, realpathSync } from "node:fs";
import type { Settings } from "../functions/adapters/env.ts";
import { parsePassphrases } from "../functions/core/passphrase.ts";
import { CommandError } from "./commands/errors.ts";
import type { Deployment } from "./deployment.ts";
import { placeFor } from "./place.ts";
import { changeFile } from "./secret-text.ts";

const IN_VARIABLE =
  "the shared passphrases are in TOKEN_PASSPHRASE, which no command can change: put the new one on its first line and the present one on its second, and start the service anew; where a secret of Secret Manager feeds it, add a new version like that to the secret";

const IN_SECRET_MANAGER =
  "where the shared passphrases of a service on Firestore are kept is not known here: add a new version to their secret in Secret Manager, the new one on its first line and the present one on its second; or name the file that the service reads in TOKEN_PASSPHRASE_FILE";

/**
 * The file that holds the shared passphrases, one a line: the one that the environment names, else that of this
 * machine's own place. Throws `CommandError` where they are in no file that is known here, or it is not there.
 */
export function passphraseFile(
  { passphrase, store }: Settings,
  live: boolean,
  deployment: () => Deployment,
): string {
  if (passphrase !== undefined && "text" in passphrase) throw new CommandError(IN_VARIABLE);
  if (passphrase !== undefined)
    return present(passphrase.file, "TOKEN_PASSPHRASE_FILE must name the one that the service reads");
  if (store?.kind === "firestore") throw new CommandError(IN_SECRET_MANAGER);
  const { service } = deployment();
  if (service !== undefined && service.passphrase === undefined) throw new CommandError(IN_VARIABLE);
  const file = service?.passphrase ?? placeFor(live ? "live" : "sandbox").passphrase;
  return present(file, '"npm start" makes it, with the first one');
}

/** A link stays one: what it leads to is changed. */
function present(file: string, orElse: string): string {
  if (!existsSync(file)) throw new CommandError(`there is no passphrase file ${file}: ${orElse}`);
  return lstatSync(file).isSymbolicLink() ? realpathSync(file) : file;
}

/** Puts a new passphrase before the newest one. How many ended with that. Throws `CommandError`. */
export const addNewest = (file: string, passphrase: string): number =>
  rewrite(file, (newest) => `${passphrase}\n${newest}\n`);

/** Leaves the newest passphrase alone. How many ended with that. Throws `CommandError`. */
export const endOlder = (file: string): number => rewrite(file, (newest) => `${newest}\n`);

function rewrite(file: string, textFor: (newest: string) => string): number {
  let ended = 0;
  changeFile(file, (text = "") => {
    const [newest = "", ...older] = passphrasesIn(text, file);
    ended = older.length;
    return textFor(newest);
  });
  return ended;
}

function passphrasesIn(text: string, file: string): string[] {
  try {
    return parsePassphrases(text);
  } catch (error) {
    throw new CommandError(`${file} can't be used: ${(error as Error).message}`);
  }
}
