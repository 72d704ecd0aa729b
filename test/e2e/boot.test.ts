import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { INHERITED } from "../support/environment.ts";
import { freePort, stopAll, temporaryFolder } from "../support/processes.ts";
import { endAll, hold, release, run } from "./child.ts";

/** What a built function says, and how it ends, where it is started without what it needs. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const FRAMEWORK = path.join(
  path.dirname(createRequire(import.meta.url).resolve("@google-cloud/functions-framework")),
  "main.js",
);
/** ms: 2 s for the metadata server, or 5 s for Firestore, and the start itself on a busy machine. */
const AT_ONCE = 5_000;
const WITHIN_PATIENCE = 10_000;

type Name = "lookup" | "refresher" | "setup";
type Env = Record<string, string>;

/** All that each function needs but a store. */
const NEEDED: Record<Name, Env> = {
  lookup: { TOKEN_PASSPHRASE: "canary-passphrase-of-the-flow", REFRESHER_URL: "http://127.0.0.1:1" },
  refresher: { SEALING: "off" },
  setup: { SEALING: "off", TOKEN_PASSPHRASE: "canary-passphrase-of-the-flow" },
};
const NAMES = Object.keys(NEEDED) as Name[];
/** No metadata server, and no credentials of whoever runs the tests. */
const OFFLINE = { GCE_METADATA_HOST: "127.0.0.1:1" };

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  mkdirSync(path.join(folder, "home"));
  mkdirSync(path.join(folder, "a-folder"));
  writeFileSync(
    path.join(folder, "garbage.db"),
    "this is no database, and it is long enough to be read\n".repeat(99),
  );
  writeFileSync(path.join(folder, "empty"), "\n \n");
  writeFileSync(path.join(folder, "three"), "first\nsecond\nthird\n");
});
afterAll(async () => {
  await endAll();
  await stopAll();
});

/** In values, `{}` stands for the folder of the tests. */
async function start(name: Name, env: Env) {
  const own = Object.entries({ ...OFFLINE, ...env }).map(([key, value]) => [
    key,
    value.replace("{}", folder),
  ]);
  const args = [
    FRAMEWORK,
    `--source=${path.join(ROOT, "dist", name)}`,
    `--target=${name}`,
    `--port=${await freePort()}`,
  ];
  const child = run(process.execPath, args, {
    cwd: folder,
    env: {
      ...INHERITED,
      HOME: path.join(folder, "home"),
      NODE_ENV: "production",
      ...Object.fromEntries(own),
    },
  });
  const patience = setTimeout(() => child.signal("SIGKILL"), WITHIN_PATIENCE + 500);
  const ending = await child.ended;
  clearTimeout(patience);
  return { ...ending, output: child.stdout() + child.stderr() };
}

/** Starts it, and gives the reason that it stopped for: one line of Cloud Logging's, and nothing else. */
async function reasonOf(name: Name, env: Env, within = AT_ONCE): Promise<string> {
  const { code, signal, ms, output } = await start(name, env);
  expect(output, "no stack trace").not.toMatch(/^\s+at |\\n\s+at /m);
  const lines = output.split("\n").filter((line) => line !== "");
  expect(lines, "one line").toEqual([expect.stringMatching(/^\{.*\}$/)]);
  expect({ code, signal }).toEqual({ code: 1, signal: null });
  expect(ms, "ms until it ended").toBeLessThan(within);
  const { severity, event, message, reason } = JSON.parse(lines[0] ?? "");
  expect({ severity, event, message }).toEqual({
    severity: "CRITICAL",
    event: "service.stopped",
    message: `service.stopped reason=${reason}`,
  });
  return reason;
}

const without = (name: Name, variable: string): Env => {
  const { [variable]: _, ...rest } = NEEDED[name];
  return { ...rest, STORE: "{}/tokens.db" };
};

describe.concurrent("a function that is started without", () => {
  test.for(NAMES)("a store says what to set: %s", async (name) => {
    const reason = await reasonOf(name, NEEDED[name]);
    expect(reason).toMatch(/^no store is configured: set GOOGLE_CLOUD_PROJECT .* or STORE to a file/);
  });

  test.for(["lookup", "setup"] as const)("a passphrase says so: %s", async (name) => {
    const reason = await reasonOf(name, without(name, "TOKEN_PASSPHRASE"));
    expect(reason).toBe("TOKEN_PASSPHRASE or TOKEN_PASSPHRASE_FILE is missing");
  });

  test("the refresher's address says so: lookup", async () => {
    const reason = await reasonOf("lookup", without("lookup", "REFRESHER_URL"));
    expect(reason).toMatch(/^REFRESHER_URL is missing/);
  });

  test.for(["refresher", "setup"] as const)(
    "sealing keys, for Firestore itself, says so: %s",
    async (name) => {
      const reason = await reasonOf(name, { ...NEEDED[name], SEALING: "", GOOGLE_CLOUD_PROJECT: "made-up" });
      expect(reason).toMatch(/^SEAL_KEYS is missing: .* \(SEALING=off stores secrets as they are\)$/);
    },
  );

  test.for<[string, Env, RegExp]>([
    [
      "that are not there",
      { SEAL_KEYS: "/nowhere" },
      /^the sealing keys \(SEAL_KEYS\) can't be used: ENOENT$/,
    ],
    ["that are none", { SEAL_KEYS: "{}/garbage.db" }, /can't be used: it is no JSON Web Key Set/],
    [
      "that Secret Manager does not give",
      { SEAL_KEYS: "projects/a/secrets/b" },
      /can't be used: Secret Manager failed \(/,
    ],
    [
      "although sealing is off",
      { SEAL_KEYS: "/nowhere", SEALING: "off" },
      /^SEAL_KEYS is set and SEALING is off/,
    ],
  ])("keys %s says so: refresher", async ([, env, words]) => {
    expect(await reasonOf("refresher", { SEALING: "", ...env, STORE: "{}/k.db" }, WITHIN_PATIENCE)).toMatch(
      words,
    );
  });

  test("anything names all of it in one message: lookup", async () => {
    const reason = await reasonOf("lookup", {});
    expect(reason).toMatch(/no store is configured.*; TOKEN_PASSPHRASE .* missing; REFRESHER_URL is missing/);
  });

  test.for(NAMES)("a metadata server, on Cloud Run and without a project, says so: %s", async (name) => {
    const reason = await reasonOf(name, { ...NEEDED[name], K_SERVICE: name });
    expect(reason).toMatch(/^GOOGLE_CLOUD_PROJECT is not set and no metadata server answers/);
  });

  test("a metadata server that answers does not hang: refresher", async () => {
    const silent = await hold(await freePort());
    const { port } = silent.address() as AddressInfo;
    const env = { ...NEEDED.refresher, K_SERVICE: "refresher", GCE_METADATA_HOST: `127.0.0.1:${port}` };
    const reason = await reasonOf("refresher", env);
    await release(silent);
    expect(reason).toMatch(/^GOOGLE_CLOUD_PROJECT is not set and no metadata server answers/);
  });

  test("the emulator's project says so: refresher", async () => {
    const reason = await reasonOf("refresher", { FIRESTORE_EMULATOR_HOST: "127.0.0.1:1" });
    expect(reason).toBe("GOOGLE_CLOUD_PROJECT is missing: with the emulator any name will do");
  });
});

describe.concurrent("a function off Google Cloud that has a project", () => {
  const project = { GOOGLE_CLOUD_PROJECT: "a-project" };
  const unhelped = (name: Name, env: Env) =>
    reasonOf(name, { ...NEEDED[name], ...project, ...env }, WITHIN_PATIENCE);
  const sentence = /^can't read Firestore of project a-project: .*gcloud auth application-default login/;

  test.for(["refresher", "setup"] as const)("and no credentials says how to get them: %s", async (name) => {
    expect(await unhelped(name, { METADATA_SERVER_DETECTION: "none" })).toMatch(sentence);
  });

  test("and no metadata server says that it can't do without: lookup", async () => {
    const reason = await unhelped("lookup", {});
    expect(reason).toMatch(/^can't read Firestore of project a-project: .*metadata server.*STORE/);
  });

  test("and a credentials file that is not there says so: refresher", async () => {
    const env = { GOOGLE_APPLICATION_CREDENTIALS: "{}/no-such-file.json", METADATA_SERVER_DETECTION: "none" };
    expect(await unhelped("refresher", env)).toMatch(sentence);
  });

  test("and looks for a metadata server in vain says so: refresher", async () => {
    expect(await unhelped("refresher", {})).toMatch(sentence);
  });
});

describe.concurrent("a function that is given", () => {
  const stores: [string, RegExp][] = [
    ["garbage.db", /^can't open the token store .*garbage\.db \(.+\): is it a SQLite file/],
    ["no-such-folder/tokens.db", /^can't open the token store .*no-such-folder\/tokens\.db \(.+\)/],
    ["a-folder", /^can't open the token store .*a-folder \(.+\)/],
  ];
  test.for(stores)("the store %s names it", async ([store, wanted]) => {
    expect(await reasonOf("refresher", { STORE: `{}/${store}` })).toMatch(wanted);
  });

  test.for(["lookup", "setup"] as const)("a garbage store names it: %s", async (name) => {
    expect(await reasonOf(name, { ...NEEDED[name], STORE: "{}/garbage.db" })).toMatch(/garbage\.db/);
  });

  const files: [string, RegExp][] = [
    ["no-such-file", /^TOKEN_PASSPHRASE_FILE can't be read: ENOENT$/],
    ["empty", /^TOKEN_PASSPHRASE_FILE can't be used: it holds no passphrase$/],
    ["three", /^TOKEN_PASSPHRASE_FILE can't be used: it holds 3 passphrases/],
    ["a-folder", /^TOKEN_PASSPHRASE_FILE can't be read: EISDIR$/],
  ];
  test.for(files)("the passphrase file %s says what is wrong with it", async ([file, wanted]) => {
    const env = { ...without("setup", "TOKEN_PASSPHRASE"), TOKEN_PASSPHRASE_FILE: `{}/${file}` };
    const reason = await reasonOf("setup", env);
    expect(reason).toMatch(wanted);
    expect(reason).not.toContain("second");
  });

  test("several malformed variables names each, and quotes none", async () => {
    const reason = await reasonOf("lookup", {
      ...NEEDED.lookup,
      STORE: "{}/tokens.db",
      WEBEX_URL: "canary-webexapis.com",
      REFRESH_THRESHOLD: "two canaries",
      REFRESH_CONCURRENCY: "0",
      COMPAT: "canary",
      CORS_ORIGINS: "canary",
    });
    const told = reason.split("; ").map((problem) => problem.split(" ")[0]);
    expect(told.sort()).toEqual([
      "COMPAT",
      "CORS_ORIGINS",
      "REFRESH_CONCURRENCY",
      "REFRESH_THRESHOLD",
      "WEBEX_URL",
    ]);
    expect(reason).not.toContain("canar");
  });
});
