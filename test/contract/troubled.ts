import type { RawFields } from "../../functions/core/document.ts";
import type { TokenEndpoint } from "../../functions/core/grant.ts";
import { type Collection, type DocumentStore, StoreUnavailable } from "../../functions/core/store.ts";

export interface Call {
  method: "read" | "create" | "update" | "remove" | "upTo" | "count" | "list";
  collection: Collection;
  fields?: RawFields;
}

export type Hook = <T>(call: Call, perform: () => Promise<T>) => Promise<T>;

/** The same store, each call going through `hook`, which performs it, or not, or more than that. */
export function intercepted(documents: DocumentStore, hook: Hook): DocumentStore {
  return {
    read: (collection, id) => hook({ method: "read", collection }, () => documents.read(collection, id)),
    create: (collection, id, fields) =>
      hook({ method: "create", collection, fields }, () => documents.create(collection, id, fields)),
    update: (collection, id, fields, version) =>
      hook({ method: "update", collection, fields }, () => documents.update(collection, id, fields, version)),
    remove: (collection, id) =>
      hook({ method: "remove", collection }, () => documents.remove(collection, id)),
    upTo: (query, limit, after) =>
      hook({ method: "upTo", collection: query.collection }, () => documents.upTo(query, limit, after)),
    count: (query, after) =>
      hook({ method: "count", collection: query.collection }, () => documents.count(query, after)),
    list: (collection, limit, after) =>
      hook({ method: "list", collection }, () => documents.list(collection, limit, after)),
    close: () => documents.close(),
  };
}

/** How a write can end whose outcome its caller does not learn. */
export type Trouble = "landed" | "not performed";

/** A store whose first `times` calls that `match` picks end in `StoreUnavailable`, done or not. */
export function troubled(
  documents: DocumentStore,
  trouble: Trouble,
  match: (call: Call) => boolean,
  times = 1,
): DocumentStore {
  let left = times;
  return intercepted(documents, async (call, perform) => {
    if (left <= 0 || !match(call)) return perform();
    left--;
    if (trouble === "landed") await perform();
    throw new StoreUnavailable("no answer in time");
  });
}

export const isClaim = ({ method, collection, fields }: Call) =>
  method === "update" && collection === "tokens" && fields?.lease !== undefined;
/** What Webex said is written together with the end of the lease. */
export const isSave = ({ method, collection, fields }: Call) =>
  method === "update" &&
  collection === "tokens" &&
  fields !== undefined &&
  "lease" in fields &&
  fields.lease === undefined;

export interface Escort {
  before?: () => Promise<void>;
  after?: () => Promise<void>;
}

/** The same endpoint, with `before` and `after` each request's way to Webex and back. */
export function escorted(
  endpoint: TokenEndpoint,
  { before = async () => {}, after = async () => {} }: Escort,
): TokenEndpoint {
  const escort = async <T>(send: () => Promise<T>) => {
    await before();
    const answer = await send();
    await after();
    return answer;
  };
  return {
    refresh: (request, patient) => escort(() => endpoint.refresh(request, patient)),
    exchange: (request) => escort(() => endpoint.exchange(request)),
    issue: (request) => escort(() => endpoint.issue(request)),
  };
}
