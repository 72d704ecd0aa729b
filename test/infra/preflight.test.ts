import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endAll } from "../e2e/child.ts";
import { freePort, stopAll } from "../support/processes.ts";
import { type Checkout, checkout, IDENTITY, LOGGED_IN, offline, outcomeOf, STACK } from "./checkout.ts";

/** What `npm run preview` and `npm run deploy` look for before anything, as processes in a checkout of their own. */

afterAll(async () => {
  await endAll();
  await stopAll();
});

test("npm runs both behind the check of Node's version", () => {
  const { scripts } = JSON.parse(
    readFileSync(path.resolve(import.meta.dirname, "../../package.json"), "utf8"),
  );
  expect(scripts).toMatchObject({
    preview: "node --import ./local/node24.js local/preview.ts",
    deploy: "node --import ./local/node24.js local/deploy.ts",
  });
});

describe("what is missing is told in one sentence, and nothing is created", () => {
  let here: Checkout;
  beforeAll(async () => {
    here = await checkout();
  });

  const refused = async (
    args: string[],
    env: Record<string, string>,
    script: "preview" | "deploy" = "deploy",
  ) => {
    const before = here.calls().length;
    const { code, stdout, stderr } = await outcomeOf(here, script, args, env);
    expect(stdout).toBe("");
    expect(code).toBeGreaterThan(0);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(here.built()).toBe(false);
    const calls = here.calls().slice(before);
    expect(calls.filter((call) => !/^(whoami|stack --show-name) /.test(call))).toEqual([]);
    return stderr.trim();
  };

  test("no stack, and what to do first", async () => {
    expect(await refused([], IDENTITY)).toBe(
      'there is no stack yet: cp infra/Pulumi.example.yaml infra/Pulumi.dev.yaml, change its values to yours, then run "npx pulumi stack init dev --cwd infra"',
    );
    expect(await refused(["--stack", "acme/tokens/prod"], IDENTITY)).toBe(
      "infra/Pulumi.prod.yaml can't be read: cp infra/Pulumi.example.yaml infra/Pulumi.prod.yaml, and change its values to yours",
    );
  });

  test("values that are missing or wrong, each by its key", async () => {
    here.stack(
      "dev",
      `${STACK.replace(/.*project.*\n/, "")}  webex-token-service:maxInstances: 2000\n  minInstance: 1\n`,
    );
    expect(await refused([], IDENTITY, "preview")).toBe(
      'infra/Pulumi.dev.yaml: "minInstance" is no key: did you mean "minInstances"?; "gcp:project" is missing; "maxInstances" must be a whole number from 1 to 1000 (infra/Pulumi.example.yaml explains each key)',
    );
    expect(await refused(["--offline"], {}, "preview")).toContain('"gcp:project" is missing');
  });

  test("a file that is no YAML, and values that are the example's", async () => {
    here.stack("dev", `${STACK}  : [\n`);
    expect(await refused([], IDENTITY)).toMatch(/^infra\/Pulumi\.dev\.yaml is no YAML: .* in line \d+$/);
    here.stack(
      "dev",
      `${STACK}  webex-token-service:operators:\n    - group:contact-centre-operators@example.com\n`,
    );
    expect(await refused([], IDENTITY)).toBe(
      'infra/Pulumi.dev.yaml: "operators" still as in the example: put your own values there',
    );
  });

  test("the passphrase of a stack, which Pulumi asks nobody for where its outputs are read", async () => {
    here.stack("dev", `encryptionsalt: v1:canary-salt\n${STACK}`);
    const sentence =
      'Pulumi can\'t open the secrets of stack "dev": export PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE with the name of a file that holds it';
    expect(await refused([], IDENTITY)).toBe(sentence);
    expect(await refused([], { ...IDENTITY, PULUMI_CONFIG_PASSPHRASE_FILE: "" }, "preview")).toBe(sentence);
    const given = [{ PULUMI_CONFIG_PASSPHRASE: "" }, { PULUMI_CONFIG_PASSPHRASE_FILE: "canary-file" }];
    // What is missing next, not this.
    for (const env of given)
      expect(await refused([], { ...env, ...(await offline()) })).toMatch(/^the Pulumi CLI/);
  });

  test("which of two stacks", async () => {
    here.stack("dev", STACK);
    const other = await checkout();
    other.stack("dev", STACK);
    other.stack("prod", STACK);
    const { code, stderr } = await outcomeOf(other, "deploy", [], IDENTITY);
    expect([code, stderr]).toEqual([2, "there are several stacks: say --stack dev or --stack prod\n"]);
  });

  test("no CLI, and none to be had", async () => {
    expect(await refused([], { ...IDENTITY, ...(await offline()) })).toMatch(
      /^the Pulumi CLI [\d.]+ could not be fetched from get\.pulumi\.com: check the network .*, then run this again$/,
    );
  });

  test("a CLI that does not run", async () => {
    here.pulumi({ version: { code: 126 } });
    expect(await refused([], IDENTITY)).toMatch(
      /^the Pulumi CLI in (\S+) does not run: rm -r \1, then run this again$/,
    );
  });

  test("no Google credentials, ones that are refused, and no network to try them", async () => {
    here.pulumi(LOGGED_IN);
    expect(await refused([], {})).toBe(
      'there are no Google credentials to deploy with: run "gcloud auth application-default login"',
    );
    expect(await refused([], { GOOGLE_CREDENTIALS: "{canary" })).toBe(
      'GOOGLE_CREDENTIALS is no JSON: unset it and run "gcloud auth application-default login"',
    );
    const GOOGLE_APPLICATION_CREDENTIALS = path.join(here.folder, "credentials.json");
    writeFileSync(path.join(here.folder, "subject"), "canary-subject-token");
    const file = (token_url: string) =>
      JSON.stringify({
        type: "external_account",
        audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        credential_source: { file: path.join(here.folder, "subject") },
        token_url,
      });
    writeFileSync(GOOGLE_APPLICATION_CREDENTIALS, file(`http://127.0.0.1:${await freePort()}/`));
    expect(await refused([], { GOOGLE_APPLICATION_CREDENTIALS })).toBe(
      "Google can't be reached: check the network, then run this again",
    );
    const google = createServer((_, response) => void response.writeHead(400).end('{"error":"canary"}'));
    await new Promise<void>((resolve) => google.listen(0, "127.0.0.1", resolve));
    const { port } = google.address() as AddressInfo;
    writeFileSync(GOOGLE_APPLICATION_CREDENTIALS, file(`http://127.0.0.1:${port}/`));
    expect(await refused([], { GOOGLE_APPLICATION_CREDENTIALS })).toBe(
      'Google does not take these credentials: run "gcloud auth application-default login"',
    );
    google.close();
    google.closeAllConnections();
  });

  test("nobody logged in, no such stack, and no network to find out", async () => {
    here.pulumi({ ...LOGGED_IN, whoami: { code: 255, stderr: "error: PULUMI_ACCESS_TOKEN must be set\n" } });
    expect(await refused([], IDENTITY)).toBe('nobody is logged in to Pulumi: run "npx pulumi login"');
    here.pulumi({ ...LOGGED_IN, stack: { code: 255, stderr: "error: no stack named 'dev' found\n" } });
    expect(await refused([], IDENTITY)).toBe(
      'there is no stack "dev": run "npx pulumi stack init dev --cwd infra"',
    );
    const reason = "passphrase must be set with PULUMI_CONFIG_PASSPHRASE";
    here.pulumi({ ...LOGGED_IN, stack: { code: 255, stderr: `warning: x\nerror: ${reason}\n` } });
    expect(await refused([], IDENTITY)).toBe(`"pulumi stack" failed: ${reason}`);
    const away = "error: dial tcp: lookup api.pulumi.com: no such host\n";
    here.pulumi({ ...LOGGED_IN, whoami: { code: 255, stderr: away } });
    expect(await refused([], IDENTITY, "preview")).toBe(
      "Pulumi's backend can't be reached: check the network, then run this again",
    );
  });

  test("a command line that is wrong", async () => {
    const mistyped = await outcomeOf(here, "deploy", ["--stak", "dev"], IDENTITY);
    expect(mistyped).toMatchObject({ code: 2, stdout: "" });
    expect(mistyped.stderr).toMatch(/unknown option '--stak'\n\(Did you mean --stack\?\)/);
    expect(await refused(["--wait", "soon"], IDENTITY)).toMatch(/It is a duration, such as "90s" or "5m"/);
  });
});
