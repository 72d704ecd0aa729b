import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import { judge } from "../../functions/core/grant.ts";
import { createSandbox } from "../../local/sandbox/server.ts";

const CLIENT = {
  clientId: "made-up-client",
  clientSecret: "canary-client-secret",
  redirectUris: ["http://127.0.0.1:8080/callback"],
  scopes: ["cjp:config_read"],
  orgId: "00000000-0000-4000-8000-000000000000",
  accessLifetime: 3600,
  refreshLifetime: 86_400,
};

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function sandboxed(patience?: number) {
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

/** Somebody who writes down what he is sent, and answers in his own way. */
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

test("a refresh token is refreshed at the sandbox's token endpoint", async () => {
  const { endpoint, request } = await sandboxed();
  const { grant } = judge(await endpoint.refresh(request, false), Date.now());
  expect(grant).toMatchObject({ expiresIn: 3600, refreshToken: request.refreshToken });
});

describe("an answer that does not come", () => {
  test("is given up after the patience, and sent once while a reader waits", async () => {
    const { sandbox, endpoint, request, received } = await sandboxed(150);
    sandbox.faults.add({ fault: "hang" });
    expect(await endpoint.refresh(request, false)).toEqual({ error: "timeout" });
    expect(received()).toBe(1);
  });

  test("is asked for once more where nobody waits", async () => {
    const { sandbox, endpoint, request, received } = await sandboxed();
    sandbox.faults.add({ fault: "down", times: 1 });
    expect(judge(await endpoint.refresh(request, true), Date.now()).grant).toBeDefined();
    expect(received()).toBe(2);
  });

  test("is the network's fault where the connection breaks", async () => {
    const { sandbox, endpoint, request } = await sandboxed();
    sandbox.faults.add({ fault: "down" });
    expect(await endpoint.refresh(request, false)).toEqual({ error: "network" });
  });
});

test.each([429, 500, 503])("an answer %i is not asked for again, however patient", async (status) => {
  const { url, seen } = await listening(() => ({ status, headers: { "retry-after": "1" } }));
  const answer = await webexEndpoint(url).refresh(
    { clientId: "c", clientSecret: "s", refreshToken: "r" },
    true,
  );
  expect(answer).toMatchObject({ status, retryAfter: "1" });
  expect(seen).toHaveLength(1);
});

test("a redirect is not followed: the secrets go nowhere else", async () => {
  const other = await listening(() => ({ status: 200 }));
  const { url, seen } = await listening(() => ({ status: 307, headers: { location: other.url } }));
  const answer = await webexEndpoint(url).refresh(
    { clientId: "c", clientSecret: "s", refreshToken: "r" },
    true,
  );
  expect(judge(answer, Date.now())).toEqual({ refusal: { code: "http_307", permanent: false } });
  expect(seen).toHaveLength(1);
  expect(other.seen).toEqual([]);
});

test("secrets travel in the body alone, each as it is", async () => {
  const { url, seen } = await listening(() => ({ status: 400 }));
  const clientSecret = "canary-secret &=+%20ü";
  const request = {
    clientId: "c",
    clientSecret,
    redirectUri: "https://a.example/callback",
    code: "x",
    verifier: "v",
  };
  await webexEndpoint(url).exchange(request);
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
