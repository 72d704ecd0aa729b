import type { SecretManagerServiceClient } from "@google-cloud/secret-manager";
import { secretManager } from "../../functions/adapters/secret-manager.ts";
import { CommandError } from "../commands/errors.ts";
import { type Change, Unfinished } from "../secret-text.ts";
import {
  codeOf,
  DEADLINE_EXCEEDED,
  FAILED_PRECONDITION,
  NOT_FOUND,
  obstacle,
  UNAVAILABLE,
} from "./errors.ts";

const DENIED =
  'the roles "Secret Manager Secret Accessor" and "Secret Manager Secret Version Manager" on the secret let you, and the deployment gives both to its "operators"';

/**
 * Adds a version to a secret of Secret Manager, and disables the ones before; none is destroyed. A change that changes
 * nothing adds none. Where somebody else added one in between, says so: both are there, and theirs is disabled.
 */
export async function changeManaged(
  secret: string,
  change: Change,
  client: SecretManagerServiceClient = secretManager(),
): Promise<void> {
  const before = await newest(secret, client);
  const text = change(before?.text);
  if (text === before?.text) return;
  const name = await add(secret, text, client);
  const older = await enabledBeside(name, secret, client);
  for (const version of older)
    await client.disableSecretVersion({ name: version }).catch((error: unknown) => {
      throw leftEnabled(secret, error);
    });
  const others = older.filter(
    (version) => version !== before?.name && numberOf(version) > numberOf(before?.name),
  );
  if (others.length > 0)
    throw new Unfinished(
      `somebody else changed ${secret} at the same time: compare its versions ${[...others, name].map(numberOf).join(" and ")}, and make the change that is missing again`,
    );
}

/** The newest version's text; `undefined`: there is none yet. Throws `CommandError`. */
export async function presentManaged(
  secret: string,
  client: SecretManagerServiceClient = secretManager(),
): Promise<string | undefined> {
  return (await newest(secret, client))?.text;
}

/** The full name of the version that it became. */
async function add(secret: string, text: string, client: SecretManagerServiceClient): Promise<string> {
  const data = Buffer.from(text, "utf8");
  try {
    const [added] = await client.addSecretVersion({ parent: secret, payload: { data } });
    return added.name ?? "";
  } catch (error) {
    if (codeOf(error) !== UNAVAILABLE && codeOf(error) !== DEADLINE_EXCEEDED) throw failure(secret, error);
    // Nobody answered: it may be there all the same.
    const landed = await newest(secret, client).catch(() => {
      throw new CommandError(
        `Secret Manager did not answer, and ${secret} may have its new version or not: look with gcloud secrets versions list before you try again`,
      );
    });
    if (landed?.text === text) return landed.name;
    throw failure(secret, error);
  }
}

async function enabledBeside(name: string, secret: string, client: SecretManagerServiceClient) {
  const [versions] = await client
    .listSecretVersions({ parent: secret, filter: "state:ENABLED" })
    .catch((error: unknown) => {
      throw leftEnabled(secret, error);
    });
  return versions.flatMap((version) => (version.name && version.name !== name ? [version.name] : []));
}

async function newest(secret: string, client: SecretManagerServiceClient) {
  try {
    const [version] = await client.accessSecretVersion({ name: `${secret}/versions/latest` });
    return { name: version.name ?? "", text: Buffer.from(version.payload?.data ?? "").toString("utf8") };
  } catch (error) {
    // A secret that has no version yet.
    if (codeOf(error) === NOT_FOUND) return undefined;
    throw failure(secret, error);
  }
}

const numberOf = (version = "") => Number(version.split("/").at(-1) ?? 0);

const leftEnabled = (secret: string, error: unknown) =>
  new Unfinished(
    `${secret} has its new version, but those before could not be disabled (code ${codeOf(error) ?? "unknown"}): disable them with gcloud secrets versions disable`,
  );

function failure(secret: string, error: unknown): CommandError {
  const [, project] = secret.split("/");
  const asked = { api: "Secret Manager", service: "secretmanager.googleapis.com", project };
  const code = codeOf(error);
  if (code === NOT_FOUND) return new CommandError(`there is no secret ${secret}`);
  if (code === FAILED_PRECONDITION)
    return new CommandError(
      `the newest version of ${secret} is disabled: enable it, or add one with gcloud secrets versions add`,
    );
  return (
    obstacle(error, asked, DENIED) ??
    new CommandError(`Secret Manager did not change ${secret} (code ${code ?? "unknown"}): try it again`)
  );
}
