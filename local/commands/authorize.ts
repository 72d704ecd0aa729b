import { setTimeout as sleep } from "node:timers/promises";
import { AUTHORIZED } from "../../functions/core/consent.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { SECOND } from "../../functions/core/time.ts";
import {
  type AskedConsent,
  askForConsent,
  consentState,
  EXCHANGE,
  finishPasted,
} from "../actions/consent.ts";
import type { Deployment } from "../deployment.ts";
import { scopesOf } from "./add.ts";
import { type Context, examples, jsonOption, type Register, tokenName, withTokens } from "./context.ts";
import { CommandError } from "./errors.ts";
import { findToken } from "./stored.ts";
import { iso, prospects, viewOf } from "./view.ts";

interface Options {
  scope?: string;
  newOrg?: boolean;
  pkce: boolean;
  paste?: boolean;
  wait: boolean;
  json?: boolean;
}

/** How often the store is asked whether the consent has come back. */
const LOOK = SECOND / 2;

/** `authorize`: a person's consent, from the address to open to the tokens in the store. */
export const authorize: Register = (program, context) => {
  program
    .command("authorize")
    .argument("<name>", "name of the token", tokenName)
    .description("have a person consent: prints the address to open, and waits for the tokens")
    .option("--scope <scopes>", "scopes to ask for, separated by spaces; remembered", scopesOf)
    .option("--new-org", "the tokens may belong to another organization than before")
    .option("--no-pkce", "without PKCE, for an integration that refuses it")
    .option("--paste", "take the address at which the browser ended, where it can't reach the service")
    .option("--no-wait", "print the address and end")
    .addOption(jsonOption().implies({ wait: false }))
    .addHelpText("after", "\n--json prints the address and does not wait; with --paste, the token.")
    .addHelpText(
      "after",
      examples(
        ['authorize sales --scope "cjp:config_read cjp:config_write"', "the first time"],
        ["authorize sales", "again, with the same scopes"],
        ["authorize sales --paste", "on a server that no browser reaches"],
      ),
    )
    .action((name: string, options: Options) =>
      withTokens(context, (store, deployment) => authorizeToken(name, options, store, deployment, context), {
        writesSecrets: true,
      }),
    );
};

async function authorizeToken(
  name: string,
  { scope, newOrg, pkce, paste, wait, json }: Options,
  store: TokenStore,
  deployment: Deployment,
  context: Context,
): Promise<void> {
  const { terminal, runtime } = context;
  const asked = await askForConsent(name, { scope, newOrg, pkce }, store, deployment, runtime);
  const { url, redirectUri, expires } = asked;
  if (json && !paste) return terminal.json({ name, url: url.href, redirectUri, expires: iso(expires) });
  terminal.say(`Open this address within 15 minutes, and allow what token "${name}" asks for:`);
  if (json) terminal.say(url.href);
  else terminal.print(url.href);
  if (paste) {
    await finishByPaste(name, store, deployment, context);
    return tell(await findToken(name, store), json, context);
  }
  if (!wait) return;
  terminal.say(hintFor(redirectUri, deployment));
  await consented(name, asked, store, context);
  tell(await findToken(name, store), json, context);
}

function tell(token: StoredToken, json: boolean | undefined, { terminal, runtime }: Context): void {
  const now = runtime.now() + token.ahead;
  if (json) terminal.json(viewOf(token, now));
  else terminal.print(`token "${token.name}" is authorized: ${prospects(token, now)}`);
}

function hintFor(redirectUri: string, { service, redirectUri: own }: Deployment): string {
  const here = service !== undefined && redirectUri === own;
  return here
    ? "Waiting for the consent; Ctrl-C ends the waiting, not the address."
    : `Waiting for the consent to come back to ${redirectUri}. Where the browser can't reach that, end this with Ctrl-C and use --paste.`;
}

/** Resolves once the tokens are stored. Throws `CommandError` where the time is up, or nothing came of the consent. */
async function consented(
  name: string,
  { id, expires }: AskedConsent,
  store: TokenStore,
  { runtime, signal }: Context,
): Promise<void> {
  let usedAt: number | undefined;
  while (runtime.now() < (usedAt === undefined ? expires : usedAt + EXCHANGE)) {
    await sleep(LOOK, undefined, { signal }).catch(() => {
      throw new CommandError("no longer waiting: the address stays good until its 15 minutes are over", 130);
    });
    const { used, result } = await consentState(id, store);
    if (result === AUTHORIZED) return;
    if (result !== undefined) throw new CommandError(result);
    if (used) usedAt ??= runtime.now();
  }
  throw new CommandError(
    usedAt === undefined
      ? `nobody consented in time: run "npm run tokens -- authorize ${name}" again`
      : `the consent came back, but nobody said what came of it: "npm run tokens -- show ${name}" tells`,
  );
}

/** The part of the callback, on this machine. */
async function finishByPaste(
  name: string,
  store: TokenStore,
  deployment: Deployment,
  { terminal, runtime }: Context,
): Promise<void> {
  const question = "the address at which the browser ended";
  const pasted = terminal.interactive ? await terminal.secret(question) : await terminal.piped(question);
  await finishPasted(name, pasted ?? "", store, deployment, runtime);
}
