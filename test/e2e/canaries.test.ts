import { once } from "node:events";
import { request as send } from "node:http";
import { connect } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { HOUR } from "../../functions/core/time.ts";
import { secretFinder } from "../support/canaries.ts";
import { type Running, startFunction, stopAll, temporaryFolder } from "../support/processes.ts";

/** A secret in each place of a request in which somebody may put one, rightly or not: none comes to a log. */

const PASSPHRASE = "canary-passphrase-of-the-flow";
const basic = (password: string) => `Basic ${Buffer.from(`flow:${password}`).toString("base64")}`;

/** All but x-forwarded-for, which names the caller, and is logged for that. */
const HEADERS = {
  "x-token-rejected": "canary-access-token",
  "proxy-authorization": basic("canary-proxy-password"),
  "x-serverless-authorization": "Bearer canary-identity-token",
  "x-goog-iap-jwt-assertion": "canary-assertion",
  "x-api-key": "canary-api-key",
  "x-cloud-trace-context": "canary-trace/1;o=1",
  traceparent: "00-canary-parent-01",
  "x-request-id": "canary-request-id",
  cookie: "session=canary-cookie",
  referer: "https://example.com/callback?code=canary-code&state=canary-state",
  origin: "https://canary-origin.example",
  "user-agent": "canary-agent",
  accept: "text/html, canary-type/x",
  "content-type": "application/json; charset=canary-charset",
};

const CREDENTIALS: Record<string, Record<string, string>> = {
  "the right passphrase": { "x-token-passphrase": PASSPHRASE },
  "a wrong passphrase": { "x-token-passphrase": "canary-wrong-passphrase" },
  "a right password": { authorization: basic(PASSPHRASE) },
  "a wrong password": { authorization: basic("canary-wrong-password") },
  "credentials of another kind": { authorization: "Bearer canary-bearer-token" },
};

const TARGETS = [
  "/?name=held",
  "/?name=nobody",
  "/?name=mistyped&details=true",
  "/?name=bare",
  "/?name=held&name=canary-second-name",
  "/?name=held&minTtl=canary-minTtl&wait=canary-wait",
  "/?name=held&ifToken=canary-hash",
  "/?name=held&passphrase=canary-passphrase-in-query&access_token=canary-token-in-query",
  "/?code=canary-code&state=canary-state",
  "/callback?code=canary-code&state=canary-state",
  "/callback?code=canary-code&state=bare",
  "/callback?code=canary-code&state=canary-state&state=canary-other-state",
  "/callback?state=canary-state",
  "/callback?error=canary-error&error_description=canary-description&state=canary-state",
  "/init?name=held&clientSecret=canary-client-secret",
  "/census?ifToken=canary-hash",
  "/canary-path/%E0%A4%A?name=held",
];

const METHODS = ["GET", "POST", "DELETE"];
const BODY = '{"clientSecret":"canary-client-secret-in-a-body", "refreshToken":"canary-refresh-in-a-body"';

let running: Record<"lookup" | "refresher" | "setup", Running>;
beforeAll(async () => {
  const file = path.join(await temporaryFolder(), "tokens.db");
  await fill(file);
  const env = { STORE: file, TOKEN_PASSPHRASE: PASSPHRASE, WEBEX_URL: "http://127.0.0.1:1/v1" };
  const [lookup, refresher, setup] = await Promise.all([
    startFunction("lookup", { ...env, REFRESHER_URL: "http://127.0.0.1:1" }),
    startFunction("refresher", env),
    startFunction("setup", env),
  ]);
  running = { lookup, refresher, setup };
});
afterAll(stopAll);

async function fill(file: string): Promise<void> {
  const documents = openSqlite(file, Date.now);
  const accessExpires = Date.now() + HOUR;
  const settings = { clientId: "C", clientSecret: "canary-client-secret" };
  const tokens = { accessToken: "canary-access-token", refreshToken: "canary-refresh-token" };
  await documents.create("tokens", "held", { ...settings, ...tokens, accessExpires });
  await documents.create("tokens", "bare", { ...settings, redirectUri: "http://127.0.0.1:1/callback" });
  const wrong = { clientSecret: { canary: "canary-secret" }, refreshToken: ["canary-refresh"] };
  const times = { accessExpires: "canary-expiry", lease: "canary-lease", failure: ["canary-failure"] };
  const hash = { passphraseHash: { canary: 1 }, lifetime: "canary" };
  await documents.create("tokens", "mistyped", { ...tokens, ...wrong, ...times, ...hash });
  await documents.close();
}

async function ask(base: string, target: string, method: string, headers: Record<string, string>) {
  const { hostname, port } = new URL(base);
  const sent = send({ hostname, port, path: target, method, headers });
  sent.end(method === "GET" ? undefined : BODY);
  const [response] = await once(sent, "response");
  response.resume();
  await once(response, "end");
  return response.statusCode as number;
}

/** Sends what no client would send, and waits until the other side has closed. */
async function sendRaw(port: number, text: string): Promise<void> {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  socket.resume().end(text);
  await once(socket, "close");
}

const secretsIn = secretFinder();
const eventsOf = (lines: string[]) => new Set(lines.map((line) => JSON.parse(line).event));

test.for(["lookup", "setup", "refresher"] as const)(
  "no request's secret comes to the log of %s",
  async (name) => {
    const statuses = new Set<number>();
    for (const credentials of Object.values(CREDENTIALS))
      for (const method of METHODS) {
        const headers = { ...HEADERS, ...credentials };
        const asked = TARGETS.map((target) => ask(running[name].url, target, method, headers));
        for (const status of await Promise.all(asked)) statuses.add(status);
      }
    const { port } = running[name];
    const huge = `x-token-passphrase: ${"canary-passphrase".repeat(2000)}`;
    for (const line of ["canary-header-without-colon", "x-token-passphrase: canary\u0001", huge])
      await sendRaw(port, `GET /?name=held HTTP/1.1\r\nhost: x\r\n${line}\r\n\r\n`);
    await sendRaw(port, "canary-nothing-of-http\r\n\r\n");

    const lines = running[name].output();
    expect(lines.flatMap(secretsIn)).toEqual([]);
    // Else the errors were not met, and nothing was shown.
    const [wantedStatuses, wantedEvents] = MET[name];
    expect([...statuses]).toEqual(expect.arrayContaining(wantedStatuses));
    expect([...eventsOf(lines)]).toEqual(expect.arrayContaining(wantedEvents));
  },
);

const MET: Record<keyof typeof running, [number[], string[]]> = {
  lookup: [
    [200, 400, 401, 404, 405, 409],
    ["request.unauthorized", "request.refused", "lookup.refresher_failed"],
  ],
  setup: [
    [400, 401, 404, 405, 409, 503],
    ["request.unauthorized", "request.refused"],
  ],
  refresher: [
    [200, 400, 404, 405],
    ["refresh.failed", "census.done", "request.refused"],
  ],
};
