import { CloudSchedulerClient } from "@google-cloud/scheduler";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { endAll } from "../e2e/child.ts";
import { callAddress, startCloudScheduler } from "../support/cloud-scheduler.ts";
import { clientsAt, redirect } from "../support/google-clients.ts";
import { freePort, stopAll } from "../support/processes.ts";
import { startServed } from "../support/served.ts";
import { type Checkout, checkout } from "./checkout.ts";
import { deployer, IDENTITY, LOGGED_IN, STACK } from "./deployer.ts";

/** `npm run preview` and `npm run deploy` with all that they need: each once as a process, the rest in this one. */

let copy: Checkout;
let here: Awaited<ReturnType<typeof deployer>>;
let google: Awaited<ReturnType<typeof startCloudScheduler>>;
beforeAll(async () => {
  [copy, here, google] = await Promise.all([checkout(), deployer(), startCloudScheduler()]);
  redirect(CloudSchedulerClient, google.port);
  here.stack("dev", `${STACK}  webex-token-service:passphrase:\n    secure: canary-ciphertext\n`);
});
beforeEach(() => google.clear());
afterAll(async () => {
  await endAll();
  await stopAll();
  await google.close();
});

/** Makes the jobs of a deployment whose refresher and lookup have these addresses. Gives its outputs. */
function deployedAt(refresher: string, lookup: string) {
  const jobs = "projects/made-up-project/locations/europe-west1/jobs";
  google.create({ name: `${jobs}/the-sweep`, uri: `${refresher}/` });
  google.create({ name: `${jobs}/the-census`, uri: `${refresher}/census` });
  google.create({ name: `${jobs}/another-sweep`, uri: "nowhere:" });
  return {
    project: "made-up-project",
    region: "europe-west1",
    baseUrl: lookup,
    redirectUri: `${lookup}/callback`,
    jobs: { sweep: "the-sweep", census: "the-census" },
  };
}
const answering = (outputs: object) => ({ "stack output": { stdout: JSON.stringify(outputs) } });
const triedRuns = () => google.calls().filter((call) => call.startsWith("Run"));

test("npm run preview builds, runs Pulumi, passes Ctrl-C on to it and ends with its exit code", async () => {
  copy.pulumi({ ...LOGGED_IN, preview: { waits: true, code: 7 } });
  const child = copy.start("preview", ["--", "--diff"], IDENTITY);
  await child.says("waiting");
  child.signal("SIGINT");
  expect([(await child.ended).code, child.stdout(), child.stderr()]).toEqual([7, "waiting\n", ""]);
  expect(copy.calls().slice(-2)).toEqual(["preview --cwd infra --stack dev --diff", "SIGINT"]);
  expect(copy.built()).toBe(true);
});

test("npm run deploy ends with a sweep, a census and a look at lookup of the deployed service", async () => {
  const served = await startServed({ realTime: true });
  await served.hold("sales", 3600);
  const { refresher, lookup } = served.bases;
  google.answers(callAddress);
  copy.pulumi({
    ...LOGGED_IN,
    up: { stdout: "all was created\n" },
    ...answering(deployedAt(refresher, lookup)),
  });
  const child = copy.start("deploy", ["--yes"], { ...IDENTITY, ...clientsAt({ scheduler: google.port }) });
  expect([(await child.ended).code, child.stdout()]).toEqual([
    0,
    `all was created\nthe service works: a sweep and a census were completed, and lookup answers at ${lookup} (redirect URI: ${lookup}/callback)\n`,
  ]);
  const steps = child.stderr().match(/^trying .+$/gm);
  expect(steps).toEqual(["trying sweep", "trying census", "trying /health"]);
  expect(copy.calls()).toContain("up --cwd infra --stack dev --yes");
  expect(new Set(triedRuns())).toEqual(new Set(["RunJob the-sweep", "RunJob the-census"]));
  expect(google.callers()).toEqual([`Bearer ${IDENTITY.GOOGLE_OAUTH_ACCESS_TOKEN}`]);
  expect(served.refreshes()).toBe(1);
  const events = served.logs().map(({ event }) => event);
  expect(events).toEqual(expect.arrayContaining(["sweep.done", "census.done"]));
  await served.close();
});

test("preview hands its arguments to Pulumi, and its exit code back", async () => {
  here.pulumi({ preview: { code: 3, stdout: "what would change\n" } });
  const { calls, ...rest } = await here.run("preview", ["--", "--diff"]);
  expect(rest).toEqual({ code: 3, stdout: "what would change\n", stderr: "", built: true });
  expect(calls.at(-1)).toBe("preview --cwd infra --stack dev --diff");
});

test("preview --offline lists each resource and why it is there, without CLI or credentials", async () => {
  const bare = await deployer();
  const { code, stdout, stderr, calls } = await bare.run("preview", ["--offline"], { env: {} });
  expect([code, calls]).toEqual([0, []]);
  const [head, ...lines] = stdout.trim().split("\n");
  expect(head).toMatch(/^NAME +KIND +WHY$/);
  for (const line of lines) expect(line).toMatch(/^tokens-\S+ +[a-z0-9]+\.[A-Z]\w+ +[a-z]+ .*\w/);
  const names = lines.map((line) => line.split(" ")[0]);
  expect(names).toEqual([...names].sort());
  expect(stdout).toMatch(
    /^tokens-lookup-function +cloudfunctionsv2\.Function +answers flows with a token that works$/m,
  );
  expect(stderr).toBe(
    `${lines.length} resources, with the options of infra/Pulumi.example.yaml; nothing was asked of Google\n`,
  );
});

test("a failing build ends deploy before Pulumi changes anything", async () => {
  const build = () => Promise.reject(new Error("made up"));
  const { code, stderr, calls } = await here.run("deploy", [], { build });
  expect([code, stderr]).toEqual([1, "the build failed: made up\n"]);
  expect(calls.join()).not.toMatch(/\bup\b/);
});

test("a failing pulumi up ends deploy with its exit code, and nothing is tried", async () => {
  here.pulumi({ up: { code: 7 } });
  const { calls, ...rest } = await here.run("deploy", ["--", "--refresh"]);
  expect(rest).toEqual({ code: 7, stdout: "", stderr: "", built: true });
  expect(calls.at(-1)).toBe("up --cwd infra --stack dev --refresh");
  expect(google.calls()).toEqual([]);
});

test("a stack without outputs is deployed again", async () => {
  here.pulumi(answering({ project: "made-up-project" }));
  const { code, stderr } = await here.run("deploy", ["--yes"]);
  expect([code, stderr]).toEqual([
    1,
    'stack "dev" does not say where the service is: run "npm run deploy -- --stack dev" again\n',
  ]);
});

test("deploy --wait 0s fails at once while lookup is down, and says how to look at it", async () => {
  const lookup = `http://127.0.0.1:${await freePort()}`;
  here.pulumi(answering(deployedAt("http://refresher.invalid", lookup)));
  const { code, stderr } = await here.run("deploy", ["--yes", "--wait", "0s"]);
  expect([code, stderr]).toEqual([
    1,
    `trying sweep\ntrying census\ntrying /health\nthe service does not work yet: ${lookup}/health can't be reached: run "curl -i ${lookup}/health", and look into the log of lookup\n`,
  ]);
  expect(triedRuns()).toEqual(["RunJob the-sweep", "RunJob the-census"]);
});
