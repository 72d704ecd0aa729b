import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { type Running, startFunction, stopAll, temporaryFolder } from "../support/processes.ts";

const PASSPHRASE = "canary-passphrase-of-the-edge";
const SECRET = "canary-secret-in-a-body";
const TOKEN = "canary-live-token";

let lookup: Running;
beforeAll(async () => {
  const file = join(await temporaryFolder(), "tokens.db");
  const store = openSqlite(file, Date.now);
  await store.create("tokens", "t", {
    accessToken: TOKEN,
    accessExpires: Date.now() + 3_600_000,
    static: true,
  });
  await store.close();
  const env = { STORE: file, TOKEN_PASSPHRASE: PASSPHRASE, REFRESHER_URL: "http://127.0.0.1:1" };
  lookup = await startFunction("lookup", env);
});
afterAll(stopAll);

const headers = { "x-token-passphrase": PASSPHRASE };

/** A GET with a body, which fetch refuses to send. */
async function getWithBody(type: string): Promise<string> {
  const { request } = await import("node:http");
  return new Promise((resolve, reject) => {
    const url = `${lookup.url}/?name=t`;
    const sent = request(
      url,
      { method: "GET", headers: { ...headers, "content-type": type, "content-length": SECRET.length + 2 } },
      (response) => {
        let body = "";
        response.on("data", (chunk) => {
          body += chunk;
        });
        response.on("end", () => resolve(`${response.statusCode} ${body}`));
      },
    );
    sent.on("error", reject);
    sent.end(`"${SECRET}"`);
  });
}

describe("a request body", () => {
  test.each([
    "application/json",
    "application/json; charset=latin9",
    "application/x-www-form-urlencoded",
    "a/b",
  ])("of type %s does not keep lookup from answering a live token", async (type) => {
    expect(await getWithBody(type)).toBe(`200 {"status":"200","token":"${TOKEN}"}`);
  });

  test("that inflates a thousandfold is not inflated, and its POST gets lookup's own 405", async () => {
    const before = await rss();
    const response = await fetch(lookup.url, {
      method: "POST",
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
      body: gzipSync(Buffer.alloc(100_000_000, " ")),
    });
    expect(response.status).toBe(405);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toMatchObject({ status: "405", reference: expect.any(String) });
    expect((await rss()) - before).toBeLessThan(60_000);
  });

  test("is never in the log", () => {
    const output = lookup.output().join("\n");
    expect(output).not.toContain(SECRET);
    expect(output).not.toContain("    at ");
  });
});

test.each(["/%E0%A4%A", "/%", "//", "/a/../b", "/callback%00"])(
  "lookup answers a live token at the path %s",
  async (path) => {
    const response = await fetch(`${lookup.url}${path}?name=t`, { headers });
    expect(response.status).toBe(200);
  },
);

/** kB that the process holds in memory. */
async function rss(): Promise<number> {
  const { readFile } = await import("node:fs/promises");
  const status = await readFile(`/proc/${lookup.pid}/status`, "utf8").catch(() => "VmRSS: 0");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}
