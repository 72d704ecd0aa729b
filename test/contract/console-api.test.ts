import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { SettingsError } from "../../functions/adapters/env.ts";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { ENDPOINTS } from "../../local/console/api.ts";
import { consent, until } from "../e2e/deployed.ts";
import { secretFinder } from "../support/canaries.ts";
import { enter, type HttpAnswer, ORG, openShop, type Shop, send, workingToken } from "../support/console.ts";
import { freshProject } from "../support/emulator.ts";
import { stopAll } from "../support/processes.ts";

/** The API of the operator's page over HTTP, with a real store and the sandbox. */

let shop: Shop;
let page: Awaited<ReturnType<typeof enter>>;
beforeAll(async () => {
  shop = await openShop({ service: true });
  page = await enter(shop);
});
afterAll(async () => {
  await shop.close();
  await stopAll();
});

let number = 0;
const newName = () => `token-${++number}`;

async function added(fields: Record<string, unknown> = {}, client = shop.client()) {
  const name = newName();
  await shop.put(name, { ...workingToken(shop, client), ...fields });
  return { name, client };
}

async function documentOf(name: string) {
  const token = await shop.store.read(name);
  if (token === undefined) throw new Error(`there is no token "${name}"`);
  return token.document;
}

const OWN = "m".repeat(43);

describe("no answer of the console's API contains a secret", () => {
  const find = secretFinder();
  const settings = { redirectUri: "http://127.0.0.1:1/callback", scopes: "cjp:config_read" };
  const secrets = { clientSecret: "canary-client-secret-typed", refreshToken: "canary-refresh-token-typed" };
  /** A valid and an invalid request of each kind. */
  const asks: Record<
    keyof typeof ENDPOINTS,
    (name: string) => [works: object | string, fails: object | string]
  > = {
    "GET about": () => ["", ""],
    "GET tokens": () => ["", "?since=nonsense"],
    "GET token": (name) => [`?name=${name}`, "?name=none"],
    "GET consent": () => ["?id=none", ""],
    "GET sandbox": () => ["", ""],
    "POST add": () => [
      { name: newName(), clientId: "C", ...settings, ...secrets },
      { ...secrets, name: "a/b" },
    ],
    "POST import": (name) => [
      { name, replace: true, ...secrets },
      { name, clientSecret: "canary two words", refreshToken: "canary ü" },
    ],
    "POST settings": (name) => [
      { name, ...secrets },
      { name, clientSecret: "canary two words" },
    ],
    "POST refresh": (name) => [{ name }, { name: "none" }],
    "POST passphrase": (name) => [
      { name, passphrase: OWN },
      { name, passphrase: "canary-passphrase-too-weak" },
    ],
    "POST passphrase/clear": (name) => [{ name }, {}],
    "POST remove": (name) => [
      { name, confirm: name },
      { name, confirm: "canary" },
    ],
    "POST authorize": (name) => [{ name }, { name, scopes: "," }],
    "POST authorize/paste": (name) => [
      { name, address: "http://127.0.0.1/?code=canary-code&state=canary-state" },
      { name, address: "canary-address" },
    ],
    "POST sandbox/fault": () => [{ fault: "same-token", seconds: 1 }, { fault: "canary" }],
    "POST sandbox/well": () => [{}, {}],
    "POST sandbox/revoke": (name) => [{ name }, {}],
    "POST sandbox/integration": () => [
      { clientId: "C", ...settings, ...secrets },
      { clientId: "C", clientSecret: "canary two words" },
    ],
    "POST sandbox/service-app": () => [
      { name: newName(), clientId: "A", ...secrets },
      { name: "a/b", clientId: "A", ...secrets },
    ],
  };

  test("all kinds of requests are listed", () => {
    expect(Object.keys(asks).sort()).toEqual(Object.keys(ENDPOINTS).sort());
  });

  test.each(Object.entries(asks))("%s", async (endpoint, inputs) => {
    const { name } = await added({ passphraseHash: sha256(OWN) });
    const [method, path = ""] = endpoint.split(" ");
    for (const input of inputs(name)) {
      const answer =
        method === "GET"
          ? await page.look(`${path}${input}`)
          : await page.order(path, Object(input) as object);
      expect([200, 409, 422]).toContain(answer.status);
      expect(find(visiblePart(endpoint, answer))).toEqual([]);
    }
  });

  /** The consent's address contains its state and challenge, which work for one consent. */
  function visiblePart(endpoint: string, { text, body }: HttpAnswer): string {
    if (endpoint !== "POST authorize" || body.url === undefined) return text;
    expect([...new URL(body.url).searchParams.keys()].sort()).toEqual(
      [
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
      ].sort(),
    );
    return JSON.stringify({ ...body, url: "" });
  }
});

describe("the console's overview", () => {
  test("has each token as the command line shows it, and only changes after that", async () => {
    const { name } = await added();
    const before = Date.now();
    const first = (await page.look("tokens")).body;
    const after = Date.now();
    expect(first.whole).toBe(true);
    const row = first.rows.find((one: { name: string }) => one.name === name);
    expect(row).toMatchObject({
      state: "working",
      threshold: 7_200_000,
      lifetime: 43_199_000,
      refreshes: true,
    });
    expect(row.cluster).toMatch(/^P/);
    expect(first.now).toBeGreaterThanOrEqual(before);
    expect(first.now).toBeLessThanOrEqual(after);

    const same = (await page.look(`tokens?since=${first.mark}`)).body;
    expect(same).toMatchObject({ whole: false, rows: [], gone: [] });
  });

  test("has a changed and a removed token at once", async () => {
    const [one, other] = [await added(), await added()];
    await page.order("sandbox/well");
    const { mark } = (await page.look("tokens")).body;
    await page.order("passphrase", { name: one.name, passphrase: OWN });
    await page.order("remove", { name: other.name, confirm: other.name });
    const next = (await page.look(`tokens?since=${mark}`)).body;
    expect(next.rows.map((row: { name: string }) => row.name)).toEqual([one.name]);
    expect(next.rows[0].ownPassphrase).toBe(true);
    expect(next.gone).toEqual([other.name]);
  });

  test("has all tokens for a mark of another console", async () => {
    const { body } = await page.look("tokens?since=another.5");
    expect(body.whole).toBe(true);
    expect(body.rows.length).toBeGreaterThan(0);
  });

  test("has the last sweeps", async () => {
    await until("a sweep", async () => (await page.look("tokens")).body.sweeps.last > 0);
  });
});

describe("adding a token in the console", () => {
  test("stores its settings, to be authorized next", async () => {
    const name = newName();
    const { clientId, clientSecret } = shop.client();
    const form = { name: ` ${name} `, clientId, clientSecret: `${clientSecret}\n`, scopes: "a, b a" };
    const answer = await page.order("add", form);
    expect(answer).toMatchObject({ status: 200, body: { well: true } });
    expect(await documentOf(name)).toEqual({
      clientId,
      clientSecret,
      redirectUri: `${shop.url}/callback`,
      scopes: "a b",
    });
    const { body } = await page.look(`token?name=${name}`);
    expect(body).toMatchObject({ row: { state: "not authorized" }, advice: { remedy: "authorize" } });
  });

  test("reports each invalid field, and stores nothing", async () => {
    const form = { name: "a/b", clientSecret: "canary two words", redirectUri: "ftp://x", scopes: "" };
    const { status, body } = await page.order("add", form);
    expect(status).toBe(422);
    expect(Object.keys(body.fields).sort()).toEqual([
      "clientId",
      "clientSecret",
      "name",
      "redirectUri",
      "scopes",
    ]);
    expect(JSON.stringify(body)).not.toContain("canary");
  });

  test("does not change an existing token", async () => {
    const { name } = await added();
    const before = await documentOf(name);
    const form = { name, clientId: "other", clientSecret: "canary-client-secret-other", scopes: "a" };
    expect(await page.order("add", form)).toMatchObject({
      status: 422,
      body: { fields: { name: expect.any(String) } },
    });
    expect(await documentOf(name)).toEqual(before);
  });
});

describe("a consent in the console", () => {
  const begin = async (name: string, more: object = {}) =>
    (await page.order("authorize", { name, ...more })).body;
  const result = async (id: string) => (await page.look(`consent?id=${id}`)).body;

  test("ends with a working token", async () => {
    const client = shop.client();
    const name = newName();
    await page.order("add", { name, ...client, scopes: "cjp:config_read" });
    const opened = await begin(name);
    expect(opened).toMatchObject({ comesBack: true });
    expect(await result(opened.consent)).toMatchObject({ state: "waiting" });
    await fetch(await consent(opened.url));
    await until("the tokens", async () => (await result(opened.consent)).state === "authorized");
    expect((await result(opened.consent)).text).toMatch(/is authorized: it lives 11h 59m/);
    expect((await page.look(`token?name=${name}`)).body.row.state).toBe("working");
  });

  test("that was refused gives the reason and the remedy", async () => {
    const { name } = await added();
    const opened = await begin(name);
    const state = new URL(opened.url).searchParams.get("state") ?? "";
    await fetch(`${shop.url}/callback?error=access_denied&state=${state}`);
    expect(await result(opened.consent)).toMatchObject({
      state: "failed",
      text: expect.stringMatching(/not allowed.*access_denied.*Begin again/),
    });
  });

  test("can be finished with the pasted address of the callback", async () => {
    const { name } = await added({ accessToken: undefined, refreshToken: undefined });
    const opened = await begin(name);
    const address = (await consent(opened.url)).href;
    const told = await page.order("authorize/paste", { name, address });
    expect(told).toMatchObject({ status: 200, body: { well: true } });
    expect((await documentOf(name)).refreshToken).toBeDefined();
    expect(await page.order("authorize/paste", { name, address })).toMatchObject({ status: 409 });
  });

  test("of an integration with a wrong secret names the settings to check", async () => {
    const { name } = await added({ clientSecret: "canary-client-secret-wrong" });
    const opened = await begin(name);
    await fetch(await consent(opened.url));
    await until("the verdict", async () => (await result(opened.consent)).state === "failed");
    expect((await result(opened.consent)).text).toMatch(/check its client id, secret and redirect URI/);
  });

  test("that the console did not start is unknown", async () => {
    expect(await result("made-up")).toMatchObject({ state: "failed" });
  });
});

describe("an action of the console on a token:", () => {
  test("a refresh gets a new access token and gives its life", async () => {
    const { name } = await added();
    const before = await documentOf(name);
    const { body } = await page.order("refresh", { name });
    expect(body).toMatchObject({
      well: true,
      text: expect.stringMatching(/^Token ".*" is refreshed: it lives 11h/),
    });
    expect((await documentOf(name)).accessToken).not.toBe(before.accessToken);
  });

  test("a refresh that Webex refuses gives the remedy, and works with the right secret", async () => {
    const { name, client } = await added({ clientSecret: "canary-client-secret-wrong" });
    const { body } = await page.order("refresh", { name });
    expect(body.well).toBe(false);
    expect(body.text).toMatch(
      /Webex refuses to refresh it \(\w+\)\. Authorize it again\. Where the client secret/,
    );
    expect((await page.look(`token?name=${name}`)).body.row.state).toBe("needs a person");

    const told = await page.order("settings", { name, clientSecret: client.clientSecret });
    expect(told.body.well).toBe(true);
    expect((await documentOf(name)).failure).toBeUndefined();
    expect((await page.order("refresh", { name })).body.well).toBe(true);
  });

  test("a refresh that fails transiently needs no remedy", async () => {
    const { name, client } = await added();
    shop.sandbox.faults.add({ fault: "500", clientId: client.clientId });
    const { body } = await page.order("refresh", { name });
    expect(body).toMatchObject({ well: false, text: expect.stringMatching(/keeps what it holds/) });
    const { advice } = (await page.look(`token?name=${name}`)).body;
    expect(advice.todo).toMatch(/^Nothing is to be done/);
    shop.sandbox.faults.clear();
  });

  test("an own passphrase must be strong, is stored as a hash, and can be removed", async () => {
    const { name } = await added();
    expect((await page.order("passphrase", { name, passphrase: "weak" })).status).toBe(422);
    expect((await page.order("passphrase", { name, passphrase: OWN })).body.well).toBe(true);
    expect((await documentOf(name)).passphraseHash).toBe(sha256(OWN));
    expect((await page.order("passphrase/clear", { name })).body.well).toBe(true);
    expect((await documentOf(name)).passphraseHash).toBeUndefined();
  });

  test("a removal needs the token's exact name", async () => {
    const { name } = await added();
    for (const confirm of ["", name.toUpperCase(), `${name}x`])
      expect((await page.order("remove", { name, confirm })).status).toBe(422);
    expect(await shop.store.read(name)).toBeDefined();
    expect((await page.order("remove", { name, confirm: name })).body.text).toContain("is removed");
    expect(await shop.store.read(name)).toBeUndefined();
  });

  test("tokens of a Service App are imported and refreshed at once", async () => {
    const client = shop.client({ redirectUris: [] });
    const { refresh_token: refreshToken } = shop.sandbox.authority.issue(client.clientId);
    const name = newName();
    const { clientId, clientSecret } = client;
    const { body } = await page.order("import", { name, clientId, clientSecret, refreshToken });
    expect(body).toMatchObject({ well: true, text: expect.stringContaining("is refreshed") });
    shop.sandbox.authority.revoke({ clientId });
    expect((await page.order("refresh", { name })).body.text).toMatch(/Make new tokens for the Service App/);
    expect((await page.look(`token?name=${name}`)).body.advice.remedy).toBe("import");
    const fresh = shop.sandbox.authority.issue(clientId).refresh_token;
    expect((await page.order("import", { name, refreshToken: fresh, replace: true })).body.well).toBe(true);
  });

  test("a Service App with a manager can be refreshed with no refresh token of its own", async () => {
    const manager = await added({}, shop.client({ scopes: ["spark:applications_token"] }));
    const { clientId, clientSecret } = shop.client({ redirectUris: [] });
    const applicationId = `application-${clientId}`;
    shop.sandbox.authority.registerApplication({ applicationId, clientId, authorizedBy: [ORG] });
    const name = newName();
    const serviceApp = { applicationId, targetOrg: ORG, manager: manager.name };
    await shop.put(name, { clientId, clientSecret, serviceApp });
    const before = (await page.look(`token?name=${name}`)).body;
    expect(before).toMatchObject({ serviceApp, row: { refreshes: true, manager: manager.name } });
    expect((await page.order("refresh", { name })).body).toMatchObject({ well: true });
  });

  test("a failure through a Service App's manager names that manager as the only remedy", async () => {
    const serviceApp = { applicationId: "none", targetOrg: ORG, manager: "nobody-here" };
    const lost = await added({
      serviceApp,
      redirectUri: undefined,
      refreshToken: "canary-refresh-token-dead",
    });
    const { body } = await page.order("refresh", { name: lost.name });
    expect(body.text).toMatch(/gives no tokens to its Service App \(app_manager_missing\).*"nobody-here"/);
    expect((await page.look(`token?name=${lost.name}`)).body.advice.remedy).toBeUndefined();

    const manager = await added({ accessExpires: Date.now() - 1000, refreshToken: undefined });
    const waits = await added({
      serviceApp: { ...serviceApp, manager: manager.name },
      refreshToken: "canary-refresh-token-dead",
    });
    await page.order("refresh", { name: waits.name });
    const { advice } = (await page.look(`token?name=${waits.name}`)).body;
    expect(advice.problem).toBe(`Its manager "${manager.name}" has no live token (app_manager_ended).`);
    expect(advice.todo).toContain(`See to "${manager.name}" first`);
  });

  test("an unknown name is refused with a similar one", async () => {
    const { name } = await added();
    const { status, body } = await page.order("refresh", { name: `${name}z` });
    expect(status).toBe(409);
    expect(body.message).toContain(`there is no token "${name}z"`);
  });
});

test("the console switches the sandbox's faults and creates its integrations", async () => {
  const broken = await page.order("sandbox/fault", { fault: "slow", seconds: 30 });
  expect(broken.body.text).toContain('now "slow"');
  const { faults, known } = (await page.look("sandbox")).body;
  expect(faults).toEqual([expect.objectContaining({ fault: "slow", remainingSeconds: expect.any(Number) })]);
  expect(known.length).toBeGreaterThan(20);
  await page.order("sandbox/well");
  expect((await page.look("sandbox")).body.faults).toEqual([]);
  expect((await page.order("sandbox/fault", { fault: "none" })).status).toBe(422);
  const { body } = await page.order("sandbox/integration", {
    clientId: "practice",
    clientSecret: "canary-client-secret-of-practice",
    redirectUri: "http://127.0.0.1/callback",
    scopes: "extra:scope",
  });
  expect(body.well).toBe(true);
  expect(shop.sandbox.authority.client("practice")?.scopes).toContain("extra:scope");
});

test("the console's overview opens no sealed values, and names one that cannot be opened", async () => {
  const sealed = "eyJhbGciOiJkaXIiLCJraWQiOiJvdGhlciJ9..aXYtY2FuYXJ5.dGV4dC1jYW5hcnk.dGFn";
  const { name } = await added({ refreshToken: sealed });
  const { row, advice } = (await page.look(`token?name=${name}`)).body;
  expect(row).toMatchObject({ state: "working", refreshes: true });
  expect(advice.problem).toMatch(/^Its refreshToken can't be read/);
  expect(advice.todo).toContain("SEAL_KEYS");
});

test("the console writes no secret before sealing is decided", async () => {
  const requireSealing = () => {
    throw new SettingsError("SEAL_KEYS is missing");
  };
  const unsaid = await openShop({ requireSealing });
  const { order } = await enter(unsaid);
  const answer = await order("add", { name: "sales", ...unsaid.client(), scopes: "a" });
  expect(answer).toMatchObject({ status: 409, body: { message: "SEAL_KEYS is missing" } });
  expect(await unsaid.store.read("sales")).toBeUndefined();
  await unsaid.close();
});

test("the console refuses a body that is too large or not JSON, and goes on", async () => {
  expect((await page.order("add", { name: "x".repeat(100_000) })).status).toBe(422);
  const { cookie } = page;
  const headers = {
    ...{ host: shop.host, cookie, origin: shop.origin },
    ...{ "sec-fetch-site": "same-origin", "content-type": "application/json" },
  };
  for (const body of ["", "{", "[]", "null", '"text"', '{"name":["a"]}'])
    expect((await send(shop.origin, "/api/refresh", { method: "POST", headers, body })).status, body).toBe(
      422,
    );
  expect((await page.look("about")).status).toBe(200);
});

test("a bug in the console shows no data to the page or the terminal", async () => {
  const broken = await openShop({ open: () => Promise.reject(new Error("canary-secret of a bug")) });
  const { look } = await enter(broken);
  const answer = await look("token?name=any");
  expect(answer.status).toBe(500);
  expect(answer.text).not.toContain("canary");
  expect(broken.bugs).toHaveLength(1);
  expect(broken.bugs.join()).not.toContain("canary");
  await broken.close();
});

const emulator = inject("firestoreEmulator");
describe.skipIf(emulator === undefined)("on Firestore", () => {
  test("the console lists, adds, changes and removes tokens", async () => {
    Object.assign(process.env, { FIRESTORE_EMULATOR_HOST: emulator });
    const documents = openFirestore({ project: freshProject(), database: "(default)" });
    const cloud = await openShop({ documents, metered: true });
    const { look, order } = await enter(cloud);
    expect((await look("tokens")).body.rows).toEqual([]);
    const client = cloud.client();
    expect((await order("add", { name: "sales", ...client, scopes: "a" })).body.well).toBe(true);
    await cloud.put("works", workingToken(cloud, client));
    expect((await order("refresh", { name: "works" })).body.well).toBe(true);
    const { rows } = (await look("tokens")).body;
    expect(rows.map((row: { name: string; state: string }) => [row.name, row.state])).toEqual([
      ["sales", "not authorized"],
      ["works", "working"],
    ]);
    expect((await order("passphrase", { name: "works", passphrase: OWN })).body.well).toBe(true);
    expect((await order("remove", { name: "sales", confirm: "sales" })).body.well).toBe(true);
    expect((await look("tokens")).body).toMatchObject({
      rows: [{ name: "works", ownPassphrase: true }],
      again: 5_000,
    });
    await cloud.close();
  });
});
