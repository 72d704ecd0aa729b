import type { RawFields } from "../../functions/core/document.ts";
import {
  type Collection,
  type DocumentStore,
  indexedValue,
  type Snapshot,
  type UpTo,
} from "../../functions/core/store.ts";

/** What a store does once a call has reached it: at once, and never failing. */
export type Documents = {
  [Method in keyof Omit<DocumentStore, "close">]: (
    ...given: Parameters<DocumentStore[Method]>
  ) => Awaited<ReturnType<DocumentStore[Method]>>;
};

type Kept = Omit<Snapshot, "readAt">;

/** Documents in memory. `now`: the store's own clock, in ms. */
export function makeDocuments(now: () => number): Documents {
  const collections = { tokens: new Map(), authorizations: new Map(), status: new Map() } satisfies Record<
    Collection,
    Map<string, Kept>
  >;
  let writes = 0;
  const write = (collection: Map<string, Kept>, id: string, fields: RawFields) => {
    // Never the same twice: a document that was removed and made again has no version of its former life.
    const version = String(++writes);
    collection.set(id, { id, fields: kept(fields), version, writtenAt: now() });
    return version;
  };
  const seen = (found: Kept): Snapshot => ({ ...found, readAt: now() });
  const sorted = (collection: Collection) =>
    [...collections[collection].values()].sort((one, other) => byText(one.id, other.id));
  const upTo = ({ collection, field, until }: UpTo, after?: Snapshot): Kept[] => {
    const indexed = ({ fields }: Pick<Kept, "fields">) => indexedValue(fields, field);
    const instant = (one: Pick<Kept, "fields">) => Number(indexed(one));
    const comesAfter = (one: Kept, other: Snapshot) =>
      instant(one) > instant(other) || (instant(one) === instant(other) && one.id > other.id);
    return sorted(collection)
      .filter((one) => typeof indexed(one) === "number" && instant(one) <= until)
      .filter((one) => after === undefined || comesAfter(one, after))
      .sort((one, other) => instant(one) - instant(other));
  };
  return {
    read(collection, id) {
      const found: Kept | undefined = collections[collection].get(id);
      return found && seen(found);
    },
    create: (collection, id, fields) =>
      collections[collection].has(id) ? undefined : write(collections[collection], id, fields),
    update(collection, id, fields, version) {
      const found: Kept | undefined = collections[collection].get(id);
      return found?.version === version
        ? write(collections[collection], id, { ...found.fields, ...fields })
        : undefined;
    },
    remove: (collection, id) => collections[collection].delete(id),
    upTo: (query, limit, after) => upTo(query, after).slice(0, limit).map(seen),
    count: (query, after) => upTo(query, after).length,
    list: (collection, limit, after) =>
      sorted(collection)
        .filter(({ id }) => after === undefined || id > after)
        .slice(0, limit)
        .map(seen),
  };
}

/** The same as the service knows a store. */
export const asStore = (documents: Documents): DocumentStore => ({
  read: async (...given) => documents.read(...given),
  create: async (...given) => documents.create(...given),
  update: async (...given) => documents.update(...given),
  remove: async (...given) => documents.remove(...given),
  upTo: async (...given) => documents.upTo(...given),
  count: async (...given) => documents.count(...given),
  list: async (...given) => documents.list(...given),
  close: async () => undefined,
});

const byText = (one: string, other: string) => (one < other ? -1 : Number(one > other));

/** A copy that nobody can change: what was handed in, or out, is not the store's. */
function kept(fields: RawFields): RawFields {
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) copy[name] = keptValue(value);
  return Object.freeze(copy);
}

function keptValue(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  if (value instanceof Date) return value.getTime();
  return Array.isArray(value) ? Object.freeze(value.map(keptValue)) : kept({ ...value });
}
