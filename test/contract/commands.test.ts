import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, inject, test, vi } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { HOUR, MINUTE } from "../../functions/core/time.ts";
import { placeFor } from "../../local/place.ts";
import { consent } from "../e2e/deployed.ts";
import { begin, type Ended, type Options, outputOf, tokens } from "../support/command-line.ts";
import { freshProject } from "../support/emulator.ts";
import { eventually } from "../support/eventually.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { CLIENT, type Served, startServed } from "../support/served.ts";

/** The commands on a store in a file, beside the functions and the sandbox over HTTP. */

const { clientId, clientSecret } = CLIENT;
const SCOPES = CLIENT.scopes.join(" ");

let folder: string;
let served: Served;
let callback: string;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await temporaryFolder();
  const file = path.join(folder, "tokens.db");
  served = await startServed({ file, realTime: true });
  env = { STORE: file, WEBEX_URL: served.bases.webex };
  callback = `${served.bases.setup}/callback`;
  served.sandbox.authority.registerClient({ ...CLIENT, redirectUris: [callback] });
});

const seen: string[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  const text = seen.splice(0).join("\n");
  expect([...served.secrets].filter((secret) => text.includes(secret))).toEqual([]);
});
afterAll(async () => {
  await served.close();
  await stopAll();
});

const options = (input = ""): Options => ({ env, cwd: folder, input });
async function ran(line: string, input?: string): Promise<Ended> {
  const ended = await tokens(line, options(input));
  seen.push(ended.stdout, ended.stderr);
  return ended;
}
async function output(line: string, input?: string): Promise<string> {
  const stdout = await outputOf(line, options(input));
  seen.push(stdout);
  return stdout;
}
const json = async (line: string, input?: string) => JSON.parse(await output(line, input));

const stored = async (name: string) => (await served.store.read(name))?.document;

/** The tokens of a consent that was given elsewhere. */
function grant() {
  const { access_token: accessToken, refresh_token: refreshToken } = served.sandbox.authority.issue(clientId);
  served.secrets.add(accessToken).add(refreshToken);
  return { accessToken, refreshToken };
}

/** Secrets as they are piped to `import`. */
function piped(secrets: Record<string, string>): string {
  for (const secret of Object.values(secrets)) served.secrets.add(secret.trim());
  return JSON.stringify(secrets);
}

test("add, authorize, list, show, refresh and remove take a token through its life", async () => {
  const added = await output(
    `add sales --client-id ${clientId} --redirect-uri ${callback}`,
    ` ${clientSecret}\n`,
  );
  expect(added).toContain("npm run tokens -- authorize sales");
  expect(await stored("sales")).toEqual({ clientId, clientSecret, redirectUri: callback });

  const unscoped = await ran("authorize sales");
  expect(unscoped).toMatchObject({ code: 1, stderr: expect.stringContaining("--scope") });

  const waiting = begin(`authorize sales --scope "${SCOPES}"`, options());
  await waiting.says("/v1/authorize?");
  expect((await fetch(await consent(waiting.stdout().trim()))).status).toBe(200);
  expect(await waiting.ended).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("is authorized: it lives 11h"),
  });
  const before = await stored("sales");
  expect(before).toMatchObject({ scopes: SCOPES, accessToken: expect.any(String) });

  expect(await output("list")).toMatch(/^sales +working +11h \d+m +in .+ PF84$/m);
  expect((await json("list --json")).tokens).toContainEqual(
    expect.objectContaining({ name: "sales", state: "working", cluster: "PF84", failure: null }),
  );
  expect(await output("show sales")).toMatch(
    new RegExp(`client secret +hidden, ${clientSecret.length} characters`),
  );
  const shown = await json("show sales --json");
  expect(shown).toMatchObject({ holds: { refreshToken: true } });
  expect(shown).not.toHaveProperty("refreshToken");
  const revealed = await outputOf("show sales --json --reveal", options());
  expect(JSON.parse(revealed)).toMatchObject({ clientSecret });

  expect(await json("refresh sales --json")).toMatchObject({ outcome: "refreshed" });
  expect((await stored("sales"))?.accessToken).not.toBe(before?.accessToken);

  expect(await ran("show slaes")).toMatchObject({
    code: 1,
    stderr: 'there is no token "slaes": did you mean "sales"?\n',
  });
  expect(await ran("remove sales")).toMatchObject({ code: 1, stderr: expect.stringContaining("--yes") });
  expect(await stored("sales")).toBeDefined();
  await output("remove sales --yes");
  expect(await stored("sales")).toBeUndefined();
});

test("show and remove find a token whose name ends in a blank, and add makes none with an invisible character (rows 34 and 38)", async () => {
  await served.store.create("prod ", { clientId });
  expect(await json('show "prod " --json')).toMatchObject({ name: "prod " });
  expect((await ran('show "prod"')).code).toBe(1);
  expect(await output('remove "prod " --yes')).toContain("is removed");
  expect(await stored("prod ")).toBeUndefined();
  const { code, stderr } = await ran(`add "sales\u200b" --client-id ${clientId}`, clientSecret);
  expect([code, stderr]).toEqual([2, expect.stringContaining("the name contains an invisible character")]);
});

test("add changes a token that exists only with --replace, and only in what is given", async () => {
  await output(`add twice --client-id ${clientId} --redirect-uri ${callback} --scope a`, clientSecret);
  const again = await ran("add twice --client-id C2", "other");
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("--replace") });
  expect((await stored("twice"))?.clientId).toBe(clientId);

  const failure = { count: 1, code: "x", since: 1, at: 1, permanent: true, inputs: "" };
  const lease = { id: "x", expires: Date.now() + 9000 };
  await served.edit("twice", { refreshToken: "r", failure, lease });
  await output("add twice --replace --json", "canary-new-secret");
  expect(await stored("twice")).toEqual({
    clientId,
    clientSecret: "canary-new-secret",
    redirectUri: callback,
    scopes: "a",
    refreshToken: "r",
    refreshAt: expect.any(Number),
  });
});

test("authorize --paste takes the address at which the browser ended, if it belongs to this token", async () => {
  await output(
    `add pasted --client-id ${clientId} --redirect-uri ${callback} --scope "${SCOPES}"`,
    clientSecret,
  );
  await output(
    `add other --client-id ${clientId} --redirect-uri ${callback} --scope "${SCOPES}"`,
    clientSecret,
  );
  const { url } = await json("authorize pasted --json");
  const foreign = await ran("authorize other --paste", (await consent(url)).href);
  expect(foreign).toMatchObject({ code: 1, stderr: expect.stringContaining('belongs to token "pasted"') });

  const pasting = begin("authorize pasted --paste", options());
  await pasting.says("/v1/authorize?");
  pasting.type((await consent(pasting.stdout().trim())).href);
  expect((await pasting.ended).code).toBe(0);
  expect((await stored("pasted"))?.accessToken).toBeDefined();
});

test("refresh --remote has the deployed refresher refresh, and needs REFRESHER_URL", async () => {
  await served.store.create("remote", { clientId, clientSecret, refreshToken: grant().refreshToken });
  const remote = { cwd: folder, env: { ...env, REFRESHER_URL: served.bases.refresher } };
  expect(await outputOf("refresh remote --remote", remote)).toMatch(
    /^token "remote" is refreshed: it lives 11h/,
  );
  // However long this test takes, the last refresh stays a moment ago.
  await served.edit("remote", { lastRefresh: Date.now() + 5 * MINUTE });
  expect(await tokens("refresh remote --remote", remote)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("was tried just now: try again in"),
  });
  expect(await ran("refresh remote --remote")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("set REFRESHER_URL"),
  });
});

test("import refreshes the refresh token that it is given at once", async () => {
  const { refreshToken } = grant();
  const secrets = piped({ clientSecret, refreshToken: ` ${refreshToken}\n` });
  expect(await json(`import svc --client-id ${clientId} --json`, secrets)).toMatchObject({
    outcome: "refreshed",
    token: { name: "svc", state: "working" },
  });
  expect(await stored("svc")).toMatchObject({ lifetime: CLIENT.accessLifetime, clientSecret });
});

test("import with a wrong client secret keeps what was typed, and the right one makes it work", async () => {
  const { refreshToken } = grant();
  const wrong = "canary-wrong-client-secret";
  const refused = await ran(
    `import fixable --client-id ${clientId}`,
    piped({ clientSecret: wrong, refreshToken }),
  );
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/is stored, but Webex refuses it \(invalid_client\).*refresh fixable/);
  expect(await stored("fixable")).toMatchObject({ refreshToken, clientSecret: wrong });

  await output("add fixable --replace", clientSecret);
  expect(await output("refresh fixable")).toContain("is refreshed");
});

test("import that fails leaves the live access token in place", async () => {
  const { accessToken, refreshToken } = grant();
  const live = { accessToken, accessExpires: Date.now() + HOUR };
  await served.store.create("live", { clientId, clientSecret, refreshToken, ...live });
  const secrets = piped({ refreshToken: "canary-dead-refresh-token", accessToken: "canary-unknown-access" });
  expect((await ran("import live --replace", secrets)).code).toBe(1);
  expect(await stored("live")).toMatchObject({ ...live, refreshToken: "canary-dead-refresh-token" });
});

test("import --static stores an access token until its end, and refresh refuses it", async () => {
  const { accessToken } = grant();
  const fixed = await output("import fixed --static --expires 12h", accessToken);
  expect(fixed).toMatch(/it lives (12h|11h)/);
  expect(await stored("fixed")).toMatchObject({ static: true, accessToken });
  expect((await ran("refresh fixed")).code).toBe(1);
  const late = await ran("import fixed --static --expires 2020-01-01 --replace", "x");
  expect(late).toMatchObject({ code: 2, stderr: expect.stringContaining("has passed") });
});

test("adopt gives documents of Cisco's sample their refreshAt, once", async () => {
  const accessExpires = Date.now() + 10 * HOUR;
  for (const name of ["sample1", "sample2"])
    await served.store.create(name, { clientId, accessToken: "a", refreshToken: "r", accessExpires });
  expect(await json("adopt --json")).toMatchObject({ adopted: 2 });
  expect((await stored("sample1"))?.refreshAt).toBeLessThan(accessExpires);
  expect(await json("adopt --json")).toMatchObject({ adopted: 0 });
});

test("sandbox sets and clears faults of the running npm start, and revokes a token's client", async () => {
  const { refreshToken } = grant();
  await served.store.create("revoked", { clientId, clientSecret, refreshToken });
  expect(await ran("sandbox down 30s")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("npm start"),
  });
  const place = placeFor("sandbox", path.join(folder, ".data"));
  mkdirSync(place.folder, { recursive: true });
  const running = {
    // The process of a running service is another one than this.
    pid: process.ppid,
    url: "http://127.0.0.1:9",
    webexUrl: env.WEBEX_URL,
    sandboxUrl: new URL(served.bases.webex).origin,
    store: env.STORE,
  };
  writeFileSync(place.running, JSON.stringify(running));

  await output("sandbox down");
  await output("sandbox 429 5m --times 3");
  const { faults } = await json("sandbox status --json");
  expect(faults).toEqual([{ fault: "429", remainingSeconds: expect.any(Number), remainingTimes: 3 }]);
  await output("sandbox well");
  expect(await output("sandbox status")).toContain("the sandbox is well");

  // It finds the store and Webex by the running service alone.
  const found = { cwd: folder };
  expect(await outputOf("refresh revoked", found)).toContain("is refreshed");
  await output("sandbox revoke revoked");
  const refused = await tokens("refresh revoked", found);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("(invalid_request)") });
});

test.each([
  ["lst", 2, "Did you mean list?"],
  ["docter", 2, "Did you mean doctor?"],
  ["sandbox dwn", 2, "Did you mean down?"],
  ["schedule statu", 2, "Did you mean status?"],
  ["add x --client-secret=canary-argument", 2, "unknown option '--client-secret'"],
  ["show x canary-argument", 2, "too many arguments"],
  ["add a/b", 2, 'contains "/"'],
  ["sandbox down 5", 2, "duration"],
  ["watch --every soon", 2, "--every must be a duration"],
  ["add new --redirect-uri http://127.0.0.1/", 1, "--client-id"],
  ["add new --client-id C1 --redirect-uri http://127.0.0.1/", 1, "client secret"],
])("%s fails with one sentence that says why, and repeats no value", async (line, code, words) => {
  served.secrets.add("canary-argument");
  const ended = await ran(line);
  expect(ended).toMatchObject({ code, stdout: "" });
  expect(ended.stderr).toContain(words);
  expect(ended.stderr).not.toMatch(/^ +at /m);
});

test("list says in one sentence that STORE is no database, or is missing", async () => {
  const file = path.join(folder, "text");
  writeFileSync(file, "no database, but text that is long enough to be taken for one".repeat(20));
  expect(await tokens("list", { env: { STORE: file } })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^can't open the token store .*\n$/),
  });
  expect(await tokens("list", { env: { STORE: path.join(folder, "missing.db") } })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^there is no token store .*\n$/),
  });
});

const emulator = inject("firestoreEmulator");

test.skipIf(emulator === undefined)(
  "add and list work on the Firestore of GOOGLE_CLOUD_PROJECT",
  async () => {
    // Firestore's own library looks for it there.
    vi.stubEnv("FIRESTORE_EMULATOR_HOST", emulator);
    const project = freshProject();
    const documents = openFirestore({ project, database: "(default)" });
    // On a busy machine the emulator's first answers come later than the store waits.
    await eventually(() => documents.create("status", "first", {}));
    await eventually(() => documents.list("tokens", 1));
    await documents.close();
    const there = { GOOGLE_CLOUD_PROJECT: project, FIRESTORE_EMULATOR_HOST: emulator };
    const add = `add cloud --client-id ${clientId} --redirect-uri ${callback}`;
    expect(await tokens(add, { env: there, input: clientSecret })).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(await outputOf("list --json", { env: there }))).toMatchObject({
      tokens: [{ name: "cloud", state: "not authorized" }],
    });
  },
);
