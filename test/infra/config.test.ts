import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ArgsError, type TokenServiceArgs, UNOPENED, withDefaults } from "../../infra/args.ts";
import { KEYS, NAMESPACE, readConfig } from "../../infra/config.ts";

/** A stack's configuration, as Pulumi hands it to programs. */

const PLACE = { "gcp:project": "made-up-project", "gcp:region": "europe-west1" };
const ours = (values: Record<string, string>) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [`${NAMESPACE}:${key}`, value]));
const read = (values: Record<string, string>) => readConfig({ ...PLACE, ...ours(values) }, String);

/** The error of a configuration; "" for a valid one. */
function saidOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof ArgsError) return error.message;
    throw error;
  }
  return "";
}

const KEY = "A".repeat(43);
const keys = (...operations: string[][]) =>
  JSON.stringify({
    keys: operations.map((key_ops, index) => ({ kty: "oct", kid: `k${index}`, key_ops, k: KEY })),
  });

test.each<[string, string, unknown]>([
  ["database", '{"name":"tokens-db","location":"eur3","adopt":true,"adoptRules":false}', undefined],
  ["names", '{"lookup":"one","refresher":"two","setup":"three"}', undefined],
  ["minInstances", "0", 0],
  ["minInstances", "20", 20],
  ["maxInstances", "1000", 1000],
  ["refreshThreshold", "90m", "90m"],
  ["refreshConcurrency", "200", 200],
  ["webexUrl", "https://webexapis.example/v1", "https://webexapis.example/v1"],
  ["passphrase", "canary-old\ncanary-new", "canary-old\ncanary-new"],
  ["sealKeys", keys(["encrypt", "decrypt"], ["decrypt"]), keys(["encrypt", "decrypt"], ["decrypt"])],
  ["sealing", "off", "off"],
  ["operators", '["user:a@example.com","serviceAccount:b@example.com"]', undefined],
  ["notify", '{"emails":["a@example.com"],"webhooks":["https://example.com/x?y=z"]}', undefined],
  ["compat", "sample", "sample"],
  ["corsOrigins", '["https://example.com","http://localhost:3000"]', undefined],
  ["legacySetup", "true", true],
  ["staticEgress", "true", true],
  ["publicAccess", "false", false],
  ["protect", "false", false],
])("the key %s takes a valid value (%#)", (key, value, wanted) => {
  const args = read({ [key]: value });
  expect(args[key as keyof TokenServiceArgs]).toEqual(wanted ?? JSON.parse(value));
  expect(() => withDefaults(args)).not.toThrow();
});

const WRONG: [string, string, string][] = [
  ["database", "eur3", '"database" must be a set of keys, as in Pulumi.example.yaml'],
  ["database", '["eur3"]', '"database" must be a set of keys, as in Pulumi.example.yaml'],
  ["database", '{"name":"UPPER"}', '"database.name" must be "(default)", or 4 to 63 letters, digits and "-"'],
  ["database", '{"name":7}', '"database.name" must be text'],
  [
    "database",
    '{"location":"mars"}',
    '"database.location" must be where Firestore can be, such as "eur3" or "europe-west1"',
  ],
  ["database", '{"adopt":"yes"}', '"database.adopt" must be true or false'],
  ["database", '{"adoptRule":true}', '"database.adoptRule" is no key: did you mean "database.adoptRules"?'],
  ["names", '{"lookup":"7up"}', '"names.lookup" must be up to 63 letters, digits, "-" and "_"'],
  ["names", '{"lookup":"a","setup":"a"}', '"names" must be different ones'],
  ["names", '{"lookup":"token-setup"}', '"names" must be different ones'],
  ["names", '{"lokup":"a"}', '"names.lokup" is no key: did you mean "names.lookup"?'],
  [
    "minInstances",
    "101",
    '"minInstances" must be a whole number from 0 to 100; "minInstances" is above "maxInstances"',
  ],
  ["minInstances", "21", '"minInstances" is above "maxInstances"'],
  ["minInstances", "-1", '"minInstances" must be a whole number'],
  ["maxInstances", "0", '"maxInstances" must be a whole number from 1 to 1000'],
  ["maxInstances", "1001", '"maxInstances" must be a whole number from 1 to 1000'],
  ["maxInstances", "1.5", '"maxInstances" must be a whole number'],
  ["refreshThreshold", "2 hours", '"refreshThreshold" must be a duration, such as "2h"'],
  ["refreshConcurrency", "0", '"refreshConcurrency" must be a whole number from 1 to 200'],
  ["refreshConcurrency", "201", '"refreshConcurrency" must be a whole number from 1 to 200'],
  ["refreshConcurrency", "ten", '"refreshConcurrency" must be a whole number'],
  ["webexUrl", "http://webexapis.com/v1", '"webexUrl" must be an https address without a query'],
  ["passphrase", " \n ", `"passphrase" can't be used: it holds no passphrase`],
  [
    "passphrase",
    "a\nb\nc",
    `"passphrase" can't be used: it holds 3 passphrases, one a line; at most two may be live (the new and the old one)`,
  ],
  [
    "sealKeys",
    "no keys",
    `"sealKeys" can't be used: it is no JSON Web Key Set: {"keys":[…]} with a key or more is wanted`,
  ],
  [
    "sealKeys",
    keys(["decrypt"]),
    `"sealKeys" can't be used: none of its keys may encrypt (key_ops); exactly one must`,
  ],
  ["sealing", "of", '"sealing" must be "on" or "off"'],
  ["operators", "user:a@example.com", '"operators" must be a list of texts'],
  ["operators", '{"user":"a@example.com"}', '"operators" must be a list of texts'],
  ["operators", '["a@example.com"]', '"operators[0]" must be "user:…", "group:…" or "serviceAccount:…"'],
  [
    "operators",
    '["user:a@example.com","allUsers"]',
    '"operators[1]" must be "user:…", "group:…" or "serviceAccount:…"',
  ],
  ["notify", '{"emails":["nobody"]}', '"notify.emails[0]" must be an e-mail address'],
  ["notify", '{"emails":"a@example.com"}', '"notify.emails" must be a list of texts'],
  ["notify", '{"webhooks":["http://example.com"]}', '"notify.webhooks[0]" must be an https address'],
  [
    "notify",
    '{"webhooks":["https://example.com/x","https://[canary"]}',
    '"notify.webhooks[1]" must be an https address',
  ],
  [
    "notify",
    '{"webhooks":["https://canary%zz:x@example.com"]}',
    '"notify.webhooks[0]" must be an https address',
  ],
  ["notify", '{"email":["a@example.com"]}', '"notify.email" is no key: did you mean "notify.emails"?'],
  ["compat", "cisco", '"compat" must be "sample", or left out'],
  [
    "corsOrigins",
    '["https://example.com/page"]',
    '"corsOrigins[0]" must be an origin, such as "https://example.com"',
  ],
  ["legacySetup", "on", '"legacySetup" must be true or false'],
  ["staticEgress", "1", '"staticEgress" must be true or false'],
  ["publicAccess", "no", '"publicAccess" must be true or false'],
  ["protect", "off", '"protect" must be true or false'],
  ["maxInstance", "5", '"maxInstance" is no key: did you mean "maxInstances"?'],
  ["SEALING", "off", '"SEALING" is no key: did you mean "sealing"?'],
  ["colour", "red", '"colour" is no key: Pulumi.example.yaml explains all there are'],
  ["toString", "x", '"toString" is no key: Pulumi.example.yaml explains all there are'],
];

test.each(WRONG)("the key %s refuses %j", (key, value, sentence) => {
  expect(saidOf(() => read({ [key]: value }))).toBe(sentence);
});

test("each key has a value here that is refused", () => {
  expect(Object.keys(KEYS).filter((key) => !WRONG.some(([wrong]) => wrong === key))).toEqual([]);
});

test("sealing keys are refused while sealing is off", () => {
  expect(saidOf(() => read({ sealing: "off", sealKeys: keys(["encrypt"]) }))).toBe(
    '"sealKeys" is given and "sealing" is "off": set one of them',
  );
});

test.each([
  [{}, '"gcp:project" is missing; "gcp:region" is missing'],
  [{ ...PLACE, "gcp:project": "Made Up" }, '"gcp:project" must be the id of a Google Cloud project'],
  [{ ...PLACE, "gcp:region": "Europe" }, '"gcp:region" must be a region, such as "europe-west1"'],
  [
    { ...PLACE, "webex-token-servce:minInstances": "1" },
    '"webex-token-servce:minInstances" is no key: it begins with "webex-token-service:"',
  ],
  [{ ...PLACE, "gcp:impersonateServiceAccount": "a@example.com", "aws:region": "x" }, ""],
])("the configuration %j gives the error: %s", (values, sentence) => {
  expect(saidOf(() => readConfig(values, String))).toBe(sentence);
});

test("all errors of a configuration are reported at once, a sentence for each", () => {
  const said = saidOf(() => readConfig(ours({ minInstances: "x", sealing: "of", protct: "true" }), String));
  expect(said.split("; ")).toEqual([
    '"minInstances" must be a whole number',
    '"protct" is no key: did you mean "protect"?',
    '"gcp:project" is missing',
    '"gcp:region" is missing',
    '"sealing" must be "on" or "off"',
  ]);
});

describe("secrets of the configuration", () => {
  const given = {
    passphrase: "canary-passphrase",
    sealKeys: keys(["encrypt"]),
    notify: '{"webhooks":["https://example.com/canary"]}',
  };

  test("are concealed, and nothing else is", () => {
    const concealed: string[] = [];
    const args = readConfig({ ...PLACE, ...ours({ ...given, compat: "sample" }) }, (text) => {
      concealed.push(text);
      return "concealed";
    });
    expect(concealed).toEqual([given.passphrase, given.sealKeys, "https://example.com/canary"]);
    expect(args).toMatchObject({
      passphrase: "concealed",
      sealKeys: "concealed",
      notify: { webhooks: ["concealed"] },
    });
  });

  test("that can't be decrypted here are accepted", () => {
    const closed = { passphrase: UNOPENED, sealKeys: UNOPENED, notify: `{"webhooks":["${UNOPENED}"]}` };
    expect(saidOf(() => read(closed))).toBe("");
  });

  test("are checked when a program gives them as strings, but not as promises", () => {
    const place = { project: "made-up-project", region: "europe-west1" };
    const given = (...webhooks: (string | Promise<string>)[]) =>
      saidOf(() => withDefaults({ ...place, notify: { webhooks } }));
    expect(given("http://example.com/canary")).toBe('"notify.webhooks[0]" must be an https address');
    expect(given("https://example.com/x", "canary")).toBe('"notify.webhooks[1]" must be an https address');
    expect(given(Promise.resolve("http://example.com/canary"), "https://a%40b:c@example.com/x")).toBe("");
  });

  test("are not quoted in errors", () => {
    const wrong = { passphrase: "canary\ncanary\ncanary", sealKeys: '{"canary":1}' };
    const said = saidOf(() => read({ ...wrong, notify: '{"webhooks":["canary"]}' }));
    expect(said.split("; ").length).toBeGreaterThanOrEqual(3);
    expect(said).not.toContain("canary");
  });
});

describe("infra/Pulumi.example.yaml", () => {
  const text = readFileSync(path.resolve(import.meta.dirname, "../../infra/Pulumi.example.yaml"), "utf8");
  const yaml = createRequire(createRequire(import.meta.url).resolve("@pulumi/pulumi"))("js-yaml");
  const config = (source: string): Record<string, unknown> => yaml.load(source).config;

  test("explains each key, and no other", () => {
    const explained = [...text.matchAll(/^ {2}(?:# )?webex-token-service:(\w+):/gm)].map(([, key]) => key);
    // Secrets are set by the command line; the lines that do so stand there.
    const set = [...text.matchAll(/pulumi config set --secret (\w+) /g)].map(([, key]) => key);
    expect([...explained, ...set].sort()).toEqual(Object.keys(KEYS).sort());
  });

  test("is valid, also with the keys that are commented out", () => {
    const whole = config(text.replace(/^ {2}# (webex-token-service:)/gm, "  $1"));
    const values = Object.entries(whole).map(([key, value]) => [
      key,
      typeof value === "string" ? value : JSON.stringify(value),
    ]);
    expect(saidOf(() => readConfig(Object.fromEntries(values), String))).toBe("");
  });

  test("shows the defaults", () => {
    const shown = config(text);
    const defaults = withDefaults({ project: "my-project", region: "europe-west1" });
    const { emails: _, webhooks: __, operators: ___, ...rest } = defaults;
    const ofKey = (key: string) => shown[`${NAMESPACE}:${key}`];
    const differing = Object.entries(rest).filter(
      ([key, value]) => ofKey(key) !== undefined && JSON.stringify(ofKey(key)) !== JSON.stringify(value),
    );
    expect(differing).toEqual([]);
  });
});
