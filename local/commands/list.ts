import { styleText } from "node:util";
import type { State } from "../../functions/core/state.ts";
import type { StoredToken } from "../../functions/core/store.ts";
import { isRenewable, lifeOf } from "../../functions/core/time.ts";
import { type Context, examples, jsonOption, type Register, withTokens } from "./context.ts";
import { durationText, fromNow } from "./durations.ts";
import { counted } from "./progress.ts";
import { table } from "./table.ts";
import { viewOf } from "./view.ts";

/** `list`: all tokens at a glance. */
export const list: Register = (program, context) => {
  program
    .command("list")
    .description("list the tokens: state, life left, next refresh")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      examples(
        ["list", "a table"],
        [`list --json | jq -r '.tokens[] | select(.state == "needs a person") | .name'`, "for programs"],
      ),
    )
    .action((options: { json?: boolean }) =>
      withTokens(context, async (store) => {
        const tokens: StoredToken[] = [];
        for await (const page of counted(store.pages(500), "tokens read", context.signal))
          tokens.push(...page);
        await show(tokens, options.json === true, context);
      }),
    );
};

async function show(tokens: StoredToken[], json: boolean, { terminal, runtime }: Context): Promise<void> {
  const seen = tokens.map((token) => ({ token, now: runtime.now() + token.ahead }));
  if (json) return terminal.json({ tokens: seen.map(({ token, now }) => viewOf(token, now)) });
  if (tokens.length === 0)
    return terminal.say('there are no tokens yet: "npm run tokens -- add NAME" adds one');
  terminal.print(
    await table(
      HEAD,
      seen.map(({ token, now }) => row(token, now)),
    ),
  );
}

export const HEAD = [
  "name",
  "state",
  "life left",
  "refresh due",
  "refresh token",
  "failure",
  "organization",
  "cluster",
];

const COLOUR: Record<State, Parameters<typeof styleText>[0]> = {
  working: "green",
  refreshing: "green",
  static: "green",
  retrying: "yellow",
  "not authorized": "yellow",
  "needs a person": "red",
  ended: "red",
};

/** `now` is the store's clock, in ms. */
export function row(token: StoredToken, now: number): string[] {
  const { document } = token;
  const { state, orgId, cluster } = viewOf(token, now);
  const life = lifeOf(document, now);
  return [
    token.name,
    styleText(COLOUR[state], state, { stream: process.stdout }),
    life > 0 ? durationText(life) : "-",
    dueText(token, now),
    runwayText(token, now),
    failureText(token),
    orgId ?? "-",
    cluster ?? "-",
  ];
}

/** Of a refresh that fails more depends. */
function failureText({ document: { failure, publish } }: StoredToken): string {
  return failure?.code ?? (publish?.failure ? `publish: ${publish.failure.code}` : "-");
}

function dueText({ document }: StoredToken, now: number): string {
  const { refreshAt = now } = document;
  if (!isRenewable(document) || document.static) return "-";
  return refreshAt <= now ? "now" : fromNow(refreshAt, now);
}

function runwayText({ document }: StoredToken, now: number): string {
  const { refreshToken, refreshExpires } = document;
  if (refreshToken === undefined) return "-";
  if (refreshExpires === undefined) return "unknown";
  return refreshExpires <= now ? "ended" : durationText(refreshExpires - now);
}
