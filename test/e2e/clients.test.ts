import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { webexFetch } from "../../docs/clients/webex-token.ts";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import { commandOf, EXAMPLE } from "../../local/docs/clients.ts";
import { INHERITED } from "../support/environment.ts";
import { described } from "../support/openapi.ts";
import { stopAll } from "../support/processes.ts";
import { newClient, PASSPHRASE, type Place, sampleDocument, sqlitePlace } from "./deployed.ts";
import { closeAll, type LocalWebex, listen, openWebex, serveOn } from "./in-process.ts";

/** The clients that `docs/clients.md` hands out, against the functions and the API of the sandbox. */

let webex: LocalWebex;
let place: Place;
let lookup: string;
let people: string;

beforeAll(async () => {
  [webex, place] = await Promise.all([openWebex(), sqlitePlace()]);
  const functions = serveOn(place, webex);
  people = `${webex.url}/people/me`;
  lookup = await functions.lookup(await functions.refresher());
  await hold("example");
});
afterAll(async () => {
  await closeAll();
  await stopAll();
});

/** Stores a token that has six hours left. */
async function hold(name: string, changes: Record<string, string> = {}): Promise<string> {
  const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
  const document = await sampleDocument(webex, client, SIX_HOURS / SECOND);
  await place.documents.create("tokens", name, { ...document, ...changes });
  return client.clientId;
}
const SIX_HOURS = 6 * HOUR;
/** An access token that Webex does not accept, stored as if it were live. */
const ended = (name: string) => ({ accessToken: `canary-access-token-ended-of-${name}` });

describe("the commands", () => {
  const run = async (id: "curl" | "jds") => {
    const command = commandOf(id, { ...EXAMPLE, lookup });
    const env = { ...INHERITED, TOKEN_PASSPHRASE: PASSPHRASE, JDS_URL: people };
    const { stdout } = await promisify(execFile)("sh", ["-c", command], { env });
    return JSON.parse(stdout);
  };

  test("curl prints a token that Webex accepts", async () => {
    expect(await webex.accepts((await run("curl")).token)).toBe(true);
  });

  test("the JDS command calls an API with the token", async () => {
    expect(await run("jds")).toMatchObject({ displayName: "Sandbox Person" });
  });
});

interface Pair {
  key: string;
  value: string;
  type?: string;
}
interface Item {
  name: string;
  request: {
    method: string;
    header: Pair[];
    auth: { type: string; basic?: Pair[] };
    url: { raw: string; host: string[]; path: string[]; query: Pair[] };
  };
}
const committed = (file: string) =>
  JSON.parse(readFileSync(path.resolve(import.meta.dirname, "../../docs", file), "utf8"));
const collection: { item: Item[]; variable: Pair[] } = committed("postman.json");
const environment: { values: Pair[] } = committed("postman-environment.json");

describe("the Postman collection", () => {
  beforeAll(() => hold("refused", ended("postman")));

  /** As Postman does, with the person's own values in place of what came with the files. */
  function filled(text: string, own: Record<string, string>): string {
    const known = [...collection.variable, ...environment.values].map(({ key, value }) => [key, value]);
    const values: Record<string, string> = { ...Object.fromEntries(known), ...own };
    return text.replace(/\{\{(\w+)\}\}/g, (_, key: string) => {
      const value = values[key];
      if (value === undefined) throw new Error(`nothing says what "${key}" is`);
      return value;
    });
  }

  function headersOf({ request: { header, auth } }: Item, own: Record<string, string>) {
    const headers = header.map(({ key, value }): [string, string] => [key, filled(value, own)]);
    if (auth.type === "noauth") return headers;
    const part = (key: string) => filled(auth.basic?.find((pair) => pair.key === key)?.value ?? "", own);
    const credentials = Buffer.from(`${part("username")}:${part("password")}`).toString("base64");
    return [...headers, ["authorization", `Basic ${credentials}`] as [string, string]];
  }

  test.for(collection.item)("$name", async (item) => {
    const isRejected = item.request.header.some(({ key }) => key === "x-token-rejected");
    const rejected = ended("postman").accessToken;
    const own = { baseUrl: lookup, passphrase: PASSPHRASE, ...(isRejected && { name: "refused", rejected }) };
    const { method, url } = item.request;
    const address = new URL(filled(url.raw, own));
    const parts = `${url.host.join(".")}/${url.path.join("/")}`;
    expect(`${filled(parts, own)}${address.search}`).toBe(address.href);
    expect(url.query.map(({ key, value }) => [key, filled(value, own)])).toEqual([...address.searchParams]);

    const response = await fetch(address, { method, headers: headersOf(item, own) });
    const { status, headers } = response;
    const text = await response.text();
    const answered = { of: "lookup", method, path: address.pathname, status, headers, text } as const;
    expect(described(answered)).toMatch(/ 200 application\/json$/);
    if (address.pathname === "/health") return;
    const { token } = JSON.parse(text);
    expect(token).not.toBe(rejected);
    expect(await webex.accepts(token)).toBe(true);
  });

  test("holds no secret, and marks the variables for secrets", () => {
    expect(environment.values).toEqual([
      { key: "passphrase", value: "", type: "secret", enabled: true },
      { key: "rejected", value: "", type: "secret", enabled: true },
    ]);
    expect(collection.variable.map(({ key }) => key)).toEqual(["baseUrl", "name"]);
  });
});

describe("the TypeScript helper", () => {
  /** Requests for a token, and calls of the API: they really go out. */
  let requests: { asks: number; calls: number };
  const realFetch = globalThis.fetch;
  beforeEach(() => {
    requests = { asks: 0, calls: 0 };
    vi.spyOn(globalThis, "fetch").mockImplementation((input, init) => {
      if (String(input).startsWith(`${lookup}/`)) requests.asks++;
      if (String(input).startsWith(people)) requests.calls++;
      return realFetch(input, init);
    });
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
  const helper = (name: string, passphrase = PASSPHRASE) => webexFetch(lookup, name, passphrase);

  test("sends the token beside the headers of the caller", async () => {
    const call = helper("example");
    const response = await call(people, { headers: { accept: "application/json" } });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ displayName: "Sandbox Person" });
    expect(requests).toEqual({ asks: 1, calls: 1 });
  });

  test("asks once for concurrent calls, and not again while the token lives", async () => {
    const call = helper("example");
    const crowd = () => Promise.all(Array.from({ length: 20 }, () => call(people)));
    for (const response of [...(await crowd()), ...(await crowd())]) expect(response.status).toBe(200);
    expect(requests).toEqual({ asks: 1, calls: 40 });
  });

  test("asks again in the last minute of the token's life, not sooner", async () => {
    await hold("timed");
    const call = helper("timed");
    const begun = Date.now();
    await call(people);
    /** Calls at an instant with so many ms of the token left, give or take how long the first call took. */
    const later = async (left: number) => {
      vi.useFakeTimers({ toFake: ["Date"], now: begun + SIX_HOURS - left });
      expect((await call(people)).status).toBe(200);
      vi.useRealTimers();
    };
    await later(120 * SECOND);
    expect(requests.asks).toBe(1);
    await later(30 * SECOND);
    expect(requests.asks).toBe(2);
  });

  test("gets one new token for concurrent calls that got a 401, and repeats them", async () => {
    await hold("ended early", ended("the helper"));
    const call = helper("ended early");
    const responses = await Promise.all(Array.from({ length: 5 }, () => call(people)));
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(requests).toEqual({ asks: 2, calls: 10 });
  });

  test("passes the 401 on if lookup has no better token", async () => {
    const clientId = await hold("hopeless", ended("nobody"));
    await webex.fault({ fault: "down", clientId });
    const response = await helper("hopeless")(people);
    expect(response.status).toBe(401);
    expect(await response.json(), "nobody has read it before").toMatchObject({ errors: expect.any(Array) });
    expect(requests).toEqual({ asks: 2, calls: 1 });
  });

  test("passes the 401 on if lookup no longer answers", async () => {
    await hold("away", ended("who is away"));
    vi.mocked(fetch).mockImplementation((input, init) => {
      const asks = String(input).startsWith(`${lookup}/`);
      if (asks && requests.asks++ > 0) return Promise.reject(new TypeError("fetch failed"));
      return realFetch(input, init);
    });
    expect((await helper("away")(people)).status).toBe(401);
    expect(requests.asks).toBe(2);
  });

  test("repeats a call once, and passes a second 401 on", async () => {
    await hold("never", ended("never"));
    let calls = 0;
    const api = await listen((_, response) => void response.writeHead(401).end(String(++calls)));
    const response = await helper("never")(api);
    expect([response.status, await response.text()]).toEqual([401, "2"]);
    expect(requests.asks).toBe(2);
  });

  test("throws the reason why there is no token, and asks again at the next call", async () => {
    const call = helper("of nobody");
    await expect(call(people)).rejects.toThrow(/404.*of nobody/);
    await expect(call(people)).rejects.toThrow(/404.*of nobody/);
    expect(requests).toEqual({ asks: 2, calls: 0 });
    await expect(helper("example", "canary-wrong-passphrase")(people)).rejects.toThrow(/401/);
  });
});
