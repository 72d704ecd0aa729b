import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { text } from "node:stream/consumers";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { INHERITED } from "../support/environment.ts";
import { plant, printed } from "../support/prints.ts";
import { freePort, stopAll, temporaryFolder } from "../support/processes.ts";
import { endAll, hold, release, run } from "./child.ts";

/** The output and the exit status of a built function that starts without something it needs. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const FRAMEWORK = path.join(
  path.dirname(createRequire(import.meta.url).resolve("@google-cloud/functions-framework")),
  "main.js",
);
const built = (name: Name) => path.join(ROOT, "dist", name, "index.cjs");

type Name = "lookup" | "refresher" | "setup";
type Env = Record<string, string>;

/** The settings of each function, without the store. */
const NEEDED: Record<Name, Env> = {
  lookup: { TOKEN_PASSPHRASE: "canary-passphrase-of-the-flow", REFRESHER_URL: "http://127.0.0.1:1" },
  refresher: { SEALING: "off" },
  setup: { SEALING: "off", TOKEN_PASSPHRASE: "canary-passphrase-of-the-flow" },
};
const NAMES = Object.keys(NEEDED) as Name[];
/** No metadata server. */
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
const environment = (env: Env): Env => ({
  ...INHERITED,
  HOME: path.join(folder, "home"),
  NODE_ENV: "production",
  ...OFFLINE,
  ...Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value.replace("{}", folder)])),
});

/** The code of the function in a thread, which costs a tenth of a process. */
async function startThread(name: Name, env: Env) {
  const own = environment(env);
  plant(own);
  const thread = new Worker(built(name), { env: own, stdout: true, stderr: true });
  const [[code], ...texts] = await Promise.all([
    once(thread, "exit"),
    text(thread.stdout),
    text(thread.stderr),
  ]);
  const output = texts.join("");
  printed(output);
  return { code, output };
}

/** The function under the Functions Framework, as Cloud Run starts it. */
async function startProcess(name: Name, env: Env) {
  const args = [FRAMEWORK, `--source=${path.dirname(built(name))}`, `--target=${name}`];
  const child = run(process.execPath, [...args, `--port=${await freePort()}`], {
    cwd: folder,
    env: environment(env),
  });
  const { code } = await child.ended;
  return { code, output: child.stdout() + child.stderr() };
}

/** Starts it, and gives the reason that it stopped for: its output is one line for Cloud Logging. */
async function reasonOf(name: Name, env: Env, start = startThread): Promise<string> {
  const { code, output } = await start(name, env);
  expect(output, "no stack trace").not.toMatch(/^\s+at |\\n\s+at /m);
  const lines = output.split("\n").filter((line) => line !== "");
  expect(lines, "one line").toEqual([expect.stringMatching(/^\{.*\}$/)]);
  expect(code).toBe(1);
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

test.for<[Name, Env, RegExp]>([
  ["lookup", {}, /no store is configured.*; TOKEN_PASSPHRASE .* missing; REFRESHER_URL is missing/],
  ["refresher", { ...NEEDED.refresher, STORE: "{}/garbage.db" }, /garbage\.db .*is it a SQLite file/],
  [
    "setup",
    { SEALING: "off", TOKEN_PASSPHRASE_FILE: "{}/empty", STORE: "{}/tokens.db" },
    /holds no passphrase$/,
  ],
])(
  "%s under the Functions Framework prints why it can't start, and exits with status 1",
  async ([name, env, words]) => {
    expect(await reasonOf(name, env, startProcess)).toMatch(words);
  },
);

describe("a function that starts without", () => {
  test.for(NAMES)("a store names the variables to set: %s", async (name) => {
    const reason = await reasonOf(name, NEEDED[name]);
    expect(reason).toMatch(/^no store is configured: set GOOGLE_CLOUD_PROJECT .* or STORE to a file/);
  });

  test.for(["lookup", "setup"] as const)("a passphrase names its variables: %s", async (name) => {
    const reason = await reasonOf(name, without(name, "TOKEN_PASSPHRASE"));
    expect(reason).toBe("TOKEN_PASSPHRASE or TOKEN_PASSPHRASE_FILE is missing");
  });

  test("the refresher's address names its variable: lookup", async () => {
    const reason = await reasonOf("lookup", without("lookup", "REFRESHER_URL"));
    expect(reason).toMatch(/^REFRESHER_URL is missing/);
  });

  test.for(["refresher", "setup"] as const)(
    "sealing keys, on Firestore, names SEAL_KEYS: %s",
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
  ])("sealing keys %s says why it can't use them: refresher", async ([, env, words]) => {
    expect(await reasonOf("refresher", { SEALING: "", ...env, STORE: "{}/k.db" })).toMatch(words);
  });

  test.for(NAMES)(
    "a project and a metadata server, on Cloud Run, names the variable to set: %s",
    async (name) => {
      const reason = await reasonOf(name, { ...NEEDED[name], K_SERVICE: name });
      expect(reason).toMatch(/^GOOGLE_CLOUD_PROJECT is not set and no metadata server answers/);
    },
  );

  test("an answer of its metadata server stops all the same: refresher", async () => {
    const silent = await hold(await freePort());
    const { port } = silent.address() as AddressInfo;
    const env = { ...NEEDED.refresher, K_SERVICE: "refresher", GCE_METADATA_HOST: `127.0.0.1:${port}` };
    const reason = await reasonOf("refresher", env);
    await release(silent);
    expect(reason).toMatch(/^GOOGLE_CLOUD_PROJECT is not set and no metadata server answers/);
  });

  test("a project for the emulator names its variable: refresher", async () => {
    const reason = await reasonOf("refresher", { FIRESTORE_EMULATOR_HOST: "127.0.0.1:1" });
    expect(reason).toBe("GOOGLE_CLOUD_PROJECT is missing: with the emulator any name will do");
  });
});

describe("a function off Google Cloud that has a project", () => {
  const project = { GOOGLE_CLOUD_PROJECT: "a-project" };
  const unhelped = (name: Name, env: Env) => reasonOf(name, { ...NEEDED[name], ...project, ...env });
  const sentence = /^can't read Firestore of project a-project: .*gcloud auth application-default login/;

  test.for(["refresher", "setup"] as const)("but no credentials prints how to get them: %s", async (name) => {
    expect(await unhelped(name, { METADATA_SERVER_DETECTION: "none" })).toMatch(sentence);
  });

  test("but no metadata server says that lookup needs one, or a file", async () => {
    const reason = await unhelped("lookup", {});
    expect(reason).toMatch(/^can't read Firestore of project a-project: .*metadata server.*STORE/);
  });

  test("but a credentials file that does not exist prints how to get credentials: refresher", async () => {
    const env = { GOOGLE_APPLICATION_CREDENTIALS: "{}/no-such-file.json", METADATA_SERVER_DETECTION: "none" };
    expect(await unhelped("refresher", env)).toMatch(sentence);
  });

  test("and finds no metadata server prints how to get credentials: refresher", async () => {
    expect(await unhelped("refresher", {})).toMatch(sentence);
  });
});

describe("a function that starts with", () => {
  const stores: [string, RegExp][] = [
    ["garbage.db", /^can't open the token store .*garbage\.db \(.+\): is it a SQLite file/],
    ["no-such-folder/tokens.db", /^can't open the token store .*no-such-folder\/tokens\.db \(.+\)/],
    ["a-folder", /^can't open the token store .*a-folder \(.+\)/],
  ];
  test.for(stores)("the store %s names that file", async ([store, wanted]) => {
    expect(await reasonOf("refresher", { STORE: `{}/${store}` })).toMatch(wanted);
  });

  test.for(["lookup", "setup"] as const)("a store that is no database names that file: %s", async (name) => {
    expect(await reasonOf(name, { ...NEEDED[name], STORE: "{}/garbage.db" })).toMatch(/garbage\.db/);
  });

  const files: [string, RegExp][] = [
    ["no-such-file", /^TOKEN_PASSPHRASE_FILE can't be read: ENOENT$/],
    ["empty", /^TOKEN_PASSPHRASE_FILE can't be used: it holds no passphrase$/],
    ["three", /^TOKEN_PASSPHRASE_FILE can't be used: it holds 3 passphrases/],
    ["a-folder", /^TOKEN_PASSPHRASE_FILE can't be read: EISDIR$/],
  ];
  test.for(files)("the passphrase file %s says why it can't be used", async ([file, wanted]) => {
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
