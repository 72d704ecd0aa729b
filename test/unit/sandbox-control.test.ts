import { request as httpRequest } from "node:http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Client } from "../../local/sandbox/client.ts";
import { type Box, CLIENT, openBox } from "./sandbox-box.ts";

let box: Box;
beforeEach(async () => {
  box = await openBox();
});
afterEach(() => box.close());

describe("control", () => {
  /** Like `call`, but with headers that fetch does not let one set. */
  const raw = (headers: Record<string, string>, path = "/sandbox"): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const request = httpRequest(box.base + path, { headers }, (response) => {
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
    const made = await box.control("POST", "/sandbox/clients", {
      ...CLIENT,
      clientId: "C2",
      redirectUris: [],
    });
    expect(made.status).toBe(200);
    const overview = await box.control("GET", "/sandbox");
    expect(overview.body.clients.map((client: Client) => client.clientId)).toEqual(["C1", "C2"]);
    expect(made.text + overview.text).not.toContain(CLIENT.clientSecret);
    const tokens = await box.control("POST", "/sandbox/grants", { clientId: "C2" });
    expect(tokens.body.scope).toBe("cjp:config_read cjp:config_write");
    expect((await box.me(tokens.body.access_token)).status).toBe(200);
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
    const answer = await box.control("POST", "/sandbox/clients", { ...CLIENT, [field]: value });
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
    const answer = await box.control("PUT", "/sandbox/faults", input);
    expect(answer.status).toBe(400);
    expect(answer.body.field).toBe(field);
    expect(box.sandbox.faults.list()).toEqual([]);
  });

  test("bodies that are no JSON object, unknown clients, paths and methods are refused", async () => {
    const broken = await box.call("/sandbox/clients", { method: "POST", body: "{" });
    expect([broken.status, broken.body.field]).toEqual([400, "body"]);
    expect((await box.control("POST", "/sandbox/clients", [])).body.field).toBe("body");
    expect((await box.control("POST", "/sandbox/grants", { clientId: "C9" })).body.field).toBe("clientId");
    expect((await box.control("POST", "/sandbox/revoke", { clientId: "C9" })).body.field).toBe("clientId");
    expect((await box.control("POST", "/sandbox/revoke", { accessTokens: 1 })).body.field).toBe(
      "accessTokens",
    );
    expect((await box.control("POST", "/sandbox/nothing")).status).toBe(404);
    expect((await box.control("GET", "/sandbox/faults")).headers.get("allow")).toBe("PUT, DELETE");
  });

  test("revoking ends refresh tokens by default, access tokens on request, of one client if named", async () => {
    box.sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    const [one, two] = [box.sandbox.authority.issue("C1"), box.sandbox.authority.issue("C2")];
    const first = await box.control("POST", "/sandbox/revoke", { clientId: "C1" });
    expect(first.body.revoked).toEqual({ refreshTokens: 1, accessTokens: 0 });
    expect((await box.refresh(one.refresh_token)).status).toBe(400);
    expect((await box.me(one.access_token)).status).toBe(200);
    const second = await box.control("POST", "/sandbox/revoke", { refreshTokens: false, accessTokens: true });
    expect(second.body.revoked).toEqual({ refreshTokens: 0, accessTokens: 2 });
    expect((await box.me(one.access_token)).status).toBe(401);
    expect((await box.me(two.access_token)).status).toBe(401);
  });

  test("counters tell grant types and outcomes apart, until reset", async () => {
    const held = box.sandbox.authority.issue("C1");
    await box.refresh(held.refresh_token);
    await box.refresh("dead");
    await box.exchange("dead");
    await box.exchange(await box.consentedCode());
    await box.post({ grant_type: "password" });
    box.sandbox.faults.add({ fault: "500", times: 1 });
    await box.refresh(held.refresh_token);
    expect((await box.control("GET", "/sandbox")).body.counters).toEqual({
      authorization_code: { received: 2, granted: 1, refused: 1, faulted: 0 },
      refresh_token: { received: 3, granted: 1, refused: 1, faulted: 1 },
      service_app: { received: 0, granted: 0, refused: 0, faulted: 0 },
      other: { received: 1, granted: 0, refused: 1, faulted: 0 },
    });
    await box.control("POST", "/sandbox/reset-counters");
    expect(box.sandbox.authority.counters().refresh_token.received).toBe(0);
  });
});

test("events name what happened and hold no token, code or secret", async () => {
  const { body } = await box.exchange(await box.consentedCode());
  await box.refresh(body.refresh_token);
  await box.post({
    grant_type: "refresh_token",
    client_id: CLIENT.clientSecret,
    client_secret: "x",
    refresh_token: "y",
  });
  expect(box.events.map(({ kind }) => kind)).toEqual(["ask", "allow", "grant", "refresh", "refuse"]);
  const told = JSON.stringify(box.events);
  for (const secret of [body.access_token, body.refresh_token, CLIENT.clientSecret]) {
    expect(told).not.toContain(secret);
  }
});
