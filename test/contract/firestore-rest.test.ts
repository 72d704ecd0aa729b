import { once } from "node:events";
import http, { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import { type AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, describe, expect, inject, test, vi } from "vitest";
import { readSettings } from "../../functions/adapters/env.ts";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { firestoreReader, type RestOptions } from "../../functions/adapters/firestore-rest.ts";
import { metadataServer } from "../../functions/adapters/metadata.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { fieldsOf, type TokenDocument } from "../../functions/core/document.ts";
import { StoreUnavailable, tokenReader } from "../../functions/core/store.ts";
import { freshProject } from "../support/emulator.ts";
import { startFunction, stopAll } from "../support/processes.ts";
import { KINDS, type ReaderPlace, readerContract, type Typed, type TypedFields } from "./reader.ts";

/** The reading half of the store: each store alike, and the REST reader against a server that is in trouble. */

const nobody = async (): Promise<string> => expect.unreachable("an access token was asked for");
const emulator = inject("firestoreEmulator");
const emulatorOptions = (project: string, database = "(default)"): RestOptions => ({
  project,
  database,
  emulator,
  accessToken: nobody,
  now: Date.now,
});

readerContract(
  "SQLite",
  async () => {
    const documents = openSqlite(":memory:", Date.now);
    const put: ReaderPlace["put"] = async (id, fields, collection = "tokens") => {
      const plain = Object.fromEntries(Object.entries(fields).map(([name, typed]) => [name, plainOf(typed)]));
      const held = await documents.read(collection as "tokens", id);
      if (held === undefined) await documents.create(collection as "tokens", id, plain);
      else await documents.update(collection as "tokens", id, plain, held.version);
    };
    return { reader: documents, put, close: () => documents.close() };
  },
  { json: true },
);

const title = (name: string) => (emulator === undefined ? `${name} (SKIPPED: no emulator)` : name);
const skipped = emulator === undefined;

readerContract(
  title("Firestore's library"),
  async () => {
    const project = freshProject();
    const documents = sdkOf(project);
    return { reader: documents, put: typedInto(project), close: () => documents.close() };
  },
  { skipped },
);

readerContract(
  title("Firestore over REST"),
  async () => {
    const project = freshProject();
    return {
      reader: firestoreReader(emulatorOptions(project)),
      put: typedInto(project),
      close: async () => {},
    };
  },
  { skipped },
);

function sdkOf(project: string, database = "(default)") {
  process.env.FIRESTORE_EMULATOR_HOST = emulator;
  return openFirestore({ project, database });
}

/** Writes into the emulator, each value of the type that is named. */
function typedInto(project: string, database = "(default)"): ReaderPlace["put"] {
  return async (id, fields, collection = "tokens") => {
    const documents = `projects/${project}/databases/${database}/documents`;
    const named = JSON.stringify({ fields }).replaceAll("projects/p/", `projects/${project}/`);
    const response = await fetch(
      `http://${emulator}/v1/${documents}/${collection}/${encodeURIComponent(id)}`,
      {
        method: "PATCH",
        headers: { authorization: "Bearer owner", "content-type": "application/json" },
        body: named,
      },
    );
    if (!response.ok) throw new Error(`${id}: ${response.status} ${await response.text()}`);
  };
}

/** The same value for a store that holds JSON. */
function plainOf(typed: Typed): unknown {
  const [[type, content] = []] = Object.entries(typed);
  if (type === "integerValue") return Number(content);
  if (type === "timestampValue") return Date.parse(String(content));
  if (type === "arrayValue") return ((fieldsOf(content).values ?? []) as Typed[]).map(plainOf);
  if (type !== "mapValue") return content;
  const fields = Object.entries(fieldsOf(fieldsOf(content).fields)) as [string, Typed][];
  return Object.fromEntries(fields.map(([name, value]) => [name, plainOf(value)]));
}

describe.skipIf(skipped)(title("REST and the library"), () => {
  // What JSON has no word for is a wrong kind for both, and that is all that matters.
  test.each(KINDS.filter(({ beyondJson }) => !beyondJson))(
    "agree on $kind, in the credentials too: who compares their hash must not differ",
    async ({ typed }) => {
      const project = freshProject();
      await typedInto(project)("flow", {
        clientId: typed,
        clientSecret: typed,
        refreshToken: typed,
        accessExpires: typed,
        lease: typed,
      });
      const [rest, sdk] = [firestoreReader(emulatorOptions(project)), sdkOf(project)];
      const seen = async (reader: typeof rest) => {
        const token = await tokenReader(reader, Date.now).read("flow");
        return { document: token?.document, mistyped: token?.mistyped, inputs: token?.inputs };
      };
      expect(await seen(rest)).toEqual(await seen(sdk));
      await sdk.close();
    },
  );

  test("a named database is another one than the default", async () => {
    const project = freshProject();
    await typedInto(project, "tokens-db")("flow", { clientId: { stringValue: "named" } });
    await typedInto(project)("other", { clientId: { stringValue: "default" } });
    const named = firestoreReader(emulatorOptions(project, "tokens-db"));
    expect((await named.read("tokens", "flow"))?.fields).toEqual({ clientId: "named" });
    expect(await named.read("tokens", "other")).toBeUndefined();
    expect(await firestoreReader(emulatorOptions(project)).read("tokens", "flow")).toBeUndefined();
    const sdk = sdkOf(project, "tokens-db");
    expect((await sdk.read("tokens", "flow"))?.fields).toEqual({ clientId: "named" });
    await sdk.close();
  });

  test("what a reader has no use for stays in the store", async () => {
    const project = freshProject();
    const text = (stringValue: string) => ({ stringValue });
    await typedInto(project)("flow", {
      clientId: text("c"),
      scopes: text("s"),
      notes: text("n"),
    });
    await typedInto(project)("bare", { scopes: text("s") });
    const reader = firestoreReader(emulatorOptions(project));
    expect((await reader.read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    expect((await reader.read("tokens", "bare"))?.fields).toEqual({});
  });
});

/** All that a reader judges by, answers or names in a message: a new field does not compile before it stands here. */
const ASKED_FOR: Record<Exclude<keyof TokenDocument, "scopes" | "authorizedAt" | "publish">, true> = {
  clientId: true,
  clientSecret: true,
  redirectUri: true,
  accessToken: true,
  refreshToken: true,
  accessExpires: true,
  refreshExpires: true,
  lastRefresh: true,
  lifetime: true,
  scope: true,
  orgId: true,
  refreshAt: true,
  lease: true,
  failure: true,
  passphraseHash: true,
  static: true,
  serviceApp: true,
};

type Responder = (response: ServerResponse, request: IncomingMessage) => void;

const FLOW: TypedFields = { clientId: { stringValue: "c" } };
const documentOf = (fields: TypedFields = FLOW) =>
  JSON.stringify({
    name: "projects/p/databases/(default)/documents/tokens/flow",
    fields,
    createTime: "2026-01-05T08:00:00.000001Z",
    updateTime: "2026-01-05T08:00:00.123456Z",
  });
const status =
  (code: number, body = "{}"): Responder =>
  (response) => {
    response.writeHead(code, { "content-type": "application/json" });
    response.end(body);
  };
const well = status(200, documentOf());
const errorBody = (code: number, message: string, name: string) =>
  JSON.stringify({ error: { code, message, status: name } });
const noDocument = status(
  404,
  errorBody(404, 'Document "projects/p/databases/(default)/documents/tokens/flow" not found.', "NOT_FOUND"),
);

const hangs: Responder = () => {};

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
  vi.restoreAllMocks();
});

/** A Firestore that answers as it is told, one answer after the other; the last one again and again. */
async function scripted(...answers: Responder[]) {
  const requests: IncomingMessage[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push(request);
    answer?.(response, request);
  });
  server.on("connection", () => connections++);
  // No hint for the client when to let go of a connection: that is its own affair here.
  server.keepAliveTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = { project: "p", database: "(default)", emulator: host, accessToken: nobody };
  return {
    host,
    requests,
    connections: () => connections,
    server,
    reader: (now: () => number = Date.now) => firestoreReader({ ...options, now }),
  };
}

/** A clock by which the first `ms` of a read's patience are over as soon as it has begun. */
function lateBy(ms: number) {
  const began = Date.now();
  let calls = 0;
  return () => began + (calls++ === 0 ? 0 : ms);
}

/** Only codes: it is logged. */
const CODES = /^Firestore(?: answered \d+| did not answer \(\w+\)|'s answer [a-z ]+)$/;
async function expectUnavailable(read: Promise<unknown>): Promise<void> {
  const error = await read.then(
    (found) => expect.unreachable(`it answered ${JSON.stringify(found)}`),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StoreUnavailable);
  expect((error as Error).message).toMatch(CODES);
}

describe("a read over REST", () => {
  test("asks for one document by name, as owner of the emulator, with a mask of what is needed", async () => {
    const { reader, requests } = await scripted(well);
    await reader().read("tokens", "größe & more?");
    const { method, url = "", headers } = requests[0] ?? expect.unreachable();
    const { pathname, searchParams } = new URL(url, "http://x");
    expect(method).toBe("GET");
    expect(pathname).toBe(
      `/v1/projects/p/databases/(default)/documents/tokens/${encodeURIComponent("größe & more?")}`,
    );
    expect(headers.authorization).toBe("Bearer owner");
    expect([...new Set(searchParams.keys())]).toEqual(["mask.fieldPaths"]);
    expect(searchParams.getAll("mask.fieldPaths").toSorted()).toEqual(Object.keys(ASKED_FOR).toSorted());
  });

  test("tells the fields, the version and the time of the last write", async () => {
    const { reader } = await scripted(well);
    expect(await reader().read("tokens", "flow")).toMatchObject({
      id: "flow",
      fields: { clientId: "c" },
      version: "2026-01-05T08:00:00.123456Z",
      writtenAt: Date.UTC(2026, 0, 5, 8) + 123,
    });
  });

  test.each([
    ["Firestore", 'Document "projects/p/databases/(default)/documents/tokens/flow" not found.'],
    ["the emulator", "Document (projects/p/databases/(default)/documents/tokens/flow) not found."],
  ])("404 for the document, as %s words it, is no such token, and asked once", async (_, message) => {
    const { reader, requests } = await scripted(status(404, errorBody(404, message, "NOT_FOUND")));
    expect(await reader().read("tokens", "flow")).toBeUndefined();
    expect(requests).toHaveLength(1);
  });

  test.each<[string, Responder]>([
    [
      "the database",
      status(
        404,
        errorBody(
          404,
          "The database (default) does not exist for project p Please visit https://console.cloud.google.com/datastore/setup?project=p to add a Cloud Datastore or Cloud Firestore database. ",
          "NOT_FOUND",
        ),
      ),
    ],
    ["the project", status(404, errorBody(404, "Project 'p' not found.", "NOT_FOUND"))],
    ["a page of somebody in between", status(404, "<html><title>404 Not Found</title></html>")],
    ["an address that is too long for the emulator", status(404, "Not Found\n")],
  ])(
    "404 for %s says nothing of the token: the store did not answer, as by the library",
    async (_, answer) => {
      const { reader } = await scripted(answer);
      await expectUnavailable(reader().read("tokens", "flow"));
    },
  );

  test.each([500, 502, 503, 504])("%i and then the document: one more try", async (code) => {
    const { reader, requests } = await scripted(status(code, "<html>"), well);
    expect((await reader().read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    expect(requests).toHaveLength(2);
  });

  test("500 and then 404 is no such token", async () => {
    const { reader } = await scripted(status(500), noDocument);
    expect(await reader().read("tokens", "flow")).toBeUndefined();
  });

  test("two 500s: the store did not answer, and there is no third try", async () => {
    const { reader, requests } = await scripted(status(500));
    await expectUnavailable(reader().read("tokens", "flow"));
    expect(requests).toHaveLength(2);
  });

  test.each([301, 302, 400, 401, 403, 409, 429])(
    "%i: the store did not answer, and no retry",
    async (code) => {
      const { reader, requests } = await scripted(status(code, errorBody(code, "canary", "CANARY")));
      await expectUnavailable(reader().read("tokens", "flow"));
      expect(requests).toHaveLength(1);
    },
  );

  test.each([
    ["HTML", "<!doctype html><title>Sign in</title>"],
    ["nothing", ""],
    ["half a document", documentOf().slice(0, 60)],
    ["JSON that is no document", "{}"],
    ["null", "null"],
    ["a list", "[]"],
    ["an error", errorBody(404, "not found", "NOT_FOUND")],
  ])("200 with %s: the store did not answer", async (_, body) => {
    const { reader } = await scripted(status(200, body));
    await expectUnavailable(reader().read("tokens", "flow"));
  });

  const cutOff: Responder = (response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write(documentOf().slice(0, 50), () => response.socket?.destroy());
  };

  test("a body that is cut off: one more try, then the store did not answer", async () => {
    const first = await scripted(cutOff, well);
    expect((await first.reader().read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    const both = await scripted(cutOff);
    await expectUnavailable(both.reader().read("tokens", "flow"));
    expect(both.requests).toHaveLength(2);
  });

  test("nobody there: the store did not answer", async () => {
    const { reader, server } = await scripted(well);
    server.close();
    await once(server, "close");
    await expectUnavailable(reader().read("tokens", "flow"));
  });

  test.each<[string, Responder]>([
    ["a server that hangs", hangs],
    ["one that hangs after its headers", (response) => response.writeHead(200).flushHeaders()],
    [
      "one that hangs in the middle of a body",
      (response) => response.writeHead(200, { "content-length": "1000" }).write("{"),
    ],
    ["one that answers 500, and hangs at the second try", status(500)],
  ])("%s: the store did not answer, when 2.5 s are over", async (_, answer) => {
    const { reader, requests } = await scripted(answer, hangs);
    const started = performance.now();
    // Of its time, a tenth of a second is left when it begins.
    await expectUnavailable(reader(lateBy(2400)).read("tokens", "flow"));
    expect(performance.now() - started).toBeLessThan(500);
    expect(requests.length).toBeLessThanOrEqual(2);
  });

  test("a slow answer is taken", async () => {
    const { reader, requests } = await scripted((response, request) => {
      setTimeout(() => well(response, request), 40);
    });
    expect(await reader(lateBy(900)).read("tokens", "flow")).toBeDefined();
    expect(requests).toHaveLength(1);
  });

  test("a connection gone silent is given up after a second, and another one tried", async () => {
    const { reader, requests, connections } = await scripted(hangs, well);
    const started = performance.now();
    expect(await reader(lateBy(900)).read("tokens", "flow")).toBeDefined();
    expect(performance.now() - started).toBeLessThan(500);
    expect([requests.length, connections()]).toEqual([2, 2]);
  });
});

describe("the connection", () => {
  test("is one for many reads, one after the other, whatever they are answered", async () => {
    const { reader, connections, requests } = await scripted(
      well,
      noDocument,
      status(403),
      status(500),
      well,
    );
    const firestore = reader();
    await firestore.read("tokens", "a");
    expect(await firestore.read("tokens", "b")).toBeUndefined();
    await expectUnavailable(firestore.read("tokens", "c"));
    for (let count = 0; count < 50; count++) await firestore.read("tokens", `t${count}`);
    expect(requests).toHaveLength(54);
    expect(connections()).toBe(1);
  });

  test("is kept while a name is not read for a moment, and replaced after 30 s of idleness", async () => {
    // A hundred times as fast, for whoever asks for just these 30 s.
    const wait = Socket.prototype.setTimeout;
    vi.spyOn(Socket.prototype, "setTimeout").mockImplementation(function (this: Socket, ms, listener) {
      return wait.call(this, ms === 30_000 ? 300 : ms, listener);
    });
    const { reader, connections, requests } = await scripted(well);
    const firestore = reader();
    await firestore.read("tokens", "flow");
    await sleep(100);
    await firestore.read("tokens", "flow");
    expect(connections()).toBe(1);
    await sleep(450);
    await firestore.read("tokens", "flow");
    expect(connections()).toBe(2);
    expect(requests).toHaveLength(3);
  });

  test("that the server closed after an answer is replaced, and the read succeeds", async () => {
    const closing: Responder = (response) => {
      response.end(documentOf(), () => response.socket?.end());
    };
    const { reader, connections } = await scripted(closing, closing, well);
    const firestore = reader();
    for (let count = 0; count < 3; count++) {
      expect((await firestore.read("tokens", "flow"))?.id).toBe("flow");
      await sleep(5);
    }
    expect(connections()).toBe(3);
  });

  const dropped: Responder = (response) => response.socket?.destroy();

  test("that is dropped under a request is replaced: one more try, and the read succeeds", async () => {
    const { reader, requests, connections } = await scripted(well, dropped, well);
    const firestore = reader();
    await firestore.read("tokens", "flow");
    expect((await firestore.read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    expect(requests).toHaveLength(3);
    expect(connections()).toBe(2);
  });

  test("that is dropped twice: the store did not answer", async () => {
    const { reader, requests } = await scripted(well, dropped);
    const firestore = reader();
    await firestore.read("tokens", "flow");
    await expectUnavailable(firestore.read("tokens", "flow"));
    expect(requests).toHaveLength(3);
  });

  test("is not one of several dead ones at the second try: after a burst, a drop of all is survived", async () => {
    // Every connection is good for one answer; the server finds out at the next request.
    const served = new WeakSet<Socket>();
    const once: Responder = (response, request) => {
      if (served.has(request.socket)) return void request.socket.destroy();
      served.add(request.socket);
      setTimeout(() => well(response, request), 20);
    };
    const { reader } = await scripted(once);
    const firestore = reader();
    await Promise.all(["a", "b", "c"].map((id) => firestore.read("tokens", id)));
    expect((await firestore.read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
  });
});

describe("the store's clock", () => {
  const dated =
    (date: string | undefined): Responder =>
    (response) => {
      response.sendDate = false;
      if (date !== undefined) response.setHeader("date", date);
      response.end(documentOf());
    };
  const aheadBy = async (answer: Responder, now: () => number = Date.now) => {
    const { reader } = await scripted(answer);
    return (await tokenReader(reader(now), now).read("flow"))?.ahead;
  };
  const inTime = (ms: number) => new Date(Date.now() + ms).toUTCString();

  test.each([3_600_000, -3_600_000, 60_000, -60_000, 10_000])("%i ms ahead is ahead by that", async (ms) => {
    const ahead = await aheadBy(dated(inTime(ms)));
    // A header has whole seconds: the latest that it can be, so that no token seems to live longer than it does.
    expect(ahead).toBeGreaterThanOrEqual(ms - 5);
    expect(ahead).toBeLessThanOrEqual(ms + 1500);
  });

  test("in the same second is ours, to the ms", async () => {
    expect(await aheadBy(dated(inTime(0)), () => 1_767_600_000_000)).not.toBe(0);
    const now = Math.floor(Date.now() / 1000) * 1000 + 300;
    expect(await aheadBy(dated(new Date(now).toUTCString()), () => now)).toBe(0);
  });

  test.each([undefined, "yesterday", ""])("told as %j is taken for ours", async (date) => {
    expect(await aheadBy(dated(date), () => 1_767_600_000_000)).toBe(0);
  });

  test("is not behind because an answer took its time: the token would live longer than it does", async () => {
    const began = 1_767_600_000_000;
    let calls = 0;
    // The answer is written at once, and is here 2.7 s later.
    const now = () => began + (calls++ < 2 ? 0 : 2700);
    const ahead = await aheadBy(dated(new Date(began).toUTCString()), now);
    expect(ahead).toBeGreaterThanOrEqual(-1000);
  });
});

/** A metadata server; each access token has its number. */
async function metadataOf(answer: (count: number) => Responder) {
  const served = await scripted((response, request) => answer(served.requests.length)(response, request));
  return served;
}
const tokenNumber =
  (seconds = 3600) =>
  (count: number) =>
    status(
      200,
      JSON.stringify({ access_token: `canary-access-${count}`, expires_in: seconds, token_type: "Bearer" }),
    );

/** Sends what is meant for Firestore itself to a server here. */
function detour(host: string): { urls: string[] } {
  const urls: string[] = [];
  const direct = https.request;
  https.request = ((url: URL, options: https.RequestOptions, done: (response: IncomingMessage) => void) => {
    urls.push(url.href);
    const { agent: _, ...rest } = options;
    return http.request(new URL(`${url.pathname}${url.search}`, `http://${host}`), rest, done);
  }) as typeof https.request;
  syncBuiltinESMExports();
  closers.push(() => {
    https.request = direct;
    syncBuiltinESMExports();
  });
  return { urls };
}

describe("on Google Cloud", () => {
  const onCloud = async (answer: (count: number) => Responder, now: () => number = Date.now) => {
    const metadata = await metadataOf(answer);
    const firestore = await scripted(well);
    const { urls } = detour(firestore.host);
    const { metadataHost } = readSettings({ GCE_METADATA_HOST: metadata.host, STORE: "unused" }, []);
    const { accessToken } = metadataServer(metadataHost, now);
    const options = { project: "p", database: "named", emulator: undefined, accessToken, now };
    return { reader: firestoreReader(options), urls, metadata, firestore };
  };
  const bearers = (requests: IncomingMessage[]) => requests.map(({ headers }) => headers.authorization);

  test("Firestore is asked in TLS, with the access token of the function's own identity", async () => {
    const { reader, urls, metadata, firestore } = await onCloud(tokenNumber());
    expect((await reader.read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    expect(urls[0]).toMatch(
      /^https:\/\/firestore\.googleapis\.com\/v1\/projects\/p\/databases\/named\/documents\/tokens\/flow\?mask/,
    );
    expect(bearers(firestore.requests)).toEqual(["Bearer canary-access-1"]);
    expect(metadata.requests[0]?.url).toBe("/computeMetadata/v1/instance/service-accounts/default/token");
    expect(metadata.requests[0]?.headers["metadata-flavor"]).toBe("Google");
  });

  test("the access token is fetched once for a hundred reads at once, and for those after them", async () => {
    const { reader, metadata, firestore } = await onCloud(tokenNumber());
    await Promise.all(Array.from({ length: 100 }, (_, index) => reader.read("tokens", `t${index}`)));
    await reader.read("tokens", "flow");
    expect(metadata.requests).toHaveLength(1);
    expect(new Set(bearers(firestore.requests))).toEqual(new Set(["Bearer canary-access-1"]));
  });

  test("the access token is renewed shortly before its end, not earlier", async () => {
    let now = 1_767_600_000_000;
    const { reader, metadata, firestore } = await onCloud(tokenNumber(3600), () => now);
    await reader.read("tokens", "flow");
    now += 55 * 60_000;
    await reader.read("tokens", "flow");
    expect(metadata.requests).toHaveLength(1);
    now += 4 * 60_000;
    await reader.read("tokens", "flow");
    expect(bearers(firestore.requests)).toEqual([
      "Bearer canary-access-1",
      "Bearer canary-access-1",
      "Bearer canary-access-2",
    ]);
  });

  test.each<[string, Responder]>([
    ["answers 500", status(500)],
    ["answers 404: there is no service account", status(404)],
    ["answers no JSON", status(200, "<html>")],
    ["answers no token", status(200, '{"error":"canary"}')],
    ["drops the connection", (response) => void response.socket?.destroy()],
  ])("a metadata server that %s: the store did not answer, and the next read asks again", async (_, bad) => {
    const { reader, metadata, firestore } = await onCloud((count) =>
      count < 3 ? bad : tokenNumber()(count),
    );
    await expectUnavailable(reader.read("tokens", "flow"));
    expect(firestore.requests).toHaveLength(0);
    expect(await reader.read("tokens", "flow")).toBeDefined();
    expect(metadata.requests).toHaveLength(3);
  });

  test("a metadata server that fails once costs nothing but a try", async () => {
    const { reader } = await onCloud((count) => (count === 1 ? status(503) : tokenNumber()(count)));
    expect(await reader.read("tokens", "flow")).toBeDefined();
  });

  test("a metadata server that hangs: the store did not answer, when 2.5 s are over", async () => {
    const { reader } = await onCloud(() => hangs);
    const started = performance.now();
    await expectUnavailable(reader.read("tokens", "flow"));
    expect(performance.now() - started).toBeLessThan(2800);
  });
});

describe("the built function with credentials and without a way to Firestore", () => {
  afterAll(stopAll);

  test("takes its access token from GCE_METADATA_HOST once, and answers 503 soon; it does not hang", async () => {
    const metadata = await metadataOf(tokenNumber());
    const running = await startFunction("lookup", {
      GCE_METADATA_HOST: metadata.host,
      GOOGLE_CLOUD_PROJECT: freshProject(),
      TOKEN_PASSPHRASE: "canary-passphrase-of-the-flow",
      REFRESHER_URL: "http://127.0.0.1:1",
    });
    const started = performance.now();
    const headers = { "x-token-passphrase": "canary-passphrase-of-the-flow" };
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => fetch(`${running.url}/?name=flow`, { headers })),
    );
    expect(answers.map(({ status: code }) => code)).toEqual([503, 503, 503, 503, 503]);
    expect(performance.now() - started).toBeLessThan(5000);
    expect(answers[0]?.headers.get("retry-after")).toMatch(/^\d+$/);
    const asked = metadata.requests.map(({ url }) => url);
    expect(asked).toEqual(["/computeMetadata/v1/instance/service-accounts/default/token"]);
    expect(running.output().join("\n")).not.toMatch(/canary/);
    expect((await fetch(`${running.url}/health`)).status).toBe(200);
  });
});
