import { examples, jsonOption, type Register, tokenName, withTokens } from "./context.ts";
import { CommandError } from "./errors.ts";
import { findToken } from "./stored.ts";

/** `remove`: forgets a token, after asking. */
export const remove: Register = (program, context) => {
  const { terminal } = context;
  program
    .command("remove")
    .argument("<name>", "name of the token", tokenName)
    .description("remove a token and all that is stored of it")
    .option("--yes", "without asking, for scripts")
    .addOption(jsonOption())
    .addHelpText("after", "\nWebex is not told: to end the grant itself, revoke the integration there.")
    .addHelpText("after", examples(["remove sales", "asks first"], ["remove sales --yes", "does not"]))
    .action((name: string, { yes, json }: { yes?: boolean; json?: boolean }) =>
      withTokens(context, async (store) => {
        const token = await findToken(name, store);
        if (!yes && !terminal.interactive)
          throw new CommandError(`token "${name}" was not removed: without a terminal to ask in, give --yes`);
        if (!yes && !(await terminal.confirm(`Remove token "${name}"? Its refresh token can't be had back.`)))
          throw new CommandError(`token "${name}" was left as it is`);
        const removed = await store.remove(token.name);
        if (json) terminal.json({ name, removed });
        else terminal.print(`token "${name}" is ${removed ? "removed" : "gone already"}`);
      }),
    );
};
