import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecondServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import { type DocumentStore, tokenStore } from "../../functions/core/store.ts";
import { HOUR } from "../../functions/core/time.ts";
import { secretFinder } from "../support/canaries.ts";
import { type Running, startFunction, stopAll, temporaryFolder } from "../support/processes.ts";
import { type Answer, ask } from "./deployed.ts";

/** What Webex and Firestore say where they do not say what they should, secrets and all: none comes to a log. */

const PASSPHRASE = "canary-passphrase-of-the-flow";
const SETTINGS = {
  clientId: "C",
  clientSecret: "canary-client-secret",
  redirectUri: "http://127.0.0.1/callback",
};
const secretsIn = secretFinder();

const servers: Server[] = [];
afterAll(async () => {
  await stopAll();
  for (const server of servers) server.close();
});

async function listen<S extends Server>(server: S): Promise<number> {
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** No function said a secret, neither to its log nor to its caller, whose answers these are. */
function expectSilence(running: Running[], answers: Answer[]): void {
  expect(running.flatMap((one) => one.output()).flatMap(secretsIn)).toEqual([]);
  expect(answers.flatMap(({ body }) => secretsIn(JSON.stringify(body)))).toEqual([]);
}
const linesOf = (running: Running) => running.output().map((line) => JSON.parse(line));

const QUOTING = "the refresh token canary-refresh-token is dead";
const raw = (text: string) => (response: ServerResponse) => void response.socket?.end(text);
const plain =
  (status: number, body: string, headers: Record<string, string> = {}) =>
  (response: ServerResponse) =>
    void response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);

/** Ways of the token endpoint to say a secret in the wrong place, and the code that is kept of each. */
const SAYINGS: Record<string, [(response: ServerResponse) => void, string]> = {
  "no HTTP": [raw("canary-nothing-of-http\r\n\r\n"), "network"],
  "a header that is none": [raw("HTTP/1.1 200 OK\r\ncanary-header\r\n\r\n"), "network"],
  "an answer that is cut off": [
    raw('HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"access_token":"canary-access'),
    "network",
  ],
  "what is not compressed as it says": [
    plain(200, "canary-token", { "content-encoding": "gzip" }),
    "network",
  ],
  "half a JSON text": [plain(200, '{"access_token":"canary-access-token", canary'), "not_json"],
  "a token that can't be one": [plain(200, '{"access_token":"canary token with spaces"}'), "no_access_token"],
  "a token of a wrong kind": [plain(200, '{"access_token":{"canary":"token"}}'), "no_access_token"],
  "a redirect": [plain(302, "", { location: "http://127.0.0.1:1/?access_token=canary-token" }), "http_302"],
  "a page": [plain(500, "<p>canary-token</p>", { "set-cookie": "session=canary-cookie" }), "http_500"],
  "a pause that is none": [plain(503, QUOTING, { "retry-after": "canary-header" }), "http_503"],
  "a refusal in words": [
    plain(400, JSON.stringify({ error: "invalid_grant", error_description: QUOTING })),
    "invalid_grant",
  ],
  "a refusal with a word that is none": [plain(400, JSON.stringify({ error: QUOTING })), "http_400"],
  "a refusal of its other kind": [
    plain(
      401,
      JSON.stringify({ message: QUOTING, errors: [{ description: QUOTING }], trackingId: "canary" }),
    ),
    "http_401",
  ],
};

/** Says what the client id of the request names. */
async function talkative(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let form = "";
  for await (const chunk of request.setEncoding("utf8")) form += chunk;
  const [say] = SAYINGS[decodeURIComponent(new URLSearchParams(form).get("client_id") ?? "")] ?? [];
  say?.(response);
}

describe("when the token endpoint says a secret in the wrong place", () => {
  const names = Object.keys(SAYINGS);
  async function opened() {
    const file = path.join(await temporaryFolder(), "tokens.db");
    const port = await listen(createServer((request, response) => void talkative(request, response)));
    const env = { STORE: file, WEBEX_URL: `http://127.0.0.1:${port}/v1`, TOKEN_PASSPHRASE: PASSPHRASE };
    return { env, documents: openSqlite(file, Date.now) };
  }

  test("refresher keeps and logs a code of its own", async () => {
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
    const refresher = await startFunction("refresher", env);
    const answers = await Promise.all(
      names.map((name) => ask(refresher, `/?name=${encodeURIComponent(name)}`, "POST")),
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

  test("setup logs, and tells whoever came from the consent, a code of its own", async () => {
    const { env, documents } = await opened();
    const setup = await startFunction("setup", env);
    const answers: Answer[] = [];
    for (const name of names) {
      const target = await callbackOf(name, documents, env.WEBEX_URL);
      answers.push(await ask(setup, target));
      expect(answers.at(-1)?.body.message, name).toContain(`(${SAYINGS[name]?.[1]})`);
    }
    expect(linesOf(setup)).toHaveLength(names.length);
    expectSilence([setup], answers);
    await documents.close();
  });
});

const isPlanted = (kind: string) => kind.startsWith("a planted");

/** Where the browser of a person who consented is sent, with a code that Webex never made. */
async function callbackOf(name: string, documents: DocumentStore, webexUrl: string): Promise<string> {
  const store = tokenStore(documents, runtime.now);
  await documents.create("tokens", name, { ...SETTINGS, clientId: encodeURIComponent(name), scopes: "a" });
  const token = await store.read(name);
  if (token === undefined) throw new Error("it was just made");
  const url = await startAuthorization(token, { webexUrl, pkce: true, newOrg: false }, { store, runtime });
  return `/callback?code=canary-code&state=${url.searchParams.get("state")}`;
}

describe("when Firestore fails with words that hold a secret", () => {
  /** INVALID_ARGUMENT, which is not tried again, at the end of an answer that held nothing. */
  const refuse = (stream: ServerHttp2Stream) => {
    const message = encodeURIComponent('the field clientSecret is "canary-client-secret"');
    const end = () => stream.sendTrailers({ "grpc-status": "3", "grpc-message": message });
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", end).end();
  };
  const project = { GOOGLE_CLOUD_PROJECT: "made-up", METADATA_SERVER_DETECTION: "none" };

  test("refresher and setup say that the store failed, and no more", async () => {
    const server = createSecondServer().on("stream", refuse);
    const env = { ...project, FIRESTORE_EMULATOR_HOST: `127.0.0.1:${await listen(server)}` };
    const [refresher, setup] = await Promise.all([
      startFunction("refresher", env),
      startFunction("setup", { ...env, TOKEN_PASSPHRASE: PASSPHRASE }),
    ]);
    const answers = await Promise.all([
      ask(refresher, "/", "POST"),
      ask(refresher, "/census", "POST"),
      ask(refresher, "/?name=t", "POST"),
      ask(setup, "/init?name=t"),
      ask(setup, "/callback?code=canary-code&state=canary-state"),
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
  ])("lookup, answered %s, says that the store failed, and no more", async (_, say) => {
    const port = await listen(createServer((_request, response) => say(response)));
    const env = { ...project, FIRESTORE_EMULATOR_HOST: `127.0.0.1:${port}`, TOKEN_PASSPHRASE: PASSPHRASE };
    const lookup = await startFunction("lookup", { ...env, REFRESHER_URL: "http://127.0.0.1:1" });
    const answers = [await ask(lookup, "/?name=t")];
    expect(answers.map(({ status }) => status)).toEqual([503]);
    expect(linesOf(lookup)[0]).toMatchObject({
      event: "store.unavailable",
      reason: expect.stringMatching(/^Firestore/),
    });
    expectSilence([lookup], answers);
  });
});
