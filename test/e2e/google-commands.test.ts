import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parsePassphrases } from "../../functions/core/passphrase.ts";
import { HOUR } from "../../functions/core/time.ts";
import { type CloudScheduler, startCloudScheduler } from "../support/cloud-scheduler.ts";
import { clientsAt } from "../support/google-clients.ts";
import { startFunction, stopAll, temporaryFolder } from "../support/processes.ts";
import { type SecretManager, startSecretManager } from "../support/secret-manager.ts";
import { endAll, run } from "./child.ts";
import { ageingDocument, deploy, newClient, sqlitePlace, startWebex } from "./deployed.ts";

/** The real command line on what is deployed: Google's own libraries in it talk to stand-ins for Google's services. */

const PROGRAM = path.resolve(import.meta.dirname, "../../local/tokens.ts");
const SWEEP = "projects/made-up/locations/europe-west1/jobs/tokens-schedule-sweep";
const CENSUS = "projects/made-up/locations/europe-west1/jobs/tokens-schedule-census";
const KEPT = "projects/made-up/secrets/tokens-passphrase";
const SHARED = "canary-shared-passphrase";
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
let scheduler: CloudScheduler;
let secrets: SecretManager;
let standIns: Record<string, string>;
beforeAll(async () => {
  [folder, scheduler, secrets] = await Promise.all([
    temporaryFolder(),
    startCloudScheduler(),
    startSecretManager(),
  ]);
  standIns = clientsAt({ scheduler: scheduler.port, secretManager: secrets.port });
});
afterAll(async () => {
  await endAll();
  await stopAll();
  await Promise.all([scheduler.close(), secrets.close()]);
});

async function tokens(line: string, env: Record<string, string> = standIns) {
  const { PATH } = process.env;
  const deployed = { GOOGLE_CLOUD_PROJECT: "made-up", GOOGLE_CLOUD_REGION: "europe-west1" };
  const child = run(process.execPath, [PROGRAM, ...line.split(" ")], {
    cwd: folder,
    // A person's own credentials stay out of it.
    env: { PATH, HOME: folder, METADATA_SERVER_DETECTION: "none", ...deployed, ...env },
  });
  const { code } = await child.ended;
  return { code, stdout: child.stdout(), stderr: child.stderr() };
}

async function well(line: string, env?: Record<string, string>): Promise<string> {
  const { code, stdout, stderr } = await tokens(line, env);
  expect({ line, code, stderr: code === 0 ? "" : stderr }).toEqual({ line, code: 0, stderr: "" });
  return stdout.trim();
}

describe("schedule", () => {
  beforeAll(() => {
    scheduler.create({ name: SWEEP });
    scheduler.create({ name: CENSUS, schedule: "17 3 * * *" });
  });

  test("shows, runs, pauses and resumes the jobs of a deployment", async () => {
    expect(await well("schedule run")).toBe("the sweep ran, and the refresher answered that all is well");
    const { jobs } = JSON.parse(await well("schedule status --json"));
    expect(jobs[0]).toMatchObject({ job: "sweep", state: "enabled", result: { code: 0, text: "well" } });
    expect(await well("schedule pause sweep")).toBe("the sweep is paused");
    expect(await well("schedule status")).toMatch(/^sweep +paused/m);
    expect(await well("schedule resume")).toContain("the sweep is resumed");
    expect(scheduler.job(SWEEP).state).toBe("ENABLED");
  });

  test("ends with status 1 and one sentence where Google refuses, and 2 where it was not told enough", async () => {
    scheduler.fail("ListJobs", { code: status.PERMISSION_DENIED });
    const denied = await tokens("schedule status");
    expect(denied).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^you may not [^\n]+\n$/),
    });
    const untold = await tokens("schedule status", { ...standIns, GOOGLE_CLOUD_REGION: "" });
    expect(untold).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(/^which region\?[^\n]+\n$/),
    });
  });
});

test.each(["schedule status", "passphrase rotate", "list"])(
  "%s says how to log in where there are no Google credentials",
  async (line) => {
    expect(await tokens(line, {})).toEqual({
      code: 1,
      stdout: "",
      stderr: 'there are no Google credentials here: run "gcloud auth application-default login"\n',
    });
  },
);

test("the passphrases of a service on a secret volume are rotated without a restart or a caller turned away", async () => {
  const { documents, env: store } = await sqlitePlace();
  const accessExpires = Date.now() + 12 * HOUR;
  await documents.create("tokens", "sales", { accessToken: "canary-access", static: true, accessExpires });
  await documents.close();
  secrets.create(KEPT, SHARED);
  const volume = path.join(folder, "live");
  /** The platform shows the newest version; those before can't be read any more. */
  const mount = () => {
    const enabled = secrets.versions(KEPT).filter((version) => version.enabled);
    expect(enabled).toHaveLength(1);
    writeFileSync(volume, enabled[0]?.text ?? "");
  };
  mount();
  const lookup = await startFunction("lookup", {
    ...store,
    TOKEN_PASSPHRASE_FILE: volume,
    REFRESHER_URL: "http://127.0.0.1:1",
    NODE_OPTIONS: CLOCK,
  });
  const statusOf = async (passphrase: string) =>
    (await fetch(`${lookup.url}/?name=sales`, { headers: { "x-token-passphrase": passphrase } })).status;
  const becomes = (passphrase: string, code: number) =>
    expect.poll(() => statusOf(passphrase), { timeout: 15_000, interval: 100 }).toBe(code);

  const fresh = await well("passphrase rotate");
  mount();
  process.kill(lookup.pid, "SIGUSR2");
  await becomes(fresh, 200);
  expect(await statusOf(SHARED)).toBe(200);
  await well("passphrase rotate --finish");
  mount();
  process.kill(lookup.pid, "SIGUSR2");
  await becomes(SHARED, 401);
  expect(await statusOf(fresh)).toBe(200);
  expect(parsePassphrases(readFileSync(volume, "utf8"))).toEqual([fresh]);
  expect(secrets.versions(KEPT)).toHaveLength(3);
});

/** Lets somewhat more than a minute pass in the process that has it, with each SIGUSR2. */
const CLOCK = `--import=data:text/javascript,${encodeURIComponent(
  `const { now } = Date; let ahead = 0; Date.now = () => now() + ahead;
   process.on("SIGUSR2", () => { ahead += 61_000; });`,
)}`;

test("a token is refreshed by the deployed refresher, where this machine has no keys", async () => {
  const [webex, place] = [await startWebex(), await sqlitePlace()];
  const { documents, put, document, refresher } = deploy(place, webex);
  const client = await webex.register(newClient("http://127.0.0.1:1/callback"));
  const { accessToken, ...ageing } = await ageingDocument(webex, client);
  await put("sales", { ...ageing, accessToken, lastRefresh: Date.now() - HOUR });
  const { url } = await refresher();
  const env = { ...place.env, REFRESHER_URL: url };
  expect(await well("refresh sales --remote", env)).toMatch(/^token "sales" is refreshed: it lives 11h/);
  expect((await document("sales")).fields.accessToken).not.toBe(accessToken);
  const again = await tokens("refresh sales --remote", env);
  expect(again).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("was tried just now: try again in"),
  });
  const nowhere = await tokens("refresh sales --remote", place.env);
  expect(nowhere).toMatchObject({ code: 1, stderr: expect.stringContaining("set REFRESHER_URL") });
  await documents.close();
});

test("no command loads a library of Google's before it needs it", async () => {
  const refuse = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve(name, context, next) {
      if (/^(@google-cloud|google-|@grpc)/.test(name)) throw new Error("loaded too early: " + name);
      return next(name, context);
    } });`;
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(refuse)}`;
  expect(await well("schedule --help", { NODE_OPTIONS })).toContain("schedule status");
  const { stderr } = await tokens("list", { NODE_OPTIONS, STORE: "tokens.db" });
  expect(stderr).toContain("there is no token store tokens.db yet");
});
