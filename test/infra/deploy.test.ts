import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { endAll } from "../e2e/child.ts";
import { ageingDocument, deploy, newClient, PASSPHRASE, sqlitePlace, startWebex } from "../e2e/deployed.ts";
import { freePort, stopAll } from "../support/processes.ts";
import { type Checkout, type CliAnswer, checkout } from "./checkout.ts";
import { startScheduler } from "./scheduler.ts";

/** `npm run preview` and `npm run deploy` as processes, in a checkout of their own, with a stand-in for Pulumi's CLI. */

const STACK = "config:\n  gcp:project: made-up-project\n  gcp:region: europe-west1\n";
const IDENTITY = { GOOGLE_OAUTH_ACCESS_TOKEN: "canary-google-access-token" };
const LOGGED_IN: Record<string, CliAnswer> = { whoami: { stdout: "made-up\n" }, stack: { stdout: "dev\n" } };

afterAll(async () => {
  await endAll();
  await stopAll();
});

/** Runs it to its end. */
async function outcomeOf(here: Checkout, script: "preview" | "deploy", args: string[], env = {}) {
  const child = here.start(script, args, env);
  const { code } = await child.ended;
  return { code, stdout: child.stdout(), stderr: child.stderr() };
}

/** Such that nothing can be fetched, whatever network this machine has. */
async function offline() {
  const proxy = `http://127.0.0.1:${await freePort()}`;
  return { NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: proxy, HTTP_PROXY: proxy };
}

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
    const google = await startScheduler({});
    writeFileSync(GOOGLE_APPLICATION_CREDENTIALS, file(google.endpoint));
    expect(await refused([], { GOOGLE_APPLICATION_CREDENTIALS })).toBe(
      'Google does not take these credentials: run "gcloud auth application-default login"',
    );
    await google.close();
  });

  test("nobody logged in, no such stack, and no network to find out", async () => {
    here.pulumi({ ...LOGGED_IN, whoami: { code: 255, stderr: "error: PULUMI_ACCESS_TOKEN must be set\n" } });
    expect(await refused([], IDENTITY)).toBe('nobody is logged in to Pulumi: run "npx pulumi login"');
    here.pulumi({ ...LOGGED_IN, stack: { code: 255, stderr: "error: no stack named 'dev' found\n" } });
    expect(await refused([], IDENTITY)).toBe(
      'there is no stack "dev": run "npx pulumi stack init dev --cwd infra"',
    );
    const passphrase = "passphrase must be set with PULUMI_CONFIG_PASSPHRASE";
    here.pulumi({ ...LOGGED_IN, stack: { code: 255, stderr: `warning: x\nerror: ${passphrase}\n` } });
    expect(await refused([], IDENTITY)).toBe(`"pulumi stack" failed: ${passphrase}`);
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

describe("with all that is needed", () => {
  let here: Checkout;
  beforeAll(async () => {
    here = await checkout();
    here.stack("dev", `${STACK}  webex-token-service:passphrase:\n    secure: canary-ciphertext\n`);
  });

  test("preview builds, and hands on to pulumi what was asked and what came of it", async () => {
    here.pulumi({ ...LOGGED_IN, preview: { code: 3, stdout: "what would change\n" } });
    const { code, stdout, stderr } = await outcomeOf(here, "preview", ["--", "--diff"], IDENTITY);
    expect({ code, stdout, stderr }).toEqual({ code: 3, stdout: "what would change\n", stderr: "" });
    expect(here.built()).toBe(true);
    expect(here.calls().at(-1)).toBe("preview --cwd infra --stack dev --diff");
  });

  test("preview --offline shows each resource and why it is there, without CLI or credentials", async () => {
    const bare = await checkout();
    const { code, stdout, stderr } = await outcomeOf(bare, "preview", ["--offline"], await offline());
    expect(code).toBe(0);
    const [head, ...lines] = stdout.trim().split("\n");
    expect(head).toMatch(/^NAME +KIND +WHY$/);
    for (const line of lines) expect(line).toMatch(/^tokens-\S+ +[a-z0-9]+\.[A-Z]\w+ +[a-z]+ .*\w/);
    expect(stdout).toMatch(
      /^tokens-lookup-function +cloudfunctionsv2\.Function +answers flows with a token that works$/m,
    );
    expect(stderr).toBe(
      `${lines.length} resources, with the options of infra/Pulumi.example.yaml; nothing was asked of Google\n`,
    );
  });

  test("Ctrl-C reaches Pulumi once, and deploy ends as Pulumi does, with its exit code", async () => {
    here.pulumi({ ...LOGGED_IN, up: { waits: true, code: 7 } });
    const child = here.start("deploy", ["--yes"], IDENTITY);
    await child.says("waiting");
    child.signal("SIGINT");
    expect([(await child.ended).code, child.stdout(), child.stderr()]).toEqual([7, "waiting\n", ""]);
    expect(here.calls().slice(-2)).toEqual(["up --cwd infra --stack dev --yes", "SIGINT"]);
  });

  test("deploy ends with a sweep, a census and a look at lookup: the service works", async () => {
    const [place, webex] = [await sqlitePlace(), await startWebex()];
    const service = deploy(place, webex);
    const client = await webex.register(newClient("https://tokens.example/callback"));
    await service.put("sales", await ageingDocument(webex, client));
    const refresher = await service.refresher();
    const lookup = await service.lookup(refresher.url, { TOKEN_PASSPHRASE: PASSPHRASE });
    const jobs = "projects/made-up-project/locations/europe-west1/jobs";
    const scheduler = await startScheduler({
      [`${jobs}/the-sweep`]: { target: `${refresher.url}/` },
      [`${jobs}/the-census`]: { target: `${refresher.url}/census` },
    });
    const outputs = {
      project: "made-up-project",
      region: "europe-west1",
      baseUrl: lookup.url,
      redirectUri: `${lookup.url}/callback`,
      jobs: { sweep: "the-sweep", census: "the-census" },
    };
    here.pulumi({
      ...LOGGED_IN,
      up: { stdout: "all was created\n" },
      "stack output": { stdout: JSON.stringify(outputs) },
    });
    const env = { ...IDENTITY, GOOGLE_CLOUD_SCHEDULER_CUSTOM_ENDPOINT: scheduler.endpoint };

    const { code, stdout, stderr } = await outcomeOf(here, "deploy", ["--yes"], env);
    expect(stdout).toBe(
      `all was created\nthe service works: a sweep and a census were completed, and lookup answers at ${lookup.url} (redirect URI: ${lookup.url}/callback)\n`,
    );
    expect(stderr).toBe("trying sweep\ntrying census\ntrying /health\n");
    expect(code).toBe(0);
    expect(scheduler.runs).toEqual([`${jobs}/the-sweep`, `${jobs}/the-census`]);
    expect([...scheduler.callers]).toEqual([`Bearer ${IDENTITY.GOOGLE_OAUTH_ACCESS_TOKEN}`]);
    expect(await webex.refreshes()).toBe(1);
    const events = refresher.output().join("\n");
    expect(events).toContain("sweep.done");
    expect(events).toContain("census.done");

    await lookup.stop();
    const again = await outcomeOf(here, "deploy", ["--yes", "--wait", "0s"], env);
    expect(again.code).toBe(1);
    expect(again.stderr.trim().split("\n").at(-1)).toBe(
      `the service does not work yet: ${lookup.url}/health can't be reached: run "curl -i ${lookup.url}/health", and look into the log of lookup`,
    );
    await scheduler.close();
    await place.documents.close();
  });
});
