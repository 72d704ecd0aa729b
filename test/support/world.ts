import pLimit from "p-limit";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import type { Changes, RawFields, TokenDocument } from "../../functions/core/document.ts";
import type { TokenEndpoint } from "../../functions/core/grant.ts";
import type { Details, Event } from "../../functions/core/log.ts";
import type { Refresher } from "../../functions/core/refresh.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import {
  type Collection,
  type DocumentStore,
  type StoredToken,
  StoreUnavailable,
  tokenStore,
} from "../../functions/core/store.ts";
import type { Sweeper } from "../../functions/core/sweep.ts";
import { DEFAULT_THRESHOLD } from "../../functions/core/time.ts";
import type { Client } from "../../local/sandbox/authority.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { type Clock, fakeClock, runtimeOf } from "./clock.ts";

export const ORG = "11111111-2222-3333-4444-555555555555";
const CALLBACK = "http://127.0.0.1:8080/callback";
/** As the contact centre's: 43,199 s and 60 days. */
export const CLIENT: Client = {
  clientId: "C1",
  clientSecret: "s3cret-of-C1",
  redirectUris: [CALLBACK],
  scopes: ["cjp:config_read", "cjp:config_write"],
  orgId: ORG,
  accessLifetime: 43_199,
  refreshLifetime: 60 * 86_400,
};
export const SETTINGS = { clientId: "C1", clientSecret: CLIENT.clientSecret, redirectUri: CALLBACK };

interface Logged {
  event: Event;
  details: Details;
}

export type World = Awaited<ReturnType<typeof openWorld>>;

/**
 * The real parts wired together: a store, the endpoint over HTTP, the sandbox authority, one clock for all.
 * Another `documents` has a clock of its own: give a `clock` and a `runtime` that agree with it.
 */
export async function openWorld(
  options: { documents?: DocumentStore; clock?: Clock; runtime?: Runtime } = {},
) {
  const clock = options.clock ?? fakeClock();
  const runtime = options.runtime ?? runtimeOf(clock);
  const sandbox = createSandbox({ file: ":memory:", clock: clock.now });
  sandbox.authority.registerClient(CLIENT);
  const url = `http://127.0.0.1:${await sandbox.listen()}/v1`;
  const documents = options.documents ?? openSqlite(":memory:", clock.now);
  const store = tokenStore(documents, runtime.now);
  const endpoint = webexEndpoint(url);
  const logged: Logged[] = [];
  const log = (event: Event, details: Details = {}) => {
    logged.push({ event, details });
  };

  /** One process of the service. Two of them share nothing but the store. */
  const refresher = (more: Partial<Refresher> = {}): Refresher => {
    const hold = { until: 0 };
    return { store, endpoint, runtime, log, threshold: DEFAULT_THRESHOLD, hold, ...more };
  };

  return {
    clock,
    runtime,
    sandbox,
    url,
    documents,
    store,
    endpoint,
    logged,
    log,
    refresher,

    sweeper(more: Partial<Sweeper> = {}): Sweeper {
      const concurrency = more.concurrency ?? 10;
      return { ...refresher(), concurrency, limit: pLimit(concurrency), deadline: 540_000, ...more };
    },

    /** The fields of a token that was granted `age` ms ago, as a consent leaves them. */
    granted(age = 0, client = CLIENT): TokenDocument {
      const back = clock.now() - age;
      const live = sandbox.authority.issue(client.clientId);
      return {
        clientId: client.clientId,
        clientSecret: client.clientSecret,
        redirectUri: CALLBACK,
        accessToken: live.access_token,
        refreshToken: live.refresh_token,
        accessExpires: back + client.accessLifetime * 1000,
        refreshExpires: clock.now() + client.refreshLifetime * 1000,
        lastRefresh: back,
        lifetime: client.accessLifetime,
        orgId: ORG,
        scopes: client.scopes.join(" "),
        refreshAt: clock.now() - 1,
      };
    },

    async add(name: string, fields: Changes | RawFields): Promise<void> {
      const made = await documents.create("tokens", name, { ...fields });
      if (made === undefined) throw new Error(`there is a token "${name}" already`);
    },

    async token(name: string): Promise<StoredToken> {
      const token = await store.read(name);
      if (token === undefined) throw new Error(`there is no token "${name}"`);
      return token;
    },

    /** A write from elsewhere: a person in the console, the command line. */
    async edit(name: string, changes: Changes | RawFields): Promise<void> {
      const found = await documents.read("tokens", name);
      const written = found && (await documents.update("tokens", name, { ...changes }, found.version));
      if (written === undefined) throw new Error(`token "${name}" could not be edited`);
    },

    /** Requests for a refresh that reached Webex. */
    refreshes: () => sandbox.authority.counters().refresh_token.received,
    exchanges: () => sandbox.authority.counters().authorization_code.received,

    events: (event: Event) => logged.filter((line) => line.event === event).map(({ details }) => details),

    async close(): Promise<void> {
      await sandbox.close();
      await documents.close();
    },
  };
}

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
  };
}
