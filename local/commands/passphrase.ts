import type { Command } from "commander";
import { readSettings } from "../../functions/adapters/env.ts";
import { isManaged } from "../../functions/adapters/secret.ts";
import type { StoredToken } from "../../functions/core/store.ts";
import { asSeen, giveOwn, hasOwn, OWN_WITHIN, takeOwn } from "../actions/own-passphrase.ts";
import { addNewest, endOlder, sharedPassphrases } from "../shared-passphrases.ts";
import { type Context, examples, jsonOption, type Register, tokenName, withTokens } from "./context.ts";
import { CommandError } from "./errors.ts";
import { findToken } from "./stored.ts";

/** Seconds after which every running service has read the shared passphrases again. */
const SHARED_WITHIN = 60;

/** `passphrase`: what callers show: the one that all tokens share, or a token's own. */
export const passphrase: Register = (program, context) => {
  const group = program
    .command("passphrase")
    .description("the passphrases that callers show: the one that tokens share, and a token's own")
    .addHelpText(
      "after",
      `
The shared one is rotated in three steps, and no caller is turned away:
  npm run tokens -- passphrase rotate            a new one; the old one stays good
                                                 paste the new one wherever the old one is
  npm run tokens -- passphrase rotate --finish   the old one is good no more`,
    )
    .addHelpText(
      "after",
      examples(
        ["passphrase rotate", "a new shared passphrase"],
        ["passphrase set sales", "one that opens this token alone"],
        ["passphrase clear sales", "the shared one opens it again"],
      ),
    );
  rotate(group, () => program.opts<{ live?: boolean }>().live === true, context);
  set(group, context);
  clear(group, context);
};

function rotate(group: Command, live: () => boolean, context: Context): void {
  group
    .command("rotate")
    .description("make a new shared passphrase; the one before stays good until --finish")
    .option("--finish", "end the old one instead: only the newest stays good")
    .option(
      "--secret <secret>",
      "the secret of Secret Manager that holds them: its name, or projects/…/secrets/…",
    )
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
At most two are good at a time: to rotate twice ends the oldest. The new one is printed on standard output,
once. They are in a file, or in a secret of Secret Manager: TOKEN_PASSPHRASE_FILE may name either; with
GOOGLE_CLOUD_PROJECT it is the secret "tokens-passphrase", which the deployment makes. A running service reads either
again within a minute ("within" in JSON, in seconds). A secret gets a new version; those before are disabled, none
is destroyed.`,
    )
    .addHelpText(
      "after",
      examples(
        ["passphrase rotate", "256 bits, made at random"],
        ["passphrase rotate --json", "for programs"],
        ["passphrase rotate --finish", "once the new one is pasted everywhere"],
        ["passphrase rotate --secret other-passphrase", "of a service that was deployed under another name"],
      ),
    )
    .action(async ({ finish, ...options }: Rotation & { finish?: boolean }) => {
      const settings = readSettings(context.env, []);
      const where = sharedPassphrases(settings, options.secret, live(), context.deployment);
      context.terminal.remark(`passphrases in ${where}`);
      if (finish) await finishRotation(where, options, context);
      else await makeNew(where, options, context);
    });
}

interface Rotation {
  secret?: string;
  json?: boolean;
}

async function makeNew(
  where: string,
  { secret, json }: Rotation,
  { terminal, runtime }: Context,
): Promise<void> {
  const fresh = runtime.secret();
  const { ended, unfinished } = await addNewest(where, fresh);
  if (json) terminal.json({ passphrase: fresh, live: 2, ended, within: SHARED_WITHIN, ...placeView(where) });
  else {
    const same = secret === undefined ? "" : ` --secret ${secret}`;
    terminal.say("The new shared passphrase; a running service takes it within a minute:");
    terminal.print(fresh);
    if (ended > 0) terminal.say("There were two already: the older of them is good no more.");
    terminal.say(
      `The one before it stays good. Once the new one is pasted everywhere: npm run tokens -- passphrase rotate --finish${same}`,
    );
  }
  if (unfinished !== undefined) throw unfinished;
}

async function finishRotation(where: string, { json }: Rotation, { terminal }: Context): Promise<void> {
  const { ended, unfinished } = await endOlder(where);
  const done =
    ended > 0
      ? "the old shared passphrase is good no more: a running service refuses it within a minute"
      : "there is only one shared passphrase: nothing was to be ended";
  if (json) terminal.json({ live: 1, ended, within: SHARED_WITHIN, ...placeView(where) });
  else terminal.print(done);
  if (unfinished !== undefined) throw unfinished;
}

const placeView = (where: string) => (isManaged(where) ? { secret: where } : { file: where });

function set(group: Command, context: Context): void {
  const { terminal, runtime } = context;
  group
    .command("set")
    .argument("<name>", "name of the token", tokenName)
    .description("give a token a passphrase of its own; the shared one opens it no more")
    .option("--replace", "where it has one already, without asking")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
It is made at random and printed on standard output, once: only its hash is stored. Lookup knows of it within
half a minute ("within" in JSON, in seconds).`,
    )
    .addHelpText(
      "after",
      examples(
        ["passphrase set sales", "256 bits, made at random"],
        ["passphrase set sales --replace", "a new one; the old one is good no more"],
      ),
    )
    .action((name: string, { replace, json }: { replace?: boolean; json?: boolean }) =>
      withTokens(context, async (store) => {
        const seen = await findToken(name, store);
        if (hasOwn(seen) && !replace)
          await agree(
            `token "${name}" has a passphrase of its own already: give --replace to end that one`,
            `Token "${name}" has a passphrase of its own already. Do you want to end that one?`,
            seen,
            context,
          );
        const own = runtime.secret();
        await giveOwn(name, own, store, (current) => replace || asSeen(current, seen));
        if (json) return terminal.json({ name, passphrase: own, replaced: hasOwn(seen), within: OWN_WITHIN });
        terminal.say(`The passphrase of token "${name}", which opens nothing else, within half a minute:`);
        terminal.print(own);
      }),
    );
}

function clear(group: Command, context: Context): void {
  const { terminal } = context;
  group
    .command("clear")
    .argument("<name>", "name of the token", tokenName)
    .description("take a token's own passphrase away; the shared one opens it again")
    .option("--yes", "without asking, for scripts")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(["passphrase clear sales", "asks first"], ["passphrase clear sales --yes", "does not"]),
    )
    .action((name: string, { yes, json }: { yes?: boolean; json?: boolean }) =>
      withTokens(context, async (store) => {
        const seen = await findToken(name, store);
        const cleared = hasOwn(seen);
        if (cleared) {
          if (!yes)
            await agree(
              `token "${name}" keeps its passphrase: without a terminal to ask in, give --yes`,
              `Take the passphrase of token "${name}" away? The shared one opens it then.`,
              seen,
              context,
            );
          await takeOwn(name, store, (current) => yes || asSeen(current, seen));
        }
        if (json) terminal.json({ name, cleared, within: OWN_WITHIN });
        else
          terminal.print(
            cleared
              ? `the shared passphrase opens token "${name}" again, within half a minute`
              : `token "${name}" has no passphrase of its own: the shared one opens it`,
          );
      }),
    );
}

/** Throws `CommandError` for no; `unasked` where nobody is there to ask. */
async function agree(
  unasked: string,
  question: string,
  { name }: StoredToken,
  { terminal }: Context,
): Promise<void> {
  if (!terminal.interactive) throw new CommandError(unasked);
  if (!(await terminal.confirm(question))) throw new CommandError(`token "${name}" was left as it is`);
}
