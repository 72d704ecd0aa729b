import { type AuthClient, BaseExternalAccountClient, GoogleAuth } from "google-auth-library";
import { fieldsOf } from "../../functions/core/document.ts";
import { CommandError } from "../commands/errors.ts";
import { LOG_IN } from "./errors.ts";

const IMPERSONATE =
  "gcloud auth application-default login --impersonate-service-account ACCOUNT, with an account that may call the refresher";

/**
 * A token that tells a private function who works here, from the application default credentials. A service account's, an
 * impersonated one's and a metadata server's are made for this audience. A person's comes with the refresh of their login, and
 * is made for the OAuth client of gcloud, whatever the audience. Throws `CommandError`, which holds nothing of Google's answer.
 */
export async function identityToken(audience: string): Promise<string> {
  // Without a project it would look for one, with gcloud and over the network; no token names it.
  const auth = new GoogleAuth({ projectId: "none" });
  const client = await auth.getClient().catch((error: Error) => {
    throw new CommandError(
      /^Could not load the default credentials/.test(error.message)
        ? `there are no Google credentials here: ${LOG_IN}`
        : "the Google credentials that GOOGLE_APPLICATION_CREDENTIALS names can't be read: is it the file that gcloud or the console made?",
    );
  });
  const token = await tokenOf(client, audience, auth).catch((error: unknown) => {
    if (error instanceof CommandError) throw error;
    throw refusal(error);
  });
  if (typeof token === "string" && token !== "") return token;
  throw new CommandError(
    `Google gave no identity token with these credentials: ${LOG_IN} again, without --scopes`,
  );
}

async function tokenOf(client: AuthClient, audience: string, auth: GoogleAuth): Promise<unknown> {
  if ("fetchIdToken" in client) {
    const { idTokenProvider } = await auth.getIdTokenClient(audience);
    return idTokenProvider.fetchIdToken(audience);
  }
  const account = client instanceof BaseExternalAccountClient ? client.getServiceAccountEmail() : null;
  if (account === null)
    throw new CommandError(`with these credentials no identity token can be had: run ${IMPERSONATE}`);
  const { data } = await client.request({
    url: `https://iamcredentials.${client.universeDomain}/v1/projects/-/serviceAccounts/${account}:generateIdToken`,
    method: "POST",
    data: { audience, includeEmail: true },
  });
  return fieldsOf(data).token;
}

/** By the status of Google's answer; its text may hold anything. */
function refusal(error: unknown): CommandError {
  const { status } = error as { status?: unknown };
  if (status === 400 || status === 401)
    return new CommandError(`Google does not take the credentials here any more: ${LOG_IN} again`);
  if (status === 403)
    return new CommandError(
      'you may not make an identity token of this service account: it takes the role "Service Account OpenID Connect Identity Token Creator" on it',
    );
  return new CommandError(
    "Google gave no identity token: try again, and look whether this machine reaches the internet",
  );
}
