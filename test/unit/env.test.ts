import { describe, expect, test } from "vitest";
import { type Needed, readSettings, type Settings, SettingsError } from "../../functions/adapters/env.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
type Environment = Record<string, string | undefined>;

const read = (env: Environment, needed: Needed[] = []) => readSettings(env, needed);
/** The message for an environment that can't be used. */
function complaint(env: Environment, needed: Needed[] = []): string {
  try {
    read(env, needed);
  } catch (error) {
    expect(error).toBeInstanceOf(SettingsError);
    return (error as Error).message;
  }
  throw new Error("these settings were accepted");
}

test("an empty environment means the defaults", () => {
  expect(read({})).toEqual({
    store: undefined,
    onGoogleCloud: false,
    webexUrl: "https://webexapis.com/v1",
    wxccUrl: undefined,
    passphrase: undefined,
    refresherUrl: undefined,
    setupUrl: undefined,
    publicUrl: undefined,
    threshold: 2 * HOUR,
    concurrency: 10,
    sweepDeadline: 9 * MINUTE,
    sample: false,
    corsOrigins: [],
    legacySetup: true,
    sealing: "off",
    port: 8080,
    metadataHost: "metadata.google.internal",
  } satisfies Settings);
});

const VARIABLES = [
  "PORT",
  "STORE",
  "GOOGLE_CLOUD_PROJECT",
  "FIRESTORE_DATABASE",
  "FIRESTORE_EMULATOR_HOST",
  "WEBEX_URL",
  "WXCC_URL",
  "TOKEN_PASSPHRASE",
  "TOKEN_PASSPHRASE_FILE",
  "REFRESHER_URL",
  "SETUP_URL",
  "PUBLIC_URL",
  "REFRESH_THRESHOLD",
  "REFRESH_CONCURRENCY",
  "SWEEP_DEADLINE",
  "COMPAT",
  "CORS_ORIGINS",
  "LEGACY_SETUP",
  "SEAL_KEYS",
  "SEALING",
];

test.each(VARIABLES)("%s that is blank is as good as not set", (name) => {
  expect(read({ [name]: "" })).toEqual(read({}));
  expect(read({ [name]: " \n" })).toEqual(read({}));
});

describe("a value is taken", () => {
  test.each<[string, string, Partial<Settings>]>([
    ["PORT", "1", { port: 1 }],
    ["PORT", " 65535\n", { port: 65_535 }],
    ["WEBEX_URL", "http://127.0.0.1:9000/v1/", { webexUrl: "http://127.0.0.1:9000/v1" }],
    ["WXCC_URL", "http://127.0.0.1:9000/", { wxccUrl: "http://127.0.0.1:9000" }],
    ["TOKEN_PASSPHRASE", "made-up passphrase", { passphrase: { text: "made-up passphrase" } }],
    ["TOKEN_PASSPHRASE", "made-up 1\nmade-up 2\n", { passphrase: { text: "made-up 1\nmade-up 2" } }],
    ["TOKEN_PASSPHRASE_FILE", "/run/secret/it", { passphrase: { file: "/run/secret/it" } }],
    ["REFRESHER_URL", "https://refresher.example/", { refresherUrl: "https://refresher.example" }],
    ["SETUP_URL", "https://setup.example", { setupUrl: "https://setup.example" }],
    ["PUBLIC_URL", "https://tokens.example", { publicUrl: "https://tokens.example" }],
    ["REFRESH_THRESHOLD", "90s", { threshold: 90_000 }],
    ["REFRESH_THRESHOLD", "45m", { threshold: 45 * MINUTE }],
    ["REFRESH_THRESHOLD", "168h", { threshold: 168 * HOUR }],
    ["REFRESH_CONCURRENCY", "1", { concurrency: 1 }],
    ["REFRESH_CONCURRENCY", "200", { concurrency: 200 }],
    ["SWEEP_DEADLINE", "10s", { sweepDeadline: 10_000 }],
    ["SWEEP_DEADLINE", "30m", { sweepDeadline: 30 * MINUTE }],
    ["COMPAT", "sample", { sample: true }],
    ["CORS_ORIGINS", "https://a.example", { corsOrigins: ["https://a.example"] }],
    [
      "CORS_ORIGINS",
      "https://a.example, http://localhost:3000",
      { corsOrigins: ["https://a.example", "http://localhost:3000"] },
    ],
    ["LEGACY_SETUP", "off", { legacySetup: false }],
    ["LEGACY_SETUP", "on", { legacySetup: true }],
    ["K_SERVICE", "lookup", { onGoogleCloud: true }],
  ])("%s=%j", (name, value, settings) => {
    expect(read({ [name]: value })).toMatchObject(settings);
  });
});

describe("a malformed value is refused by its variable's name", () => {
  test.each([
    ["PORT", "0"],
    ["PORT", "65536"],
    ["PORT", "80a"],
    ["PORT", "0x50"],
    ["PORT", "8e3"],
    ["PORT", "-1"],
    ["PORT", "80.5"],
    ["WEBEX_URL", "webexapis.com/v1"],
    ["WEBEX_URL", "ftp://webexapis.com"],
    ["WEBEX_URL", "https://webexapis.com/v1?x=y"],
    ["WEBEX_URL", "https://webexapis.com/v1#x"],
    ["WXCC_URL", "api.wxcc-us1.cisco.com"],
    ["REFRESHER_URL", "refresher"],
    ["REFRESHER_URL", "https://"],
    ["SETUP_URL", "//setup.example"],
    ["PUBLIC_URL", "javascript:alert(1)"],
    ["REFRESH_THRESHOLD", "2"],
    ["REFRESH_THRESHOLD", "2d"],
    ["REFRESH_THRESHOLD", "2 h"],
    ["REFRESH_THRESHOLD", "-2h"],
    ["REFRESH_THRESHOLD", "1.5h"],
    ["REFRESH_THRESHOLD", "0s"],
    ["REFRESH_THRESHOLD", "9s"],
    ["REFRESH_THRESHOLD", "169h"],
    ["REFRESH_CONCURRENCY", "0"],
    ["REFRESH_CONCURRENCY", "201"],
    ["REFRESH_CONCURRENCY", "ten"],
    ["SWEEP_DEADLINE", "9"],
    ["SWEEP_DEADLINE", "1h"],
    ["SWEEP_DEADLINE", "9s"],
    ["COMPAT", "Sample"],
    ["COMPAT", "true"],
    ["CORS_ORIGINS", "*"],
    ["CORS_ORIGINS", "a.example"],
    ["CORS_ORIGINS", "https://a.example/"],
    ["CORS_ORIGINS", "https://a.example/path"],
    ["CORS_ORIGINS", "https://a.example,"],
    ["CORS_ORIGINS", "https://a.example https://b.example"],
    ["LEGACY_SETUP", "false"],
    ["LEGACY_SETUP", "OFF"],
  ])("%s=%j", (name, value) => {
    expect(complaint({ [name]: value })).toMatch(new RegExp(`^${name} must be `));
  });

  // "an http or https address without a query": an empty one makes https://webexapis.com/v1?/access_token.
  test.each(["https://webexapis.com/v1?", "https://webexapis.com/v1#"])(
    "WEBEX_URL=%j, whose query or fragment is empty",
    (value) => {
      expect(complaint({ WEBEX_URL: value })).toMatch(/^WEBEX_URL must be /);
    },
  );
});

test("all that is wrong is told in one message", () => {
  const wrong = {
    PORT: "http",
    WEBEX_URL: "webex",
    REFRESHER_URL: "refresher",
    SETUP_URL: "setup",
    PUBLIC_URL: "public",
    REFRESH_THRESHOLD: "long",
    REFRESH_CONCURRENCY: "many",
    SWEEP_DEADLINE: "soon",
    COMPAT: "yes",
    CORS_ORIGINS: "all",
    LEGACY_SETUP: "maybe",
  };
  const message = complaint(wrong, ["store", "passphrase"]);
  for (const name of [...Object.keys(wrong), "STORE", "TOKEN_PASSPHRASE"]) expect(message).toContain(name);
});

test("a message quotes no value: it may be a secret in the wrong place", () => {
  const canary = "made-up-canary";
  const env = Object.fromEntries(VARIABLES.map((name) => [name, canary]));
  expect(complaint(env)).not.toContain(canary);
});

describe("what a function can't do without is missed by name", () => {
  test.each<[Needed, string]>([
    ["store", "STORE"],
    ["store", "GOOGLE_CLOUD_PROJECT"],
    ["passphrase", "TOKEN_PASSPHRASE_FILE"],
    ["refresherUrl", "REFRESHER_URL"],
  ])("%s: %s", (need, name) => {
    expect(complaint({}, [need])).toContain(name);
  });

  test("and not asked for where it is there", () => {
    const env = { STORE: "x.sqlite", TOKEN_PASSPHRASE: "made-up", REFRESHER_URL: "https://r.example" };
    expect(() => read(env, ["store", "passphrase", "refresherUrl"])).not.toThrow();
  });
});

describe("the store", () => {
  const firestore = { kind: "firestore", project: undefined, database: "(default)", emulator: undefined };
  test.each<[string, Environment, unknown]>([
    ["nothing says where", {}, undefined],
    ["a file", { STORE: ".data/tokens.sqlite" }, { kind: "sqlite", file: ".data/tokens.sqlite" }],
    ["a project", { GOOGLE_CLOUD_PROJECT: "made-up" }, { ...firestore, project: "made-up" }],
    [
      "a database of its own",
      { GOOGLE_CLOUD_PROJECT: "made-up", FIRESTORE_DATABASE: "tokens" },
      { ...firestore, project: "made-up", database: "tokens" },
    ],
    ["Cloud Run, where the metadata server knows the project", { K_SERVICE: "lookup" }, firestore],
    [
      "an emulator",
      { FIRESTORE_EMULATOR_HOST: "127.0.0.1:8081", GOOGLE_CLOUD_PROJECT: "demo" },
      { ...firestore, project: "demo", emulator: "127.0.0.1:8081" },
    ],
    [
      "a file, whatever else is set",
      { STORE: "x.sqlite", GOOGLE_CLOUD_PROJECT: "made-up", K_SERVICE: "lookup" },
      { kind: "sqlite", file: "x.sqlite" },
    ],
  ])("%s", (_, env, store) => {
    expect(read(env).store).toEqual(store);
  });

  test("an emulator without a project is told what is missing", () => {
    expect(complaint({ FIRESTORE_EMULATOR_HOST: "127.0.0.1:8081" })).toContain("GOOGLE_CLOUD_PROJECT");
  });
});

test("a passphrase from two places is refused", () => {
  const message = complaint({ TOKEN_PASSPHRASE: "made-up", TOKEN_PASSPHRASE_FILE: "/run/secret/it" });
  expect(message).toMatch(/TOKEN_PASSPHRASE and TOKEN_PASSPHRASE_FILE/);
});
