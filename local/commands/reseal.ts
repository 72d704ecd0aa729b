import pLimit from "p-limit";
import type { Changes } from "../../functions/core/document.ts";
import { keyOf, SEALED_FIELDS } from "../../functions/core/seal.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { type Context, examples, jsonOption, type Register, withTokens } from "./context.ts";
import { CommandError } from "./errors.ts";
import { keysOf } from "./keys.ts";
import { counted, showProgress } from "./progress.ts";

/** Documents written at a time. */
const AT_ONCE = 10;
/** How often a document that others write meanwhile is tried. */
const TRIES = 5;

/** `reseal`: what is stored plain, or sealed with an older key, is sealed with the one that seals now. */
export const reseal: Register = (program, context) => {
  program
    .command("reseal")
    .description("seal client secrets and refresh tokens with the key that seals now")
    .addOption(jsonOption())
    .addHelpText("after", "\nFlows notice nothing of it. It may be ended by Ctrl-C and repeated.")
    .addHelpText(
      "after",
      examples(
        ["reseal", "after keys promote, or once after the first keys add"],
        ["reseal --json", "for programs"],
      ),
    )
    .action((options: { json?: boolean }) =>
      withTokens(
        context,
        async (store, deployment) => {
          if (deployment.sealing === "off")
            throw new CommandError('sealing is off here: "npm run tokens -- keys add" makes the first key');
          const counts = await resealAll(store, (await keysOf(deployment)).primary.kid, context);
          if (options.json) context.terminal.json(counts);
          else context.terminal.print(summary(counts));
          if (counts.unopened.length > 0)
            throw new CommandError(
              `not resealed, because no configured key opens them: ${counts.unopened.join(", ")}; "npm run tokens -- show NAME" says which key each needs`,
            );
        },
        { writesSecrets: true },
      ),
    );
};

interface Counts {
  tokens: number;
  resealed: number;
  /** Tokens that can't be opened, left as they are. */
  unopened: string[];
}

const summary = ({ tokens, resealed }: Counts) =>
  resealed === 0
    ? `nothing to do: all of ${tokens} tokens are sealed with the key that seals now`
    : `${resealed} of ${tokens} tokens resealed`;

async function resealAll(store: TokenStore, kid: string, { signal }: Context): Promise<Counts> {
  const tokens: StoredToken[] = [];
  for await (const page of counted(store.pages(500), "tokens read", signal))
    tokens.push(...page.filter((token) => isBehind(token, kid)));
  const progress = await showProgress("resealing", tokens.length);
  const limit = pLimit(AT_ONCE);
  const counts: Counts = { tokens: 0, resealed: 0, unopened: [] };
  await limit.map(tokens, async (token) => {
    if (signal.aborted) return;
    const done = await resealOne(token, kid, store);
    if (done === "unopened") counts.unopened.push(token.name);
    if (done === "resealed") counts.resealed++;
    progress.advance();
  });
  progress.stop();
  if (signal.aborted)
    throw new CommandError(`ended after ${counts.resealed} were resealed: repeat it for the rest`, 130);
  for await (const page of store.pages(500)) counts.tokens += page.length;
  return counts;
}

const isBehind = ({ snapshot }: StoredToken, kid: string) =>
  SEALED_FIELDS.some((field) => {
    const value = snapshot.fields[field];
    return typeof value === "string" && value.trim() !== "" && keyOf(value) !== kid;
  });

/** Only under the version it was read in: what a refresh or a consent writes meanwhile is newer. */
async function resealOne(first: StoredToken, kid: string, store: TokenStore) {
  let token: StoredToken | undefined = first;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    if (token === undefined || !isBehind(token, kid)) return "done";
    if (Object.keys(token.unopened).length > 0) return "unopened";
    if ((await store.update(token, anew(token))) !== undefined) return "resealed";
    token = await store.read(first.name);
  }
  throw new CommandError(`token "${first.name}" kept changing under this command: repeat it`);
}

/** The same credentials. A failure that was about them still is; about others, it stays about those. */
function anew({ document, inputs }: StoredToken): Changes {
  const { clientSecret, refreshToken, failure } = document;
  return {
    ...(clientSecret !== undefined && { clientSecret }),
    ...(refreshToken !== undefined && { refreshToken }),
    ...(failure?.inputs === inputs && { failure }),
  };
}
