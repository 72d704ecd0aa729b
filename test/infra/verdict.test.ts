import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { CloudSchedulerClient } from "@google-cloud/scheduler";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MINUTE, SECOND } from "../../functions/core/time.ts";
import { CommandError } from "../../local/commands/errors.ts";
import type { Outputs } from "../../local/deploy/outputs.ts";
import { tryOut } from "../../local/deploy/verdict.ts";
import { schedulerJobs } from "../../local/google/scheduler-jobs.ts";
import { fakeClock, runtimeOf } from "../support/clock.ts";
import { type CloudScheduler, startCloudScheduler } from "../support/cloud-scheduler.ts";
import { redirect } from "../support/google-clients.ts";
import { freePort } from "../support/processes.ts";

/** The trial at the end of `npm run deploy`, over a stand-in for Cloud Scheduler and a lookup that answers as set here. */

const WAIT = MINUTE;
/** Between two tries. */
const PAUSE = 5 * SECOND;
/** What the stand-in takes for a run, by the clock that waits. */
const RUN = SECOND;
const PLACE = { project: "made-up-project", region: "europe-west1" };
const AT = `--project ${PLACE.project} --region ${PLACE.region}`;
const nameOf = (job: string) => `projects/${PLACE.project}/locations/${PLACE.region}/jobs/${job}`;
const [SWEEP, CENSUS] = [nameOf("tokens-sweep"), nameOf("tokens-census")];
const { OK, PERMISSION_DENIED, UNAUTHENTICATED, UNAVAILABLE, INTERNAL } = status;

let google: CloudScheduler;
/** Answers to `/health`, in turn; then 200. */
let statuses: number[];
let base: string;
let server: ReturnType<typeof createServer>;

beforeAll(async () => {
  google = await startCloudScheduler();
  redirect(CloudSchedulerClient, google.port);
});
afterAll(() => google.close());
beforeEach(async () => {
  google.clear();
  google.create({ name: CENSUS });
  google.create({ name: nameOf("another-sweep") });
  google.create({ name: SWEEP });
  statuses = [];
  server = createServer((request, response) => {
    const code = request.url === "/token-lookup/health" ? (statuses.shift() ?? 200) : 200;
    response.writeHead(code).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

/** Waiting takes no real time. */
async function verdict({ baseUrl = `${base}/token-lookup`, wait = WAIT } = {}) {
  const outputs: Outputs = {
    ...PLACE,
    baseUrl,
    redirectUri: `${baseUrl}/callback`,
    jobs: { sweep: "tokens-sweep", census: "tokens-census" },
  };
  const runtime = runtimeOf(fakeClock(0));
  const said: string[] = [];
  const sentence = await tryOut(outputs, {
    jobs: schedulerJobs(PLACE),
    runtime,
    say: (text) => said.push(text),
    wait,
  }).catch((error: unknown) => {
    if (error instanceof CommandError) return error.message;
    throw error;
  });
  expect(sentence).not.toContain("\n");
  return { sentence, said, took: runtime.now() };
}

const runs = () => google.calls().filter((call) => call.startsWith("RunJob "));
/** How the next runs end, in turn; then OK. */
const ends = (...codes: number[]) => google.answers(async () => codes.shift() ?? OK);
/** Fails every further request for this method. */
function refuse(method: "ListJobs" | "RunJob", code: number): void {
  google.fail(method, { code, message: "canary" }, () => refuse(method, code));
}

const WORKS = /^the service works: a sweep and a census were completed, and lookup answers at /;
const LATE = "new permissions take minutes, so it is tried again for";
const ill = (what: string) => `the service does not work yet: ${what}`;
const AGAIN = `npm run tokens -- schedule run sweep ${AT} tries it again`;

test("runs each job of a working service once, and no other service's job", async () => {
  const { sentence, said, took } = await verdict();
  expect(sentence).toMatch(WORKS);
  expect(runs()).toEqual(["RunJob tokens-sweep", "RunJob tokens-census"]);
  expect(said).toEqual(["trying sweep", "trying census", "trying /health"]);
  expect(took).toBe(2 * RUN);
});

describe("while new permissions are not yet in effect", () => {
  test("deploy retries, and prints each reason once", async () => {
    statuses = [403, 403];
    ends(PERMISSION_DENIED, PERMISSION_DENIED, UNAVAILABLE, OK, UNAUTHENTICATED);
    google.fail("RunJob", { code: PERMISSION_DENIED, message: "canary" });
    const { sentence, said, took } = await verdict();
    expect(sentence).toMatch(WORKS);
    expect(said.map((line) => line.replace(/ \d+s$/, " …"))).toEqual([
      "trying sweep",
      expect.stringMatching(`^you may not do that in project "${PLACE.project}", .*; ${LATE} …$`),
      `the sweep was run, and ended: denied (403); ${LATE} …`,
      `the sweep was run, and ended: unavailable (503); ${LATE} …`,
      "trying census",
      `the census was run, and ended: not signed in (401); ${LATE} …`,
      "trying /health",
      `${base}/token-lookup/health is not open to everybody (403); ${LATE} …`,
    ]);
    expect(said[1]).toMatch(/ 55s$/);
    expect(took).toBeGreaterThanOrEqual(7 * PAUSE);
    expect(took).toBeLessThan(7 * PAUSE + 10 * RUN);
  });

  test("deploy gives up after --wait, and says what to do", async () => {
    google.answers(PERMISSION_DENIED);
    const { sentence, took } = await verdict();
    expect(sentence).toBe(
      ill(
        `the sweep was run, and ended: denied (403); the Scheduler's account lacks "Cloud Run Invoker" on the refresher: npm run deploy -- -- --refresh grants it; ${AGAIN}`,
      ),
    );
    expect(took).toBeGreaterThan(WAIT - PAUSE - RUN);
    expect(took).toBeLessThanOrEqual(WAIT + RUN);
    expect(runs().length).toBe(Math.floor(WAIT / (PAUSE + RUN)) + 1);
  });

  test("deploy with --wait 0s tries once", async () => {
    google.answers(PERMISSION_DENIED);
    const { sentence, said } = await verdict({ wait: 0 });
    expect(sentence).toContain("denied (403)");
    expect(said).toEqual(["trying sweep"]);
    expect(runs()).toHaveLength(1);
  });
});

describe("deploy names the failure and its remedy", () => {
  test.each([
    ["PAUSED", `the census is paused: npm run tokens -- schedule resume census ${AT}`],
    [
      "DISABLED",
      "the census was disabled by Google because of an error, which the job's log in Cloud Scheduler names",
    ],
    [
      "UPDATE_FAILED",
      "the last update of the census failed, and it may not run before one succeeds: npm run deploy -- -- --refresh tries it",
    ],
  ] as const)("for a job in state %s, at once", async (state, words) => {
    google.job(CENSUS).state = state;
    const { sentence, took } = await verdict();
    expect(sentence).toBe(ill(words));
    expect([took, runs()]).toEqual([RUN, ["RunJob tokens-sweep"]]);
  });

  test("for a refresher that fails", async () => {
    google.answers(INTERNAL);
    expect((await verdict()).sentence).toBe(
      ill(
        `the sweep was run, and ended: failed (500); the refresher met a bug: its log says where ("bug"); ${AGAIN}`,
      ),
    );
  });

  test("for a run without a result, after --wait or two minutes, without starting it again", async () => {
    google.answers(undefined);
    const wait = 2.5 * MINUTE;
    const { sentence, said, took } = await verdict({ wait });
    expect(sentence).toBe(
      ill(
        `the sweep was started, but 2m 30s later nothing is known of it: npm run tokens -- schedule status ${AT} tells once it has ended`,
      ),
    );
    expect(said).toContain("15s: nothing is known of it yet");
    expect([took, runs()]).toEqual([wait, ["RunJob tokens-sweep"]]);
    expect((await verdict({ wait: 0 })).sentence).toContain("2m later nothing is known of it");
  });

  test("for a missing job", async () => {
    google.clear();
    google.create({ name: nameOf("another-sweep") });
    google.create({ name: CENSUS });
    expect((await verdict({ wait: 0 })).sentence).toBe(
      ill(
        `there is no job for the sweep, only "tokens-census": npm run deploy -- -- --refresh makes it; ${AGAIN}`,
      ),
    );
    google.clear();
    google.create({ name: nameOf("another-sweep") });
    expect((await verdict({ wait: 0 })).sentence).toContain("there is no job for the sweep: npm run deploy");
  });

  test.each([
    ["ListJobs", PERMISSION_DENIED, /you may not do that in project "made-up-project".*"operators"/],
    ["RunJob", PERMISSION_DENIED, /you may not do that in project "made-up-project".*"operators"/],
    ["RunJob", UNAVAILABLE, /Cloud Scheduler did not answer: .*internet/],
    [
      "RunJob",
      status.FAILED_PRECONDITION,
      /does not run the sweep .* schedule status --project .* shows it$/,
    ],
  ] as const)("for %s when Google refuses it with %d", async (method, code, words) => {
    refuse(method, code);
    const { sentence, took } = await verdict();
    expect(sentence).toMatch(words);
    expect(sentence).toMatch(/^the service does not work yet: .*npm run tokens -- schedule \w+ .*--region/);
    expect(sentence).not.toContain("canary");
    expect(took).toBe(WAIT);
  });

  test("for a lookup that is not public, fails, or can't be reached", async () => {
    statuses = Array(100).fill(403);
    const address = `${base}/token-lookup/health`;
    expect((await verdict()).sentence).toBe(
      ill(
        `${address} is not open to everybody (403): run "gcloud run services update token-lookup --no-invoker-iam-check --region=europe-west1 --project=made-up-project"`,
      ),
    );
    statuses = Array(100).fill(500);
    const look = (url: string) => `run "curl -i ${url}", and look into the log of lookup`;
    expect((await verdict()).sentence).toBe(ill(`lookup answers 500 at ${address}: ${look(address)}`));
    const baseUrl = `http://127.0.0.1:${await freePort()}`;
    expect((await verdict({ baseUrl })).sentence).toBe(
      ill(`${baseUrl}/health can't be reached: ${look(`${baseUrl}/health`)}`),
    );
  });
});
