import { SecretManagerServiceClient } from "@google-cloud/secret-manager";

let shared: SecretManagerServiceClient | undefined;

/** One for the process: it keeps its connection. */
export function secretManager(): SecretManagerServiceClient {
  shared ??= new SecretManagerServiceClient();
  return shared;
}

/** The newest version's text, within so many ms. Throws an `Error` with Google's status, and nothing of the secret. */
export async function accessLatest(
  secret: string,
  timeout: number,
  client = secretManager(),
): Promise<string> {
  const [version] = await client
    .accessSecretVersion({ name: `${secret}/versions/latest` }, { timeout })
    .catch((error: { code?: number; message: string }) => {
      throw new Error(`Secret Manager failed (${error.code ?? "no answer"})`);
    });
  return Buffer.from(version.payload?.data ?? "").toString("utf8");
}
