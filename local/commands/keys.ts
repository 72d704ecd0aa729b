import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import {
  formatSealKeys,
  keyOf,
  parseSealKeys,
  SEALED_FIELDS,
  type SealKey,
  type SealKeys,
} from "../../functions/core/seal.ts";
import type { TokenStore } from "../../functions/core/store.ts";
import { MINUTE } from "../../functions/core/time.ts";
import type { Deployment } from "../deployment.ts";
import { changeSecret, presentSecret } from "../secret-text.ts";
import { type Context, examples, jsonOption, type Register, withTokens } from "./context.ts";
import { fromNow } from "./durations.ts";
import { CommandError } from "./errors.ts";
import { counted } from "./progress.ts";
import { columns } from "./table.ts";

/** Every instance has read the keys again after this long (they do so once a minute). */
const KNOWN_EVERYWHERE = 2 * MINUTE;

/** `keys`: the keys that seal client secrets and refresh tokens, and their rotation. */
export const keys: Register = (program, context) => {
  const group = program
    .command("keys")
    .description("the keys that seal client secrets and refresh tokens in the store")
    .addHelpText(
      "after",
      `
A rotation has four steps, minutes apart, and interrupts nothing:
  npm run tokens -- keys add              a new key, which only opens
  npm run tokens -- keys promote KID      it seals from now on
  npm run tokens -- reseal                what older keys have sealed is sealed with it
  npm run tokens -- keys drop OLD         no document uses it any more`,
    )
    .addHelpText(
      "after",
      examples(
        ["keys list", "which there are, and what each has sealed"],
        ["keys add", "the first one seals at once"],
      ),
    );
  list(group, context);
  add(group, context);
  promote(group, context);
  drop(group, context);
};

function list(group: Command, context: Context): void {
  group
    .command("list")
    .description("the keys, which of them seals, and how many values each has sealed; no key itself")
    .addOption(jsonOption())
    .addHelpText("after", examples(["keys list", "what there is, and what could be dropped"]))
    .action((options: { json?: boolean }) =>
      withTokens(context, async (store, deployment) => {
        const all = await keysOf(deployment);
        const used = await uses(store, context.signal);
        const rows = all.all.map(({ kid, since }) => ({
          kid,
          seals: kid === all.primary.kid,
          since: since === undefined ? null : new Date(since).toISOString(),
          values: used.get(kid) ?? 0,
        }));
        if (options.json) return context.terminal.json({ keys: rows, plain: used.get(undefined) ?? 0 });
        const now = context.runtime.now();
        const lines = rows.map(({ kid, seals, since, values }) => [
          kid,
          seals ? "seals and opens" : "opens",
          since === null ? "" : `since ${fromNow(Date.parse(since), now)}`,
          `${values} values`,
        ]);
        context.terminal.print(
          await columns([...lines, ["(plain)", "", "", `${used.get(undefined) ?? 0} values`]]),
        );
      }),
    );
}

function add(group: Command, context: Context): void {
  group
    .command("add")
    .description("make a new key; the first one seals, a later one only opens until it is promoted")
    .addOption(jsonOption())
    .addHelpText("after", examples(["keys add", "made at random, 256 bits, and kept where SEAL_KEYS says"]))
    .action(async (options: { json?: boolean }) => {
      const { terminal, runtime } = context;
      const deployment = context.deployment();
      const where = placeOf(deployment);
      const key = newKey(runtime.now());
      let first = false;
      await changeSecret(where, (text) => {
        first = text === undefined || text.trim() === "";
        if (first) return formatSealKeys({ primary: key, all: [key] });
        const { primary, all } = parsed(text ?? "");
        return formatSealKeys({ primary, all: [...all, key] });
      });
      if (options.json) return terminal.json({ kid: key.kid, seals: first, keys: where });
      const next = first
        ? `it seals what is written from now on${deployment.service === undefined ? "" : ", once the service is started anew"}; "npm run tokens -- reseal" seals what is stored already`
        : `it only opens; in two minutes: npm run tokens -- keys promote ${key.kid}`;
      terminal.print(`key "${key.kid}" is added to ${where}: ${next}`);
    });
}

function promote(group: Command, context: Context): void {
  group
    .command("promote")
    .argument("<kid>", "name of the key")
    .description("let a key seal from now on; the others only open")
    .option("--now", "even if it was added less than two minutes ago: an instance may not know it yet")
    .addOption(jsonOption())
    .addHelpText("after", examples(["keys promote k-2026-11-20-a1b2c3", "two minutes after it was added"]))
    .action(async (kid: string, options: { now?: boolean; json?: boolean }) => {
      const { terminal, runtime } = context;
      const now = runtime.now();
      await changeSecret(placeOf(context.deployment()), (text) => {
        const { primary, all } = parsed(text ?? "");
        const key = find(kid, all);
        if (key.kid === primary.kid) throw new CommandError(`key "${kid}" is the one that seals already`);
        if (!options.now) wait(key, now, `key "${kid}" was added`, ", or give --now");
        const renewed = { ...key, since: now };
        return formatSealKeys({ primary: renewed, all: all.map((each) => (each === key ? renewed : each)) });
      });
      if (options.json) return terminal.json({ kid, seals: true });
      terminal.print(`key "${kid}" seals from now on; in two minutes: npm run tokens -- reseal`);
    });
}

function drop(group: Command, context: Context): void {
  group
    .command("drop")
    .argument("<kid>", "name of the key")
    .description("take a key away that no document uses any more")
    .addOption(jsonOption())
    .addHelpText("after", examples(["keys drop k-2026-05-01-d4e5f6", "after a reseal"]))
    .action((kid: string, options: { json?: boolean }) =>
      withTokens(context, async (store, deployment) => {
        const { terminal, runtime } = context;
        const { primary, all } = await keysOf(deployment);
        find(kid, all);
        if (kid === primary.kid)
          throw new CommandError(`key "${kid}" is the one that seals: promote another one first`);
        // Until then an instance may still seal with the one before.
        wait(primary, runtime.now(), `key "${primary.kid}" was promoted`);
        const used = (await uses(store, context.signal)).get(kid) ?? 0;
        if (used > 0)
          throw new CommandError(
            `key "${kid}" still seals ${used} values: run "npm run tokens -- reseal" first`,
          );
        await changeSecret(placeOf(deployment), (text) => {
          const current = parsed(text ?? "");
          if (current.primary.kid !== primary.kid)
            throw new CommandError("the keys were changed meanwhile: look again");
          return formatSealKeys({ ...current, all: current.all.filter((key) => key.kid !== kid) });
        });
        if (options.json) terminal.json({ kid, dropped: true });
        else terminal.print(`key "${kid}" is dropped`);
      }),
    );
}

const newKey = (now: number): SealKey => ({
  kid: `k-${new Date(now).toISOString().slice(0, 10)}-${randomBytes(3).toString("hex")}`,
  k: randomBytes(32).toString("base64url"),
  since: now,
});

/** Where the keys are kept. Throws `CommandError` where nothing says so. */
function placeOf({ sealKeys }: Deployment): string {
  if (sealKeys !== undefined) return sealKeys;
  throw new CommandError(
    "where the keys are is not known: set SEAL_KEYS to the secret (projects/…/secrets/…) or the file that holds them",
  );
}

/** The keys as they are. Throws `CommandError`. */
export async function keysOf(deployment: Deployment): Promise<SealKeys> {
  const where = placeOf(deployment);
  const text = await presentSecret(where);
  if (text === undefined || text.trim() === "")
    throw new CommandError(
      `there are no sealing keys in ${where}: "npm run tokens -- keys add" makes the first one`,
    );
  return parsed(text);
}

function parsed(text: string): SealKeys {
  try {
    return parseSealKeys(text);
  } catch (error) {
    throw new CommandError(`the sealing keys can't be used: ${(error as Error).message}`);
  }
}

function find(kid: string, all: readonly SealKey[]): SealKey {
  const key = all.find((each) => each.kid === kid);
  if (key !== undefined) return key;
  throw new CommandError(`there is no key "${kid}": there are ${all.map((each) => each.kid).join(", ")}`);
}

function wait({ since }: SealKey, now: number, what: string, orElse = ""): void {
  const left = since === undefined ? 0 : since + KNOWN_EVERYWHERE - now;
  if (left > 0)
    throw new CommandError(
      `${what} just now, and not every instance may know it yet: try again in ${Math.ceil(left / 1000)} s${orElse}`,
    );
}

/** How many values each key has sealed; `undefined`: those that are stored as they are. */
async function uses(store: TokenStore, signal: AbortSignal): Promise<Map<string | undefined, number>> {
  const used = new Map<string | undefined, number>();
  for await (const page of counted(store.pages(500), "tokens read", signal))
    for (const { snapshot } of page)
      for (const field of SEALED_FIELDS) {
        const value = snapshot.fields[field];
        if (typeof value !== "string" || value === "") continue;
        const kid = keyOf(value);
        used.set(kid, (used.get(kid) ?? 0) + 1);
      }
  return used;
}
