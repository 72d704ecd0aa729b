import { keyOf, SEALED_FIELDS } from "../../functions/core/seal.ts";
import { STATES, type State, stateOf } from "../../functions/core/state.ts";
import { type DocumentStore, type StoredToken, tokenStore } from "../../functions/core/store.ts";

/** All tokens, read once, as far as checks ask of them. No value of a document is in it. */
export interface Tally {
  tokens: number;
  names: Readonly<Record<State, readonly string[]>>;
  mistyped: readonly { name: string; fields: readonly string[] }[];
  /** Those that could not be put into their global variables, and why. */
  unpublished: readonly { name: string; code: string }[];
  /** Values by the key that sealed them; `undefined`: those that are stored as they are. */
  sealedBy: ReadonlyMap<string | undefined, number>;
}

const PAGE = 500;

/** Opens nothing that is sealed. Throws `StoreUnavailable`. */
export async function tallied(
  documents: DocumentStore,
  now: () => number,
  signal: AbortSignal,
  counted: (tokens: number) => void = () => {},
): Promise<Tally> {
  const names = Object.fromEntries(STATES.map((state) => [state, [] as string[]])) as Record<State, string[]>;
  const mistyped: { name: string; fields: readonly string[] }[] = [];
  const unpublished: { name: string; code: string }[] = [];
  const sealedBy = new Map<string | undefined, number>();
  let tokens = 0;
  for await (const page of tokenStore(documents, now).pages(PAGE)) {
    for (const token of page) {
      tokens++;
      names[stateOf(token, now() + token.ahead)].push(token.name);
      if (token.mistyped.length > 0) mistyped.push({ name: token.name, fields: token.mistyped });
      const { failure } = token.document.publish ?? {};
      if (failure !== undefined) unpublished.push({ name: token.name, code: failure.code });
      for (const kid of kidsIn(token)) sealedBy.set(kid, (sealedBy.get(kid) ?? 0) + 1);
    }
    counted(tokens);
    signal.throwIfAborted();
  }
  return { tokens, names, mistyped, unpublished, sealedBy };
}

function kidsIn({ snapshot }: StoredToken): (string | undefined)[] {
  return SEALED_FIELDS.flatMap((field) => {
    const value = snapshot.fields[field];
    return typeof value === "string" && value.trim() !== "" ? [keyOf(value)] : [];
  });
}
