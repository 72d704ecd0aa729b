import pLimit from "p-limit";
import { globalVariables } from "../../functions/adapters/global-variables.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import type { Changes, RawFields, TokenDocument } from "../../functions/core/document.ts";
import { type Details, EVENTS, type Event } from "../../functions/core/log.ts";
import { makePauses } from "../../functions/core/pauses.ts";
import type { Refresher } from "../../functions/core/refresh.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import type { Sealer } from "../../functions/core/seal.ts";
import { type DocumentStore, type StoredToken, tokenStore } from "../../functions/core/store.ts";
import { type Sweeper, sweep } from "../../functions/core/sweep.ts";
import { type AskByHash, DEFAULT_THRESHOLD, HOUR, MINUTE } from "../../functions/core/time.ts";
import type { Client } from "../../local/sandbox/client.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { type Clock, fakeClock, runtimeOf } from "./clock.ts";
import { plant, printed } from "./prints.ts";

export const ORG = "11111111-2222-3333-4444-555555555555";
const CALLBACK = "http://127.0.0.1:8080/callback";
/** As the contact centre's: 43,199 s and 60 days. */
export const CLIENT: Client = {
  clientId: "C1",
  clientSecret: "canary-client-secret-of-C1",
  redirectUris: [CALLBACK],
  scopes: ["cjp:config_read", "cjp:config_write"],
  orgId: ORG,
  accessLifetime: 43_199,
  refreshLifetime: 60 * 86_400,
};
export const SETTINGS = { clientId: "C1", clientSecret: CLIENT.clientSecret, redirectUri: CALLBACK };

export const READER: AskByHash = { by: "reader" };
export const SWEEP: AskByHash = { by: "sweep" };
/** The age of a token, in ms, of whose 43,199 s an hour is left: it is below the threshold. */
export const OLD = 11 * HOUR;
export const range = (length: number) => Array.from({ length }, (_, index) => index);

interface Logged {
  event: Event;
  details: Details;
}

interface WorldOptions {
  documents?: DocumentStore;
  clock?: Clock;
  runtime?: Runtime;
  /** Absent: nothing is sealed. */
  sealer?: Sealer;
}

export type World = Awaited<ReturnType<typeof openWorld>>;

/**
 * The real parts wired together: a store, the endpoint over HTTP, the sandbox authority, one clock for all.
 * Another `documents` has a clock of its own: give a `clock` and a `runtime` that agree with it.
 */
export async function openWorld(options: WorldOptions = {}) {
  const parts = await wired(options);
  return {
    ...parts,
    ...processes(parts),
    ...tokens(parts),
    ...seen(parts),
    async close(): Promise<void> {
      await parts.sandbox.close();
      await parts.documents.close();
    },
  };
}

type Parts = Awaited<ReturnType<typeof wired>>;

async function wired(options: WorldOptions) {
  const clock = options.clock ?? fakeClock();
  const runtime = options.runtime ?? runtimeOf(clock);
  const sandbox = createSandbox({ file: ":memory:", clock: clock.now });
  sandbox.authority.registerClient(CLIENT);
  const url = `http://127.0.0.1:${await sandbox.listen()}/v1`;
  const documents = options.documents ?? openSqlite(":memory:", clock.now);
  const store = tokenStore(documents, runtime.now, options.sealer);
  const endpoint = webexEndpoint(url);
  const variables = globalVariables(new URL(url).origin);
  const logged: Logged[] = [];
  const log = (event: Event, details: Details = {}) => {
    logged.push({ event, details });
    printed(JSON.stringify({ event, ...details }));
  };
  return { clock, runtime, sandbox, url, documents, store, endpoint, variables, logged, log };
}

function processes({ clock, runtime, store, endpoint, variables, log }: Parts) {
  /** One process of the service. Two of them share nothing but the store. */
  const refresher = (more: Partial<Refresher> = {}): Refresher => {
    const pauses = makePauses(runtime.now);
    return { store, endpoint, runtime, log, threshold: DEFAULT_THRESHOLD, pauses, ...more };
  };
  const sweeper = (more: Partial<Sweeper> = {}): Sweeper => {
    const concurrency = more.concurrency ?? 10;
    return { ...refresher(), variables, concurrency, limit: pLimit(concurrency), deadline: 540_000, ...more };
  };
  return {
    refresher,
    sweeper,
    /** Sweeps `every` so many ms, calls `each` after each sweep, and ends after `ms`. The Scheduler sweeps every minute. */
    async sweepFor(
      ms: number,
      one = sweeper(),
      each: () => unknown = () => {},
      every = MINUTE,
    ): Promise<void> {
      for (const end = clock.now() + ms; clock.now() < end; clock.advance(every)) {
        await sweep(one);
        await each();
      }
    },
  };
}

function tokens({ clock, sandbox, documents, store }: Parts) {
  return {
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
      plant({ ...fields });
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
      plant({ ...changes });
      const found = await documents.read("tokens", name);
      const written = found && (await documents.update("tokens", name, { ...changes }, found.version));
      if (written === undefined) throw new Error(`token "${name}" could not be edited`);
    },
  };
}

function seen({ sandbox, logged }: Parts) {
  return {
    /** Requests for a refresh that reached Webex. */
    refreshes: () => sandbox.authority.counters().refresh_token.received,
    exchanges: () => sandbox.authority.counters().authorization_code.received,

    events: (event: Event) => logged.filter((line) => line.event === event).map(({ details }) => details),
    critical: () => logged.filter(({ event }) => EVENTS[event] === "CRITICAL"),
    /** Whether Webex would accept this access token; undefined for one never issued. */
    live: (accessToken: string | undefined) => sandbox.authority.holder(accessToken ?? "")?.live,
  };
}
