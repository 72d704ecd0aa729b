import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { secretFinder } from "../support/canaries.ts";
import { describeLeak, leaksIn } from "../support/leaks.ts";

/** The check at the end of a test run, which looks for secrets in all that was printed. */

const SECRET = 'canary-client-secret "&=+%20ü';
const find = secretFinder();
const base64 = (text: string) => Buffer.from(text).toString("base64");
const base64url = (text: string) => Buffer.from(text).toString("base64url");

const DISGUISES: [string, (secret: string) => string][] = [
  ["as it is", (secret) => secret],
  ["in JSON", (secret) => JSON.stringify({ message: secret })],
  ["in JSON in JSON", (secret) => JSON.stringify({ body: JSON.stringify({ secret }) })],
  ["in JSON with every letter escaped", (secret) => `"${secret.replace(/./g, escape16)}"`],
  ["in a URL", (secret) => `GET /callback?code=${encodeURIComponent(secret)}&state=x`],
  [
    "in a URL with every letter escaped",
    (secret) => `code=${Buffer.from(secret).toString("hex").replace(/../g, "%$&")}`,
  ],
  ["in a form", (secret) => `${new URLSearchParams({ client_secret: secret })}`],
  ["in base64", (secret) => `{"data":"${base64(secret)}"}`],
  ["in base64url", (secret) => `state=${base64url(secret)}.`],
  ["in base64 in a URL", (secret) => `q=${encodeURIComponent(base64(secret))}`],
  ["as a password", (secret) => `authorization: Basic ${base64(`flow:${secret}`)}`],
  ["in base64 after a path", (secret) => `/some/path/${base64url(secret)}`],
  ["in an error's stack", (secret) => `Error: can't take ${secret}\n    at made (up.ts:1:1)`],
];

function escape16(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** One in 1,500 has no digit, and is taken for a name. */
function typical(): string {
  const secret = runtime.secret();
  return /\d/.test(secret) ? secret : typical();
}

test.each(DISGUISES)("a marked secret is found %s", (_, disguise) => {
  expect(find(disguise(SECRET))).toEqual(["a planted client-secret"]);
});

test.each(DISGUISES)("a secret that was only planted is found %s", (_, disguise) => {
  const value = 'S3same, open "&=+%20ü';
  expect(find(disguise(value))).toEqual([]);
  expect(secretFinder(new Map([[value, "passphrase"]]))(disguise(value))).toEqual(["a planted passphrase"]);
});

describe("by its shape alone is known", () => {
  const sandbox = createSandbox({ file: ":memory:" });
  const client = {
    clientId: "C",
    clientSecret: "canary",
    redirectUris: ["http://127.0.0.1/"],
    scopes: ["a"],
    orgId: "11111111-2222-3333-4444-555555555555",
    accessLifetime: 60,
    refreshLifetime: 60,
  };
  sandbox.authority.registerClient(client);
  const { access_token, refresh_token } = sandbox.authority.issue("C");
  const id = sandbox.authority.ask({
    clientId: "C",
    redirectUri: "http://127.0.0.1/",
    scope: "a",
    state: "s",
  });
  const code = sandbox.authority.answer(id, true)?.code ?? "";
  const key = JSON.stringify({ kty: "oct", k: typical() });

  const made: [string, string, RegExp][] = [
    ["an access token of the sandbox", access_token, /Webex token/],
    ["a refresh token of the sandbox", refresh_token, /Webex token/],
    ["the beginning of a token of the sandbox", refresh_token.slice(0, 16), /beginning of a Webex token/],
    ["a code of the sandbox", code, /authorization code/],
    ["a state, verifier, lease or passphrase", typical(), /random secret/],
    ["a sealing key", key, /random secret/],
    [
      "an identity token",
      `${base64url('{"alg":"RS256"}')}.${base64url('{"aud":"x"}')}.c2lnbmVk`,
      /identity token/,
    ],
    ["a sealed value", `${base64url('{"alg":"dir"}')}..aXYtbWFkZS11cA.dGV4dA.dGFn`, /sealed/],
  ];
  const plain = DISGUISES.filter(([how]) => !/base64|password/.test(how));
  test.each(made)("%s", (_, secret, kind) => {
    for (const [how, disguise] of plain)
      expect(find(disguise(secret)), how).toContainEqual(expect.stringMatching(kind));
  });
});

test.each([
  '{"code":"refused","reference":"0af7651916cd43dd8448eb211c80319c","severity":"NOTICE","event":"request.refused"}',
  "Error at handle (file:///srv/functions/adapters/http.ts:34:21) at process.processTicksAndRejections (node:internal)",
  '{"sandbox":"http://127.0.0.1:41234"}',
  "http://127.0.0.1:8080/?name=a-name-of-a-token-that-is-43-characters-long",
  "canaries in test/e2e/canaries.test.ts",
  "token-that-has-one-of-11111111-2222-3333-4444-555555555555",
  "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
])("nothing is found in %s", (line) => {
  expect(find(line)).toEqual([]);
});

describe("in a folder of prints", () => {
  /** What is told of a process that printed these lines. */
  function told(process: string, stdout: string, planted: [string, string][] = []): string[] {
    const folder = mkdtempSync(path.join(tmpdir(), "prints-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(path.join(folder, "1-1.json"), JSON.stringify({ process, test: "test/made-up.test.ts" }));
    writeFileSync(path.join(folder, "1-1.stdout"), stdout);
    const lines = planted.map((line) => `${JSON.stringify(line)}\n`);
    if (lines.length > 0) writeFileSync(path.join(folder, "planted.jsonl"), lines.join(""));
    return leaksIn(folder).map((leak) => describeLeak(leak).replace(`${folder}${path.sep}`, ""));
  }
  const secret = runtime.secret();

  test("a secret is told by its place and kind, and not repeated", () => {
    const process = `node local/tokens.ts show ${SECRET.split(" ")[0]}`;
    expect(told(process, `fine\nalso fine\nlook: ${SECRET}\n`)).toEqual([
      "1-1.stdout:3: a planted client-secret: printed by node local/tokens.ts show …, started by test/made-up.test.ts",
    ]);
    expect(told("node x.ts", "open S3same\n", [["open S3same", "passphrase"]])).toEqual([
      "1-1.stdout:1: a planted passphrase: printed by node x.ts, started by test/made-up.test.ts",
    ]);
  });

  const address = `http://127.0.0.1:9/v1/authorize?client_id=C&state=${secret}&code_challenge=${runtime.secret()}`;
  const welcome = `  passphrase  ${secret}  (kept)\n\n  curl -H "x-token-passphrase: ${secret}" "http://x"\n`;
  test.each([
    ["show, where it is asked to", "node local/tokens.ts show sales --reveal", `secret ${SECRET}`],
    ["authorize in its address", "node local/tokens.ts --live authorize sales", address],
    [
      "authorize in its address in JSON",
      "node local/tokens.ts authorize sales --json",
      `{"url":"${address}"}`,
    ],
    ["npm start with the sandbox", "node --import local/node24.js local/start.ts", welcome],
    ["npm itself in the same way", "npm start", welcome],
    ["the caller's curl", 'sh -c curl -H "x: y" "http://127.0.0.1:9/"', `{"token":"${SECRET}"}`],
  ])("nothing is said of what %s prints on purpose", (_, process, stdout) => {
    expect(told(process, stdout)).toEqual([]);
    expect(told("node dist/lookup", stdout)).not.toEqual([]);
  });

  test.each([
    ["show, not asked to", "node local/tokens.ts show sales", `secret ${SECRET}`],
    ["authorize elsewhere", "node local/tokens.ts authorize sales", `${address}\nstate ${secret}`],
    ["npm start elsewhere", "node local/start.ts", `${welcome}\nusing ${secret}`],
    ["npm start with Webex", "node local/start.ts --live", welcome],
  ])("it is said of what %s prints", (_, process, stdout) => {
    expect(told(process, stdout)).not.toEqual([]);
  });
});

/** They hold names of secrets, and secrets that are found without the word. */
const EXCEPT = ["support/prints.ts", "e2e/leak-watch.test.ts"];
/** Where a value that is written down is a secret: its name tells. */
const NAMES =
  "client_?secret|(?:code_?)?verifier|(?:access|refresh)_?token|x-token-passphrase|x-token-rejected|cookie|\\w*passphrase|\\w*secret";
const LITERAL = new RegExp(`\\b(?:${NAMES})["']?\\]?\\s*[:=]\\s*(["'\`])((?:(?!\\1).)*)\\1`, "gi");
/** Shorter ones are told from nothing else in a log; a plain word is one of a sentence. */
const long = (text: string) => text.length >= 8 && !/^[a-z]+$/i.test(text);

test("every secret that a test of something that prints writes down holds the word canary", () => {
  const folder = path.resolve(import.meta.dirname, "..");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.ts$/.test(file) && !file.startsWith("unit"))
    .filter((file) => !EXCEPT.includes(file.replaceAll(path.sep, "/")))
    .sort();
  const unmarked = files.flatMap((file) => {
    const lines = readFileSync(path.join(folder, file), "utf8").split("\n");
    return lines.flatMap((line, index) => {
      const texts = [...line.matchAll(LITERAL)].map(([, , text = ""]) =>
        text.replace(/\$\{[^}]*\}|\\./g, ""),
      );
      return texts.some((text) => long(text) && !/canary/i.test(text)) ? [`${file}:${index + 1}`] : [];
    });
  });
  expect(files.length).toBeGreaterThan(40);
  expect(unmarked).toEqual([]);
});
