import { execFile } from "node:child_process";
import { cpSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { isSecret, type Output } from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Needed, readSettings } from "../../functions/adapters/env.ts";
import { alertsFor } from "../../infra/alerts.ts";
import { serviceNameOf } from "../../infra/cloud-function.ts";
import { contentHash } from "../../infra/code.ts";
import { UNSUPPLIED } from "../../infra/environment.ts";
import type { Declared } from "../../infra/offline.ts";
import { CALLBACK_REQUESTS } from "../../infra/privacy.ts";
import type { TokenService } from "../../infra/token-service.ts";
import { requestEntry } from "../support/log-entry.ts";
import { matches } from "../support/logging-query.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { sealKey } from "../support/sealing.ts";
import { LIFETIME, PASSPHRASE, startServed } from "../support/served.ts";
import { GIVEN, PROJECT, runUnusual, SECRET } from "./unusual.ts";

/** The resources and outputs of an unusual deployment. */

const ROOT = path.resolve(import.meta.dirname, "../..");
let resources: readonly Declared[];
let service: TokenService;

beforeAll(async () => {
  const run = await runUnusual();
  resources = run.resources;
  service = run.program;
});
afterAll(stopAll);

const of = (type: string) => resources.filter(({ type: kind }) => kind.endsWith(`:${type}`));
const one = (name: string): Declared => {
  const found = resources.find((resource) => resource.name === name);
  if (found === undefined) throw new Error(`nothing is called ${name}`);
  return found;
};
const outputOf = <T>(output: Output<T>) => new Promise<T>((resolve) => output.apply(resolve));

const isWrapped = (value: unknown) =>
  typeof value === "object" && value !== null && Object.keys(SECRET).every((key) => key in value);

/** All strings outside of secrets. */
function plainTexts(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null || isWrapped(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...plainTexts(inner)]);
}

describe("secrets", () => {
  test("from the configuration become the first versions", () => {
    expect(one("tokens-passphrase-first").inputs.secretData).toEqual({ ...SECRET, value: GIVEN.passphrase });
    expect(one("tokens-seal-keys-first").inputs.secretData).toEqual({ ...SECRET, value: GIVEN.sealKeys });
    expect(of("RandomPassword")).toEqual([]);
    expect(of("RandomBytes")).toEqual([]);
  });

  test("occur only in values marked as secret: in no name, variable, label or plain string", () => {
    const all = resources.flatMap((resource) => plainTexts(resource));
    expect(all.length).toBeGreaterThan(500);
    expect(all.filter((text) => /canary/i.test(text) || text.includes(sealKey("k-given").k))).toEqual([]);
  });

  test("occur in no output, and no output is marked as secret", async () => {
    for (const [name, output] of Object.entries(service)) {
      if (!isOutput(output) || name === "urn") continue;
      expect(await isSecret(output), name).toBe(false);
      expect(JSON.stringify(await outputOf(output)), name).not.toMatch(/canary/);
    }
  });

  const isOutput = (value: unknown): value is Output<unknown> =>
    typeof value === "object" && value !== null && "apply" in value;

  test("can't be destroyed by any role: operators add and disable versions", () => {
    const able = of("IAMCustomRole").filter(({ inputs }) =>
      inputs.permissions.some((permission: string) => /versions\.destroy|secrets\.delete/.test(permission)),
    );
    expect(able).toEqual([]);
    const roles = of("SecretIamMember").map(({ inputs }) => inputs.role);
    expect(new Set(roles)).toEqual(new Set(["roles/secretmanager.secretAccessor"]));
  });
});

describe("channels", () => {
  const channel = (name: string) => one(`tokens-watching-${name}`).inputs;

  test("a webhook's address is secret", () => {
    expect(channel("webhook-1")).toMatchObject({
      type: "webhook_tokenauth",
      labels: secretOf({ url: `https://hooks.example/incidents?auth_token=${GIVEN.token}` }),
    });
  });

  test("an address with a user and a password is called with Basic credentials", () => {
    expect(channel("webhook-2")).toMatchObject({
      type: "webhook_basicauth",
      labels: secretOf({ url: "https://hooks.example/basic", username: "contact@centre" }),
      sensitiveLabels: secretOf({ password: GIVEN.password }),
    });
  });

  test("every alert notifies all of them, and says what to do", () => {
    expect(channel("mail-oncall@example.com")).toMatchObject({
      type: "email",
      labels: { email_address: "oncall@example.com" },
    });
    const policies = of("AlertPolicy");
    expect(policies.map(({ name }) => name).sort()).toEqual(
      alertsFor("tokens-watching")
        .map(({ id }) => `tokens-watching-alert-${id}`)
        .sort(),
    );
    for (const { inputs } of policies) {
      expect(inputs.notificationChannels).toHaveLength(3);
      expect(inputs.documentation.content).toMatch(/`(npm run|curl)/);
    }
  });

  const secretOf = (value: unknown) => ({ ...SECRET, value });
});

describe("watching", () => {
  test("looks at this deployment's services, by the names that Cloud Run gives them", () => {
    const { conditions } = one("tokens-watching-alert-needs-a-person").inputs;
    expect(conditions[0].conditionMatchedLog.filter).toContain(
      'resource.labels.service_name=("sample-lookup" OR "sample-refresher" OR "sample-setup")',
    );
    expect(one("tokens-watching-measured-sweeps").inputs.filter).toContain(
      'resource.labels.service_name="sample-refresher"',
    );
    expect(one("tokens-watching-measured-reads").inputs.filter).toContain(
      'resource.labels.service_name="sample-lookup"',
    );
  });

  test("names a function's service as Cloud Run does", () => {
    expect(serviceNameOf("Token_Lookup")).toBe("token-lookup");
  });

  test("makes its metrics at once, and alerts on them after the functions: a new metric takes a while to appear", () => {
    const functions = of("Function").map(({ name }) => name);
    const metrics = of("Metric");
    for (const { dependsOn } of metrics)
      expect(dependsOn.filter((name) => functions.includes(name))).toEqual([]);
    for (const { name, dependsOn } of of("AlertPolicy")) {
      expect(dependsOn, name).toEqual(expect.arrayContaining(metrics.map(({ name }) => name)));
      expect(
        dependsOn.some((one) => functions.includes(one)),
        name,
      ).toBe(true);
    }
  });

  test("requests /health from outside, every minute", () => {
    expect(one("tokens-watching-health-check").inputs).toMatchObject({
      period: "60s",
      httpCheck: { path: "/health", useSsl: true, validateSsl: true },
      monitoredResource: { labels: { host: "sample-lookup-abc123-ew.a.run.app" } },
    });
  });
});

describe("the request log of Cloud Run", () => {
  const url = "https://europe-west1-made-up-project.cloudfunctions.net/token-lookup";

  test.each([
    ["a consent that came back", { url: `${url}/callback?code=c&state=s` }],
    ["a consent that was refused", { url: `${url}/callback?error=access_denied&state=s` }],
    [
      "a consent that lookup redirected to setup",
      { url: "https://token-setup.example/callback?code=c&state=s" },
    ],
    ["a consent with an extra slash", { url: `${url}/callback/?code=c&state=s` }],
    [
      "the icon of the page after a consent",
      { url: `${url}/favicon.ico`, referer: `${url}/callback?code=c&state=s`, status: 404 },
    ],
  ])("does not keep %s", (_, request) => {
    expect(matches(CALLBACK_REQUESTS, requestEntry("token-setup", request))).toBe(true);
  });

  test.each([
    ["a read", { url: `${url}/?name=callback` }],
    ["a read of a token with callback in its name", { url: `${url}/?name=a/callbacks` }],
    ["a check", { url: `${url}/health` }],
    ["another path", { url: `${url}/callbacks?x=1` }],
  ])("keeps %s", (_, request) => {
    expect(matches(CALLBACK_REQUESTS, requestEntry("token-lookup", request))).toBe(false);
  });

  test("has this filter", () => {
    expect(one("tokens-privacy-callback").inputs.filter).toBe(CALLBACK_REQUESTS);
  });
});

describe("a database that exists", () => {
  test("is adopted with its documents and its rules, in its location", () => {
    expect(one("tokens-database-firestore")).toMatchObject({
      importId: `projects/${PROJECT}/databases/webex-tokens`,
      ignoreChanges: ["locationId", "type"],
      protect: true,
    });
    expect(one("tokens-database-rules-released")).toMatchObject({
      inputs: { name: "cloud.firestore/webex-tokens" },
      importId: `projects/${PROJECT}/releases/cloud.firestore/webex-tokens`,
    });
    expect(one("tokens-database-expired-states").inputs.database).toBe("webex-tokens");
  });
});

describe("the environment of a function", () => {
  const environmentOf = (entryPoint: string): Record<string, string> =>
    of("Function").find(({ inputs }) => inputs.buildConfig?.entryPoint === entryPoint)?.inputs.serviceConfig
      .environmentVariables;
  /** The settings that the function requires. */
  function neededBy(entryPoint: string): Needed[] {
    const source = readFileSync(path.join(ROOT, `functions/${entryPoint}.ts`), "utf8");
    return JSON.parse(/boot\((\[.*?\])/.exec(source)?.[1] ?? "none");
  }
  const store = { kind: "firestore", project: PROJECT, database: "webex-tokens", emulator: undefined };

  test.each([
    [
      "lookup",
      {
        passphrase: { file: "/etc/token-service/lookup/live" },
        refresherUrl: "https://sample-refresher-abc123-ew.a.run.app",
        setupUrl: "https://sample-setup-abc123-ew.a.run.app",
      },
    ],
    [
      "refresher",
      { sealing: { keys: `projects/${PROJECT}/secrets/tokens-seal-keys` }, sweepDeadline: 540_000 },
    ],
    [
      "setup",
      {
        passphrase: { file: "/etc/token-service/setup/live" },
        sealing: { keys: `projects/${PROJECT}/secrets/tokens-seal-keys` },
        legacySetup: false,
      },
    ],
  ])("has all the settings that %s requires", (entryPoint, expected) => {
    const settings = readSettings({ ...environmentOf(entryPoint), K_SERVICE: "x" }, neededBy(entryPoint));
    expect(settings).toMatchObject({ store, onGoogleCloud: true, ...expected });
    for (const variable of UNSUPPLIED) expect(environmentOf(entryPoint)).not.toHaveProperty(variable);
  });

  test("of lookup names neither sealing keys nor Webex", () => {
    expect(Object.keys(environmentOf("lookup")).filter((name) => /SEAL|WEBEX/.test(name))).toEqual([]);
  });

  test("ends a sweep before the Scheduler gives up, within the function's timeout", () => {
    const { sweepDeadline } = readSettings(environmentOf("refresher"), neededBy("refresher"));
    const refresher = of("Function").find(({ inputs }) => inputs.buildConfig?.entryPoint === "refresher");
    for (const { inputs } of of("Job")) {
      const deadline = Number.parseInt(inputs.attemptDeadline, 10);
      expect(sweepDeadline / 1000).toBeLessThan(deadline);
      expect(refresher?.inputs.serviceConfig.timeoutSeconds).toBeGreaterThanOrEqual(deadline);
    }
  });
});

describe("a deployment without public access", () => {
  test("grants nothing to allUsers, and outputs the command that opens it", async () => {
    expect(of("ServiceIamMember").filter(({ inputs }) => /^all/.test(inputs.member))).toEqual([]);
    const { openCommand } = service;
    expect(openCommand && (await outputOf(openCommand))).toBe(
      ["sample-lookup", "sample-setup"]
        .map(
          (name) =>
            `gcloud run services update ${name} --region=europe-west1 --project=${PROJECT} --no-invoker-iam-check`,
        )
        .join(" && "),
    );
  });

  test("grants roles only to the functions when it has no operators", () => {
    const members = resources.flatMap(({ inputs }) => (inputs.member === undefined ? [] : [inputs.member]));
    expect(members.filter((member: string) => !/^serviceAccount:tokens-\w+@/.test(member))).toEqual([]);
    expect(of("IAMCustomRole").map(({ name }) => name)).not.toContain("tokens-operator-role");
  });

  test("has no option that costs money unless the configuration asks for it", () => {
    expect(of("RouterNat")).toEqual([]);
    const lookup = of("Function").find(({ inputs }) => inputs.buildConfig?.entryPoint === "lookup");
    expect(lookup?.inputs.serviceConfig).toMatchObject({ minInstanceCount: 2, maxInstanceCount: 20 });
  });
});

describe("an archive's name", () => {
  test("changes with the content or name of any file, and with nothing else", async () => {
    const folder = path.join(await temporaryFolder(), "lookup");
    cpSync(path.join(ROOT, "dist/lookup"), folder, { recursive: true });
    const first = contentHash(folder);
    expect(one("tokens-code-lookup").inputs.name).toBe(`lookup-${first}.zip`);
    const file = path.join(folder, "package.json");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, `${text} `);
    expect(contentHash(folder)).not.toBe(first);
    writeFileSync(file, text);
    expect(contentHash(folder)).toBe(first);
    renameSync(file, `${file}.txt`);
    expect(contentHash(folder)).not.toBe(first);
  });

  test("of a folder that was not built is an error", async () => {
    const folder = path.join(await temporaryFolder(), "nothing");
    expect(() => contentHash(folder)).toThrow('run "npm run build" first');
  });
});

test("the curl line, pasted into a shell, reads the passphrase from Secret Manager and a token from lookup", async () => {
  const [running, folder] = await Promise.all([startServed({ realTime: true }), temporaryFolder()]);
  const token = await running.hold("sales", LIFETIME);
  const gcloud = path.join(folder, "gcloud");
  const called = path.join(folder, "called");
  await writeFile(
    gcloud,
    `#!/bin/sh\necho "$@" > ${called}\nprintf '%s\\n' ${PASSPHRASE} canary-passphrase-before-rotation\n`,
  );
  await chmod(gcloud, 0o755);

  const line = (await outputOf(service.curl)).replace("NAME", "sales");
  const base = await outputOf(service.baseUrl);
  expect(line).toContain(base);
  const { stdout } = await promisify(execFile)("sh", ["-c", line.replace(base, running.bases.lookup)], {
    env: { PATH: `${folder}:${process.env.PATH}` },
  });
  await running.close();
  expect(JSON.parse(stdout)).toMatchObject({ status: "200", token: token.accessToken });
  expect(readFileSync(called, "utf8").trim()).toBe(
    `secrets versions access latest --secret=tokens-passphrase --project=${PROJECT}`,
  );
});
