import { once } from "node:events";
import { connect } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Running, startFunction, stopAll, temporaryFolder } from "../support/processes.ts";
import { expectStrict, type Seen } from "../support/strict-page.ts";

/** Pages of the built setup function, and of the framework that runs it. */

let setup: Running;
beforeAll(async () => {
  setup = await startFunction("setup", {
    STORE: path.join(await temporaryFolder(), "store.db"),
    TOKEN_PASSPHRASE: "canary-passphrase-of-the-flow",
    WEBEX_URL: "http://127.0.0.1:1/v1",
  });
});
afterAll(stopAll);

/** Sends one request unchanged, and parses the whole answer. */
async function raw(text: string): Promise<Seen> {
  const socket = connect(setup.port, "127.0.0.1").setEncoding("utf8");
  socket.write(text);
  let all = "";
  socket.on("data", (chunk) => {
    all += chunk;
  });
  await once(socket, "close");
  const [head = "", ...body] = all.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(":")).toLowerCase(),
      line.slice(line.indexOf(":") + 1).trim(),
    ]),
  );
  return { status: Number(first.split(" ")[1]), headers, text: body.join("\r\n\r\n") };
}

test.each([
  "GET /callback?error=<script>alert(1)</script>",
  "GET /callback?error=%3Cscript%3Ealert(1)%3C/script%3E",
  "GET /callback",
  "GET /callback?%",
  "GET /callback/?error=<script>",
  "GET //callback?error=<script>",
  "GET /callback%00?error=<script>",
  "GET /callback;<script>?error=x",
  "GET /x/../callback?error=<script>",
  "GET /<script>alert(1)</script>",
  "GET /%3Cscript%3E",
  "GET /%",
  "GET /",
  "GET /favicon.ico?<script>",
  "GET http://evil.example/<script>",
  "GET http://evil.example/callback?error=<script>",
  `GET /callback?error=${"x".repeat(20_000)}`,
  "POST /callback?error=<script>",
  "TRACE /callback?error=<script>",
  "OPTIONS /callback?error=<script>",
  "OPTIONS *",
  "OPTIONS /<script>",
  "PROPFIND /<script>",
  "NONSENSE /<script>",
])("setup answers %s with a strict page or no HTML", async (line) => {
  const request = `${line} HTTP/1.1\r\nhost: x\r\naccept: text/html\r\nconnection: close\r\n\r\n`;
  const answer = await raw(request);
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  expect(answer.text).not.toMatch(/<script/i);
  expect(answer.headers).not.toHaveProperty("x-powered-by");
  const type = answer.headers["content-type"];
  if (String(type).includes("html")) expectStrict(answer);
  else if (answer.text !== "") expect(type).toBe("application/json; charset=utf-8");
});
