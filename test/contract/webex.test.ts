import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import { judge } from "../../functions/core/grant.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { driveTimers } from "../support/deadlines.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { HANG } from "../support/hang.ts";

const CLIENT = {
  clientId: "made-up-client",
  clientSecret: "canary-client-secret",
  redirectUris: ["http://127.0.0.1:8080/callback"],
  scopes: ["cjp:config_read"],
  orgId: "00000000-0000-4000-8000-000000000000",
  accessLifetime: 3600,
  refreshLifetime: 86_400,
};

/** A limit in ms that only `driveTimers` lets pass. */
const LIMIT = 7654;

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const end of ends.splice(0)) await end();
});

async function sandboxed(patience = HANG) {
  const sandbox = createSandbox({ file: ":memory:" });
  ends.push(() => sandbox.close());
  const url = `http://127.0.0.1:${await sandbox.listen()}/v1`;
  sandbox.authority.registerClient(CLIENT);
  const { refresh_token: refreshToken } = sandbox.authority.issue(CLIENT.clientId);
  const { clientId, clientSecret } = CLIENT;
  const endpoint = webexEndpoint(url, patience);
  return {
    sandbox,
    endpoint,
    request: { clientId, clientSecret, refreshToken },
    received: () => sandbox.authority.counters().refresh_token.received,
  };
}

/** A server that records its requests and answers with `answer`. */
async function listening(
  answer: (server: { path: string; body: string }) => { status: number; headers?: object },
) {
  const seen: { path: string; body: string }[] = [];
  const server: Server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const one = { path: request.url ?? "", body };
      seen.push(one);
      const { status, headers = {} } = answer(one);
      response.writeHead(status, headers as Record<string, string>).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => new Promise((resolve) => server.close(resolve)));
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` };
}

test("the Webex client refreshes a token at the sandbox's token endpoint", async () => {
  const { endpoint, request } = await sandboxed();
  const { grant } = judge(await endpoint.refresh(request, false), Date.now());
  expect(grant).toMatchObject({ expiresIn: 3600, refreshToken: request.refreshToken });
});

describe("a missing answer of Webex", () => {
  test("is a timeout at the request's limit, after one request while a reader waits", async () => {
    const { sandbox, endpoint, request, received } = await sandboxed(LIMIT);
    sandbox.faults.add({ fault: "hang" });
    const timers = driveTimers(LIMIT);
    const answer = endpoint.refresh(request, false);
    await eventuallyTrue(() => received() === 1);
    timers.fire();
    expect(await answer).toEqual({ error: "timeout" });
    expect(received()).toBe(1);
  });

  test("is asked for once more in a sweep", async () => {
    const { sandbox, endpoint, request, received } = await sandboxed();
    sandbox.faults.add({ fault: "down", times: 1 });
    expect(judge(await endpoint.refresh(request, true), Date.now()).grant).toBeDefined();
    expect(received()).toBe(2);
  });

  test("is a network error when the connection breaks", async () => {
    const { sandbox, endpoint, request } = await sandboxed();
    sandbox.faults.add({ fault: "down" });
    expect(await endpoint.refresh(request, false)).toEqual({ error: "network" });
  });
});

test.each([429, 500, 503])("the Webex client does not repeat a request after status %i", async (status) => {
  const { url, seen } = await listening(() => ({ status, headers: { "retry-after": "1" } }));
  const answer = await webexEndpoint(url, HANG).refresh(
    { clientId: "c", clientSecret: "s", refreshToken: "r" },
    true,
  );
  expect(answer).toMatchObject({ status, retryAfter: "1" });
  expect(seen).toHaveLength(1);
});

test("the Webex client follows no redirect, which could carry secrets elsewhere", async () => {
  const other = await listening(() => ({ status: 200 }));
  const { url, seen } = await listening(() => ({ status: 307, headers: { location: other.url } }));
  const answer = await webexEndpoint(url, HANG).refresh(
    { clientId: "c", clientSecret: "s", refreshToken: "r" },
    true,
  );
  expect(judge(answer, Date.now())).toEqual({ refusal: { code: "http_307", permanent: false } });
  expect(seen).toHaveLength(1);
  expect(other.seen).toEqual([]);
});

test("the Webex client sends secrets in the body alone, unchanged", async () => {
  const { url, seen } = await listening(() => ({ status: 400 }));
  const clientSecret = "canary-secret &=+%20ü";
  const request = {
    clientId: "c",
    clientSecret,
    redirectUri: "https://a.example/callback",
    code: "x",
    verifier: "v",
  };
  await webexEndpoint(url, HANG).exchange(request);
  expect(seen.map(({ path }) => path)).toEqual(["/v1/access_token"]);
  expect(Object.fromEntries(new URLSearchParams(seen[0]?.body))).toEqual({
    grant_type: "authorization_code",
    client_id: "c",
    client_secret: clientSecret,
    code: "x",
    redirect_uri: "https://a.example/callback",
    code_verifier: "v",
  });
});
