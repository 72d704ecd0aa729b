import type { AuthClient } from "google-auth-library";
import { CommandError } from "../commands/errors.ts";
import type { Cli } from "./cli.ts";
import { googleIdentity } from "./google.ts";
import type { World } from "./main.ts";
import { checkOwn, checkStack, checkUnlocked, findStack, INFRA, type Stack } from "./stack.ts";

/** What a deployment needs, checked. */
export interface Ready {
  stack: Stack;
  cli: Cli;
  /** Who deploys. */
  identity: AuthClient;
}

/**
 * Checks everything that would fail later, local things first, and changes nothing. Throws a `CommandError` that says in
 * one sentence what is missing, and how to get it.
 */
export async function preflight(
  named: string | undefined,
  { env, root, openCli }: Pick<World, "env" | "root" | "openCli">,
): Promise<Ready> {
  const stack = findStack(named, root);
  checkStack(stack);
  checkOwn(stack);
  checkUnlocked(stack, env);
  const cli = await openCli();
  const identity = await googleIdentity(stack.values["gcp:project"], env);
  // A state that is kept in a bucket is reached with Google's credentials: they come first.
  await pulumi(cli, ["whoami"], LOGGED_OUT, 'you are not logged in to Pulumi: run "npx pulumi login"');
  await pulumi(
    cli,
    ["stack", "--show-name", "--stack", stack.name, "--cwd", INFRA],
    NO_STACK,
    `there is no stack "${stack.name}": run "npx pulumi stack init ${stack.name} --cwd ${INFRA}"`,
  );
  return { stack, cli, identity };
}

/** The words of Pulumi, and of Go's network library, in errors. */
const LOGGED_OUT = /log ?in|logged|access.token/i;
const NO_STACK = /no stack|not found/i;
const AWAY =
  /no such host|dial tcp|connection refused|network is unreachable|i\/o timeout|deadline exceeded/i;

/** Runs a query of Pulumi that must succeed. Of an error that is not known here, its first line is printed. */
async function pulumi(cli: Cli, args: string[], missing: RegExp, sentence: string): Promise<void> {
  const { code, stderr } = await cli.ask(...args);
  if (code === 0) return;
  if (AWAY.test(stderr))
    throw new CommandError("Pulumi's backend can't be reached: check the network, then run this again");
  if (missing.test(stderr)) throw new CommandError(sentence);
  const [said = "it does not say why"] = /(?<=^error: ).+/m.exec(stderr) ?? [];
  throw new CommandError(`"pulumi ${args[0]}" failed: ${said}`);
}
