import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from "vitest";
import { webexFetch } from "../../docs/clients/webex-token.ts";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import { commandOf, EXAMPLE } from "../../local/docs/clients.ts";
import { INHERITED } from "../support/environment.ts";
import { described } from "../support/openapi.ts";
import { stopAll } from "../support/processes.ts";
import {
  type Deployed,
  deploy,
  newClient,
  PASSPHRASE,
  type Place,
  sampleDocument,
  sqlitePlace,
  startWebex,
  type Webex,
} from "./deployed.ts";

/** What `docs/clients.md` hands out, against the built functions and the API of the sandbox. */

let webex: Webex;
let place: Place;
let deployed: Deployed;
let lookup: string;
let people: string;

beforeAll(async () => {
  [webex, place] = await Promise.all([startWebex(), sqlitePlace()]);
  deployed = deploy(place, webex);
  people = `${webex.url}/people/me`;
  lookup = (await deployed.lookup((await deployed.refresher()).url)).url;
  await hold("example");
}, 60_000);
afterAll(stopAll);
afterAll(() => place?.documents.close());

/** Puts a token there that has six hours left. */
async function hold(name: string, changes: Record<string, string> = {}): Promise<string> {
  const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
  await deployed.put(name, { ...(await sampleDocument(webex, client, SIX_HOURS / SECOND)), ...changes });
  return client.clientId;
}
const SIX_HOURS = 6 * HOUR;
/** A token that Webex has ended before its time, in the store as if it lived. */
const ended = (name: string) => ({ accessToken: `canary-access-token-ended-of-${name}` });

describe("the commands", () => {
  const run = async (id: "curl" | "jds") => {
    const command = commandOf(id, { ...EXAMPLE, lookup });
    const env = { ...INHERITED, TOKEN_PASSPHRASE: PASSPHRASE, JDS_URL: people };
    const { stdout } = await promisify(execFile)("sh", ["-c", command], { env });
    return JSON.parse(stdout);
  };

  test("curl prints a token that Webex takes", async () => {
    expect(await webex.accepts((await run("curl")).token)).toBe(true);
  });

  test("that of JDS calls an API with the token", async () => {
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

  test("holds no secret, and marks those that a person enters as such", () => {
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

  test("sends the token along, beside what the caller sends", async () => {
    const call = helper("example");
    const response = await call(people, { headers: { accept: "application/json" } });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ displayName: "Sandbox Person" });
    expect(requests).toEqual({ asks: 1, calls: 1 });
  });

  test("asks once for all who call at once, and not again while the token lives", async () => {
    const call = helper("example");
    const crowd = () => Promise.all(Array.from({ length: 20 }, () => call(people)));
    for (const response of [...(await crowd()), ...(await crowd())]) expect(response.status).toBe(200);
    expect(requests).toEqual({ asks: 1, calls: 40 });
  });

  test("asks again a minute before the token's end, not sooner", async () => {
    await hold("timed");
    const call = helper("timed");
    const begun = Date.now();
    await call(people);
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

  test("gets a new token after a 401, once for all who were refused, and calls again", async () => {
    await hold("ended early", ended("the helper"));
    const call = helper("ended early");
    const responses = await Promise.all(Array.from({ length: 5 }, () => call(people)));
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(requests).toEqual({ asks: 2, calls: 10 });
  });

  test("hands the 401 on where there is no better token", async () => {
    const clientId = await hold("hopeless", ended("nobody"));
    await webex.fault({ fault: "down", clientId });
    const response = await helper("hopeless")(people);
    expect(response.status).toBe(401);
    expect(await response.json(), "nobody has read it before").toMatchObject({ errors: expect.any(Array) });
    expect(requests).toEqual({ asks: 2, calls: 1 });
  });

  test("hands the 401 on where the service can't be asked any more", async () => {
    await hold("away", ended("who is away"));
    vi.mocked(fetch).mockImplementation((input, init) => {
      const asks = String(input).startsWith(`${lookup}/`);
      if (asks && requests.asks++ > 0) return Promise.reject(new TypeError("fetch failed"));
      return realFetch(input, init);
    });
    expect((await helper("away")(people)).status).toBe(401);
    expect(requests.asks).toBe(2);
  });

  test("calls once more only: a second 401 is the answer", async () => {
    await hold("never", ended("never"));
    let calls = 0;
    const api = createServer((_, response) => response.writeHead(401).end(String(++calls)));
    await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void api.close());
    const { port } = api.address() as AddressInfo;
    const response = await helper("never")(`http://127.0.0.1:${port}/`);
    expect([response.status, await response.text()]).toEqual([401, "2"]);
    expect(requests.asks).toBe(2);
  });

  test("says why there is no token, and asks again at the next call", async () => {
    const call = helper("of nobody");
    await expect(call(people)).rejects.toThrow(/404.*of nobody/);
    await expect(call(people)).rejects.toThrow(/404.*of nobody/);
    expect(requests).toEqual({ asks: 2, calls: 0 });
    await expect(helper("example", "canary-wrong-passphrase")(people)).rejects.toThrow(/401/);
  });
});
