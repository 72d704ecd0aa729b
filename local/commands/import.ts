import { toPublish } from "../../functions/core/changes.ts";
import type { Changes } from "../../functions/core/document.ts";
import { ownerOf } from "../../functions/core/grant.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { FORGOTTEN, put, putTokens } from "../actions/import.ts";
import type { Deployment } from "../deployment.ts";
import { mayReplace } from "./add.ts";
import {
  type Context,
  examples,
  jsonOption,
  newTokenName,
  type Register,
  tokenName,
  withTokens,
} from "./context.ts";
import { parseInstant } from "./durations.ts";
import { CommandError } from "./errors.ts";
import { outcomeText, type Result, refreshNow, resultView } from "./refresh.ts";
import { readSecrets, type Secrets, stdinHelp } from "./secrets.ts";
import { idOf, MANAGING_SCOPE, serviceAppOf } from "./service-app.ts";
import { prospects, viewOf } from "./view.ts";

interface Options {
  clientId?: string;
  static?: boolean;
  expires?: string;
  serviceApp?: string;
  org?: string;
  manager?: string;
  replace?: boolean;
  json?: boolean;
}

/** `import`: tokens that were made elsewhere, such as a Service App's. */
export const importToken: Register = (program, context) => {
  program
    .command("import")
    .argument("<name>", "name of the token, as callers will ask for it", newTokenName)
    .description("import a refresh token made elsewhere (a Service App's), or a fixed access token")
    .option("--client-id <id>", "client id of the Service App or integration", (value) => value.trim())
    .option("--static", "a fixed access token that is never refreshed; needs --expires")
    .option("--expires <when>", "when the access token ends: 12h, 14d, 2026-12-31 or 2026-12-31T18:00Z")
    .option(
      "--service-app <id>",
      "application id: new tokens come through the manager; needs --org and --manager",
      idOf("--service-app"),
    )
    .option("--org <id>", "id of the organization in which the Service App acts", idOf("--org"))
    .option("--manager <name>", `token that asks for them: it holds ${MANAGING_SCOPE}`, tokenName)
    .option("--replace", "put the tokens into one that exists, without asking")
    .addOption(jsonOption())
    .addHelpText("after", stdinHelp("refreshToken"))
    .addHelpText(
      "after",
      "With --static, one line is the access token; with --service-app, the client secret.",
    )
    .addHelpText(
      "after",
      examples(
        ["import sales --client-id C1234", "asks for client secret, refresh and access token"],
        ["import sales --client-id C1234 < secrets.json", "takes them from a file"],
        [
          "import app --service-app Y2lz… --org 1eb6… --manager admin --client-id C1234",
          "makes the tokens, too",
        ],
        ["import demo --static --expires 12h", "a token from developer.webex.com, until it ends"],
      ),
    )
    .action((name: string, options: Options) =>
      withTokens(
        context,
        async (store, deployment) => {
          if (options.static) await importStatic(name, options, store, context);
          else await importRefresh(name, options, store, deployment, context);
        },
        { create: true, writesSecrets: true },
      ),
    );
};

async function importStatic(name: string, options: Options, store: TokenStore, context: Context) {
  const { terminal, runtime } = context;
  if (options.expires === undefined)
    throw new CommandError("a fixed access token needs --expires, such as 12h or 2026-12-31", 2);
  expiryOf(options.expires, runtime.now());
  const existing = await store.read(name);
  if (existing !== undefined) await mayReplace(name, options.replace, "replace its tokens", terminal);
  const { accessToken } = await readSecrets({ accessToken: "" }, "accessToken", terminal);
  if (accessToken === undefined) throw new CommandError("no access token was given on standard input");
  const changes: Changes = {
    accessToken,
    accessExpires: expiryOf(options.expires, runtime.now()),
    orgId: ownerOf(accessToken)?.orgId,
    static: true,
    serviceApp: undefined,
    ...FORGOTTEN,
    refreshToken: undefined,
    refreshAt: undefined,
    failure: undefined,
    lease: undefined,
  };
  const token = await put(name, store, existing, (current) => ({
    ...changes,
    ...toPublish(current?.document ?? {}, runtime.now() + (current?.ahead ?? 0)),
  }));
  const now = runtime.now() + token.ahead;
  if (options.json) terminal.json(viewOf(token, now));
  else terminal.print(`token "${name}" is a fixed access token: ${prospects(token, now)}`);
}

async function importRefresh(
  name: string,
  options: Options,
  store: TokenStore,
  deployment: Deployment,
  context: Context,
): Promise<void> {
  const { terminal, runtime } = context;
  // Before anybody types a secret in vain.
  deployment.webexUrl();
  const accessExpires = options.expires === undefined ? undefined : expiryOf(options.expires, runtime.now());
  const existing = await store.read(name);
  if (existing !== undefined) await mayReplace(name, options.replace, "replace its tokens", terminal);
  const clientId = options.clientId || existing?.document.clientId;
  if (clientId === undefined)
    throw new CommandError("a refresh token needs --client-id, the client id it belongs to");
  const serviceApp = (await serviceAppOf(name, options, store)) ?? existing?.document.serviceApp;
  const { clientSecret, refreshToken, accessToken } = await neededSecrets(
    existing,
    serviceApp !== undefined,
    terminal,
  );
  const tokens = { clientId, clientSecret, refreshToken, accessToken, accessExpires, serviceApp };
  const token = await putTokens(name, tokens, existing, store, runtime);
  tell(await refreshNow(token.name, store, deployment, context), options, context);
}

async function neededSecrets(
  existing: StoredToken | undefined,
  fromManager: boolean,
  terminal: Context["terminal"],
): Promise<Secrets> {
  const stored = existing?.document.clientSecret !== undefined;
  const secrets = await readSecrets(
    {
      clientSecret: stored ? "Enter keeps the one that is stored" : "",
      refreshToken: fromManager ? "Enter if you have none: it is asked for" : "",
      accessToken: "Enter if you have none",
    },
    fromManager ? "clientSecret" : "refreshToken",
    terminal,
  );
  const { clientSecret, refreshToken } = secrets;
  if (refreshToken === undefined && !fromManager) throw new CommandError("no refresh token was given");
  if (clientSecret === undefined && !stored)
    throw new CommandError(
      'no client secret was given: on standard input, {"clientSecret":"…","refreshToken":"…"} brings both',
    );
  return secrets;
}

/** What was typed stays, whatever Webex says of it: the way on is told. */
function tell(result: Result, { json }: Options, context: Context): void {
  const { outcome, token } = result;
  const { text, well } = outcomeText(result, context);
  if (json) context.terminal.json(resultView(result, context));
  if (well && !json) context.terminal.print(`imported: ${text}`);
  if (well) return;
  const retry = `npm run tokens -- refresh ${token.name}`;
  if (outcome.outcome === "failed" && outcome.permanent)
    throw new CommandError(
      `token "${token.name}" is stored, but Webex refuses it (${outcome.code}): check client id, client secret and refresh token, correct them with "npm run tokens -- import ${token.name} --replace", or try once more with "${retry}"`,
    );
  throw new CommandError(
    `token "${token.name}" is stored, but not refreshed yet: ${text}; or run "${retry}"`,
  );
}

function expiryOf(text: string, now: number): number {
  const expires = parseInstant(text, now);
  if (expires === undefined)
    throw new CommandError(
      "--expires must be a duration such as 12h or 14d, or a date such as 2026-12-31",
      2,
    );
  if (expires <= now) throw new CommandError("--expires has passed already", 2);
  return expires;
}
