import pLimit from "p-limit";
import { adopt as adoptToken } from "../../functions/core/census.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { isRenewable } from "../../functions/core/time.ts";
import type { Deployment } from "../deployment.ts";
import { type Context, examples, jsonOption, type Register, withTokens } from "./context.ts";
import { CommandError } from "./errors.ts";
import { counted, showProgress } from "./progress.ts";

/** Documents written at a time. */
const AT_ONCE = 10;

/** `adopt`: documents that Cisco's sample or a person wrote get their place in the sweep. */
export const adopt: Register = (program, context) => {
  program
    .command("adopt")
    .description("take over documents of the original sample, so that the service refreshes them")
    .addOption(jsonOption())
    .addHelpText("after", "\nThe daily census does the same; this does not wait for it. It may be repeated.")
    .addHelpText("after", examples(["adopt", "all of them"], ["adopt --json", "how many, for programs"]))
    .action((options: { json?: boolean }) =>
      withTokens(context, async (store, deployment) => {
        const counts = await adoptAll(store, deployment, context);
        if (options.json) context.terminal.json(counts);
        else context.terminal.print(summary(counts));
      }),
    );
};

interface Counts {
  tokens: number;
  adopted: number;
}

function summary({ tokens, adopted }: Counts): string {
  if (adopted === 0) return `nothing to adopt: of ${tokens} tokens, none waits for its place in the sweep`;
  return `${adopted} of ${tokens} tokens adopted: the next sweep knows them`;
}

async function adoptAll(store: TokenStore, { threshold }: Deployment, context: Context): Promise<Counts> {
  const { runtime, signal } = context;
  const tokens: StoredToken[] = [];
  for await (const page of counted(store.pages(500), "tokens read", signal)) tokens.push(...page);
  const progress = await showProgress("adopting", tokens.length);
  const counter = { store, runtime, log: () => {}, threshold };
  const limit = pLimit(AT_ONCE);
  let adopted = 0;
  await limit.map(tokens, async (token) => {
    if (signal.aborted) return;
    if (await adoptOnce(token, counter)) adopted++;
    progress.advance();
  });
  progress.stop();
  if (signal.aborted)
    throw new CommandError(`ended after ${adopted} were adopted: the rest is as it was`, 130);
  return { tokens: tokens.length, adopted };
}

/** Again, where somebody wrote the document since it was read and it still has no place in the sweep. */
async function adoptOnce(token: StoredToken, counter: Parameters<typeof adoptToken>[2]): Promise<boolean> {
  const now = () => counter.runtime.now() + token.ahead;
  if (await adoptToken(token, now(), counter)) return true;
  if (!isRenewable(token.document) || token.document.refreshAt !== undefined) return false;
  const current = await counter.store.read(token.name);
  return current !== undefined && current.version !== token.version && adoptToken(current, now(), counter);
}
