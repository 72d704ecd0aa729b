import { once } from "node:events";
import { request as send } from "node:http";
import { createRequire } from "node:module";
import { connect } from "node:net";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { HOUR } from "../../functions/core/time.ts";
import { secretFinder } from "../support/canaries.ts";
import { INHERITED } from "../support/environment.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { freePort, startFunction, startHandler, stopAll, temporaryFolder } from "../support/processes.ts";
import { endAll, run } from "./child.ts";
import { PASSPHRASE } from "./deployed.ts";

/** Secrets in requests and in bugs: none gets into a log, or to a caller. */

const secretsIn = secretFinder();

afterAll(async () => {
  await endAll();
  await stopAll();
});

const basic = (password: string) => `Basic ${Buffer.from(`flow:${password}`).toString("base64")}`;

/** Without x-forwarded-for, which names the caller and is logged for that. */
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

const BODY = '{"clientSecret":"canary-client-secret-in-a-body", "refreshToken":"canary-refresh-in-a-body"';

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

async function statusOf(base: string, target: string, method: string, headers: Record<string, string>) {
  const { hostname, port } = new URL(base);
  // A kept connection may be closed by the function at the moment that it is used again.
  const sent = send({ hostname, port, path: target, method, headers, agent: false });
  sent.end(method === "GET" ? undefined : BODY);
  const [response] = await once(sent, "response");
  response.resume();
  await once(response, "end");
  return response.statusCode as number;
}

/** Sends bytes that no client would send, and waits until the other side has closed. */
async function sendRaw(port: number, text: string): Promise<void> {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  socket.resume().end(text);
  await once(socket, "close");
}

/** Statuses and events without which the requests did not meet the errors that might quote them. */
const MET: Record<"lookup" | "setup" | "refresher", [number[], string[]]> = {
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

test.for(["lookup", "setup", "refresher"] as const)(
  "%s logs no secret of any part of a request, and answers malformed ones",
  async (name) => {
    const file = path.join(await temporaryFolder(), "tokens.db");
    await fill(file);
    const env = { STORE: file, TOKEN_PASSPHRASE: PASSPHRASE, WEBEX_URL: "http://127.0.0.1:1/v1" };
    const running = await startFunction(name, { ...env, REFRESHER_URL: "http://127.0.0.1:1" });
    const statuses = new Set<number>();
    const askAll = async (method: string, credentials: Record<string, string>) => {
      const headers = { ...HEADERS, ...credentials };
      const asked = TARGETS.map((target) => statusOf(running.url, target, method, headers));
      for (const status of await Promise.all(asked)) statuses.add(status);
    };
    for (const credentials of Object.values(CREDENTIALS)) await askAll("GET", credentials);
    for (const method of ["POST", "DELETE"]) await askAll(method, { "x-token-passphrase": PASSPHRASE });
    const huge = `x-token-passphrase: ${"canary-passphrase".repeat(2000)}`;
    for (const line of ["canary-header-without-colon", "x-token-passphrase: canary\u0001", huge])
      await sendRaw(running.port, `GET /?name=held HTTP/1.1\r\nhost: x\r\n${line}\r\n\r\n`);
    await sendRaw(running.port, "canary-nothing-of-http\r\n\r\n");
    await running.stop();

    const lines = running.output();
    expect(lines.flatMap(secretsIn)).toEqual([]);
    const [wantedStatuses, wantedEvents] = MET[name];
    expect([...statuses]).toEqual(expect.arrayContaining(wantedStatuses));
    expect(lines.map((line) => JSON.parse(line).event)).toEqual(expect.arrayContaining(wantedEvents));
  },
);

describe("a bug whose error quotes a secret", () => {
  const SOURCE = path.resolve(import.meta.dirname, "../support/buggy.ts");
  const BUGS = [
    ...["message", "lines", "cause", "several", "text", "object", "renamed", "properties", "parsing"],
    ...["address", "header", "request", "answer"],
  ];
  const SECRET = "canary-passphrase-in-an-error";
  const headers = { "x-token-passphrase": SECRET };

  test("is logged by its place only, in requests and after them", async () => {
    const running = await startHandler("buggy", SOURCE, {});
    for (const bug of BUGS) {
      const response = await fetch(`${running.url}/${bug}`, { headers });
      expect(response.status, bug).toBe(500);
      const { reference, message } = (await response.json()) as Record<string, string>;
      expect(secretsIn(String(message))).toEqual([]);
      const line = await eventuallyTrue(() =>
        running.output().find((one) => one.includes(String(reference))),
      );
      expect(JSON.parse(line)).toMatchObject({ event: "bug", severity: "CRITICAL", reference });
      if (bug === "message") expect(JSON.parse(line).where).toMatch(/^Error at .*buggy\.ts:\d+/);
    }
    expect((await fetch(`${running.url}/store`, { headers })).status).toBe(503);
    expect((await fetch(`${running.url}/unhandled-rejection`, { headers })).status).toBe(200);
    expect((await running.exited).code).toBeGreaterThan(0);
    const lines = running.output();
    expect(lines).toContainEqual(expect.stringMatching(/"reason":"the store failed"/));
    expect(lines.at(-1)).toMatch(/buggy\.ts:\d+/);
    expect(lines.flatMap(secretsIn)).toEqual([]);
  });

  test.for([
    ["without a request", { BUG_SOON: "uncaught-exception" }, /"event":"bug"/],
    ["at the start", { BUG_AT_START: "yes" }, /"event":"service\.stopped"/],
  ] as const)("%s is logged by its place only, and ends the process", async ([, env, event]) => {
    const framework = createRequire(import.meta.url).resolve("@google-cloud/functions-framework");
    const main = path.join(path.dirname(framework), "main.js");
    const args = [main, `--source=${SOURCE}`, "--target=buggy", `--port=${await freePort()}`];
    const own = { ...INHERITED, NODE_ENV: "production", TOKEN_PASSPHRASE: SECRET, ...env };
    const child = run(process.execPath, args, { cwd: import.meta.dirname, env: own });
    expect((await child.ended).code).toBeGreaterThan(0);
    const output = child.stdout() + child.stderr();
    expect(output).toMatch(event);
    expect(output).toMatch(/buggy\.ts:\d+/);
    expect(secretsIn(output)).toEqual([]);
  });
});
