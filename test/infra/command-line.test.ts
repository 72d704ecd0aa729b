import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { isSecret, type Output } from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { readSettings } from "../../functions/adapters/env.ts";
import { type Declared, runOffline } from "../../infra/offline.ts";
import { TokenService } from "../../infra/token-service.ts";
import { findDeployment } from "../../local/deployment.ts";
import { KINDS } from "../../local/google/scheduler-jobs.ts";
import { whereOf } from "../../local/google/service-jobs.ts";
import { DEPLOYED, sharedPassphrases } from "../../local/shared-passphrases.ts";

/** What the Pulumi program passes to the command line, and what the command line assumes of it. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const PLACE = { project: "made-up-project", region: "europe-west1" };
/** Characters that a shell would act on. */
const WEBEX = `https://webexapis.example/it's"$HOME"/$(exit)\`exit\`;&|<>*\\/v1`;
let resources: readonly Declared[];
let usual: TokenService;
let unusual: TokenService;
beforeAll(async () => {
  const run = await runOffline(() => [
    new TokenService("tokens", PLACE),
    new TokenService("other", {
      ...PLACE,
      database: { name: "webex-tokens" },
      names: { lookup: "my-lookup", refresher: "my-refresher" },
      sealing: "off",
      webexUrl: WEBEX,
      refreshThreshold: "90m",
    }),
  ]);
  resources = run.resources;
  [usual, unusual] = run.program as [TokenService, TokenService];
});

const resolved = <T>(output: Output<T>) => new Promise<T>((resolve) => output.apply(resolve));

test("the command line looks for the jobs and the passphrases where the program puts them", () => {
  const inputs = (type: string) =>
    resources
      .filter((resource) => resource.type === type && resource.name.startsWith("tokens-"))
      .map((resource) => resource.inputs);
  const jobs = inputs("gcp:cloudscheduler/job:Job");
  const prefixes = KINDS.map((kind) => {
    const [job, ...others] = jobs.filter(({ name }) => name.endsWith(`-${kind}`));
    expect(others).toEqual([]);
    expect(job?.httpTarget.uri).toMatch(kind === "sweep" ? /\.app\/$/ : /\.app\/census$/);
    return job?.name.slice(0, -kind.length - 1);
  });
  expect(new Set(prefixes).size).toBe(1);
  const secrets = inputs("gcp:secretmanager/secret:Secret").map(({ secretId }) => secretId);
  expect(secrets).toContain(DEPLOYED);
});

describe('eval "$(npx pulumi stack output commandLine)"', () => {
  /** Runs `line` in a shell; gives the variables of its children, but not those that `sh` sets itself. */
  function childOf(line: string, before: Record<string, string> = {}): Record<string, string> {
    const script = 'eval "$LINE" && unset LINE PWD OLDPWD SHLVL _ && exec env';
    const env = { PATH: process.env.PATH, ...before, LINE: line };
    const lines = execFileSync("sh", ["-c", script], { env, encoding: "utf8" }).trimEnd().split("\n");
    const set = lines.map((each) => [each.slice(0, each.indexOf("=")), each.slice(each.indexOf("=") + 1)]);
    return Object.fromEntries(set.filter(([name]) => name !== "PATH" && name !== "_"));
  }

  const USUAL = {
    GOOGLE_CLOUD_PROJECT: "made-up-project",
    GOOGLE_CLOUD_REGION: "europe-west1",
    FIRESTORE_DATABASE: "(default)",
    SEAL_KEYS: "projects/made-up-project/secrets/tokens-seal-keys",
    TOKEN_PASSPHRASE_FILE: "projects/made-up-project/secrets/tokens-passphrase",
    PUBLIC_URL: "https://europe-west1-made-up-project.cloudfunctions.net/token-lookup",
    REFRESHER_URL: "https://token-refresher-abc123-ew.a.run.app",
    REFRESH_THRESHOLD: "2h",
  };
  const { SEAL_KEYS: _, ...shared } = USUAL;
  const UNUSUAL = {
    ...shared,
    FIRESTORE_DATABASE: "webex-tokens",
    SEALING: "off",
    TOKEN_PASSPHRASE_FILE: "projects/made-up-project/secrets/other-passphrase",
    PUBLIC_URL: "https://europe-west1-made-up-project.cloudfunctions.net/my-lookup",
    REFRESHER_URL: "https://my-refresher-abc123-ew.a.run.app",
    REFRESH_THRESHOLD: "90m",
    WEBEX_URL: WEBEX,
  };

  test("sets exactly these variables for the shell's children, whatever characters they hold", async () => {
    expect(childOf(await resolved(usual.commandLine))).toEqual(USUAL);
    expect(childOf(await resolved(unusual.commandLine))).toEqual(UNUSUAL);
  });

  test("replaces or unsets every variable that pointed elsewhere", async () => {
    const before = {
      STORE: "tokens.db",
      FIRESTORE_EMULATOR_HOST: "127.0.0.1:8080",
      TOKEN_PASSPHRASE: "canary-passphrase",
    };
    const [one, other] = [await resolved(usual.commandLine), await resolved(unusual.commandLine)];
    expect(childOf(one, { ...before, ...UNUSUAL })).toEqual(USUAL);
    expect(childOf(other, { ...before, ...USUAL })).toEqual(UNUSUAL);
  });

  test("gives commands all they need: tokens, redirect URI, refresher, keys, passphrases and schedule", async () => {
    for (const [service, env, secretOfKeys] of [
      [usual, USUAL, USUAL.SEAL_KEYS],
      [unusual, UNUSUAL, undefined],
    ] as const) {
      const variables = childOf(await resolved(service.commandLine));
      const settings = readSettings(variables, ["store", "passphrase", "refresherUrl", "sealing"]);
      expect(settings.store).toEqual({
        kind: "firestore",
        project: "made-up-project",
        database: env.FIRESTORE_DATABASE,
        emulator: undefined,
      });
      const deployment = findDeployment(variables, false);
      expect(deployment).toMatchObject({
        redirectUri: await resolved(service.redirectUri),
        refresherUrl: await resolved(service.refresherUri),
        sealKeys: secretOfKeys,
      });
      expect(() => deployment.requireSealing()).not.toThrow();
      expect(sharedPassphrases(settings, undefined, false, () => deployment)).toBe(
        await resolved(service.passphrase),
      );
      const { GOOGLE_CLOUD_PROJECT = "", GOOGLE_CLOUD_REGION = "" } = variables;
      expect(whereOf({ project: GOOGLE_CLOUD_PROJECT, region: GOOGLE_CLOUD_REGION })).toEqual(PLACE);
    }
    expect(findDeployment(UNUSUAL, false).webexUrl()).toBe(new URL(WEBEX).href);
  });

  test("holds no secret, and Pulumi does not mark it as one", async () => {
    expect(await isSecret(usual.commandLine)).toBe(false);
    expect(await resolved(usual.commandLine)).not.toMatch(/xxxx|"k"/);
  });
});

test("every mention of a stack output is a whole npx pulumi line for an output that exists", () => {
  const files = ["local", "infra", "docs"].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((file) =>
      path.join(folder, file),
    ),
  );
  const said = ["README.md", ...files.filter((file) => /\.(?:tsx?|md|yaml)$/.test(file))].flatMap((file) => {
    const text = readFileSync(path.join(ROOT, file), "utf8");
    return [...text.matchAll(/[^\n"`(]*pulumi stack output \w+[^\n"`)]*/g)].map(([line]) => line.trim());
  });
  const outputs = /export const \{([^}]+)\} = service;/.exec(
    readFileSync(path.join(ROOT, "infra/index.ts"), "utf8"),
  )?.[1];
  expect(said.length).toBeGreaterThan(6);
  for (const line of said) {
    const [, name] = /^(?:eval )?(?:\$\()?npx pulumi stack output (\w+) --cwd infra\b/.exec(line) ?? [];
    expect(name, line).toBeDefined();
    expect(outputs?.match(/\w+/g)).toContain(name);
  }
});
