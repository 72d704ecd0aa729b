import type { SecretManagerServiceClient } from "@google-cloud/secret-manager";
import { secretManager } from "../functions/adapters/secret-manager.ts";
import { CommandError } from "./commands/errors.ts";
import type { Change } from "./secret-text.ts";

/** gRPC's status codes. */
const NOT_FOUND = 5;

/**
 * Adds a version to a secret of Secret Manager, and disables the ones before; none is destroyed. Where somebody else
 * added one in between, says so: both are there, and theirs is disabled.
 */
export async function changeManaged(
  secret: string,
  change: Change,
  client: SecretManagerServiceClient = secretManager(),
): Promise<void> {
  const before = await newest(secret, client);
  const data = Buffer.from(change(before?.text), "utf8");
  const [added] = await client.addSecretVersion({ parent: secret, payload: { data } }).catch(fail(secret));
  const name = added.name ?? "";
  const [versions] = await client
    .listSecretVersions({ parent: secret, filter: "state:ENABLED" })
    .catch(fail(secret));
  const older = versions.flatMap((version) => (version.name && version.name !== name ? [version.name] : []));
  for (const version of older) await client.disableSecretVersion({ name: version }).catch(fail(secret));
  const others = older.filter(
    (version) => version !== before?.name && numberOf(version) > numberOf(before?.name),
  );
  if (others.length > 0)
    throw new CommandError(
      `somebody else changed ${secret} at the same time: compare its versions ${[...others, name].map(numberOf).join(" and ")}, and make the change that is missing again`,
    );
}

async function newest(secret: string, client: SecretManagerServiceClient) {
  try {
    const [version] = await client.accessSecretVersion({ name: `${secret}/versions/latest` });
    return { name: version.name ?? "", text: Buffer.from(version.payload?.data ?? "").toString("utf8") };
  } catch (error) {
    // A secret that has no version yet.
    if ((error as { code?: number }).code === NOT_FOUND) return undefined;
    throw failure(secret, error);
  }
}

const numberOf = (version = "") => Number(version.split("/").at(-1) ?? 0);

const fail = (secret: string) => (error: unknown) => {
  throw failure(secret, error);
};

const failure = (secret: string, error: unknown) =>
  new CommandError(
    `Secret Manager did not change ${secret} (code ${(error as { code?: number }).code ?? "unknown"}): does it exist, and may you add versions to it?`,
  );
