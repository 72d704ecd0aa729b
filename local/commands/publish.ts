import { toPublish } from "../../functions/core/changes.ts";
import { isId, type Publish, REGIONS, type Region } from "../../functions/core/document.ts";
import { WRITING_SCOPE } from "../../functions/core/publish.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { LONGEST_VALUE } from "../../functions/core/variable.ts";
import { type Context, examples, jsonOption, type Register, tokenName, withTokens } from "./context.ts";
import { CommandError } from "./errors.ts";
import { edit, findToken } from "./stored.ts";
import { viewOf } from "./view.ts";

interface Options {
  variable: string[];
  region: Region;
  via?: string;
  json?: boolean;
}

/** `publish`: the wish that a token's access token be kept in global variables of the contact centre. */
export const publish: Register = (program, context) => {
  program
    .command("publish")
    .argument("<name>", "name of the token", tokenName)
    .description("keep the access token in a global variable of the contact centre, after each refresh")
    .requiredOption("--variable <id>", "id of the global variable; may be given several times", variables)
    .requiredOption("--region <region>", `where the contact centre is: ${REGIONS.join(", ")}`, regionOf)
    .option("--via <name>", `token to write with where this one lacks ${WRITING_SCOPE}`, tokenName)
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
All administrators of the contact centre can read a global variable: the token in it is good for all that its
scopes allow. Make the variable "sensitive", and give the token no scope that the flow does not need.`,
    )
    .addHelpText(
      "after",
      examples(
        ["publish sales --variable 4d1c… --region us1", "written by the next sweep"],
        ["publish sales --variable 4d1c… --region eu1 --via admin", "with another token"],
        ["unpublish sales", "no more; the variable keeps its last value"],
      ),
    )
    .action((name: string, options: Options) =>
      withTokens(context, (store) => publishToken(name, options, store, context)),
    );
};

/** `unpublish`: takes that back. */
export const unpublish: Register = (program, context) => {
  program
    .command("unpublish")
    .argument("<name>", "name of the token", tokenName)
    .description("publish the access token no more; the global variable keeps its last value")
    .addOption(jsonOption())
    .addHelpText("after", examples(["unpublish sales", "empty the variable in Control Hub, too"]))
    .action((name: string, { json }: { json?: boolean }) =>
      withTokens(context, async (store) => {
        const token = await edit(name, store, () => ({ publish: undefined }));
        const { terminal, runtime } = context;
        if (json) terminal.json(viewOf(token, runtime.now() + token.ahead));
        else terminal.print(`token "${name}" is published no more; the variable keeps its last value`);
      }),
    );
};

async function publishToken(
  name: string,
  { variable, region, via, json }: Options,
  store: TokenStore,
  { terminal, runtime }: Context,
): Promise<void> {
  const found = await findToken(name, store);
  const writer = via === undefined ? found : await findToken(via, store);
  if (via === name) throw new CommandError("--via names this very token: leave it away", 2);
  requireScope(writer);
  if ((found.document.accessToken?.length ?? 0) > LONGEST_VALUE)
    throw new CommandError(
      `the access token "${name}" is longer than the ${LONGEST_VALUE} characters that a global variable holds`,
    );
  const token = await edit(name, store, ({ document, ahead }) => {
    const now = runtime.now() + ahead;
    const wish: Publish = { variables: variable, region, ...(via !== undefined && { via }) };
    return toPublish({ publish: { ...wish, ...nextOf(document.publish) } }, now);
  });
  if (json) terminal.json(viewOf(token, runtime.now() + token.ahead));
  else
    terminal.print(
      `token "${name}" is published by the next sweep, and after each refresh: all administrators of the contact centre can read it there`,
    );
}

/** A try that is under way keeps its time. */
const nextOf = (publish: Publish | undefined) =>
  publish?.nextAt === undefined ? {} : { nextAt: publish.nextAt };

/** Where Webex said what a token may. */
function requireScope({ name, document: { scope } }: StoredToken): void {
  if (scope === undefined || scope.split(" ").includes(WRITING_SCOPE)) return;
  throw new CommandError(
    `token "${name}" lacks ${WRITING_SCOPE}, so it can't change a global variable: name one that holds it with --via`,
  );
}

function variables(id: string, before: string[] = []): string[] {
  const text = id.trim();
  if (!isId(text))
    throw new CommandError("--variable must be the id of a global variable, as Control Hub shows it", 2);
  return [...new Set([...before, text])];
}

function regionOf(text: string): Region {
  const region = REGIONS.find((known) => known === text.trim().toLowerCase());
  if (region === undefined) throw new CommandError(`--region must be one of ${REGIONS.join(", ")}`, 2);
  return region;
}
