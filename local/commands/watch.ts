import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { STATES, type State } from "../../functions/core/state.ts";
import { type StoredToken, StoreUnavailable, type TokenStore } from "../../functions/core/store.ts";
import { HOUR, lifeOf, SECOND } from "../../functions/core/time.ts";
import { printable } from "../narrate.ts";
import { openScreen } from "../screen.ts";
import { type Context, examples, type Register, withTokens } from "./context.ts";
import { durationText, parseDuration } from "./durations.ts";
import { CommandError } from "./errors.ts";
import { HEAD, row } from "./list.ts";
import { table } from "./table.ts";
import { viewOf } from "./view.ts";

/** Between two looks, in ms: on this machine they cost nothing; of a project's Firestore each document is paid for. */
const EVERY = { here: 2 * SECOND, project: 10 * SECOND };

/** `watch`: the table of `list`, kept up to date in place. */
export const watch: Register = (program, context) => {
  program
    .command("watch")
    .description("watch the tokens: a table that is kept up to date, the most urgent first")
    .option(
      "--every <duration>",
      "how often to look, such as 5s; 2s on this machine, 10s in a project",
      everyOf,
    )
    .addHelpText(
      "after",
      `
q or Ctrl-C leaves, and the terminal is as it was. Each look reads every token once. Where standard output is no
terminal it prints the table once, and then a line for each change, until it is ended.`,
    )
    .addHelpText(
      "after",
      examples(
        ["watch", "while you break the sandbox in another terminal"],
        ["watch --every 30s", "of thousands of tokens in a project"],
        ["watch >> tokens.log", "each change, a line"],
      ),
    )
    .action(({ every }: { every?: number }) =>
      withTokens(context, async (store, { where }) => {
        const ms = every ?? (isPaid(where) ? EVERY.project : EVERY.here);
        if (process.stdout.isTTY) await live(store, where, ms, context);
        else await changes(store, ms, context);
      }),
    );
};

const isPaid = (where: string) => where.startsWith("Firestore");

function everyOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms > HOUR)
    throw new CommandError('--every must be a duration such as "5s" or "1m", an hour at most', 2);
  return ms;
}

/** A token at one look. */
interface Seen {
  token: StoredToken;
  /** ms, the store's clock. */
  now: number;
  state: State;
}

async function look(store: TokenStore, { runtime }: Context, signal: AbortSignal): Promise<Seen[]> {
  const seen: Seen[] = [];
  for await (const page of store.pages(500)) {
    for (const token of page) {
      const now = runtime.now() + token.ahead;
      seen.push({ token, now, state: viewOf(token, now).state });
    }
    if (signal.aborted) break;
  }
  return seen;
}

/** What a person should see first comes first. */
const URGENCY: readonly State[] = [
  "needs a person",
  "ended",
  "retrying",
  "not authorized",
  "refreshing",
  "working",
];

export const byUrgency = (one: Seen, other: Seen): number =>
  rank(one) - rank(other) ||
  lifeOf(one.token.document, one.now) - lifeOf(other.token.document, other.now) ||
  (one.token.name < other.token.name ? -1 : 1);

const rank = ({ state }: Seen) => (URGENCY.includes(state) ? URGENCY.indexOf(state) : URGENCY.length);

async function live(store: TokenStore, where: string, every: number, context: Context): Promise<void> {
  let redraw = () => {};
  const screen = openScreen(process.stdin, process.stdout, () => redraw());
  const signal = AbortSignal.any([screen.left, context.signal]);
  let seen: Seen[] = [];
  let trouble = "";
  try {
    redraw = () => {
      framed({ seen, where, every, trouble }, screen.height()).then(screen.draw, () => {});
    };
    for (; !signal.aborted; await pause(every, signal)) {
      trouble = "";
      try {
        seen = await look(store, context, signal);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        trouble = "the token store did not answer: this is what it said last";
      }
      if (!signal.aborted) screen.draw(await framed({ seen, where, every, trouble }, screen.height()));
    }
  } finally {
    screen.close();
  }
}

interface Frame {
  seen: readonly Seen[];
  where: string;
  every: number;
  /** Empty: none. */
  trouble: string;
}

/** Lines besides the rows: a title and a blank one, the head, and what is left out. */
const AROUND = 4;

/** Lines of one picture, which fits into `height`. */
export async function framed({ seen, where, every, trouble }: Frame, height: number): Promise<string[]> {
  const room = Math.max(1, height - AROUND);
  const rows = [...seen].sort(byUrgency).slice(0, room);
  const counts = STATES.flatMap((state) => {
    const { length } = seen.filter((each) => each.state === state);
    return length > 0 ? [`${length} ${state}`] : [];
  });
  const bold = (text: string) => styleText("bold", text, { stream: process.stdout });
  const dim = (text: string) => styleText("dim", text, { stream: process.stdout });
  const title = `${bold(`${seen.length} tokens`)}  ${counts.join(", ")}`;
  const status = trouble || `${where}, every ${durationText(every)}; q leaves`;
  const body = (await table(HEAD, rows.map(cells))).split("\n");
  const left = seen.length - rows.length;
  const rest = left > 0 ? [dim(`… and ${left} more`)] : [];
  return [title, dim(status), ...body, ...rest].slice(0, height);
}

/** All but the state, which has a colour, is whatever was stored. */
const cells = ({ token, now }: Seen) =>
  row(token, now).map((text, column) => (HEAD[column] === "state" ? text : printable(text)));

/** For logs: the table once, then what became different. */
async function changes(store: TokenStore, every: number, context: Context): Promise<void> {
  const { terminal, signal } = context;
  let before: Map<string, Seen> | undefined;
  for (; !signal.aborted; await pause(every, signal)) {
    try {
      const seen = await look(store, context, signal);
      if (signal.aborted) return;
      const after = new Map(seen.map((each) => [each.token.name, each]));
      if (before === undefined) {
        terminal.print(await table(HEAD, seen.sort(byUrgency).map(cells)));
      } else
        for (const line of differences(before, after))
          terminal.print(`${stamp(context)}  ${printable(line)}`);
      before = after;
    } catch (error) {
      // Where it never answered, there is nothing to go on with.
      if (!(error instanceof StoreUnavailable) || before === undefined) throw error;
      terminal.say(`${stamp(context)}  the token store did not answer`);
    }
  }
}

const stamp = ({ runtime }: Context) => new Date(runtime.now()).toISOString();

/** A sentence for each token that is another than before. */
export function differences(before: ReadonlyMap<string, Seen>, after: ReadonlyMap<string, Seen>): string[] {
  const gone = [...before.keys()].filter((name) => !after.has(name)).map((name) => `${name}: removed`);
  const others = [...after.values()].flatMap((seen) => differenceOf(before.get(seen.token.name), seen) ?? []);
  return [...others, ...gone];
}

function differenceOf(before: Seen | undefined, { token, state, now }: Seen): string | undefined {
  const { name, document } = token;
  const why = document.failure === undefined ? "" : ` (${document.failure.code})`;
  if (before === undefined) return `${name}: new, ${state}${why}`;
  if (before.state !== state) return `${name}: ${before.state} → ${state}${why}`;
  const is = before.token.document;
  if (is.failure?.code !== document.failure?.code) return `${name}: ${state}${why}`;
  if (is.accessToken !== document.accessToken)
    return `${name}: a new access token, which lives ${durationText(lifeOf(document, now))}`;
  return undefined;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => "it was ended");
}
