import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Client, TokenResponse } from "../../local/sandbox/authority.ts";
import { FAULTS } from "../../local/sandbox/faults.ts";
import { createSandbox, type Sandbox, type SandboxEvent } from "../../local/sandbox/server.ts";

const ORG = "11111111-2222-3333-4444-555555555555";
const CALLBACK = "http://127.0.0.1:8080/callback";
const CLIENT: Client = {
  clientId: "C1",
  clientSecret: "s3cret-&=+",
  redirectUris: [CALLBACK, `${CALLBACK}?a=b`],
  scopes: ["cjp:config_read", "cjp:config_write"],
  orgId: ORG,
  accessLifetime: 3600,
  refreshLifetime: 86_400,
};
const CREDENTIALS = { client_id: "C1", client_secret: CLIENT.clientSecret };
const DEAD = {
  error: "invalid_request",
  error_description: "The refresh token provided is expired, revoked, malformed, or invalid.",
  trackingID: expect.any(String),
};
const TOKEN_SHAPE = /^[^_]{64}_[A-Z0-9]{4}_[0-9a-f-]{36}$/;

let folder: string;
let file: string;
let now: number;
let sandbox: Sandbox;
let base: string;
let events: SandboxEvent[];

async function start(): Promise<void> {
  sandbox = createSandbox({ file, clock: () => now, onEvent: (event) => events.push(event) });
  base = `http://127.0.0.1:${await sandbox.listen()}`;
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sandbox-"));
  file = join(folder, "new", "sandbox.sqlite");
  now = 1_700_000_000_000;
  events = [];
  await start();
  sandbox.authority.registerClient(CLIENT);
});

afterEach(async () => {
  await sandbox.close();
  rmSync(folder, { recursive: true });
});

/** Any answer, its JSON body parsed where it is JSON. */
async function call(path: string, init: RequestInit = {}) {
  const response = await fetch(base + path, { redirect: "manual", ...init });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson ? JSON.parse(text) : undefined,
  };
}

const post = (parameters: Record<string, string> | string) =>
  call("/v1/access_token", { method: "POST", body: new URLSearchParams(parameters) });
const refresh = (refresh_token: string) =>
  post({ grant_type: "refresh_token", ...CREDENTIALS, refresh_token });
const exchange = (code: string, more: Record<string, string> = {}) =>
  post({ grant_type: "authorization_code", ...CREDENTIALS, code, redirect_uri: CALLBACK, ...more });
const me = (token: string) => call("/v1/people/me", { headers: { authorization: `Bearer ${token}` } });
const control = (method: string, path: string, input?: unknown) =>
  call(path, { method, ...(input === undefined ? {} : { body: JSON.stringify(input) }) });
const authorize = (more: Record<string, string> = {}) =>
  call(`/v1/authorize?${new URLSearchParams({ ...ASKED, ...more })}`);

const ASKED = {
  response_type: "code",
  client_id: "C1",
  redirect_uri: CALLBACK,
  scope: "cjp:config_read",
  state: "s t&1",
};

function decide(page: string, decision: string) {
  const id = /name="request" value="([^"]+)"/.exec(page)?.[1] ?? "";
  const body = new URLSearchParams({ request: id, decision });
  return call("/v1/authorize/decision", { method: "POST", body });
}

function target(answer: { headers: Headers }): URL {
  return new URL(answer.headers.get("location") ?? "nowhere:");
}

async function consentedCode(more: Record<string, string> = {}): Promise<string> {
  const page = await authorize(more);
  return target(await decide(page.text, "allow")).searchParams.get("code") ?? "";
}

describe("consent", () => {
  test("a person who allows sends the browser back with a code and the very state", async () => {
    const page = await authorize();
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    const answer = await decide(page.text, "allow");
    expect(answer.status).toBe(303);
    const to = target(answer);
    expect(to.origin + to.pathname).toBe(CALLBACK);
    expect(to.searchParams.get("state")).toBe("s t&1");
    expect((await exchange(to.searchParams.get("code") ?? "")).status).toBe(200);
  });

  test("a person who denies sends the browser back with access_denied and no code", async () => {
    const to = target(await decide((await authorize()).text, "deny"));
    expect(to.searchParams.get("error")).toBe("access_denied");
    expect(to.searchParams.get("state")).toBe("s t&1");
    expect(to.searchParams.has("code")).toBe(false);
  });

  test("an answer counts once, and ten minutes at most", async () => {
    const page = await authorize();
    expect((await decide(page.text, "allow")).status).toBe(303);
    expect((await decide(page.text, "allow")).status).toBe(400);
    const late = await authorize();
    now += 600_000;
    expect((await decide(late.text, "allow")).status).toBe(400);
  });

  test("a redirect URI's own query stays", async () => {
    const page = await authorize({ redirect_uri: `${CALLBACK}?a=b` });
    expect((await decide(page.text, "allow")).headers.get("location")).toMatch(/callback\?a=b&code=/);
  });

  test.each([
    ["an unknown client", { client_id: "C2" }],
    ["a longer redirect URI", { redirect_uri: `${CALLBACK}/` }],
    ["a redirect URI in other case", { redirect_uri: CALLBACK.toUpperCase() }],
    ["an empty redirect URI", { redirect_uri: "" }],
  ])("%s is a 400 page without redirect", async (_, more) => {
    const answer = await authorize(more);
    expect(answer.status).toBe(400);
    expect(answer.headers.get("location")).toBeNull();
    expect(answer.headers.get("content-type")).toContain("text/html");
  });

  test("a repeated redirect URI is a 400 page without redirect", async () => {
    const twice = `${new URLSearchParams(ASKED)}&redirect_uri=${encodeURIComponent(CALLBACK)}`;
    expect((await call(`/v1/authorize?${twice}`)).status).toBe(400);
  });

  test.each([
    ["a scope that is not the client's", { scope: "cjp:config_read spark:all" }, "invalid_scope"],
    ["no scope", { scope: "" }, "invalid_request"],
    ["two spaces between scopes", { scope: "cjp:config_read  cjp:config_write" }, "invalid_scope"],
    ["another response type", { response_type: "token" }, "unsupported_response_type"],
    ["an unknown parameter", { prompt: "none" }, "invalid_request"],
    ["a challenge without a method", { code_challenge: "x".repeat(43) }, "invalid_request"],
    [
      "a plain challenge",
      { code_challenge: "x".repeat(43), code_challenge_method: "plain" },
      "invalid_request",
    ],
    ["a short challenge", { code_challenge: "x", code_challenge_method: "S256" }, "invalid_request"],
    ["a method without a challenge", { code_challenge_method: "S256" }, "invalid_request"],
  ])("%s goes back as an error", async (_, more, error) => {
    const answer = await authorize(more);
    expect(answer.status).toBe(303);
    expect(target(answer).searchParams.get("error")).toBe(error);
    expect(target(answer).searchParams.get("error_description")).toBeTruthy();
    expect(target(answer).searchParams.get("state")).toBe("s t&1");
  });

  test("a missing state goes back as an error", async () => {
    const { state: _, ...stateless } = ASKED;
    const to = target(await call(`/v1/authorize?${new URLSearchParams(stateless)}`));
    expect(to.searchParams.get("error")).toBe("invalid_request");
  });

  test("a client that must use PKCE may not leave it out", async () => {
    sandbox.authority.registerClient({ ...CLIENT, requirePkce: true });
    expect(target(await authorize()).searchParams.get("error")).toBe("invalid_request");
  });

  test("markup in a client id is shown as text", async () => {
    sandbox.authority.registerClient({ ...CLIENT, clientId: `"><script>'&` });
    const page = await authorize({ client_id: `"><script>'&` });
    expect(page.status).toBe(200);
    expect(page.text).not.toContain("<script");
    expect(page.text).toContain("&#34;&#62;&#60;script&#62;&#39;&#38;");
  });
});

describe("exchanging a code", () => {
  test("answers with Webex's shape, for the scope that was allowed", async () => {
    const answer = await exchange(await consentedCode());
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.body).toEqual({
      access_token: expect.stringMatching(TOKEN_SHAPE),
      expires_in: 3600,
      refresh_token: expect.stringMatching(TOKEN_SHAPE),
      refresh_token_expires_in: 86_400,
      token_type: "Bearer",
      scope: "cjp:config_read",
    });
    expect(answer.body.access_token).toHaveLength(106);
    expect(answer.body.access_token.endsWith(`_${ORG}`)).toBe(true);
    expect(answer.body.access_token).not.toBe(answer.body.refresh_token);
  });

  test("a code is refused the second time, and its tokens live on", async () => {
    const code = await consentedCode();
    const first = await exchange(code);
    const second = await exchange(code);
    expect(second.status).toBe(400);
    expect(second.body).toMatchObject({ error: "invalid_grant", trackingID: expect.any(String) });
    expect((await me(first.body.access_token)).status).toBe(200);
    expect((await refresh(first.body.refresh_token)).status).toBe(200);
  });

  test("a code lives ten minutes", async () => {
    const [inTime, late] = [await consentedCode(), await consentedCode()];
    now += 599_999;
    expect((await exchange(inTime)).status).toBe(200);
    now += 1;
    expect((await exchange(late)).status).toBe(400);
  });

  test("a code is bound to its redirect URI, and a wrong try spends it", async () => {
    const code = await consentedCode();
    expect((await exchange(code, { redirect_uri: `${CALLBACK}?a=b` })).body.error).toBe("invalid_grant");
    expect((await exchange(code)).body.error).toBe("invalid_grant");
  });

  test("a code is bound to its client, whose chance another client cannot spoil", async () => {
    sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    const code = await consentedCode();
    expect((await exchange(code, { client_id: "C2" })).body.error).toBe("invalid_grant");
    expect((await exchange(code)).status).toBe(200);
  });

  test("with a challenge only its verifier is accepted; without one, none", async () => {
    const verifier = "v".repeat(43);
    const challenge = createHash("sha256").update(verifier).digest("base64url");
    const asked = { code_challenge: challenge, code_challenge_method: "S256" };
    expect((await exchange(await consentedCode(asked), { code_verifier: verifier })).status).toBe(200);
    const wrong = await exchange(await consentedCode(asked), { code_verifier: "w".repeat(43) });
    const missing = await exchange(await consentedCode(asked));
    const unasked = await exchange(await consentedCode(), { code_verifier: verifier });
    const short = await exchange(await consentedCode(asked), { code_verifier: "v" });
    expect([wrong, missing, unasked].map(({ body }) => body.error)).toEqual(Array(3).fill("invalid_grant"));
    expect(short.body.error).toBe("invalid_request");
  });
});

describe("refreshing", () => {
  let held: TokenResponse;
  beforeEach(() => {
    held = sandbox.authority.issue("C1");
  });

  test("answers with a new access token and the same refresh token, whose clock runs on", async () => {
    now += 60_500;
    const { status, body } = await refresh(held.refresh_token);
    expect(status).toBe(200);
    expect(body.refresh_token).toBe(held.refresh_token);
    expect(body.access_token).not.toBe(held.access_token);
    expect(body).toMatchObject({ expires_in: 3600, refresh_token_expires_in: 86_339, scope: held.scope });
  });

  test("leaves the previous access token alive until its own end", async () => {
    now += 1000;
    const { body } = await refresh(held.refresh_token);
    now += 3_598_999;
    expect((await me(held.access_token)).status).toBe(200);
    now += 1;
    expect((await me(held.access_token)).status).toBe(401);
    expect((await me(body.access_token)).status).toBe(200);
  });

  test("an expired, revoked, unknown or someone else's refresh token is refused in Webex's words", async () => {
    sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    const foreign = sandbox.authority.issue("C2").refresh_token;
    const answers = [await refresh("nonsense"), await refresh(foreign), await refresh(held.access_token)];
    now += 86_400_000;
    answers.push(await refresh(held.refresh_token));
    const revoked = sandbox.authority.issue("C1").refresh_token;
    await control("POST", "/sandbox/revoke", {});
    answers.push(await refresh(revoked));
    for (const { status, body } of answers) {
      expect(status).toBe(400);
      expect(body).toEqual(DEAD);
    }
  });

  test("JSON is accepted as well", async () => {
    const body = JSON.stringify({
      grant_type: "refresh_token",
      ...CREDENTIALS,
      refresh_token: held.refresh_token,
    });
    const headers = { "content-type": "application/json" };
    expect((await call("/v1/access_token", { method: "POST", headers, body })).status).toBe(200);
  });

  test("a restart forgets no client, token or counter", async () => {
    await refresh(held.refresh_token);
    await sandbox.close();
    await start();
    expect((await refresh(held.refresh_token)).status).toBe(200);
    expect(sandbox.authority.counters().refresh_token.granted).toBe(2);
  });

  test("two sandboxes may share a file", async () => {
    const other = createSandbox({ file, clock: () => now });
    expect(other.authority.holder(held.access_token)?.live).toBe(true);
    await other.close();
  });
});

describe("a token request is refused", () => {
  const good = () => {
    const { refresh_token } = sandbox.authority.issue("C1");
    return new URLSearchParams({ grant_type: "refresh_token", ...CREDENTIALS, refresh_token }).toString();
  };
  const send = (body: string, type = "application/x-www-form-urlencoded", more: RequestInit = {}) =>
    call("/v1/access_token", {
      ...more,
      method: "POST",
      headers: { "content-type": type, ...more.headers },
      body,
    });

  test.each<[string, (body: string) => string, number, string]>([
    ["without a grant type", (body) => body.replace("grant_type=refresh_token&", ""), 400, "invalid_request"],
    [
      "for another grant type",
      (body) => body.replace("=refresh_token", "=password"),
      400,
      "unsupported_grant_type",
    ],
    ["without a secret", (body) => body.replace(/client_secret=[^&]*&/, ""), 400, "invalid_request"],
    [
      "with an empty secret",
      (body) => body.replace(/client_secret=[^&]*/, "client_secret="),
      400,
      "invalid_request",
    ],
    [
      "with a wrong secret",
      (body) => body.replace(/client_secret=[^&]*/, "client_secret=x"),
      401,
      "invalid_client",
    ],
    ["from an unknown client", (body) => body.replace("client_id=C1", "client_id=C9"), 401, "invalid_client"],
    ["with an unknown parameter", (body) => `${body}&scope=x`, 400, "invalid_request"],
    ["with a repeated parameter", (body) => `${body}&client_id=C1`, 400, "invalid_request"],
    ["with a name twice encoded differently", (body) => `${body}&client%5Fid=C1`, 400, "invalid_request"],
    ["with a broken percent sign", (body) => `${body}%zz`, 400, "invalid_request"],
    ["with an empty body", () => "", 400, "invalid_request"],
    ["with a body too large", (body) => `${body}&x=${"x".repeat(70_000)}`, 400, "invalid_request"],
  ])("%s", async (_, change, status, error) => {
    const answer = await send(change(good()));
    expect(answer.status).toBe(status);
    expect(answer.body).toEqual({
      error,
      error_description: expect.any(String),
      trackingID: expect.any(String),
    });
  });

  test.each([
    "text/plain",
    "multipart/form-data",
    "application/x-www-form-urlencoded; charset=latin1",
    "application/json",
  ])("with a form sent as %s", async (type) =>
    expect((await send(good(), type)).body.error).toBe("invalid_request"),
  );

  test("with credentials in a header too, or with a query, or by GET", async () => {
    const headers = { authorization: "Basic eDp5" };
    expect((await send(good(), undefined, { headers })).body.error).toBe("invalid_request");
    const query = await call(`/v1/access_token?x=1`, { method: "POST", body: new URLSearchParams(good()) });
    expect(query.body.error).toBe("invalid_request");
    expect((await call("/v1/access_token")).body.error).toBe("invalid_request");
  });

  test("with JSON that repeats a name, nests, or is no object", async () => {
    const refresh_token = sandbox.authority.issue("C1").refresh_token;
    const whole = JSON.stringify({ grant_type: "refresh_token", ...CREDENTIALS, refresh_token });
    expect((await send(whole, "application/json")).status).toBe(200);
    for (const body of [
      whole.replace("{", '{"client_id":"C1",'),
      whole.replace('"C1"', "1"),
      "[]",
      "null",
      "{",
      "{}",
    ]) {
      expect((await send(body, "application/json")).body.error).toBe("invalid_request");
    }
  });

  test("and the whole one is granted", async () => {
    expect((await send(good(), "application/x-www-form-urlencoded; charset=UTF-8")).status).toBe(200);
  });
});

describe("people/me", () => {
  test("tells a live access token's holder, in Webex's ids", async () => {
    const { status, body } = await me(sandbox.authority.issue("C1").access_token);
    expect(status).toBe(200);
    expect(Buffer.from(body.orgId, "base64url").toString()).toBe(`ciscospark://us/ORGANIZATION/${ORG}`);
    expect(Object.keys(body)).toEqual(["id", "displayName", "orgId"]);
  });

  test("refuses a missing, foreign, expired or revoked token, and a refresh token", async () => {
    const tokens = sandbox.authority.issue("C1");
    const revoked = sandbox.authority.issue("C1").access_token;
    sandbox.authority.revoke({ refreshTokens: false, accessTokens: true });
    const expired = sandbox.authority.issue("C1").access_token;
    now += 3_600_000;
    const answers = [
      await call("/v1/people/me"),
      await me("x"),
      await me(tokens.refresh_token),
      await me(revoked),
    ];
    for (const { status, body } of [...answers, await me(expired)]) {
      expect(status).toBe(401);
      expect(body.trackingId).toMatch(/^ROUTER_/);
      expect(body.errors).toEqual([{ description: body.message }]);
    }
  });
});

describe("control", () => {
  /** Like `call`, but with headers that fetch does not let one set. */
  const raw = (headers: Record<string, string>, path = "/sandbox"): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const request = httpRequest(base + path, { headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", reject).end();
    });

  test("is refused under a name that is not loopback, and to any web page", async () => {
    expect(await raw({})).toBe(200);
    expect(await raw({ host: "localhost:1" })).toBe(200);
    for (const host of [
      "evil.example",
      "localhost.evil.example",
      "x@localhost",
      "127.0.0.1.nip.io",
      "10.0.0.1",
    ]) {
      expect(await raw({ host })).toBe(403);
    }
    expect(await raw({ origin: "http://127.0.0.1" })).toBe(403);
    expect(await raw({ origin: "null" })).toBe(403);
    expect(await raw({ host: "evil.example" }, "/sandbox/anything")).toBe(403);
  });

  test("a client registered over HTTP is shown without its secret and can be given tokens", async () => {
    const made = await control("POST", "/sandbox/clients", { ...CLIENT, clientId: "C2", redirectUris: [] });
    expect(made.status).toBe(200);
    const overview = await control("GET", "/sandbox");
    expect(overview.body.clients.map((client: Client) => client.clientId)).toEqual(["C1", "C2"]);
    expect(made.text + overview.text).not.toContain(CLIENT.clientSecret);
    const tokens = await control("POST", "/sandbox/grants", { clientId: "C2" });
    expect(tokens.body.scope).toBe("cjp:config_read cjp:config_write");
    expect((await me(tokens.body.access_token)).status).toBe(200);
  });

  test.each([
    ["clientId", ""],
    ["clientSecret", 7],
    ["redirectUris", ["ftp://x/"]],
    ["redirectUris", ["http://x/#y"]],
    ["redirectUris", ["http://x;y/"]],
    ["redirectUris", "http://x/"],
    ["scopes", []],
    ["scopes", ["a b"]],
    ["orgId", "consumer"],
    ["accessLifetime", 0],
    ["accessLifetime", "3600"],
    ["refreshLifetime", 1.5],
    ["requirePkce", "yes"],
    ["extra", 1],
  ])("a client with a bad %s is refused by name: %j", async (field, value) => {
    const answer = await control("POST", "/sandbox/clients", { ...CLIENT, [field]: value });
    expect(answer.status).toBe(400);
    expect(answer.body.field).toBe(field);
    expect(answer.body.message).toMatch(new RegExp(`^${field}: `));
  });

  test.each<[string, object]>([
    ["fault", { fault: "flood" }],
    ["fault", {}],
    ["seconds", { fault: "down", seconds: 0 }],
    ["times", { fault: "down", times: 1.5 }],
    ["delayMs", { fault: "slow", delayMs: -1 }],
    ["delayMs", { fault: "down", delayMs: 1 }],
    ["retryAfter", { fault: "429", retryAfter: -1 }],
    ["retryAfter", { fault: "429", retryAfter: "7\r\nx: y" }],
    ["retryAfter", { fault: "429-zero", retryAfter: 7 }],
    ["clientId", { fault: "down", clientId: "C9" }],
    ["extra", { fault: "down", extra: 1 }],
  ])("a fault with a bad %s is refused by name: %j", async (field, input) => {
    const answer = await control("PUT", "/sandbox/faults", input);
    expect(answer.status).toBe(400);
    expect(answer.body.field).toBe(field);
    expect(sandbox.faults.list()).toEqual([]);
  });

  test("bodies that are no JSON object, unknown clients, paths and methods are refused", async () => {
    const broken = await call("/sandbox/clients", { method: "POST", body: "{" });
    expect([broken.status, broken.body.field]).toEqual([400, "body"]);
    expect((await control("POST", "/sandbox/clients", [])).body.field).toBe("body");
    expect((await control("POST", "/sandbox/grants", { clientId: "C9" })).body.field).toBe("clientId");
    expect((await control("POST", "/sandbox/revoke", { clientId: "C9" })).body.field).toBe("clientId");
    expect((await control("POST", "/sandbox/revoke", { accessTokens: 1 })).body.field).toBe("accessTokens");
    expect((await control("POST", "/sandbox/nothing")).status).toBe(404);
    expect((await control("GET", "/sandbox/faults")).headers.get("allow")).toBe("PUT, DELETE");
  });

  test("revoking ends refresh tokens by default, access tokens on request, of one client if named", async () => {
    sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    const [one, two] = [sandbox.authority.issue("C1"), sandbox.authority.issue("C2")];
    const first = await control("POST", "/sandbox/revoke", { clientId: "C1" });
    expect(first.body.revoked).toEqual({ refreshTokens: 1, accessTokens: 0 });
    expect((await refresh(one.refresh_token)).status).toBe(400);
    expect((await me(one.access_token)).status).toBe(200);
    const second = await control("POST", "/sandbox/revoke", { refreshTokens: false, accessTokens: true });
    expect(second.body.revoked).toEqual({ refreshTokens: 0, accessTokens: 2 });
    expect((await me(one.access_token)).status).toBe(401);
    expect((await me(two.access_token)).status).toBe(401);
  });

  test("counters tell grant types and outcomes apart, until reset", async () => {
    const held = sandbox.authority.issue("C1");
    await refresh(held.refresh_token);
    await refresh("dead");
    await exchange("dead");
    await exchange(await consentedCode());
    await post({ grant_type: "password" });
    sandbox.faults.add({ fault: "500", times: 1 });
    await refresh(held.refresh_token);
    expect((await control("GET", "/sandbox")).body.counters).toEqual({
      authorization_code: { received: 2, granted: 1, refused: 1, faulted: 0 },
      refresh_token: { received: 3, granted: 1, refused: 1, faulted: 1 },
      other: { received: 1, granted: 0, refused: 1, faulted: 0 },
    });
    await control("POST", "/sandbox/reset-counters");
    expect(sandbox.authority.counters().refresh_token.received).toBe(0);
  });
});

describe("faults", () => {
  let held: TokenResponse;
  beforeEach(() => {
    held = sandbox.authority.issue("C1");
  });
  const again = () => refresh(held.refresh_token);

  test("every fault has a description of one line, and can be set", async () => {
    for (const { fault, about } of FAULTS) {
      expect(about).toMatch(/^.{10,90}$/);
      expect((await control("PUT", "/sandbox/faults", { fault, times: 1 })).status).toBe(200);
    }
    expect((await control("DELETE", "/sandbox/faults")).body).toEqual({ faults: [] });
    expect((await again()).status).toBe(200);
  });

  test("a fault ends by the sandbox's clock, and shows what remains", async () => {
    await control("PUT", "/sandbox/faults", { fault: "500", seconds: 10 });
    now += 8500;
    expect((await control("GET", "/sandbox")).body.faults).toEqual([{ fault: "500", remainingSeconds: 2 }]);
    expect((await again()).status).toBe(500);
    now += 1500;
    expect((await again()).status).toBe(200);
    expect(sandbox.faults.list()).toEqual([]);
  });

  test("faults with times give way to one another in the order set", async () => {
    sandbox.faults.add({ fault: "500", times: 2 });
    sandbox.faults.add({ fault: "html-403", times: 1 });
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await again()).status);
    expect(statuses).toEqual([500, 500, 403, 200]);
  });

  test("a fault of one client leaves others alone", async () => {
    sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    const other = sandbox.authority.issue("C2").refresh_token;
    sandbox.faults.add({ fault: "500", clientId: "C2" });
    expect((await again()).status).toBe(200);
    const theirs = { ...CREDENTIALS, client_id: "C2", grant_type: "refresh_token", refresh_token: other };
    expect((await post(theirs)).status).toBe(500);
  });

  test.each([
    ["429", "7"],
    ["429-none", null],
    ["429-zero", "0"],
    ["429-rand", "rand(30),add(30)"],
    ["429-empty", "7"],
  ] as const)("%s answers 429 with Retry-After %s", async (fault, retryAfter) => {
    sandbox.faults.add({ fault });
    const { status, headers, text, body } = await again();
    expect([status, headers.get("retry-after")]).toEqual([429, retryAfter]);
    if (fault === "429-empty") expect(text).toBe("");
    else expect(body.trackingId).toMatch(/^ROUTER_/);
  });

  test("429 takes a Retry-After as it is given", async () => {
    sandbox.faults.add({ fault: "429", times: 1, retryAfter: 0 });
    sandbox.faults.add({ fault: "429", retryAfter: "Wed, 21 Oct 2026 07:28:00 GMT" });
    expect((await again()).headers.get("retry-after")).toBe("0");
    expect((await again()).headers.get("retry-after")).toBe("Wed, 21 Oct 2026 07:28:00 GMT");
  });

  test.each([
    ["html", 200],
    ["html-403", 403],
    ["html-500", 500],
  ] as const)("%s answers %i with a page", async (fault, status) => {
    sandbox.faults.add({ fault });
    const answer = await again();
    expect(answer.status).toBe(status);
    expect(answer.headers.get("content-type")).toContain("text/html");
  });

  test.each([
    ["500", 500],
    ["webex-400", 400],
    ["unauthorized", 401],
  ] as const)("%s answers %i in Webex's general shape", async (fault, status) => {
    sandbox.faults.add({ fault });
    const answer = await again();
    expect(answer.status).toBe(status);
    expect(answer.body.errors).toEqual([{ description: answer.body.message }]);
  });

  test("invalid-request refuses a good refresh token, and leaves exchanges alone", async () => {
    sandbox.faults.add({ fault: "invalid-request" });
    const { status, body } = await again();
    expect([status, body]).toEqual([400, DEAD]);
    expect((await exchange(await consentedCode())).status).toBe(200);
    sandbox.faults.clear();
    expect((await again()).status).toBe(200);
  });

  test("redirect points to a path of the same host that knows nothing", async () => {
    sandbox.faults.add({ fault: "redirect" });
    const answer = await again();
    expect(answer.status).toBe(302);
    const to = answer.headers.get("location") ?? "";
    expect(to).toMatch(/^\/v1\//);
    expect((await call(to, { method: "POST" })).status).toBe(404);
  });

  test("same-token answers with the same access token and its remaining life, a new one once it is dead", async () => {
    sandbox.faults.add({ fault: "same-token" });
    now += 600_500;
    expect((await again()).body).toMatchObject({ access_token: held.access_token, expires_in: 2999 });
    now += 3_000_000;
    const { body } = await again();
    expect(body.access_token).not.toBe(held.access_token);
    expect(body.expires_in).toBe(3600);
  });

  test("rotate answers with a new refresh token, and the old one dies", async () => {
    sandbox.faults.add({ fault: "rotate", times: 1 });
    const { body } = await again();
    expect(body.refresh_token).not.toBe(held.refresh_token);
    expect((await again()).body).toEqual(DEAD);
    expect((await refresh(body.refresh_token)).body.refresh_token).toBe(body.refresh_token);
    expect((await me(held.access_token)).status).toBe(200);
  });

  test("down destroys connections to both endpoints, and changes nothing", async () => {
    sandbox.faults.add({ fault: "down" });
    await expect(again()).rejects.toThrow();
    await expect(me(held.access_token)).rejects.toThrow();
    expect(sandbox.authority.counters().refresh_token).toMatchObject({ received: 1, granted: 0, faulted: 1 });
  });

  test("lost spends a code though nobody gets its tokens", async () => {
    const code = await consentedCode();
    sandbox.faults.add({ fault: "lost", times: 1 });
    await expect(exchange(code)).rejects.toThrow();
    expect(sandbox.authority.counters().authorization_code.granted).toBe(1);
    expect((await exchange(code)).body.error).toBe("invalid_grant");
  });

  test("hang never answers, and closing the sandbox ends it", async () => {
    sandbox.faults.add({ fault: "hang" });
    let answered = false;
    const hanging = Promise.allSettled([again(), me(held.access_token)]).then((results) => {
      answered = true;
      return results;
    });
    await expect.poll(() => events.filter(({ kind }) => kind === "fault").length).toBe(2);
    expect(answered).toBe(false);
    await sandbox.close();
    expect((await hanging).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });

  test("slow changes state at once, while its answer is still to come", async () => {
    sandbox.faults.add({ fault: "slow", delayMs: 600_000 });
    let answered = false;
    const pending = again().finally(() => {
      answered = true;
    });
    const ended = expect(pending).rejects.toThrow();
    await expect.poll(() => sandbox.authority.counters().refresh_token.granted).toBe(1);
    expect(answered).toBe(false);
    await sandbox.close();
    await ended;
  });

  test("slow answers correctly after its delay, on both endpoints", async () => {
    sandbox.faults.add({ fault: "slow", delayMs: 30, times: 2 });
    const began = performance.now();
    expect((await again()).status).toBe(200);
    expect((await me(held.access_token)).status).toBe(200);
    expect(performance.now() - began).toBeGreaterThan(55);
  });

  test("omit, null-fields, strings and empty-token bend the answer to a granted request", async () => {
    for (const fault of ["omit", "null-fields", "strings", "empty-token"] as const) {
      sandbox.faults.add({ fault, times: 1 });
    }
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push((await again()).body);
    const access_token = expect.stringMatching(TOKEN_SHAPE);
    const none = { expires_in: null, refresh_token: null, refresh_token_expires_in: null, scope: null };
    expect(answers).toEqual([
      { access_token, token_type: "Bearer" },
      { access_token, token_type: "Bearer", ...none },
      { ...held, access_token, expires_in: "3600", refresh_token_expires_in: "86400" },
      { ...held, access_token: "" },
    ]);
    expect(sandbox.authority.counters().refresh_token.granted).toBe(4);
  });

  test("a fault of the token endpoint does not meet people/me", async () => {
    sandbox.faults.add({ fault: "500", times: 1 });
    expect((await me(held.access_token)).status).toBe(200);
    expect((await again()).status).toBe(500);
  });
});

test("events name what happened and hold no token, code or secret", async () => {
  const { body } = await exchange(await consentedCode());
  await refresh(body.refresh_token);
  await post({
    grant_type: "refresh_token",
    client_id: CLIENT.clientSecret,
    client_secret: "x",
    refresh_token: "y",
  });
  expect(events.map(({ kind }) => kind)).toEqual(["ask", "allow", "grant", "refresh", "refuse"]);
  const told = JSON.stringify(events);
  for (const secret of [body.access_token, body.refresh_token, CLIENT.clientSecret]) {
    expect(told).not.toContain(secret);
  }
});

describe("an unusable database", () => {
  test("names the file when it is no database, a folder, or something else's", () => {
    const broken = join(folder, "broken.sqlite");
    writeFileSync(broken, "not a database ".repeat(100));
    const other = join(folder, "other.sqlite");
    const db = new DatabaseSync(other);
    db.exec("CREATE TABLE tokens (name TEXT)");
    db.close();
    for (const path of [broken, folder, other, join(broken, "below.sqlite")]) {
      expect(() => createSandbox({ file: path })).toThrow(`the sandbox's database ${path} cannot be used: `);
    }
  });
});

describe("run", () => {
  const run = (...args: string[]) =>
    spawn(process.execPath, [
      "--no-warnings",
      join(import.meta.dirname, "../../local/sandbox/run.ts"),
      ...args,
    ]);

  test("prints its address as one JSON line, answers there, and ends cleanly on SIGTERM", async () => {
    const child = run("--port", "0", "--file", join(folder, "run.sqlite"));
    const [line] = await once(child.stdout, "data");
    const { sandbox: url } = JSON.parse(String(line));
    expect(await (await fetch(`${url}/sandbox`)).json()).toMatchObject({ clients: [], faults: [] });
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  test("says what is wrong with its arguments", async () => {
    const child = run("--port", "x");
    const [said] = await once(child.stderr, "data");
    expect(String(said)).toContain("--port must be 0 to 65535");
    expect(await once(child, "exit")).toEqual([1, null]);
  });
});
