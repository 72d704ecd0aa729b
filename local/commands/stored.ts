import { merged } from "../../functions/core/changes.ts";
import type { Changes } from "../../functions/core/document.ts";
import { nearest } from "../../functions/core/nearest.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { CommandError } from "./errors.ts";

/** How often a change is tried anew because somebody else wrote the document meanwhile. */
const TRIES = 10;
/** Names that are looked through for the one that was meant. */
const LOOKED_THROUGH = 5000;

/** By the exact name, else by the trimmed one. Throws `CommandError`, with the name that was meant where one is near. */
export async function findToken(name: string, store: TokenStore): Promise<StoredToken> {
  const exact = await store.read(name);
  const token = exact ?? (name === name.trim() ? undefined : await store.read(name.trim()));
  if (token !== undefined) return token;
  const meant = nearest(name, await names(store));
  const hint = meant === undefined ? '"npm run tokens -- list" shows them all' : `did you mean "${meant}"?`;
  throw new CommandError(`there is no token "${name}": ${hint}`);
}

/** Throws `CommandError` where the name was taken meanwhile. Gives the new token. */
export async function create(name: string, fields: Changes, store: TokenStore): Promise<StoredToken> {
  if (await store.create(name, merged({}, fields))) return findToken(name, store);
  throw new CommandError(`token "${name}" was made by somebody else just now: give --replace to change it`);
}

/** Changes a token under the version it was read in; where it moved, reads and decides again. Gives it as it is then. */
export async function edit(
  name: string,
  store: TokenStore,
  changesFor: (token: StoredToken) => Changes,
): Promise<StoredToken> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const token = await findToken(name, store);
    const written = await store.update(token, changesFor(token));
    if (written !== undefined) return findToken(name, store);
  }
  throw new CommandError(`token "${name}" kept changing under this command: try it again`);
}

/** What every writer of credentials does besides: what went wrong is forgotten, and a refresh is due at once. */
export function renewed(renewable: boolean, now: number): Changes {
  return {
    failure: undefined,
    lease: undefined,
    ...(renewable && { refreshAt: now }),
  };
}

async function names(store: TokenStore): Promise<string[]> {
  const found: string[] = [];
  for await (const page of store.pages(500)) {
    found.push(...page.map(({ name }) => name));
    if (found.length >= LOOKED_THROUGH) break;
  }
  return found;
}
