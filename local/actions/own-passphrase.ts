import { sha256 } from "../../functions/core/hash.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { CommandError } from "../commands/errors.ts";
import { edit } from "../commands/stored.ts";

/** Seconds for which lookup may answer from what it remembers of a token. */
export const OWN_WITHIN = 30;

/** One that can't be read locks the token all the same. */
export const hasOwn = ({ document, mistyped }: StoredToken) =>
  document.passphraseHash !== undefined || mistyped.includes("passphraseHash");

/** Gives a token a passphrase of its own; only its hash is stored. Throws `CommandError`. */
export const giveOwn = (
  name: string,
  own: string,
  store: TokenStore,
  check: (current: StoredToken) => void = () => {},
): Promise<StoredToken> =>
  edit(name, store, (current) => {
    check(current);
    return { passphraseHash: sha256(own) };
  });

/** Takes a token's own passphrase away: the shared one opens it. Throws `CommandError`. */
export const takeOwn = (
  name: string,
  store: TokenStore,
  check: (current: StoredToken) => void = () => {},
): Promise<StoredToken> =>
  edit(name, store, (current) => {
    check(current);
    return { passphraseHash: undefined };
  });

/** Nobody agreed to end a passphrase that came after the question. Throws `CommandError`. */
export function asSeen(current: StoredToken, seen: StoredToken): void {
  const hash = ({ snapshot }: StoredToken) => JSON.stringify(snapshot.fields.passphraseHash);
  if (hash(current) !== hash(seen))
    throw new CommandError(`the passphrase of token "${seen.name}" was changed meanwhile: look again`);
}
