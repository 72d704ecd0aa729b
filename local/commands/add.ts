import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { type ClientSettings, changeSettings, redirectUriIn, scopesIn } from "../actions/settings.ts";
import type { Deployment } from "../deployment.ts";
import type { Terminal } from "../terminal.ts";
import { type Context, examples, jsonOption, newTokenName, type Register, withTokens } from "./context.ts";
import { CommandError } from "./errors.ts";
import { readSecrets, type Secrets, stdinHelp } from "./secrets.ts";
import { create } from "./stored.ts";
import { viewOf } from "./view.ts";

interface Options {
  clientId?: string;
  redirectUri?: string;
  scope?: string;
  replace?: boolean;
  json?: boolean;
}

/** `add`: the client settings of a token that a person will authorize. */
export const add: Register = (program, context) => {
  program
    .command("add")
    .argument("<name>", "name of the token, as callers will ask for it", newTokenName)
    .description("add a token: the client settings of its integration, to be authorized next")
    .option("--client-id <id>", "client id of the integration", nonBlank("--client-id"))
    .option("--redirect-uri <address>", "its redirect URI (default: /callback of the service)", addressOf)
    .option("--scope <scopes>", "scopes to ask for at consent, separated by spaces", scopesOf)
    .option("--replace", "change the settings of a token that exists, without asking")
    .addOption(jsonOption())
    .addHelpText("after", stdinHelp("clientSecret"))
    .addHelpText(
      "after",
      examples(
        ["add sales --client-id C1234", "asks for the client secret"],
        ['add sales --client-id C1234 --scope "cjp:config_read cjp:config_write" < secret', "from a file"],
        ["add sales --replace < secret", "a new client secret, all else stays"],
      ),
    )
    .action((name: string, options: Options) =>
      withTokens(context, (store, deployment) => addToken(name, options, store, deployment, context), {
        create: true,
        writesSecrets: true,
      }),
    );
};

async function addToken(
  name: string,
  options: Options,
  store: TokenStore,
  deployment: Deployment,
  { terminal, runtime }: Context,
): Promise<void> {
  const existing = await store.read(name);
  if (existing !== undefined) await mayReplace(name, options.replace, "change its settings", terminal);
  const settings = await settingsFrom(options, existing, deployment, terminal);
  const token =
    existing === undefined
      ? await create(name, settings, store)
      : await changeSettings(name, settings, store, runtime);
  if (options.json) terminal.json(viewOf(token, runtime.now() + token.ahead));
  else terminal.print(`token "${name}" is ${existing === undefined ? "added" : "changed"}${next(token)}`);
}

/** Asks, unless it was said on the command line. Throws `CommandError` for no. */
export async function mayReplace(
  name: string,
  replace: boolean | undefined,
  what: string,
  terminal: Terminal,
): Promise<void> {
  if (replace) return;
  if (!terminal.interactive)
    throw new CommandError(`token "${name}" exists already: give --replace to ${what}`);
  if (!(await terminal.confirm(`Token "${name}" exists already. Do you want to ${what}?`)))
    throw new CommandError(`token "${name}" was left as it is`);
}

/** What was given; for a new token all that it needs. */
async function settingsFrom(
  { clientId, redirectUri, scope }: Options,
  existing: StoredToken | undefined,
  deployment: Deployment,
  terminal: Terminal,
): Promise<ClientSettings> {
  if (existing === undefined && clientId === undefined)
    throw new CommandError("a new token needs --client-id, the client id of the integration");
  const uri = redirectUri ?? (existing === undefined ? deployment.redirectUri : undefined);
  if (existing === undefined && uri === undefined)
    throw new CommandError(
      "the redirect URI is not known, because no service runs here: give --redirect-uri, or set PUBLIC_URL",
    );
  const { clientSecret }: Secrets = await readSecrets(
    { clientSecret: existing === undefined ? "" : "Enter keeps the one that is stored" },
    "clientSecret",
    terminal,
  );
  if (existing === undefined && clientSecret === undefined)
    throw new CommandError("a new token needs a client secret: none was given on standard input");
  const settings = {
    ...(clientId !== undefined && { clientId }),
    ...(clientSecret !== undefined && { clientSecret }),
    ...(uri !== undefined && { redirectUri: uri }),
    ...(scope !== undefined && { scopes: scope }),
  };
  if (Object.keys(settings).length === 0)
    throw new CommandError("nothing was given to change: see npm run tokens -- add --help", 2);
  return settings;
}

function next({ name, document }: StoredToken): string {
  if (document.refreshToken !== undefined) return "";
  const scope = document.scopes === undefined ? ' --scope "cjp:config_read …"' : "";
  return `; next: npm run tokens -- authorize ${name}${scope}`;
}

const nonBlank = (option: string) => (value: string) => {
  if (value.trim() === "") throw new CommandError(`${option} is empty`, 2);
  return value.trim();
};

function addressOf(value: string): string {
  const address = redirectUriIn(value);
  if (address !== undefined) return address;
  throw new CommandError("--redirect-uri must be an http or https address", 2);
}

export function scopesOf(value: string): string {
  const scopes = scopesIn(value);
  if (scopes === undefined) throw new CommandError("--scope is empty", 2);
  return scopes;
}
