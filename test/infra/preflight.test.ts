import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { openCli } from "../../local/deploy/cli.ts";
import type { World } from "../../local/deploy/main.ts";
import { freePort, stopAll, temporaryFolder } from "../support/processes.ts";
import { deployer, IDENTITY, STACK } from "./deployer.ts";

/** What `npm run preview` and `npm run deploy` check before they build or create anything. */

let here: Awaited<ReturnType<typeof deployer>>;
let folder: string;
beforeAll(async () => {
  here = await deployer();
  folder = await temporaryFolder();
});
afterEach(() => vi.unstubAllEnvs());
afterAll(stopAll);

/** The one sentence of a run that fails before it builds anything. */
async function refused(args: string[], world: Partial<World> = {}, script: "preview" | "deploy" = "deploy") {
  const { code, stdout, stderr, built, calls } = await here.run(script, args, world);
  expect({ stdout, built }).toEqual({ stdout: "", built: false });
  expect(code).toBeGreaterThan(0);
  expect(stderr.trim().split("\n")).toHaveLength(1);
  expect(calls.filter((call) => !/^(whoami|stack --show-name)( |$)/.test(call))).toEqual([]);
  return stderr.trim();
}

test("npm checks Node's version before it runs preview and deploy", () => {
  const { scripts } = JSON.parse(
    readFileSync(path.resolve(import.meta.dirname, "../../package.json"), "utf8"),
  );
  expect(scripts).toMatchObject({
    preview: "node --import ./local/node24.js local/preview.ts",
    deploy: "node --import ./local/node24.js local/deploy.ts",
  });
});

test("deploy without a stack names the commands that make one", async () => {
  expect(await refused([])).toBe(
    'there is no stack yet: cp infra/Pulumi.example.yaml infra/Pulumi.dev.yaml, change its values to yours, then run "npx pulumi stack init dev --cwd infra"',
  );
  expect(await refused(["--stack", "acme/tokens/prod"])).toBe(
    "infra/Pulumi.prod.yaml can't be read: cp infra/Pulumi.example.yaml infra/Pulumi.prod.yaml, and change its values to yours",
  );
});

test("deploy with two stacks asks which one, with exit code 2", async () => {
  const other = await deployer();
  other.stack("dev", STACK);
  other.stack("prod", STACK);
  expect(await other.run("deploy", [])).toMatchObject({
    code: 2,
    stderr: "there are several stacks: say --stack dev or --stack prod\n",
  });
});

test("a stack's missing and wrong values are listed by key, with and without --offline", async () => {
  const wrong = `${STACK.replace(/.*project.*\n/, "")}  webex-token-service:maxInstances: 2000\n  minInstance: 1\n`;
  here.stack("dev", wrong);
  expect(await refused([], {}, "preview")).toBe(
    'infra/Pulumi.dev.yaml: "minInstance" is no key: did you mean "minInstances"?; "gcp:project" is missing; "maxInstances" must be a whole number from 1 to 1000 (infra/Pulumi.example.yaml explains each key)',
  );
  expect(await refused(["--offline"], { env: {} }, "preview")).toContain('"gcp:project" is missing');
});

test("a stack that is not YAML, or still has the example's values, is refused", async () => {
  here.stack("dev", `${STACK}  : [\n`);
  expect(await refused([])).toMatch(/^infra\/Pulumi\.dev\.yaml is no YAML: .* in line \d+$/);
  here.stack(
    "dev",
    `${STACK}  webex-token-service:operators:\n    - group:contact-centre-operators@example.com\n`,
  );
  expect(await refused([])).toBe(
    'infra/Pulumi.dev.yaml: "operators" still as in the example: put your own values there',
  );
});

test("a stack with a passphrase needs it in the environment", async () => {
  here.stack("dev", `encryptionsalt: v1:canary-salt\n${STACK}`);
  const sentence =
    'Pulumi can\'t open the secrets of stack "dev": export PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE with the name of a file that holds it';
  expect(await refused([])).toBe(sentence);
  const blank = { ...IDENTITY, PULUMI_CONFIG_PASSPHRASE_FILE: "" };
  expect(await refused([], { env: blank }, "preview")).toBe(sentence);
  const given = [{ PULUMI_CONFIG_PASSPHRASE: "" }, { PULUMI_CONFIG_PASSPHRASE_FILE: "canary-file" }];
  for (const env of given)
    expect(await here.run("preview", [], { env: { ...IDENTITY, ...env } })).toMatchObject({ code: 0 });
});

describe("with a valid stack", () => {
  beforeAll(() => here.stack("dev", STACK));

  /** Pulumi's npm package, with a folder of its own for what it downloads, and no network to do so. */
  async function pulumiHome(): Promise<string> {
    const home = await temporaryFolder();
    const proxy = `http://127.0.0.1:${await freePort()}`;
    const env = { PULUMI_HOME: home, NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: proxy, HTTP_PROXY: proxy };
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    return home;
  }

  test("deploy without the Pulumi CLI and without network says that it can't be fetched", async () => {
    await pulumiHome();
    expect(await refused([], { openCli })).toMatch(
      /^the Pulumi CLI [\d.]+ could not be fetched from get\.pulumi\.com: check the network .*, then run this again$/,
    );
  });

  test("deploy with a Pulumi CLI that does not start says which folder to remove", async () => {
    const { version } = createRequire(import.meta.url)("pulumi/package.json");
    const bin = path.join(await pulumiHome(), "versions", version, "bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(path.join(bin, "pulumi"), "#!/bin/sh\nexit 126\n");
    chmodSync(path.join(bin, "pulumi"), 0o755);
    expect(await refused([], { openCli })).toMatch(
      /^the Pulumi CLI in (\S+) does not run: rm -r \1, then run this again$/,
    );
  });

  /** Google's library reads the process's own environment. */
  const withoutIdentity = (credentials?: string) => {
    vi.stubEnv("HOME", folder);
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", credentials);
    return refused([], { env: {} });
  };

  test("deploy without Google credentials, or with ones that are not JSON, names the login command", async () => {
    expect(await withoutIdentity()).toBe(
      'there are no Google credentials to deploy with: run "gcloud auth application-default login"',
    );
    expect(await refused([], { env: { GOOGLE_CREDENTIALS: "{canary" } })).toBe(
      'GOOGLE_CREDENTIALS is no JSON: unset it and run "gcloud auth application-default login"',
    );
  });

  test("Google credentials that are rejected, and ones that can't be checked without network, differ", async () => {
    const subject = path.join(folder, "subject");
    writeFileSync(subject, "canary-subject-token");
    const credentialsAt = (port: number) => {
      const file = path.join(folder, "credentials.json");
      const external = {
        type: "external_account",
        audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        credential_source: { file: subject },
        token_url: `http://127.0.0.1:${port}/`,
      };
      writeFileSync(file, JSON.stringify(external));
      return file;
    };
    expect(await withoutIdentity(credentialsAt(await freePort()))).toBe(
      "Google can't be reached: check the network, then run this again",
    );
    const google = createServer((_, response) => void response.writeHead(400).end('{"error":"canary"}'));
    await once(google.listen(0, "127.0.0.1"), "listening");
    const { port } = google.address() as AddressInfo;
    expect(await withoutIdentity(credentialsAt(port))).toBe(
      'Google does not take these credentials: run "gcloud auth application-default login"',
    );
    google.close();
    google.closeAllConnections();
  });

  test.each([
    ["whoami", "PULUMI_ACCESS_TOKEN must be set", 'you are not logged in to Pulumi: run "npx pulumi login"'],
    [
      "stack",
      "no stack named 'dev' found",
      'there is no stack "dev": run "npx pulumi stack init dev --cwd infra"',
    ],
    [
      "stack",
      "passphrase must be set with PULUMI_CONFIG_PASSPHRASE",
      '"pulumi stack" failed: passphrase must be set with PULUMI_CONFIG_PASSPHRASE',
    ],
    [
      "whoami",
      "dial tcp: lookup api.pulumi.com: no such host",
      "Pulumi's backend can't be reached: check the network, then run this again",
    ],
  ])("when pulumi %s fails with '%s', both programs say what to do", async (command, error, sentence) => {
    here.pulumi({ [command]: { code: 255, stderr: `warning: x\nerror: ${error}\n` } });
    expect(await refused([])).toBe(sentence);
    expect(await refused([], {}, "preview")).toBe(sentence);
    here.pulumi({});
  });
});

test("a mistyped command line ends with exit code 2 and a hint", async () => {
  const mistyped = await here.run("deploy", ["--stak", "dev"]);
  expect(mistyped).toMatchObject({ code: 2, stdout: "", built: false });
  expect(mistyped.stderr).toMatch(/unknown option '--stak'\n\(Did you mean --stack\?\)/);
  expect(await refused(["--wait", "soon"])).toMatch(/It is a duration, such as "90s" or "5m"/);
});
