import type { StoredToken } from "../../functions/core/store.ts";
import { SECOND } from "../../functions/core/time.ts";
import { examples, jsonOption, type Register, tokenName, withTokens } from "./context.ts";
import { durationText, fromNow } from "./durations.ts";
import { findToken } from "./stored.ts";
import { columns } from "./table.ts";
import { detailsOf, iso, secretsOf, viewOf } from "./view.ts";

/** `show`: everything about one token. */
export const show: Register = (program, context) => {
  program
    .command("show")
    .argument("<name>", "name of the token", tokenName)
    .description("show one token: all its fields, secrets hidden")
    .option("--reveal", "print the secrets too: the client secret, the refresh and the access token")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["show sales", "without secrets"],
        ["show sales --reveal", "with them: mind who looks on"],
        ["show sales --json --reveal | jq -r .accessToken", "for programs"],
      ),
    )
    .action((name: string, { reveal = false, json }: { reveal?: boolean; json?: boolean }) =>
      withTokens(context, async (store) => {
        const token = await findToken(name, store);
        const now = context.runtime.now() + token.ahead;
        if (json) context.terminal.json({ ...detailsOf(token, now), ...(reveal && secretsOf(token)) });
        else context.terminal.print(await columns(lines(token, now, reveal)));
      }),
    );
};

/** For a person: a line for each field that is there. */
function lines(token: StoredToken, now: number, reveal: boolean): string[][] {
  const { document, mistyped, unopened } = token;
  const { state, orgId, cluster } = viewOf(token, now);
  const { failure, publish, serviceApp } = document;
  const secret = (value?: string) => value && (reveal ? value : `hidden, ${value.length} characters`);
  const instant = (value?: number) => value && `${iso(value) ?? value}  ${iso(value) && fromNow(value, now)}`;
  const failed =
    failure &&
    `${failure.code}${failure.permanent ? ", for good" : ""}, ${failure.count}x, last ${fromNow(failure.at, now)}`;
  const all: [string, string | number | undefined | false | null][] = [
    ["name", token.name],
    ["state", state],
    ["failure", failed],
    ["access token", secret(document.accessToken)],
    ["  ends", instant(document.accessExpires)],
    ["  lifetime", document.lifetime && durationText(document.lifetime * SECOND)],
    ["  fixed", document.static && "yes, it is never refreshed"],
    ["refresh token", secret(document.refreshToken)],
    ["  ends", instant(document.refreshExpires)],
    ["next refresh", instant(document.refreshAt)],
    ["last refresh", instant(document.lastRefresh)],
    ["lease until", instant(document.lease?.expires)],
    ["client id", document.clientId],
    ["client secret", secret(document.clientSecret)],
    ["redirect URI", document.redirectUri],
    ["scopes asked for", document.scopes],
    ["scope granted", document.scope],
    ["organization", orgId],
    ["cluster", cluster],
    ["service app", serviceApp?.applicationId],
    ["  acts in", serviceApp?.targetOrg],
    ["  manager", serviceApp?.manager],
    ["published in", publish && `${publish.variables.join(", ")} (${publish.region})`],
    ["  via", publish?.via],
    ["  last", instant(publish?.publishedAt)],
    ["  next try", instant(publish?.nextAt)],
    ["  failure", publish?.failure && `${publish.failure.code}, ${publish.failure.count}x`],
    ["passphrase", document.passphraseHash && "its own"],
    ["of a wrong kind", mistyped.join(", ")],
    ...Object.entries(unopened).map(([field, reason]): [string, string] => [
      "can't be read",
      `${field}: ${reason}`,
    ]),
  ];
  return all.flatMap(([title, value]) => (value ? [[title, String(value)]] : []));
}
