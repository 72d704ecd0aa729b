import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecondServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import path from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { readSettings } from "../../functions/adapters/env.ts";
import { globalVariables } from "../../functions/adapters/global-variables.ts";
import { type Handler, serve } from "../../functions/adapters/http.ts";
import { jsonLog } from "../../functions/adapters/log.ts";
import { metadataServer } from "../../functions/adapters/metadata.ts";
import { openReader } from "../../functions/adapters/open-reader.ts";
import { openTokens } from "../../functions/adapters/open-tokens.ts";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import { runtime } from "../../functions/adapters/runtime.ts";
import { serveLookup } from "../../functions/adapters/serve-lookup.ts";
import { serveSetup } from "../../functions/adapters/serve-setup.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { makeSweeper } from "../../functions/adapters/sweeper.ts";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import { makeRefresher } from "../../functions/core/refresher.ts";
import { type DocumentStore, tokenReader, tokenStore } from "../../functions/core/store.ts";
import { HOUR } from "../../functions/core/time.ts";
import { type Answer, ask } from "../e2e/deployed.ts";
import { secretFinder } from "../support/canaries.ts";
import { plant, printed } from "../support/prints.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";

/** Webex and Firestore answer what they should not, with secrets in it: the functions log none of them. */

const PASSPHRASE = "canary-passphrase-of-the-flow";
const SETTINGS = {
  clientId: "C",
  clientSecret: "canary-client-secret",
  redirectUri: "http://127.0.0.1/callback",
};
const secretsIn = secretFinder();

const servers: Server[] = [];
const stores: DocumentStore[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(async () => {
  for (const store of stores) await store.close();
  for (const server of servers) server.close();
  await stopAll();
});

async function listen<S extends Server>(server: S): Promise<number> {
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A function over HTTP, and the lines of its log. */
interface Serving {
  url: string;
  log: string[];
}

/** Serves a function in this process, wired as its entry point does it. */
async function start(name: "lookup" | "refresher" | "setup", env: Record<string, string>): Promise<Serving> {
  plant(env);
  const lines: string[] = [];
  const log = jsonLog((line) => {
    lines.push(line);
    printed(line);
  });
  const more = { TOKEN_PASSPHRASE: PASSPHRASE, REFRESHER_URL: "http://127.0.0.1:1", SEALING: "off", ...env };
  const settings = readSettings(more, ["store", "sealing", "passphrase", "refresherUrl"]);
  const metadata = metadataServer(settings.metadataHost, runtime.now);
  const booted = { settings, metadata, log, ending: new AbortController().signal };
  const passphrases = await openPassphrases(settings.passphrase, log, runtime.now);
  const endpoint = webexEndpoint(settings.webexUrl);
  const opened = async () => {
    const store = await openTokens(booted);
    stores.push(store.documents);
    return store;
  };
  const handlers: Record<typeof name, () => Promise<Handler>> = {
    async lookup() {
      const reader = tokenReader(await openReader(booted), runtime.now);
      const askRefresher = refresherAt(settings.refresherUrl, metadata);
      return serveLookup({ reader, passphrases, askRefresher, log }, settings);
    },
    async refresher() {
      const variables = globalVariables(settings.wxccUrl);
      const sweeper = makeSweeper({ store: await opened(), endpoint, variables, log }, settings);
      return serve({ handle: makeRefresher(sweeper), log });
    },
    setup: async () => serveSetup({ store: await opened(), endpoint, passphrases, log }, settings),
  };
  const handler = await handlers[name]();
  const port = await listen(createServer((request, response) => void handler(request, response)));
  return { url: `http://127.0.0.1:${port}`, log: lines };
}

/** Neither the logs of the functions nor their answers hold a secret. */
function expectSilence(serving: Serving[], answers: Answer[]): void {
  expect(serving.flatMap(({ log }) => log).flatMap(secretsIn)).toEqual([]);
  expect(answers.flatMap(({ body }) => secretsIn(JSON.stringify(body)))).toEqual([]);
}
const linesOf = ({ log }: Serving) => log.map((line) => JSON.parse(line));

const QUOTING = "the refresh token canary-refresh-token is dead";
const raw = (text: string) => (response: ServerResponse) => void response.socket?.end(text);
const plain =
  (status: number, body: string, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    void response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);

/** Answers of the token endpoint that quote a secret, and the code that is stored for each. */
const SAYINGS: Record<string, [(response: ServerResponse) => void, string]> = {
  "no HTTP": [raw("canary-nothing-of-http\r\n\r\n"), "network"],
  "an invalid header": [raw("HTTP/1.1 200 OK\r\ncanary-header\r\n\r\n"), "network"],
  "an answer that is cut off": [
    raw('HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"access_token":"canary-access'),
    "network",
  ],
  "a body that is not gzip as announced": [
    plain(200, "canary-token", { "content-encoding": "gzip" }),
    "network",
  ],
  "half a JSON text": [plain(200, '{"access_token":"canary-access-token", canary'), "not_json"],
  "a token with spaces": [plain(200, '{"access_token":"canary token with spaces"}'), "no_access_token"],
  "a token that is an object": [plain(200, '{"access_token":{"canary":"token"}}'), "no_access_token"],
  "a redirect": [plain(302, "", { location: "http://127.0.0.1:1/?access_token=canary-token" }), "http_302"],
  "a page": [plain(500, "<p>canary-token</p>", { "set-cookie": "session=canary-cookie" }), "http_500"],
  "a Retry-After that is no time": [plain(503, QUOTING, { "retry-after": "canary-header" }), "http_503"],
  "a refusal in words": [
    plain(400, JSON.stringify({ error: "invalid_grant", error_description: QUOTING })),
    "invalid_grant",
  ],
  "a refusal whose code is prose": [plain(400, JSON.stringify({ error: QUOTING })), "http_400"],
  "a refusal in the format of Webex's API": [
    plain(
      401,
      JSON.stringify({ message: QUOTING, errors: [{ description: QUOTING }], trackingId: "canary" }),
    ),
    "http_401",
  ],
};

/** The token endpoint: the client id of the request names its answer. */
async function talkative(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let form = "";
  for await (const chunk of request.setEncoding("utf8")) form += chunk;
  const [say] = SAYINGS[decodeURIComponent(new URLSearchParams(form).get("client_id") ?? "")] ?? [];
  say?.(response);
}

describe("an answer of the token endpoint that quotes a secret", () => {
  const names = Object.keys(SAYINGS);
  async function opened() {
    const file = path.join(await temporaryFolder(), "tokens.db");
    const port = await listen(createServer((request, response) => void talkative(request, response)));
    const env = { STORE: file, WEBEX_URL: `http://127.0.0.1:${port}/v1` };
    return { env, documents: openSqlite(file, Date.now) };
  }

  test("leaves refresher with a code of its own in the store and the log", async () => {
    const { env, documents } = await opened();
    for (const name of names) {
      const tokens = { accessToken: "canary-access-token", refreshToken: "canary-refresh-token" };
      const fields = {
        ...SETTINGS,
        clientId: encodeURIComponent(name),
        ...tokens,
        accessExpires: Date.now() + HOUR,
      };
      await documents.create("tokens", name, fields);
    }
    const refresher = await start("refresher", env);
    const answers = await Promise.all(
      names.map((name) => ask(refresher.url, `/?name=${encodeURIComponent(name)}`, "POST")),
    );
    const codes = Object.fromEntries(names.map((name, index) => [name, answers[index]?.body.code]));
    expect(codes).toEqual(Object.fromEntries(names.map((name) => [name, SAYINGS[name]?.[1]])));
    expect(linesOf(refresher)).toHaveLength(names.length);
    expectSilence([refresher], answers);
    for (const name of names) {
      const { failure } = (await documents.read("tokens", name))?.fields ?? {};
      expect(secretsIn(JSON.stringify(failure)).filter(isPlanted)).toEqual([]);
    }
    await documents.close();
  });

  test("leaves setup with a code of its own in the log and on the page after consent", async () => {
    const { env, documents } = await opened();
    const setup = await start("setup", env);
    const answers: Answer[] = [];
    for (const name of names) {
      const target = await callbackOf(name, documents, env.WEBEX_URL);
      answers.push(await ask(setup.url, target));
      expect(answers.at(-1)?.body.message, name).toContain(`(${SAYINGS[name]?.[1]})`);
    }
    expect(linesOf(setup)).toHaveLength(names.length);
    expectSilence([setup], answers);
    await documents.close();
  });
});

const isPlanted = (kind: string) => kind.startsWith("a planted");

/** Where a browser is sent after consent, with a code that Webex never issued. */
async function callbackOf(name: string, documents: DocumentStore, webexUrl: string): Promise<string> {
  const store = tokenStore(documents, runtime.now);
  await documents.create("tokens", name, { ...SETTINGS, clientId: encodeURIComponent(name), scopes: "a" });
  const token = await store.read(name);
  if (token === undefined) throw new Error(`there is no token ${name}`);
  const url = await startAuthorization(token, { webexUrl, pkce: true, newOrg: false }, { store, runtime });
  return `/callback?code=canary-code&state=${url.searchParams.get("state")}`;
}

describe("an error of Firestore that quotes a secret", () => {
  /** INVALID_ARGUMENT, which is not tried again, at the end of an answer that held nothing. */
  const refuse = (stream: ServerHttp2Stream) => {
    const message = encodeURIComponent('the field clientSecret is "canary-client-secret"');
    const end = () => stream.sendTrailers({ "grpc-status": "3", "grpc-message": message });
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", end).end();
  };
  const project = { GOOGLE_CLOUD_PROJECT: "made-up" };

  test("makes refresher and setup say only that the store failed", async () => {
    const server = createSecondServer().on("stream", refuse);
    const env = { ...project, FIRESTORE_EMULATOR_HOST: `127.0.0.1:${await listen(server)}` };
    // Firestore's own library looks for it there.
    vi.stubEnv("FIRESTORE_EMULATOR_HOST", env.FIRESTORE_EMULATOR_HOST);
    const [refresher, setup] = await Promise.all([start("refresher", env), start("setup", env)]);
    const answers = await Promise.all([
      ask(refresher.url, "/", "POST"),
      ask(refresher.url, "/census", "POST"),
      ask(refresher.url, "/?name=t", "POST"),
      ask(setup.url, "/init?name=t"),
      ask(setup.url, "/callback?code=canary-code&state=canary-state"),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 503, 503, 503]);
    for (const line of [...linesOf(refresher), ...linesOf(setup)])
      expect(line).toMatchObject({ event: "store.unavailable", reason: "Firestore failed (3)" });
    expectSilence([refresher, setup], answers);
  });

  const WORDS = '{"error":{"message":"the field is canary-client-secret","details":["canary-access-token"]}}';
  test.each([
    ["an error", plain(500, WORDS)],
    ["a refusal", plain(403, WORDS)],
    ["half a document", plain(200, '{"fields":{"accessToken":{"stringValue":"canary-access-token"')],
    ["no HTTP", raw("canary-nothing-of-http\r\n\r\n")],
    ["a page", plain(200, "<p>canary-access-token</p>", { "content-type": "text/html" })],
  ])("makes lookup say only that the store failed, where it comes as %s", async (_, say) => {
    const port = await listen(createServer((_request, response) => say(response)));
    const env = { ...project, FIRESTORE_EMULATOR_HOST: `127.0.0.1:${port}` };
    const lookup = await start("lookup", env);
    const answers = [await ask(lookup.url, "/?name=t&wait=0")];
    expect(answers.map(({ status }) => status)).toEqual([503]);
    expect(linesOf(lookup)[0]).toMatchObject({
      event: "store.unavailable",
      reason: expect.stringMatching(/^Firestore/),
    });
    expectSilence([lookup], answers);
  });
});
