import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { enter, openShop, type Shop, send, workingToken } from "../support/console.ts";
import { stopAll } from "../support/processes.ts";

/** Who is let in to the operator's page, and who is not. */

let shop: Shop;
let cookie: string;
beforeAll(async () => {
  shop = await openShop();
  await shop.put("sales", workingToken(shop, shop.client()));
  ({ cookie } = await enter(shop));
});
afterAll(async () => {
  await shop.close();
  await stopAll();
});

const get = (target: string, headers: Record<string, string> = {}, method = "GET") =>
  send(shop.origin, target, { method, headers: { host: shop.host, ...headers } });

describe("the key", () => {
  test("opens the page once, and becomes a cookie that neither scripts nor other sites get", async () => {
    const other = await openShop();
    const open = () => send(other.origin, `/?key=${other.key}`, { headers: { host: other.host } });
    const first = await open();
    expect(first.status).toBe(303);
    expect(first.headers.location).toBe("/");
    const [set = ""] = first.headers["set-cookie"] ?? [];
    expect(set).toMatch(/^console-\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(set).not.toContain(other.key);
    const page = await send(other.origin, "/", {
      headers: { host: other.host, cookie: set.split(";")[0] ?? "" },
    });
    expect(page.status).toBe(200);
    expect(page.headers["content-type"]).toContain("text/html");

    const second = await open();
    expect(second.status).toBe(403);
    expect(second.headers["set-cookie"]).toBeUndefined();
    expect(second.text).toContain("npm run console");
    await other.close();
  });

  test("is not used up by a browser that looks ahead, nor by a program that asks for the head alone", async () => {
    const other = await openShop();
    const ahead = { host: other.host, "sec-purpose": "prefetch;prerender" };
    expect((await send(other.origin, `/?key=${other.key}`, { headers: ahead })).headers["set-cookie"]).toBe(
      undefined,
    );
    const head = await send(other.origin, `/?key=${other.key}`, {
      method: "HEAD",
      headers: { host: other.host },
    });
    expect(head.headers["set-cookie"]).toBeUndefined();
    expect((await enter(other)).cookie).toMatch(/^console-\d+=[\w-]{43}$/);
    await other.close();
  });

  test.each(["", "x", "%00", "../"])("%j is not the key", async (key) => {
    const answer = await get(`/?key=${key}`);
    expect(answer.status).toBe(403);
    expect(answer.headers["set-cookie"]).toBeUndefined();
  });

  test("in a page that was opened already leads to that page", async () => {
    const answer = await get(`/?key=${shop.key}`, { cookie });
    expect(answer).toMatchObject({ status: 303, headers: { location: "/" } });
  });
});

describe("without the cookie", () => {
  test.each(["/", "/page.js", "/page.css", "/icon.svg"])("%s is not served", async (target) => {
    const answer = await get(target);
    expect(answer.status).toBe(401);
    expect(answer.text).toContain("npm run console");
  });

  test("or with one that is another's, nothing is told and nothing is done", async () => {
    const name = cookie.split("=")[0];
    for (const wrong of [
      undefined,
      `${name}=`,
      `${name}=${"x".repeat(43)}`,
      `other=${cookie.split("=")[1]}`,
    ]) {
      const headers = { "sec-fetch-site": "same-origin", ...(wrong !== undefined && { cookie: wrong }) };
      const answer = await get("/api/tokens", headers);
      expect(answer.status).toBe(401);
      expect(answer.text).not.toContain("sales");
      const origin = { ...headers, origin: shop.origin, "content-type": "application/json", host: shop.host };
      const body = JSON.stringify({ name: "sales", confirm: "sales" });
      const removed = await send(shop.origin, "/api/remove", { method: "POST", headers: origin, body });
      expect(removed.status).toBe(401);
    }
    expect(await shop.store.read("sales")).toBeDefined();
  });
});

describe("with the cookie, as a hostile page would use it", () => {
  test.each([
    ["another host", () => ({ host: "evil.example" })],
    ["another host and our port", () => ({ host: shop.host.replace("127.0.0.1", "evil.example") })],
    ["localhost", () => ({ host: shop.host.replace("127.0.0.1", "localhost") })],
    ["no port", () => ({ host: "127.0.0.1" })],
    ["another port", () => ({ host: "127.0.0.1:1" })],
  ])("%s in the address is refused everywhere", async (_, headers) => {
    for (const target of ["/", "/page.js", `/?key=${shop.key}`, "/api/tokens"]) {
      const answer = await get(target, { cookie, "sec-fetch-site": "same-origin", ...headers() });
      expect(answer.status, target).toBe(403);
      expect(answer.text).not.toContain("sales");
    }
  });

  test.each(["cross-site", "same-site", "Same-Origin", ""])(
    "a request that is %j is refused",
    async (site) => {
      for (const target of ["/", "/page.js", "/api/tokens"])
        expect((await get(target, { cookie, "sec-fetch-site": site })).status, target).toBe(403);
    },
  );

  test("a person may type the page's address, but nobody an address of its API", async () => {
    expect((await get("/", { cookie, "sec-fetch-site": "none" })).status).toBe(200);
    expect((await get("/", { cookie })).status).toBe(200);
    expect((await get("/api/tokens", { cookie, "sec-fetch-site": "none" })).status).toBe(403);
    expect((await get("/api/tokens", { cookie })).status).toBe(403);
    for (const disguised of ["/x/../api/tokens", "//x/api/tokens", "/./api/tokens", "http://x/api/tokens"])
      expect((await get(disguised, { cookie, "sec-fetch-site": "none" })).status, disguised).toBe(403);
  });

  test.each([
    ["of another site", "http://evil.example"],
    ["of another port of this machine", "http://127.0.0.1:1"],
    ["of localhost", () => shop.origin.replace("127.0.0.1", "localhost")],
    ["that is null", "null"],
    ["that is absent", undefined],
  ])("an order with an origin %s changes nothing", async (_, origin) => {
    const value = typeof origin === "function" ? origin() : origin;
    const headers = {
      host: shop.host,
      cookie,
      "sec-fetch-site": "same-origin",
      "content-type": "application/json",
      ...(value !== undefined && { origin: value }),
    };
    const body = JSON.stringify({ name: "sales", confirm: "sales" });
    expect((await send(shop.origin, "/api/remove", { method: "POST", headers, body })).status).toBe(403);
    expect(await shop.store.read("sales")).toBeDefined();
  });

  test("a look with a foreign origin is refused too", async () => {
    const headers = { cookie, "sec-fetch-site": "same-origin", origin: "http://evil.example" };
    expect((await get("/api/tokens", headers)).status).toBe(403);
  });

  test("a form can't give an order: only JSON is one", async () => {
    const headers = {
      host: shop.host,
      cookie,
      "sec-fetch-site": "same-origin",
      origin: shop.origin,
      "content-type": "application/x-www-form-urlencoded",
    };
    const answer = await send(shop.origin, "/api/remove", {
      method: "POST",
      headers,
      body: "name=sales&confirm=sales",
    });
    expect(answer.status).toBe(422);
    expect(await shop.store.read("sales")).toBeDefined();
  });
});

describe("every answer", () => {
  const kinds: [string, () => Promise<{ headers: Record<string, unknown> }>][] = [
    ["the page", () => get("/", { cookie })],
    ["its script", () => get("/page.js", { cookie })],
    ["data", () => get("/api/tokens", { cookie, "sec-fetch-site": "same-origin" })],
    ["a refusal", () => get("/api/tokens")],
    ["the way in", () => get(`/?key=${shop.key}`, { cookie })],
    ["nothing", () => get("/nothing", { cookie })],
  ];
  test.each(kinds)("(%s) forbids what the page does not need", async (_, ask) => {
    const { headers } = await ask();
    const policy = String(headers["content-security-policy"]);
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      "img-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ])
      expect(policy.split("; ")).toContain(part);
    expect(policy).not.toMatch(/unsafe|\*|http/);
    expect(headers).toMatchObject({
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
    });
    for (const name of Object.keys(headers)) expect(name).not.toMatch(/^access-control/);
  });

  test("is served from this very console: no address of another place is in the page but of links", async () => {
    const texts = await Promise.all(["/", "/page.css", "/page.js"].map((target) => get(target, { cookie })));
    const hosts = texts.flatMap(({ text }) => text.match(/https?:\/\/[\w.-]*/g) ?? []);
    const known = ["http://www.w3.org", "https://developer.webex.com", "https://LOOKUP", "https://"];
    expect(hosts.filter((host) => !known.includes(host))).toEqual([]);
  });
});

test("only the page's own paths and methods are there", async () => {
  expect((await get("/../package.json", { cookie })).status).toBe(404);
  expect((await get("/page/main.tsx", { cookie })).status).toBe(404);
  const own = { cookie, "sec-fetch-site": "same-origin", origin: shop.origin };
  expect((await get("/", own, "DELETE")).status).toBe(405);
  expect((await get("/api/toString", own)).status).toBe(404);
  expect((await get("/api/remove", own)).status).toBe(404);
  expect((await get("/api/tokens", own, "PUT")).status).toBe(404);
});
