import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, inject, test, vi } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { type TokenStore, tokenStore } from "../../functions/core/store.ts";
import { placeFor } from "../../local/place.ts";
import { freshProject } from "../support/emulator.ts";
import { INHERITED } from "../support/environment.ts";
import {
  freePort,
  type Sandbox,
  startFunction,
  startSandbox,
  stopAll,
  temporaryFolder,
} from "../support/processes.ts";

/** The command line as its users have it: a process of its own, a pipe for secrets, the real sandbox behind. */

const PROGRAM = path.resolve(import.meta.dirname, "../../local/tokens.ts");
const SECRET = "canary-client-secret";
const SCOPES = "cjp:config_read cjp:config_write";

// A flow starts a dozen processes, one after the other; a busy machine takes its time for each.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
let sandbox: Sandbox;
let callback: string;
let env: Record<string, string>;
let store: TokenStore;
/** Everything that must never be seen, and everything that was. */
const canaries = new Set([SECRET]);
let seen = "";

beforeAll(async () => {
  [folder, sandbox] = [await temporaryFolder(), await startSandbox()];
  const port = await freePort();
  callback = `http://127.0.0.1:${port}/callback`;
  env = { STORE: path.join(folder, "tokens.db"), WEBEX_URL: `${sandbox.url}/v1` };
  store = tokenStore(openSqlite(env.STORE ?? "", runtime.now), runtime.now);
  await startFunction("setup", { ...env, TOKEN_PASSPHRASE: "canary-passphrase-of-setup" }, { port });
  await sandbox.control("POST", "/sandbox/clients", {
    clientId: "C1",
    clientSecret: SECRET,
    redirectUris: [callback],
    scopes: SCOPES.split(" "),
    orgId: "11111111-2222-3333-4444-555555555555",
    accessLifetime: 3600,
    refreshLifetime: 864_000,
  });
});

afterEach(() => {
  for (const canary of canaries) expect(seen).not.toContain(canary);
  seen = "";
});

afterAll(async () => {
  await store.documents.close();
  await stopAll();
});

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

function begin(line: string, environment = env): { child: ChildProcess; ended: Promise<Ended> } {
  const args = [PROGRAM, ...(line.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ""))];
  const child = spawn(process.execPath, args, { cwd: folder, env: { ...INHERITED, ...environment } });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      texts[name] += chunk;
    });
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code) => {
      if (!line.includes("--reveal")) seen += texts.stdout + texts.stderr;
      resolve({ code, ...texts });
    });
  });
  return { child, ended };
}

/** Runs one command with `input` on a pipe. */
function tokens(line: string, input = "", environment = env): Promise<Ended> {
  const { child, ended } = begin(line, environment);
  child.stdin?.end(input);
  return ended;
}

async function well(line: string, input = ""): Promise<string> {
  const { code, stdout, stderr } = await tokens(line, input);
  expect({ line, code, stderr: code === 0 ? "" : stderr }).toEqual({ line, code: 0, stderr: "" });
  return stdout;
}

/** A grant of the sandbox, whose tokens nobody may see from now on. */
async function grant() {
  const tokens = await sandbox.control<Record<string, string>>("POST", "/sandbox/grants", { clientId: "C1" });
  const { access_token: accessToken = "", refresh_token: refreshToken = "" } = tokens;
  canaries.add(accessToken).add(refreshToken);
  return { accessToken, refreshToken };
}

/** What the browser of a person who allows it does; gives the address it ends at, unvisited. */
async function allow(address: string): Promise<string> {
  const page = await (await fetch(address)).text();
  const request = /name="request" value="([^"]+)"/.exec(page)?.[1] ?? "";
  const answer = await fetch(`${sandbox.url}/v1/authorize/decision`, {
    method: "POST",
    redirect: "manual",
    body: new URLSearchParams({ request, decision: "allow" }),
  });
  return answer.headers.get("location") ?? "";
}

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const chunk of child.stdout ?? []) return String(chunk).trim();
  return "";
}

test("a token is added, authorized in a browser, shown, refreshed and removed", async () => {
  const added = await well(`add sales --client-id C1 --redirect-uri ${callback}`, ` ${SECRET}\n`);
  expect(added).toContain("npm run tokens -- authorize sales");
  expect((await store.read("sales"))?.document).toEqual({
    clientId: "C1",
    clientSecret: SECRET,
    redirectUri: callback,
  });

  const unscoped = await tokens("authorize sales");
  expect(unscoped).toMatchObject({ code: 1, stderr: expect.stringContaining("--scope") });

  const waiting = begin(`authorize sales --scope "${SCOPES}"`);
  const chunks: string[] = [];
  waiting.child.stdout?.on("data", (chunk: string) => chunks.push(chunk));
  await expect.poll(() => chunks.join(""), { timeout: 20_000 }).toContain("/v1/authorize?");
  expect((await fetch(await allow(chunks.join("").trim()))).status).toBe(200);
  expect(await waiting.ended).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("is authorized: it lives 5"),
  });

  const { document } = (await store.read("sales")) ?? {};
  expect(document).toMatchObject({ scopes: SCOPES, accessToken: expect.any(String) });
  canaries.add(document?.accessToken ?? "?").add(document?.refreshToken ?? "?");

  expect(await well("list")).toMatch(/^sales +working +5\dm \d+s +in .+ PF84$/m);
  expect(JSON.parse(await well("list --json")).tokens).toContainEqual(
    expect.objectContaining({ name: "sales", state: "working", cluster: "PF84", failure: null }),
  );
  expect(await well("show sales")).toMatch(/client secret +hidden, 20 characters/);
  const shown = JSON.parse(await well("show sales --json"));
  expect(shown).toMatchObject({ holds: { refreshToken: true } });
  expect(shown).not.toHaveProperty("refreshToken");
  expect(JSON.parse(await well("show sales --json --reveal"))).toMatchObject({ clientSecret: SECRET });

  expect(JSON.parse(await well("refresh sales --json"))).toMatchObject({ outcome: "refreshed" });
  expect((await store.read("sales"))?.document.accessToken).not.toBe(document?.accessToken);

  expect(await tokens("show slaes")).toMatchObject({
    code: 1,
    stderr: 'there is no token "slaes": did you mean "sales"?\n',
  });
  expect(await tokens("remove sales")).toMatchObject({ code: 1, stderr: expect.stringContaining("--yes") });
  expect(await store.read("sales")).toBeDefined();
  await well("remove sales --yes");
  expect(await store.read("sales")).toBeUndefined();
});

test("adding a token that exists needs --replace, and changes only what is given", async () => {
  await well(`add twice --client-id C1 --redirect-uri ${callback} --scope a`, SECRET);
  const again = await tokens("add twice --client-id C2", "other");
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("--replace") });
  expect((await store.read("twice"))?.document.clientId).toBe("C1");

  const before = await store.read("twice");
  const failure = { count: 1, code: "x", since: 1, at: 1, permanent: true, inputs: "" };
  const lease = { id: "x", expires: Date.now() + 9000 };
  await store.documents.update(
    "tokens",
    "twice",
    { refreshToken: "r", failure, lease },
    before?.version ?? "",
  );
  await well("add twice --replace --json", "canary-new-secret");
  canaries.add("canary-new-secret");
  const { document } = (await store.read("twice")) ?? {};
  expect(document).toEqual({
    clientId: "C1",
    clientSecret: "canary-new-secret",
    redirectUri: callback,
    scopes: "a",
    refreshToken: "r",
    refreshAt: expect.any(Number),
  });
});

test("a redirected address that is pasted finishes the authorization on this machine", async () => {
  await well(`add pasted --client-id C1 --redirect-uri ${callback} --scope "${SCOPES}"`, SECRET);
  const { url } = JSON.parse(await well("authorize pasted --json"));
  const foreign = await tokens("authorize twice --paste", await allow(url));
  expect(foreign).toMatchObject({ code: 1, stderr: expect.stringContaining('belongs to token "pasted"') });

  const { child, ended } = begin("authorize pasted --paste");
  child.stdin?.end(await allow(await firstLine(child)));
  expect((await ended).code).toBe(0);
  expect((await store.read("pasted"))?.document.accessToken).toBeDefined();
});

test("an imported refresh token is refreshed at once", async () => {
  const { refreshToken } = await grant();
  const secrets = JSON.stringify({ clientSecret: SECRET, refreshToken: ` ${refreshToken}\n` });
  const result = JSON.parse(await well("import svc --client-id C1 --json", secrets));
  expect(result).toMatchObject({ outcome: "refreshed", token: { name: "svc", state: "working" } });
  expect((await store.read("svc"))?.document).toMatchObject({ lifetime: 3600, clientSecret: SECRET });
});

test("a wrong secret at import loses nothing that was typed, and the right one mends it", async () => {
  const { refreshToken } = await grant();
  const secrets = JSON.stringify({ clientSecret: "canary-wrong", refreshToken });
  canaries.add("canary-wrong");
  const refused = await tokens("import mended --client-id C1", secrets);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/is stored, but Webex refuses it \(invalid_client\).*refresh mended/);
  expect((await store.read("mended"))?.document).toMatchObject({
    refreshToken,
    clientSecret: "canary-wrong",
  });

  await well("add mended --replace", SECRET);
  expect(await well("refresh mended")).toContain("is refreshed");
});

test("an import that fails leaves a live token to serve", async () => {
  const { accessToken, refreshToken } = await grant();
  const live = { accessToken, accessExpires: Date.now() + 3_600_000 };
  await store.create("held", { clientId: "C1", clientSecret: SECRET, refreshToken, ...live });
  const secrets = JSON.stringify({ refreshToken: "canary-dead", accessToken: "canary-unknown" });
  canaries.add("canary-dead").add("canary-unknown");
  expect((await tokens("import held --replace", secrets)).code).toBe(1);
  expect((await store.read("held"))?.document).toMatchObject({ ...live, refreshToken: "canary-dead" });
});

test("a fixed access token lives until it ends, and is not refreshed", async () => {
  const { accessToken } = await grant();
  const fixed = await well("import fixed --static --expires 12h", accessToken);
  expect(fixed).toMatch(/it lives (12h|11h 59m)/);
  expect((await store.read("fixed"))?.document).toMatchObject({ static: true, accessToken });
  expect((await tokens("refresh fixed")).code).toBe(1);
  const late = await tokens("import fixed --static --expires 2020-01-01 --replace", "x");
  expect(late).toMatchObject({ code: 2, stderr: expect.stringContaining("has passed") });
});

test("documents of the sample are given their place in the sweep, once", async () => {
  const accessExpires = Date.now() + 10 * 3_600_000;
  for (const name of ["sample1", "sample2"])
    await store.create(name, { clientId: "C1", accessToken: "a", refreshToken: "r", accessExpires });
  expect(JSON.parse(await well("adopt --json"))).toMatchObject({ adopted: 2 });
  expect((await store.read("sample1"))?.document.refreshAt).toBeGreaterThan(Date.now());
  expect(JSON.parse(await well("adopt --json"))).toMatchObject({ adopted: 0 });
});

test("the sandbox of a running service is broken and mended", async () => {
  expect(await tokens("sandbox down 30s")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("npm start"),
  });
  const place = placeFor("sandbox", path.join(folder, ".data"));
  await mkdir(place.folder, { recursive: true });
  const running = { url: "http://127.0.0.1:9", webexUrl: env.WEBEX_URL, store: env.STORE };
  await writeFile(place.running, JSON.stringify({ pid: process.pid, sandboxUrl: sandbox.url, ...running }));

  await well("sandbox down");
  await well("sandbox 429 5m --times 3");
  const { faults } = JSON.parse(await well("sandbox status --json"));
  expect(faults).toEqual([{ fault: "429", remainingSeconds: expect.any(Number), remainingTimes: 3 }]);
  await well("sandbox well");
  expect(await well("sandbox status")).toContain("the sandbox is well");

  // Found by itself: neither STORE nor WEBEX_URL says where it is.
  expect((await tokens("refresh svc", "", {})).code).toBe(0);
  await well("sandbox revoke svc");
  const refused = await tokens("refresh svc", "", {});
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("(invalid_request)") });
});

test.each([
  ["lst", 2, "Did you mean list?"],
  ["sandbox dwn", 2, "Did you mean down?"],
  ["add x --client-secret=canary-argument", 2, "unknown option '--client-secret'"],
  ["show x canary-argument", 2, "too many arguments"],
  ["add a/b", 2, 'contains "/"'],
  ["sandbox down 5", 2, "duration"],
  [`add new --redirect-uri ${"http://127.0.0.1/"}`, 1, "--client-id"],
  ["add new --client-id C1 --redirect-uri http://127.0.0.1/", 1, "client secret"],
])("%s is a mistake that one sentence explains", async (line, code, words) => {
  canaries.add("canary-argument");
  const ended = await tokens(line);
  expect(ended).toMatchObject({ code, stdout: "" });
  expect(ended.stderr).toContain(words);
  expect(ended.stderr).not.toMatch(/^ +at /m);
});

test("every command has examples in its help", async () => {
  const commands = [
    "",
    "add",
    "import",
    "authorize",
    "list",
    "show",
    "refresh",
    "remove",
    "adopt",
    "sandbox",
  ];
  const helps = await Promise.all(
    [...commands, "sandbox down"].map((command) => tokens(`${command} --help`)),
  );
  for (const help of helps)
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining("Examples:") });
});

test("a store that is none, and one that is not there, are told in one sentence", async () => {
  const file = path.join(folder, "text");
  await writeFile(file, "no database, but text that is long enough to be taken for one".repeat(20));
  const broken = await tokens("list", "", { STORE: file });
  expect(broken).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^can't open the token store .*\n$/),
  });
  const missing = await tokens("list", "", { STORE: path.join(folder, "missing.db") });
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringMatching(/^there is no token store .*\n$/) });
});

const emulator = inject("firestoreEmulator");

test.skipIf(emulator === undefined)("tokens in Firestore are found by the project's name", async () => {
  const there = { GOOGLE_CLOUD_PROJECT: freshProject(), FIRESTORE_EMULATOR_HOST: emulator ?? "" };
  const added = await tokens(`add cloud --client-id C1 --redirect-uri ${callback}`, SECRET, there);
  expect(added).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse((await tokens("list --json", "", there)).stdout)).toMatchObject({
    tokens: [{ name: "cloud", state: "not authorized" }],
  });
});
