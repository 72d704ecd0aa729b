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
import { INHERITED } from "../support/environment.ts";

/** What the program tells the command line, and what the command line takes for granted of it. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const PLACE = { project: "made-up-project", region: "europe-west1" };
/** It means something to a shell in more than one way. */
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

const told = <T>(output: Output<T>) => new Promise<T>((resolve) => output.apply(resolve));

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
  /** What is set in a child of a shell that has done this, and would not be without it. */
  function childOf(line: string, before: Record<string, string> = {}): Record<string, string> {
    const script = 'eval "$LINE" && exec "$NODE" -p "JSON.stringify(process.env)"';
    const environment = (LINE: string, more: Record<string, string>) =>
      JSON.parse(
        execFileSync("sh", ["-c", script], {
          env: { ...INHERITED, NODE: process.execPath, ...more, LINE },
          encoding: "utf8",
        }),
      );
    const plain = environment(":", {});
    const all: [string, string][] = Object.entries(environment(line, before));
    return Object.fromEntries(all.filter(([name, value]) => name !== "LINE" && plain[name] !== value));
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

  test("gives all that the shell starts exactly these variables, whatever they hold", async () => {
    expect(childOf(await told(usual.commandLine))).toEqual(USUAL);
    expect(childOf(await told(unusual.commandLine))).toEqual(UNUSUAL);
  });

  test("leads away from whatever was worked on before", async () => {
    const before = {
      STORE: "tokens.db",
      FIRESTORE_EMULATOR_HOST: "127.0.0.1:8080",
      TOKEN_PASSPHRASE: "canary-passphrase",
    };
    const [one, other] = [await told(usual.commandLine), await told(unusual.commandLine)];
    expect(childOf(one, { ...before, ...UNUSUAL })).toEqual(USUAL);
    expect(childOf(other, { ...before, ...USUAL })).toEqual(UNUSUAL);
  });

  test("is all that the commands need: tokens, redirect URI, refresher, keys, passphrases and schedule", async () => {
    for (const [service, env, secretOfKeys] of [
      [usual, USUAL, USUAL.SEAL_KEYS],
      [unusual, UNUSUAL, undefined],
    ] as const) {
      const variables = childOf(await told(service.commandLine));
      const settings = readSettings(variables, ["store", "passphrase", "refresherUrl", "sealing"]);
      expect(settings.store).toEqual({
        kind: "firestore",
        project: "made-up-project",
        database: env.FIRESTORE_DATABASE,
        emulator: undefined,
      });
      const deployment = findDeployment(variables, false);
      expect(deployment).toMatchObject({
        redirectUri: await told(service.redirectUri),
        refresherUrl: await told(service.refresherUri),
        sealKeys: secretOfKeys,
      });
      expect(() => deployment.requireSealing()).not.toThrow();
      expect(sharedPassphrases(settings, undefined, false, () => deployment)).toBe(
        await told(service.passphrase),
      );
      const { GOOGLE_CLOUD_PROJECT = "", GOOGLE_CLOUD_REGION = "" } = variables;
      expect(whereOf({ project: GOOGLE_CLOUD_PROJECT, region: GOOGLE_CLOUD_REGION })).toEqual(PLACE);
    }
    expect(findDeployment(UNUSUAL, false).webexUrl()).toBe(new URL(WEBEX).href);
  });

  test("holds no secret, and is none that Pulumi would hide", async () => {
    expect(await isSecret(usual.commandLine)).toBe(false);
    expect(await told(usual.commandLine)).not.toMatch(/xxxx|"k"/);
  });
});

test("whoever is sent to an output is told a line that works where Pulumi is this project's own, and gives one", () => {
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
