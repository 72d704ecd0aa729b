import { existsSync, lstatSync, realpathSync } from "node:fs";
import type { Settings } from "../functions/adapters/env.ts";
import { isManaged } from "../functions/adapters/secret.ts";
import { parsePassphrases } from "../functions/core/passphrase.ts";
import { CommandError } from "./commands/errors.ts";
import type { Deployment } from "./deployment.ts";
import { placeFor } from "./place.ts";
import { changeSecret, Unfinished } from "./secret-text.ts";

const IN_VARIABLE =
  "the shared passphrases are in TOKEN_PASSPHRASE, which no command can change: put the new one on its first line and the present one on its second, and start the service anew; where a secret of Secret Manager feeds it, add a new version like that to the secret";

/** As `infra/token-service.ts` names it, in the stack that `infra/index.ts` makes. */
export const DEPLOYED = "tokens-passphrase";

/**
 * Where the shared passphrases are kept, one a line: the secret that was said; else the file or the secret that the
 * environment names; else, where the tokens are in Firestore, the deployment's secret; else the file of this machine's own
 * place. `projects/…/secrets/…`, or a file that is there. Throws `CommandError` where nothing of it is known.
 */
export function sharedPassphrases(
  { passphrase, store }: Settings,
  secret: string | undefined,
  live: boolean,
  deployment: () => Deployment,
): string {
  const project = store?.kind === "firestore" ? store.project : undefined;
  if (secret !== undefined) return managed(secret, project);
  if (passphrase !== undefined && "text" in passphrase) throw new CommandError(IN_VARIABLE);
  if (passphrase !== undefined)
    return isManaged(passphrase.file)
      ? passphrase.file
      : present(passphrase.file, "TOKEN_PASSPHRASE_FILE must name the one that the service reads");
  if (store?.kind === "firestore") {
    if (store.emulator === undefined) return managed(DEPLOYED, project);
    throw new CommandError(
      "where the service beside the emulator keeps its shared passphrases is not known here: name the file that it reads in TOKEN_PASSPHRASE_FILE",
    );
  }
  const { service } = deployment();
  if (service !== undefined && service.passphrase === undefined) throw new CommandError(IN_VARIABLE);
  const file = service?.passphrase ?? placeFor(live ? "live" : "sandbox").passphrase;
  return present(file, '"npm start" makes it, with the first one');
}

/** A secret's full name; a short one is of the project that the environment names. Throws `CommandError`. */
function managed(secret: string, project: string | undefined): string {
  if (isManaged(secret)) return secret;
  if (!/^[A-Za-z0-9_-]{1,255}$/.test(secret))
    throw new CommandError("--secret must be projects/…/secrets/…, or a secret's name alone", 2);
  if (project !== undefined) return `projects/${project}/secrets/${secret}`;
  throw new CommandError(
    "which project? Give --secret as projects/…/secrets/…, or set GOOGLE_CLOUD_PROJECT",
    2,
  );
}

/** A link stays one: what it leads to is changed. */
function present(file: string, orElse: string): string {
  if (!existsSync(file)) throw new CommandError(`there is no passphrase file ${file}: ${orElse}`);
  return lstatSync(file).isSymbolicLink() ? realpathSync(file) : file;
}

/** Puts a new passphrase before the newest one. How many end with that. Throws `CommandError`. */
export const addNewest = (where: string, passphrase: string): Promise<Rewritten> =>
  rewrite(where, ([newest]) => `${passphrase}\n${newest}\n`);

/** Leaves the newest passphrase alone. How many end with that. Throws `CommandError`. */
export const endOlder = (where: string): Promise<Rewritten> =>
  rewrite(where, ([newest, ...older], text) => (older.length === 0 ? text : `${newest}\n`));

interface Rewritten {
  /** Passphrases that are good no more. */
  ended: number;
  /** What is left to do although the new text is there; to be thrown once all is told. */
  unfinished: Unfinished | undefined;
}

async function rewrite(
  where: string,
  textFor: (passphrases: string[], text: string) => string,
): Promise<Rewritten> {
  let ended = 0;
  const changed = changeSecret(where, (text = "") => {
    const passphrases = passphrasesIn(text, where);
    ended = passphrases.length - 1;
    return textFor(passphrases, text);
  });
  const unfinished = await changed.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof Unfinished) return error;
      throw error;
    },
  );
  return { ended, unfinished };
}

function passphrasesIn(text: string, where: string): string[] {
  if (text === "" && isManaged(where))
    throw new CommandError(
      `there is no secret ${where}, or it has no version: --secret names the one that the service reads (npx pulumi stack output passphrase --cwd infra)`,
    );
  try {
    return parsePassphrases(text);
  } catch (error) {
    throw new CommandError(`${where} can't be used: ${(error as Error).message}`);
  }
}
