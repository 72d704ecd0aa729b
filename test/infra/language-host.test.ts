import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { RunError, runtime } from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endAll, run } from "../e2e/child.ts";
import { type Engine, secretIn, startEngine } from "./engine.ts";

/**
 * The program run once as Pulumi's language host for Node.js runs it: by the launcher of Pulumi's own library, in a process
 * of its own, on the Node that is installed here. Only the engine is a stand-in.
 */

const INFRA = path.resolve(import.meta.dirname, "../../infra");
const LAUNCHER = createRequire(import.meta.url).resolve("@pulumi/pulumi/cmd/run/index.js");
const PASSPHRASE = "canary-passphrase-of-the-stack";
const WEBHOOK = "https://hooks.example.com/canary-hook";
const CONFIG = {
  "gcp:project": "made-up-project",
  "gcp:region": "europe-west1",
  "webex-token-service:passphrase": PASSPHRASE,
  "webex-token-service:minInstances": "2",
  "webex-token-service:operators": '["group:operators@example.com"]',
  "webex-token-service:notify": JSON.stringify({ webhooks: [WEBHOOK] }),
};
const SECRETS = ["webex-token-service:passphrase", "webex-token-service:notify"];

/** `Pulumi.yaml`. */
function project() {
  const load = createRequire(createRequire(import.meta.url).resolve("@pulumi/pulumi"));
  return load("js-yaml").load(readFileSync(path.join(INFRA, "Pulumi.yaml"), "utf8"));
}

async function launch(config: Record<string, string>, secretKeys: string[]) {
  const engine = await startEngine();
  const { name, main, runtime } = project();
  const args = [
    ...["--monitor", engine.address, "--engine", engine.address],
    ...["--organization", "made-up", "--project", name, "--stack", "dev", "--parallel", "16"],
    ...["--root-directory", INFRA, "--pwd", INFRA],
    main,
  ];
  const { PATH, HOME } = process.env;
  const child = run(process.execPath, [LAUNCHER, ...args], {
    cwd: INFRA,
    env: {
      PATH,
      HOME,
      PULUMI_CONFIG: JSON.stringify(config),
      PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(secretKeys),
      // The language host compiles TypeScript unless the project says that Node can do it.
      PULUMI_NODEJS_TYPESCRIPT: String(runtime.options?.typescript ?? true),
    },
  });
  const { code } = await child.ended;
  await engine.close();
  return { engine, code, printed: `${child.stdout()}${child.stderr()}` };
}

afterAll(endAll);

describe("the program, started by Pulumi's language host,", () => {
  let engine: Engine;
  let made: Awaited<ReturnType<typeof launch>>;
  beforeAll(async () => {
    made = await launch(CONFIG, SECRETS);
    engine = made.engine;
  });
  const inputs = (name: string, type: string) =>
    engine.registered.find((found) => found.name === name && found.type.endsWith(type))?.inputs;

  test("runs to its end as plain TypeScript, and prints nothing", () => {
    expect(engine.errors).toEqual([]);
    expect(made.printed).toBe("");
    expect(made.code).toBe(0);
    expect(project().runtime).toEqual({ name: "nodejs", options: { typescript: false } });
  });

  test("registers three functions, with the values of the configuration", () => {
    const functions = engine.registered.filter(
      ({ type }) => type === "gcp:cloudfunctionsv2/function:Function",
    );
    expect(functions.map(({ inputs: { name } }) => name).sort()).toEqual([
      "token-lookup",
      "token-refresher",
      "token-setup",
    ]);
    expect(inputs("tokens-lookup-function", ":Function")).toMatchObject({
      project: "made-up-project",
      location: "europe-west1",
      serviceConfig: { minInstanceCount: 2 },
    });
    expect(inputs("tokens-operator-group:operators@example.com", ":IAMMember")).toMatchObject({
      member: "group:operators@example.com",
    });
  });

  test("protects database and secrets", () => {
    const kept = engine.registered.filter(({ protect }) => protect).map(({ name }) => name);
    expect(kept.sort()).toEqual([
      "tokens-database-firestore",
      "tokens-passphrase-first",
      "tokens-passphrase-secret",
      "tokens-seal-keys-first",
      "tokens-seal-keys-secret",
    ]);
  });

  test("returns where the service is, and no secret", () => {
    const found = engine.outputs.get("webex-token-service-dev");
    expect(found).toMatchObject({
      project: "made-up-project",
      region: "europe-west1",
      baseUrl: "https://europe-west1-made-up-project.cloudfunctions.net/token-lookup",
      redirectUri: "https://europe-west1-made-up-project.cloudfunctions.net/token-lookup/callback",
      commandLine: expect.stringContaining("export GOOGLE_CLOUD_PROJECT=made-up-project "),
      jobs: { sweep: "tokens-schedule-sweep", census: "tokens-schedule-census" },
    });
    expect(JSON.stringify(found)).not.toContain("canary");
  });

  test("sends secrets to the engine only marked as secret", () => {
    expect(secretIn(inputs("tokens-passphrase-first", ":SecretVersion")?.secretData)).toBe(PASSPHRASE);
    expect(secretIn(inputs("tokens-seal-keys-first", ":SecretVersion")?.secretData)).toContain("k-first");
    const { labels } = inputs("tokens-watching-webhook-1", ":NotificationChannel") ?? {};
    expect(secretIn(labels) ?? secretIn(labels?.url)).toBeDefined();
    const open = JSON.stringify(engine.registered, (_, value) => (secretIn(value) ? "[secret]" : value));
    expect(open).not.toContain("canary");
    expect(open).toContain("[secret]");
  });
});

test("a wrong configuration fails with one sentence, before anything is declared", async () => {
  runtime.setAllConfig({
    "gcp:project": "made-up-project",
    "webex-token-service:minInstnces": "1",
    "webex-token-service:refreshConcurrency": "many",
  });
  const error = await import("../../infra/index.ts").catch((error: unknown) => error);
  runtime.setAllConfig({});
  // Of this class, the language host shows only the message.
  expect(RunError.isInstance(error)).toBe(true);
  expect((error as RunError).message).toBe(
    '"minInstnces" is no key: did you mean "minInstances"?; "refreshConcurrency" must be a whole number; "gcp:region" is missing',
  );
});
