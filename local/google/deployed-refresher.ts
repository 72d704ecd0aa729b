import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import type { AskRefresher } from "../../functions/core/asker.ts";
import { CommandError } from "../commands/errors.ts";

const DENIED =
  'the role "Cloud Run Invoker" on it lets you, and the deployment gives it to its "operators"; a person\'s credentials may be refused all the same: then run gcloud auth application-default login --impersonate-service-account ACCOUNT with an account that has the role';

/** The deployed refresher, asked with the credentials of whoever works here. It throws `CommandError`. */
export function deployedRefresher(url: string): AskRefresher {
  const identityToken = async (audience: string) => {
    // Google's library takes longer to load than most commands take to run.
    const { identityToken: tokenFor } = await import("./identity-token.ts");
    return tokenFor(audience);
  };
  const ask = refresherAt(url, { identityToken });
  return (name, about) => ask(name, about).catch((error: Error) => Promise.reject(refused(error, url)));
}

function refused(error: Error, url: string): CommandError {
  if (error instanceof CommandError) return error;
  const [, status = ""] = /answered (\d{3})$/.exec(error.message) ?? [];
  const where = `the refresher at ${new URL(url).origin}`;
  switch (status) {
    case "401":
    case "403":
      return new CommandError(`${where} does not let you in (${status}): ${DENIED}`);
    case "404":
      return new CommandError(
        `${where} is not there (404): REFRESHER_URL must be its address (npx pulumi stack output refresherUri --cwd infra)`,
      );
    case "":
      return new CommandError(
        `${where} did not answer as one does: REFRESHER_URL must be its address (npx pulumi stack output refresherUri --cwd infra)`,
      );
    default:
      return new CommandError(`${where} answered ${status}: its log says why`);
  }
}
