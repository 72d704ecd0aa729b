import { type AuthClient, GoogleAuth, OAuth2Client, UserRefreshClient } from "google-auth-library";
import { CommandError } from "../commands/errors.ts";

const SCOPE = "https://www.googleapis.com/auth/cloud-platform";
const LOGIN = "gcloud auth application-default login";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The credentials to deploy with, found where Pulumi's provider finds them, and checked. Requests of a person are billed
 * to `project`. Throws `CommandError`.
 */
export async function googleIdentity(project: string | undefined, env: Environment): Promise<AuthClient> {
  const access_token = env.GOOGLE_OAUTH_ACCESS_TOKEN;
  if (access_token) return new OAuth2Client({ credentials: { access_token } });
  const auth = new GoogleAuth({ scopes: [SCOPE], ...credentialsIn(env.GOOGLE_CREDENTIALS) });
  try {
    const client = await auth.getClient();
    if (client instanceof UserRefreshClient && project) client.quotaProjectId ??= project;
    await client.getRequestHeaders();
    return client;
  } catch (error) {
    throw new CommandError(sentenceOf(error));
  }
}

/** The provider accepts the key itself, or its file. */
function credentialsIn(given: string | undefined) {
  if (!given) return {};
  try {
    return given.trimStart().startsWith("{") ? { credentials: JSON.parse(given) } : { keyFilename: given };
  } catch {
    throw new CommandError(`GOOGLE_CREDENTIALS is no JSON: unset it and run "${LOGIN}"`);
  }
}

const AWAY = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_TIMEOUT/;

/** An error's message may quote the request, and so is not shown. */
function sentenceOf(error: unknown): string {
  if (error instanceof Error && error.message.startsWith("Could not load the default credentials"))
    return `there are no Google credentials to deploy with: run "${LOGIN}"`;
  if (isAway(error)) return "Google can't be reached: check the network, then run this again";
  return `Google does not take these credentials: run "${LOGIN}"`;
}

/** No answer came: no network, no such host, a missing proxy. */
export function isAway(error: unknown): boolean {
  const { message = "", code = "", cause } = error as { message?: string; code?: unknown; cause?: unknown };
  return AWAY.test(`${code} ${message}`) || (typeof cause === "object" && cause !== null && isAway(cause));
}
