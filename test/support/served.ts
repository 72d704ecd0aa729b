import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server, request as send } from "node:http";
import type { AddressInfo } from "node:net";
import pLimit from "p-limit";
import { expect } from "vitest";
import { corsFor, sampleCors } from "../../functions/adapters/cors.ts";
import { globalVariables } from "../../functions/adapters/global-variables.ts";
import { type Handler, serve } from "../../functions/adapters/http.ts";
import { jsonLog } from "../../functions/adapters/log.ts";
import type { Metadata } from "../../functions/adapters/metadata.ts";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import { runtime as realRuntime } from "../../functions/adapters/runtime.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import type { AskRefresher } from "../../functions/core/asker.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import { sampleProblem } from "../../functions/core/compat.ts";
import type { RawFields, TokenDocument } from "../../functions/core/document.ts";
import type { EndpointAnswer, TokenEndpoint } from "../../functions/core/grant.ts";
import { makeLookup } from "../../functions/core/lookup.ts";
import { makePauses } from "../../functions/core/pauses.ts";
import { makeRefresher } from "../../functions/core/refresher.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { makeSetup, setupProblem } from "../../functions/core/setup.ts";
import { type DocumentStore, StoreUnavailable, tokenReader, tokenStore } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD, HOUR, SECOND } from "../../functions/core/time.ts";
import type { Client } from "../../local/sandbox/client.ts";
import type { FaultRequest } from "../../local/sandbox/faults.ts";
import { createSandbox, type SandboxEvent } from "../../local/sandbox/server.ts";
import { plant, printed } from "./prints.ts";

/** The three functions over real HTTP on loopback, wired as their entry points do it. Instants are ms. */

export const PASSPHRASE = "canary-passphrase-of-the-flow";
export const OLD_PASSPHRASE = "canary-passphrase-before-rotation";
export const START = 1_750_000_000_000;
/** Seconds a contact-centre token lives (webex.md). */
export const LIFETIME = 43_199;

export const ORG = "11111111-2222-3333-4444-555555555555";
export const CLIENT: Client = {
  clientId: "C-served",
  clientSecret: "canary-client-secret-0815",
  redirectUris: ["http://127.0.0.1:8080/callback"],
  scopes: ["cjp:config_read", "cjp:config_write"],
  orgId: ORG,
  accessLifetime: LIFETIME,
  refreshLifetime: 60 * 24 * 60 * 60,
};
export const SETTINGS = {
  clientId: CLIENT.clientId,
  clientSecret: CLIENT.clientSecret,
  redirectUri: CLIENT.redirectUris[0] ?? "",
};

export interface ServedOptions {
  /** `COMPAT=sample`. */
  sample?: boolean;
  corsOrigins?: string[];
  /** `LEGACY_SETUP`. */
  legacy?: boolean;
  /** `SETUP_URL` is not set. */
  withoutSetupUrl?: boolean;
  /** The store's file; in memory without it. */
  file?: string;
  /** The clock and the sleep of this machine. */
  realTime?: boolean;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The parsed body; `undefined` where it is not JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it freely
  body: any;
}

export interface CallOptions {
  method?: string;
  headers?: Record<string, string | string[]>;
}

export type Served = Awaited<ReturnType<typeof startServed>>;

/** One request, sent as it is written: no normalized path, no header of the client's own. */
async function call(base: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { hostname, port } = new URL(base);
  const { method = "GET", headers = {} } = options;
  plant(headers);
  const request = send({ hostname, port, path, method, headers, agent: false });
  request.end();
  const [response] = await once(request, "response");
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {}
  return { status: response.statusCode, headers: response.headers, text, body };
}

/** A clock that stands still until it is turned, and sleeps that end when it passes them. */
function manualTime(start: number) {
  let now = start;
  let sleepers: { at: number; wake: () => void }[] = [];
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  return {
    now: () => now,
    sleep(ms: number): Promise<void> {
      if (ms <= 0) return turn().then(() => {});
      return new Promise((wake) => sleepers.push({ at: now + ms, wake }));
    },
    next: () => Math.min(...sleepers.map(({ at }) => at)),
    /** Moves the clock, and ends each sleep at its own instant. */
    async advance(ms: number): Promise<void> {
      const until = now + ms;
      while (sleepers.some(({ at }) => at <= until)) {
        now = Math.min(...sleepers.map(({ at }) => at));
        const ended = sleepers.filter(({ at }) => at <= now);
        sleepers = sleepers.filter(({ at }) => at > now);
        for (const { wake } of ended) wake();
        for (let count = 0; count < 5; count++) await turn();
      }
      now = until;
    },
  };
}

type Operation = { method: keyof DocumentStore; collection: string; id: string };

/** The store, as strict about names as Firestore, noting every secret written; `outage` makes it fail. */
function watched(store: DocumentStore, note: (secret: unknown) => void, outage: { fail?: Failing }) {
  const before = (method: keyof DocumentStore, collection: string, id = "") => {
    const error = outage.fail?.({ method, collection, id });
    if (error !== undefined) throw error;
    // Firestore's client throws where the path has another depth; the rest its server answers INVALID_ARGUMENT.
    if (id.includes("/")) throw new Error("documentPath must point to a document");
    if (/^(\.|\.\.|__.*__)$/s.test(id) || Buffer.byteLength(id) > 1500)
      throw new StoreUnavailable("Firestore failed (3): INVALID_ARGUMENT");
  };
  const noted = (fields: Readonly<Record<string, unknown>>) => {
    plant(fields);
    for (const field of ["accessToken", "refreshToken", "clientSecret", "verifier"]) note(fields[field]);
  };
  const strict: DocumentStore = {
    async read(collection, id) {
      before("read", collection, id);
      return store.read(collection, id);
    },
    async create(collection, id, fields) {
      before("create", collection, id);
      noted(fields);
      return store.create(collection, id, fields);
    },
    async update(collection, id, fields, version) {
      before("update", collection, id);
      noted(fields);
      return store.update(collection, id, fields, version);
    },
    async remove(collection, id) {
      before("remove", collection, id);
      return store.remove(collection, id);
    },
    async upTo(query, limit, after) {
      before("upTo", query.collection);
      return store.upTo(query, limit, after);
    },
    async count(query, after) {
      before("count", query.collection);
      return store.count(query, after);
    },
    async list(collection, limit, after) {
      before("list", collection);
      return store.list(collection, limit, after);
    },
    close: () => store.close(),
  };
  return strict;
}

type Failing = (operation: Operation) => Error | undefined;

export async function startServed(options: ServedOptions = {}) {
  const {
    sample = false,
    corsOrigins = [],
    legacy = true,
    withoutSetupUrl,
    file = ":memory:",
    realTime,
  } = options;
  const time = manualTime(START);
  const runtime: Runtime = realTime ? realRuntime : { ...time, secret: realRuntime.secret };
  const now = runtime.now;
  const secrets = new Set<string>([PASSPHRASE, OLD_PASSPHRASE, CLIENT.clientSecret]);
  const note = (secret: unknown) => {
    if (typeof secret === "string" && secret.length >= 8) secrets.add(secret);
  };
  const lines: string[] = [];
  const log = jsonLog((line) => {
    lines.push(line);
    printed(line);
  });
  /** Bodies in which no secret may stand. */
  const bodies: string[] = [];

  const events: SandboxEvent[] = [];
  const sandbox = createSandbox({ file: ":memory:", clock: now, onEvent: (event) => events.push(event) });
  const webexUrl = `http://127.0.0.1:${await sandbox.listen()}/v1`;
  sandbox.authority.registerClient(CLIENT);

  const outage: { fail?: Failing } = {};
  const opened = openSqlite(file, now);
  const documents = watched(opened, note, outage);
  const store = tokenStore(documents, now);
  const passphrases = await openPassphrases({ text: `${PASSPHRASE}\n${OLD_PASSPHRASE}\n` }, log, now);
  const endpoint = notedEndpoint(webexEndpoint(webexUrl), note);
  const threshold = DEFAULT_THRESHOLD;
  const common = { store, endpoint, runtime, log, threshold };

  const refresher = await listen(
    serve({
      handle: makeRefresher({
        ...common,
        variables: globalVariables(new URL(webexUrl).origin),
        pauses: makePauses(now),
        concurrency: 10,
        limit: pLimit(10),
        deadline: 540 * SECOND,
      }),
      log,
    }),
  );
  const setup = await listen(
    serve({
      handle: makeSetup({ ...common, passphrases, plainStates: legacy, anyMethod: sample }),
      log,
      ...(sample ? { tell: sampleProblem, cors: sampleCors } : { tell: setupProblem }),
    }),
  );
  const asks = { made: 0, underWay: 0 };
  const lookup = await listen(
    serve({
      handle: makeLookup({
        reader: tokenReader(documents, now),
        askRefresher: counted(refresherAt(refresher.url, NO_METADATA), asks),
        passphrases,
        runtime,
        log,
        threshold,
        setupUrl: withoutSetupUrl ? undefined : setup.url,
        anyMethod: sample,
      }),
      log,
      ...(sample ? { tell: sampleProblem, cors: sampleCors } : { cors: corsFor(corsOrigins) }),
    }),
  );

  const keep = (answer: Answer) => {
    bodies.push(answer.text);
    return answer;
  };
  const ask = async (path: string, { headers, ...rest }: CallOptions = {}) => {
    const answer = await call(lookup.url, path, {
      ...rest,
      headers: headers ?? { "x-token-passphrase": PASSPHRASE },
    });
    return answer.status === 200 ? answer : keep(answer);
  };

  return {
    time,
    runtime,
    documents,
    store,
    sandbox,
    asks,
    events,
    outage,
    secrets,
    bases: { lookup: lookup.url, refresher: refresher.url, setup: setup.url, webex: webexUrl },
    /** The log lines so far, parsed. */
    logs: () => lines.map((line) => JSON.parse(line)),
    /** A request to lookup, with a live passphrase unless other headers are given. */
    ask,
    setup: async (path: string, options?: CallOptions) => keep(await call(setup.url, path, options)),
    refresher: async (path: string, options: CallOptions = {}) =>
      keep(await call(refresher.url, path, { method: "POST", ...options })),
    fault: (fault: FaultRequest) => sandbox.faults.add(fault),
    /** Requests that reached the token endpoint to refresh. */
    refreshes: () => sandbox.authority.counters().refresh_token.received,
    stopRefresher: () => refresher.close(),

    /** Puts a token into the store whose access token has `left` seconds to live. Returns the document. */
    async hold(name: string, left: number, fields: Partial<Record<keyof TokenDocument, unknown>> = {}) {
      const granted = sandbox.authority.issue(CLIENT.clientId);
      const accessExpires = now() + left * SECOND;
      const document = {
        ...SETTINGS,
        accessToken: granted.access_token,
        refreshToken: granted.refresh_token,
        accessExpires,
        refreshExpires: now() + CLIENT.refreshLifetime * SECOND,
        lastRefresh: accessExpires - LIFETIME * SECOND,
        lifetime: LIFETIME,
        scope: granted.scope,
        orgId: ORG,
        refreshAt: accessExpires - 2 * HOUR - 1,
        ...fields,
      };
      await documents.create("tokens", name, document);
      return document;
    },
    /** A write from elsewhere: a person in the console, the command line. */
    async edit(name: string, fields: RawFields): Promise<void> {
      const found = await documents.read("tokens", name);
      const written = found && (await documents.update("tokens", name, fields, found.version));
      if (written === undefined) throw new Error(`token "${name}" could not be edited`);
    },
    /** The document as it is now. */
    async document(name: string): Promise<TokenDocument> {
      const token = await store.read(name);
      if (token === undefined) throw new Error(`no token ${name}`);
      return token.document;
    },

    /** A person consents: the address that the browser is then sent to, from `/callback` on. */
    async consent(name: string, choice: { newOrg?: boolean; pkce?: boolean } = {}): Promise<string> {
      const token = await store.read(name);
      if (token === undefined) throw new Error(`no token ${name}`);
      const { newOrg = false, pkce = true } = choice;
      const url = await startAuthorization(
        { ...token, document: { ...token.document, scopes: CLIENT.scopes.join(" ") } },
        { webexUrl, pkce, newOrg },
        { store, runtime },
      );
      note(url.searchParams.get("state"));
      return allow(url, note);
    },
    /** The same with the token's plain name as state, as in the original set-up. */
    async plainConsent(state: string, client: Client = CLIENT): Promise<string> {
      const url = new URL(`${webexUrl}/authorize`);
      const parameters = {
        response_type: "code",
        client_id: client.clientId,
        redirect_uri: client.redirectUris[0] ?? "",
        scope: client.scopes.join(" "),
        state,
      };
      for (const [parameter, value] of Object.entries(parameters)) url.searchParams.set(parameter, value);
      return allow(url, note);
    },

    /** Turns the clock from sleep to sleep until the work is done; never past work that is really going on. */
    async settle<T>(work: Promise<T>): Promise<T> {
      let done = false;
      const ended = work.finally(() => {
        done = true;
      });
      ended.catch(() => "told to the caller");
      while (!done) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        const hanging = events.filter(({ fault }) => fault === "hang").length;
        const idle = lookup.underWay() > 0 && asks.underWay <= hanging;
        if (!done && idle && time.next() < Number.POSITIVE_INFINITY) await time.advance(time.next() - now());
      }
      return ended;
    },

    /** Ends everything, and looks through all that was logged and answered for secrets. */
    async close() {
      for (const server of [lookup, setup, refresher]) await server.close();
      await sandbox.close();
      await new Promise((resolve) => setImmediate(resolve));
      await opened.close();
      for (const line of lines) expect(line).toMatch(/^\{[^\n]*\}\n$/);
      const leaked = [...secrets].filter((secret) => [...lines, ...bodies].join("\n").includes(secret));
      expect(leaked, "secrets in log lines or error bodies").toEqual([]);
    },
  };
}

/** Whatever is http and not https needs no identity token. */
const NO_METADATA: Pick<Metadata, "identityToken"> = {
  identityToken: () => Promise.reject(new Error("an identity token was asked for")),
};

const counted =
  (askRefresher: AskRefresher, asks: { made: number; underWay: number }): AskRefresher =>
  async (name, ask) => {
    asks.made++;
    asks.underWay++;
    try {
      return await askRefresher(name, ask);
    } finally {
      asks.underWay--;
    }
  };

/** Notes the tokens that pass, stored later or not. */
function notedEndpoint(endpoint: TokenEndpoint, note: (secret: unknown) => void): TokenEndpoint {
  const noted = (answer: EndpointAnswer) => {
    if ("body" in answer)
      for (const [, token] of answer.body.matchAll(/"(?:access|refresh)_token":"([^"]+)"/g)) note(token);
    return answer;
  };
  return {
    exchange: async (request) => noted(await endpoint.exchange(request)),
    issue: async (request) => noted(await endpoint.issue(request)),
    refresh: async (request, patient) => noted(await endpoint.refresh(request, patient)),
  };
}

async function listen(handler: Handler) {
  let underWay = 0;
  const server: Server = createServer((request, response) => {
    underWay++;
    response.on("close", () => underWay--);
    Promise.try(handler, request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    underWay: () => underWay,
    async close() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function allow(url: URL, note: (secret: unknown) => void): Promise<string> {
  const page = await call(url.origin, `${url.pathname}${url.search}`);
  const request = /name="request" value="([^"]+)"/.exec(page.text)?.[1] ?? "";
  const answer = await fetch(new URL("/v1/authorize/decision", url), {
    method: "POST",
    body: new URLSearchParams({ request, decision: "allow" }),
    redirect: "manual",
  });
  const to = new URL(answer.headers.get("location") ?? "nowhere:");
  note(to.searchParams.get("code"));
  return `/callback${to.search}`;
}
