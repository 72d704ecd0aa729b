import { once } from "node:events";
import http, { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import { type AddressInfo, Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test, vi } from "vitest";
import { readSettings } from "../../functions/adapters/env.ts";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { firestoreReader, type RestOptions } from "../../functions/adapters/firestore-rest.ts";
import { metadataServer } from "../../functions/adapters/metadata.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { fieldsOf, type TokenDocument } from "../../functions/core/document.ts";
import { StoreUnavailable, tokenReader } from "../../functions/core/store.ts";
import { driveDeadlines } from "../support/deadlines.ts";
import { freshProject } from "../support/emulator.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { HANG } from "../support/hang.ts";
import { KINDS, type ReaderPlace, readerContract, type Typed, type TypedFields } from "./reader.ts";

/** The readers of each store, and the REST reader against a broken server. */

/** No limit of a request ends by itself, so no test depends on the machine's speed. */
let deadlines: ReturnType<typeof driveDeadlines>;
beforeEach(() => {
  deadlines = driveDeadlines();
});

const noToken = async (): Promise<string> => expect.unreachable("an access token was asked for");
const emulator = inject("firestoreEmulator");
const emulatorOptions = (project: string, database = "(default)"): RestOptions => ({
  project,
  database,
  emulator,
  accessToken: noToken,
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
  const project = freshProject();
  let sdk: ReturnType<typeof sdkOf>;
  beforeAll(() => {
    sdk = sdkOf(project);
  });
  afterAll(() => sdk.close());

  // Both take a type that JSON lacks for a wrong one, which is all that matters.
  test.each(KINDS.filter(({ beyondJson }) => !beyondJson))(
    "read $kind alike, also in the credentials, whose hash they compare",
    async ({ kind, typed }) => {
      await typedInto(project)(kind, {
        clientId: typed,
        clientSecret: typed,
        refreshToken: typed,
        accessExpires: typed,
        lease: typed,
      });
      const rest = firestoreReader(emulatorOptions(project));
      const seen = async (reader: typeof rest) => {
        const token = await tokenReader(reader, Date.now).read(kind);
        return { document: token?.document, mistyped: token?.mistyped, inputs: token?.inputs };
      };
      expect(await seen(rest)).toEqual(await seen(sdk));
    },
  );

  test("read a named database apart from the default one", async () => {
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

  test("do not read fields that lookup does not use", async () => {
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

/** The fields that lookup reads. A new field compiles only once it is here or among the excluded. */
const ASKED_FOR: Record<Exclude<keyof TokenDocument, "scopes" | "authorizedAt" | "publish">, true> = {
  rejections: true,
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
const found = status(200, documentOf());
const errorBody = (code: number, message: string, name: string) =>
  JSON.stringify({ error: { code, message, status: name } });
const noDocument = status(
  404,
  errorBody(404, 'Document "projects/p/databases/(default)/documents/tokens/flow" not found.', "NOT_FOUND"),
);

const hangs: Responder = () => {};
/** A whole second, as headers have it; ms. */
const NOW = 1_767_600_000_000;
const turn = () => new Promise((resolve) => setImmediate(resolve));

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
  vi.restoreAllMocks();
});

/** A stand-in for Firestore that gives these answers in order, the last one repeatedly. */
async function scripted(...answers: Responder[]) {
  const requests: IncomingMessage[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push(request);
    answer?.(response, request);
  });
  server.on("connection", () => connections++);
  // Gives the client no hint when to close a connection.
  server.keepAliveTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = { project: "p", database: "(default)", emulator: host, accessToken: noToken };
  return {
    host,
    requests,
    connections: () => connections,
    server,
    reader: (now: () => number = Date.now) => firestoreReader({ ...options, now }),
  };
}

/** Only codes, since the message is logged. */
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
  test("requests one document by name, as the emulator's owner, with a mask of the needed fields", async () => {
    const { reader, requests } = await scripted(found);
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

  test("gives the fields, the version and the time of the last write", async () => {
    const { reader } = await scripted(found);
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
  ])("gives undefined for a 404 of the document, as %s words it, after one request", async (_, message) => {
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
    ["a proxy's page", status(404, "<html><title>404 Not Found</title></html>")],
    ["an address that is too long for the emulator", status(404, "Not Found\n")],
  ])("gives StoreUnavailable for a 404 of %s, as the library does", async (_, answer) => {
    const { reader } = await scripted(answer);
    await expectUnavailable(reader().read("tokens", "flow"));
  });

  test.each([500, 502, 503, 504])("succeeds at the second try after status %i", async (code) => {
    const { reader, requests } = await scripted(status(code, "<html>"), found);
    expect((await reader().read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    expect(requests).toHaveLength(2);
  });

  test("gives undefined for a 404 after a 500", async () => {
    const { reader } = await scripted(status(500), noDocument);
    expect(await reader().read("tokens", "flow")).toBeUndefined();
  });

  test("gives StoreUnavailable after two 500s, without a third try", async () => {
    const { reader, requests } = await scripted(status(500));
    await expectUnavailable(reader().read("tokens", "flow"));
    expect(requests).toHaveLength(2);
  });

  test.each([301, 302, 400, 401, 403, 409, 429])(
    "gives StoreUnavailable for status %i, without a retry",
    async (code) => {
      const { reader, requests } = await scripted(status(code, errorBody(code, "canary", "CANARY")));
      await expectUnavailable(reader().read("tokens", "flow"));
      expect(requests).toHaveLength(1);
    },
  );

  test.each([
    ["HTML", "<!doctype html><title>Sign in</title>"],
    ["an empty body", ""],
    ["half a document", documentOf().slice(0, 60)],
    ["JSON that is not a document", "{}"],
    ["null", "null"],
    ["a list", "[]"],
    ["an error", errorBody(404, "not found", "NOT_FOUND")],
  ])("gives StoreUnavailable for 200 with %s", async (_, body) => {
    const { reader } = await scripted(status(200, body));
    await expectUnavailable(reader().read("tokens", "flow"));
  });

  const cutOff: Responder = (response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write(documentOf().slice(0, 50), () => response.socket?.destroy());
  };

  test("retries a body that is cut off once", async () => {
    const first = await scripted(cutOff, found);
    expect((await first.reader().read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    const both = await scripted(cutOff);
    await expectUnavailable(both.reader().read("tokens", "flow"));
    expect(both.requests).toHaveLength(2);
  });

  test("gives StoreUnavailable when nothing listens", async () => {
    const { reader, server } = await scripted(found);
    server.close();
    await once(server, "close");
    await expectUnavailable(reader().read("tokens", "flow"));
  });

  test.each<[string, Responder]>([
    ["a server that hangs", hangs],
    ["a server that hangs after its headers", (response) => response.writeHead(200).flushHeaders()],
    [
      "a server that hangs in the middle of a body",
      (response) => response.writeHead(200, { "content-length": "1000" }).write("{"),
    ],
  ])("%s is given up after 1 s, and after 2.5 s in all: the store did not answer", async (_, answer) => {
    const { reader, requests } = await scripted(answer, hangs);
    let now = NOW;
    const read = expectUnavailable(reader(() => now).read("tokens", "flow"));
    await eventuallyTrue(() => requests.length === 1);
    now += 1000;
    await deadlines.expire(0);
    await eventuallyTrue(() => requests.length === 2);
    await deadlines.expire(1);
    await read;
    expect(deadlines.limits()).toEqual([1000, 1500]);
  });

  test("a server that answers 500 and then hangs is given up after 2.5 s: the store did not answer", async () => {
    const { reader, requests } = await scripted(status(500), hangs);
    const read = expectUnavailable(reader(() => NOW).read("tokens", "flow"));
    await eventuallyTrue(() => requests.length === 2);
    await deadlines.expire(1);
    await read;
    expect(deadlines.limits()).toEqual([1000, 2500]);
  });

  test("a silent connection is given up after 1 s, and the second try makes its own", async () => {
    const { reader, requests, connections } = await scripted(hangs, found);
    const read = reader(() => NOW).read("tokens", "flow");
    await eventuallyTrue(() => requests.length === 1);
    await deadlines.expire(0);
    expect(await read).toBeDefined();
    expect([requests.length, connections()]).toEqual([2, 2]);
    expect(deadlines.limits()[0]).toBe(1000);
  });
});

describe("the connection to Firestore over REST", () => {
  test("is one for many consecutive reads, whatever their answers", async () => {
    const { reader, connections, requests } = await scripted(
      found,
      noDocument,
      status(403),
      status(500),
      found,
    );
    const firestore = reader();
    await firestore.read("tokens", "a");
    expect(await firestore.read("tokens", "b")).toBeUndefined();
    await expectUnavailable(firestore.read("tokens", "c"));
    for (let count = 0; count < 50; count++) await firestore.read("tokens", `t${count}`);
    expect(requests).toHaveLength(54);
    expect(connections()).toBe(1);
  });

  test("is kept between reads, and replaced after 30 s of idleness", async () => {
    const idle = new Set<Socket>();
    const wait = Socket.prototype.setTimeout;
    vi.spyOn(Socket.prototype, "setTimeout").mockImplementation(function (this: Socket, ms, listener) {
      if (ms === 30_000) idle.add(this);
      return wait.call(this, ms === 30_000 ? HANG : ms, listener);
    });
    const { reader, connections, requests } = await scripted(found);
    const firestore = reader();
    await firestore.read("tokens", "flow");
    await turn();
    await firestore.read("tokens", "flow");
    expect(connections()).toBe(1);
    await turn();
    for (const socket of idle) socket.emit("timeout");
    await firestore.read("tokens", "flow");
    expect(connections()).toBe(2);
    expect(requests).toHaveLength(3);
  });

  test("is replaced after the server closed it, and the read succeeds", async () => {
    const closing: Responder = (response) => {
      response.end(documentOf(), () => response.socket?.end());
    };
    const { reader, connections } = await scripted(closing, closing, found);
    const firestore = reader();
    for (let count = 0; count < 3; count++) expect((await firestore.read("tokens", "flow"))?.id).toBe("flow");
    expect(connections()).toBe(3);
  });

  const dropped: Responder = (response) => response.socket?.destroy();

  test("is replaced after a drop during a request, and the second try succeeds", async () => {
    const { reader, requests, connections } = await scripted(found, dropped, found);
    const firestore = reader();
    await firestore.read("tokens", "flow");
    expect((await firestore.read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    expect(requests).toHaveLength(3);
    expect(connections()).toBe(2);
  });

  test("dropped twice means that the store did not answer", async () => {
    const { reader, requests } = await scripted(found, dropped);
    const firestore = reader();
    await firestore.read("tokens", "flow");
    await expectUnavailable(firestore.read("tokens", "flow"));
    expect(requests).toHaveLength(3);
  });

  test("is a new one at the second try, so a read succeeds after all kept connections were dropped", async () => {
    // The server drops a connection at its second request.
    const served = new WeakSet<Socket>();
    const once: Responder = (response, request) => {
      if (served.has(request.socket)) return void request.socket.destroy();
      served.add(request.socket);
      found(response, request);
    };
    const { reader } = await scripted(once);
    const firestore = reader();
    await Promise.all(["a", "b", "c"].map((id) => firestore.read("tokens", id)));
    expect((await firestore.read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
  });
});

describe("Firestore's clock over REST", () => {
  const dated =
    (date: string | undefined): Responder =>
    (response) => {
      response.sendDate = false;
      if (date !== undefined) response.setHeader("date", date);
      response.end(documentOf());
    };
  const aheadBy = async (answer: Responder, now: () => number) => {
    const { reader } = await scripted(answer);
    return (await tokenReader(reader(now), now).read("flow"))?.ahead;
  };
  const inTime = (ms: number) => new Date(NOW + ms).toUTCString();

  test.each([3_600_000, -3_600_000, 60_000, -60_000, 10_000])("is known to be %i ms ahead", async (ms) => {
    // A header has whole seconds: the latest possible time counts, so that no token seems to live longer than it does.
    expect(await aheadBy(dated(inTime(ms)), () => NOW + 300)).toBe(ms + 700);
  });

  test("counts as ours, to the ms, within the same second", async () => {
    expect(await aheadBy(dated(inTime(0)), () => NOW + 300)).toBe(0);
  });

  test.each([undefined, "yesterday", ""])("counts as ours with the date %j", async (date) => {
    expect(await aheadBy(dated(date), () => NOW)).toBe(0);
  });

  test("is not behind because an answer was slow: the token would seem to live longer than it does", async () => {
    let calls = 0;
    // The answer is written at once and arrives 2.7 s later.
    const now = () => NOW + (calls++ < 2 ? 0 : 2700);
    const ahead = await aheadBy(dated(inTime(0)), now);
    expect(ahead).toBeGreaterThanOrEqual(-1000);
  });
});

/** A stand-in for the metadata server; each access token has its number. */
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

/** Sends requests for Firestore itself to a server here. */
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
    const firestore = await scripted(found);
    const { urls } = detour(firestore.host);
    const { metadataHost } = readSettings({ GCE_METADATA_HOST: metadata.host, STORE: "unused" }, []);
    const { accessToken } = metadataServer(metadataHost, now);
    const options = { project: "p", database: "named", emulator: undefined, accessToken, now };
    return { reader: firestoreReader(options), urls, metadata, firestore };
  };
  const bearers = (requests: IncomingMessage[]) => requests.map(({ headers }) => headers.authorization);

  test("Firestore is read over TLS with the access token of the function's own identity", async () => {
    const { reader, urls, metadata, firestore } = await onCloud(tokenNumber());
    expect((await reader.read("tokens", "flow"))?.fields).toEqual({ clientId: "c" });
    expect(urls[0]).toMatch(
      /^https:\/\/firestore\.googleapis\.com\/v1\/projects\/p\/databases\/named\/documents\/tokens\/flow\?mask/,
    );
    expect(bearers(firestore.requests)).toEqual(["Bearer canary-access-1"]);
    expect(metadata.requests[0]?.url).toBe("/computeMetadata/v1/instance/service-accounts/default/token");
    expect(metadata.requests[0]?.headers["metadata-flavor"]).toBe("Google");
  });

  test("the access token is fetched once for a hundred reads at once and the next ones", async () => {
    const { reader, metadata, firestore } = await onCloud(tokenNumber());
    await Promise.all(Array.from({ length: 100 }, (_, index) => reader.read("tokens", `t${index}`)));
    await reader.read("tokens", "flow");
    expect(metadata.requests).toHaveLength(1);
    expect(new Set(bearers(firestore.requests))).toEqual(new Set(["Bearer canary-access-1"]));
  });

  test("the access token is fetched again shortly before its end, not earlier", async () => {
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
  ])(
    "a metadata server that %s means that the store did not answer, and the next read asks again",
    async (_, bad) => {
      const { reader, metadata, firestore } = await onCloud((count) =>
        count < 3 ? bad : tokenNumber()(count),
      );
      await expectUnavailable(reader.read("tokens", "flow"));
      expect(firestore.requests).toHaveLength(0);
      expect(await reader.read("tokens", "flow")).toBeDefined();
      expect(metadata.requests).toHaveLength(3);
    },
  );

  test("a metadata server that fails once costs one try", async () => {
    const { reader } = await onCloud((count) => (count === 1 ? status(503) : tokenNumber()(count)));
    expect(await reader.read("tokens", "flow")).toBeDefined();
  });

  test("a metadata server that hangs is given up after 1 s in each try: the store did not answer", async () => {
    const { reader, firestore } = await onCloud(() => hangs);
    const read = expectUnavailable(reader.read("tokens", "flow"));
    await deadlines.expire(0);
    await deadlines.expire(1);
    await read;
    expect(deadlines.limits()).toEqual([1000, 1000]);
    expect(firestore.requests).toHaveLength(0);
  });
});
