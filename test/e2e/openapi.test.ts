import { DatabaseSync } from "node:sqlite";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { serve } from "../../functions/adapters/http.ts";
import { runtime } from "../../functions/adapters/runtime.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import type { RawFields } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { setupProblem } from "../../functions/core/setup.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { type Answered, allDescribed, described, description } from "../support/openapi.ts";
import { stopAll } from "../support/processes.ts";
import {
  ageingDocument,
  consent,
  newClient,
  PASSPHRASE,
  type Place,
  sampleDocument,
  sqlitePlace,
} from "./deployed.ts";
import { closeAll, type LocalWebex, listen, openWebex, serveOn } from "./in-process.ts";

/** `docs/openapi.json` against the answers of the functions: each answer that it describes, and no other. */

let webex: LocalWebex;
let place: Place;
let urls: Record<"lookup" | "withCors" | "asSample" | "refresher" | "setup" | "buggy", string>;

/** A function with a bug: no request finds one in the real ones. */
const bug = () => {
  throw new Error("a bug");
};

beforeAll(async () => {
  [webex, place] = await Promise.all([openWebex(), sqlitePlace()]);
  const functions = serveOn(place, webex);
  const [refresher, setup] = [await functions.refresher(), await functions.setup()];
  urls = {
    refresher,
    setup,
    lookup: await functions.lookup(refresher, { SETUP_URL: setup }),
    withCors: await functions.lookup(refresher, { CORS_ORIGINS: ORIGIN }),
    asSample: await functions.lookup(refresher, { COMPAT: "sample" }),
    buggy: await listen(serve({ handle: bug, tell: setupProblem, log: () => undefined })),
  };
});
afterAll(async () => {
  await closeAll();
  await stopAll();
});

const put = async (name: string, fields: RawFields) =>
  void (await place.documents.create("tokens", name, fields));
/** Sets fields, as an operator does in the console. */
async function type(name: string, fields: RawFields): Promise<void> {
  const found = await place.documents.read("tokens", name);
  await place.documents.update("tokens", name, fields, found?.version ?? "");
}

const ORIGIN = "https://pages.example";
const JSON_OR_PAGE = ["application/json", "text/html"];
const seen = new Set<string>();

interface Sent {
  at?: keyof typeof urls;
  method?: string;
  headers?: Record<string, string>;
}

/** Sends a request with the passphrase, and checks the answer against the description. */
async function send(
  of: Answered["of"],
  target: string,
  { at = of, method = "GET", headers = {} }: Sent = {},
) {
  const url = new URL(target, urls[at]);
  const response = await fetch(url, {
    method,
    redirect: "manual",
    headers: { "x-token-passphrase": PASSPHRASE, ...headers },
  });
  const { status } = response;
  const answered = {
    of,
    method,
    path: url.pathname,
    status,
    headers: response.headers,
    text: await response.text(),
  };
  seen.add(described(answered));
  return answered;
}

const client = () => webex.register(newClient(`${urls.setup}/callback`));

/** The store answers with errors until the test is over. */
function takeStoreDown(): void {
  const database = new DatabaseSync(place.env.STORE ?? "", { timeout: 5_000 });
  database.exec("ALTER TABLE documents RENAME TO elsewhere");
  onTestFinished(() => {
    database.exec("ALTER TABLE elsewhere RENAME TO documents");
    database.close();
  });
}

test("docs/openapi.json is valid by the schema of OpenAPI 3.1", async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(description));
  expect(errors).toBeUndefined();
  expect(valid).toBe(true);
});

describe("lookup answers as described", () => {
  beforeAll(async () => {
    await put("held", await sampleDocument(webex, await client(), 6 * 60 * 60));
    await put("unauthorized", { clientId: "", clientSecret: "", redirectUri: "" });
    const ended = await sampleDocument(webex, await client(), -60);
    await put("ended", ended);
    await webex.fault({ fault: "down", clientId: ended.clientId });
  });

  test.for<[status: number, target: string, sent?: Sent]>([
    [200, "/?name=held"],
    [200, "/any/path?name=held"],
    [200, "/?name=held&details=true&minTtl=600&wait=1"],
    [200, "/?name=held", { headers: { "x-token-rejected": "canary-token-of-another-day" } }],
    [200, "/?name=held", { at: "withCors", headers: { origin: ORIGIN } }],
    [200, "/?name=held", { at: "asSample" }],
    [400, "/"],
    [400, "/?name=a&name=b"],
    [400, "/?name=held&wait=21"],
    [401, "/?name=held", { headers: { "x-token-passphrase": "canary-wrong-passphrase" } }],
    [401, "/?name=held", { headers: { "x-token-passphrase": "" }, at: "withCors" }],
    [404, "/?name=nobody"],
    [409, "/?name=unauthorized"],
    [500, "/?name=held", { at: "buggy" }],
    [500, "/?name=nobody", { at: "asSample" }],
    [503, "/?name=ended&wait=0"],
  ])("with %i to %s", async ([status, target, sent]) => {
    expect(await send("lookup", target, sent)).toMatchObject({ status });
    expect(await send("lookup", target, { ...sent, method: "HEAD" })).toMatchObject({ status, text: "" });
  });

  test("with the rejected token, marked as unchanged", async () => {
    const { clientId, ...document } = await ageingDocument(webex, await client());
    await put("rejected", { ...document, clientId });
    await webex.fault({ fault: "same-token", clientId });
    const headers = { "x-token-rejected": document.accessToken };
    const answer = await send("lookup", "/?name=rejected", { headers });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-token-unchanged")).toBe("true");
  });

  test("to health checks, preflights and other methods", async () => {
    for (const method of ["GET", "HEAD"])
      expect((await send("lookup", "/health", { method })).status).toBe(200);
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"])
      expect((await send("lookup", "/?name=held", { method })).status).toBe(405);
    for (const at of ["withCors", "asSample"] as const)
      expect((await send("lookup", "/?name=held", { method: "OPTIONS", at })).status).toBe(204);
  });

  test("to the paths of setup", async () => {
    for (const target of ["/init?name=x", "/callback?code=x&state=y"]) {
      expect((await send("lookup", target)).status).toBe(307);
      expect((await send("lookup", target, { at: "withCors" })).status).toBe(404);
    }
    const post = { method: "POST" };
    expect((await send("lookup", "/init?name=x", post)).status).toBe(307);
    expect((await send("lookup", "/init?name=x", { ...post, at: "withCors" })).status).toBe(404);
  });
});

describe("setup answers as described", () => {
  test.for(["GET", "POST"])("to %s /init", async (method) => {
    const init = (target: string, sent: Sent = {}) => send("setup", target, { method, ...sent });
    expect((await init(`/init?name=by ${method}`)).status).toBe(200);
    await type(`by ${method}`, { clientId: "C" });
    expect((await init(`/init?name=by ${method}`)).status).toBe(409);
    expect((await init("/init")).status).toBe(400);
    expect((await init("/init?name=x", { headers: { "x-token-passphrase": "" } })).status).toBe(401);
    expect((await init("/init?name=x", { at: "buggy" })).status).toBe(500);
    expect((await send("setup", "/init?name=x", { method: "PUT" })).status).toBe(405);
    takeStoreDown();
    expect((await init("/init?name=x")).status).toBe(503);
  });

  /** A person's address of consent for a new token. */
  async function authorize(name: string): Promise<URL> {
    const { clientId, clientSecret, redirectUris } = await client();
    const [redirectUri = ""] = redirectUris;
    await put(name, { clientId, clientSecret, redirectUri, scopes: "cjp:config_read" });
    const store = tokenStore(place.documents, runtime.now);
    const token = await store.read(name);
    if (token === undefined) throw new Error("it was just made");
    return startAuthorization(token, { webexUrl: webex.url, pkce: true, newOrg: false }, { store, runtime });
  }
  /** The path that the browser comes back to. */
  const comeBack = async (name: string) => {
    const { pathname, search } = await consent(await authorize(name));
    return `${pathname}${search}`;
  };

  test.for(JSON_OR_PAGE)("to /callback with accept: %s", async (accept) => {
    const come = (target: string, sent: Sent = {}) => send("setup", target, { headers: { accept }, ...sent });
    expect((await come(await comeBack(`good ${accept.length}`))).status).toBe(200);
    expect((await come("/callback?error=access_denied")).status).toBe(400);
    expect((await come("/callback?code=a&state=b", { method: "POST" })).status).toBe(405);
    expect((await come("/callback?code=a&state=b", { at: "buggy" })).status).toBe(500);

    const removed = await comeBack(`removed ${accept.length}`);
    await place.documents.remove("tokens", `removed ${accept.length}`);
    expect((await come(removed)).status).toBe(404);

    const emptied = await comeBack(`emptied ${accept.length}`);
    await type(`emptied ${accept.length}`, { clientSecret: "" });
    expect((await come(emptied)).status).toBe(409);

    takeStoreDown();
    expect((await come("/callback?code=a&state=b")).status).toBe(503);
  });
});

describe("the refresher answers as described", () => {
  const post = (target: string, at?: keyof typeof urls) =>
    send("refresher", target, { method: "POST", ...(at && { at }) });

  test("to a sweep, a census, and a refresh of one token", async () => {
    await put("due", await ageingDocument(webex, await client()));
    await put("leased", {
      ...(await ageingDocument(webex, await client())),
      lease: { id: "of another", expires: Date.now() + 25_000 },
    });
    const rejected = sha256("canary-rejected-token");
    const outcomes = await Promise.all(
      ["missing", "fresh", "leased", "refreshed"].map(async (outcome) => {
        const name = { missing: "nobody", fresh: "held", refreshed: "due" }[outcome] ?? outcome;
        return JSON.parse((await post(`/?name=${name}&ifToken=${rejected}&minTtl=60`)).text).outcome;
      }),
    );
    expect(outcomes).toEqual(["missing", "fresh", "leased", "refreshed"]);
    const failed = await ageingDocument(webex, await client());
    await put("refused", { ...failed, refreshToken: "canary-refresh-token-of-nobody" });
    expect(JSON.parse((await post("/?name=refused")).text)).toMatchObject({
      outcome: "failed",
      permanent: true,
    });
    expect(JSON.parse((await post("/?name=refused")).text)).toMatchObject({ outcome: "deferred" });
    expect(JSON.parse((await post("/")).text)).toMatchObject({ due: 1, deferred: 1 });
    expect(JSON.parse((await post("/census")).text).states["needs a person"]).toBeGreaterThan(0);
  });

  test("to wrong requests, with a bug, and without a store", async () => {
    expect((await post("/?name=a/b")).status).toBe(400);
    for (const target of ["/", "/census"]) {
      expect((await send("refresher", target)).status).toBe(405);
      expect((await post(target, "buggy")).status).toBe(500);
    }
    takeStoreDown();
    for (const target of ["/", "/census"]) expect((await post(target)).status).toBe(503);
  });
});

test("the tests above got each described answer", () => {
  expect(allDescribed().filter((answer) => !seen.has(answer))).toEqual([]);
});

describe("the check rejects an answer with", () => {
  const HELD: Answered = {
    of: "lookup",
    method: "GET",
    path: "/",
    status: 200,
    headers: new Headers({
      "content-type": "application/json; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-token-expires-in": "60",
    }),
    text: '{"status":"200","token":"canary-token"}',
  };
  const headers = (name: string, value?: string) => {
    const changed = new Headers(HELD.headers);
    if (value === undefined) changed.delete(name);
    else changed.set(name, value);
    return { headers: changed };
  };

  test.for<[string, Partial<Answered>]>([
    ["another status", { status: 418 }],
    ["one of another function", { of: "setup" }],
    ["another method", { method: "PATCH" }],
    ["a member more", { text: '{"status":"200","token":"canary-token","refreshToken":"canary"}' }],
    ["a member less", { text: '{"status":"200"}' }],
    ["a status of another kind", { text: '{"status":200,"token":"canary-token"}' }],
    ["a header less", headers("x-token-expires-in")],
    ["a header more", headers("x-token-refresh", "canary")],
    ["a header that says something else", headers("cache-control", "public")],
    ["a page in place of JSON", headers("content-type", "text/html")],
    ["a body for HEAD", { method: "HEAD" }],
  ])("%s", ([, changes]) => {
    expect(described(HELD)).toBe("lookup GET / 200 application/json");
    expect(() => described({ ...HELD, ...changes })).toThrow();
  });
});
