import { CloudSchedulerClient } from "@google-cloud/scheduler";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { MINUTE, SECOND } from "../../functions/core/time.ts";
import { type Clock, fakeClock, runtimeOf } from "../support/clock.ts";
import { type CloudScheduler, startCloudScheduler } from "../support/cloud-scheduler.ts";
import { begin } from "../support/command-line.ts";
import { redirect } from "../support/google-clients.ts";

/** The schedule commands over Google's own library, against a stand-in for Cloud Scheduler, by a clock that can be turned. */

const REGION = "projects/made-up/locations/europe-west1";
const SWEEP = `${REGION}/jobs/tokens-schedule-sweep`;
const CENSUS = `${REGION}/jobs/tokens-schedule-census`;

let google: CloudScheduler;
let clock: Clock;
beforeAll(async () => {
  google = await startCloudScheduler();
  redirect(CloudSchedulerClient, google.port);
});
beforeEach(() => {
  clock = fakeClock(Date.now());
  google.clear();
  google.create({ name: CENSUS, schedule: "17 3 * * *" });
  google.create({ name: SWEEP });
  for (const name of ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_REGION"]) vi.stubEnv(name, undefined);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await google.close();
});

const HERE = "--project made-up --region europe-west1";
let stop: () => void;

/** Runs a command line. `at`: the options that say where; `slept`: called each time it waits. */
async function tokens(
  line: string,
  { at = HERE, slept = () => {} }: { at?: string; slept?: () => void } = {},
) {
  const time = runtimeOf(clock);
  const sleep = (ms: number) => {
    slept();
    return time.sleep(ms);
  };
  // Were the store looked for, it would be missing.
  const env = { STORE: "no-such-file" };
  const { ended, interrupt } = begin(`schedule ${line} ${at}`, { env, time: { ...time, sleep } });
  stop = interrupt;
  const { code, stdout, stderr } = await ended;
  const said = stderr.split("\n").slice(0, -1);
  return { stdout, code, error: code === 0 ? undefined : said.pop(), said };
}

/** What a command line prints that succeeds. */
async function output(line: string): Promise<string> {
  const { stdout, error } = await tokens(line);
  expect({ line, error }).toEqual({ line, error: undefined });
  return stdout.trimEnd();
}

/** The sentence with which a command line fails. */
async function sentenceOf(line: string, at?: string): Promise<string> {
  const { error = "" } = await tokens(line, at === undefined ? {} : { at });
  expect(error).not.toMatch(/^$|this is a bug/);
  return error;
}

const orders = () => google.calls().filter((call) => !/^(Get|List)/.test(call));

describe("status", () => {
  test("shows the jobs in a table: state, schedule, last attempt in words, next run", async () => {
    const now = clock.now();
    Object.assign(google.job(SWEEP), { lastAttempt: now - 14 * SECOND, code: 0, nextRun: now + 50 * SECOND });
    Object.assign(google.job(CENSUS), {
      lastAttempt: now - 3 * 60 * MINUTE,
      code: 7,
      nextRun: now + MINUTE,
    });
    const [head, sweep, census] = (await output("status")).split("\n");
    expect(head).toMatch(/job +state +schedule +last attempt +result +next run/);
    expect(sweep).toMatch(/^sweep +enabled +\* \* \* \* \* \(Etc\/UTC\) +14s ago +well +in 50s$/);
    expect(census).toMatch(/^census +enabled +17 3 \* \* \* \(Etc\/UTC\) +3h ago +denied \(403\) +in 1m$/);
  });

  test("tells programs each instant, and what came of the last attempt", async () => {
    Object.assign(google.job(SWEEP), { lastAttempt: Date.UTC(2026, 0, 5, 8), code: 13 });
    const { jobs, ...where } = JSON.parse(await output("status --json"));
    expect(where).toEqual({ project: "made-up", region: "europe-west1" });
    expect(jobs).toEqual([
      {
        job: "sweep",
        id: "tokens-schedule-sweep",
        state: "enabled",
        schedule: "* * * * *",
        timeZone: "Etc/UTC",
        lastAttempt: "2026-01-05T08:00:00.000Z",
        result: { code: 13, text: "failed (500)" },
        nextRun: expect.stringMatching(/Z$/),
      },
      expect.objectContaining({ job: "census", lastAttempt: null, result: null }),
    ]);
  });

  test("says of a job that was never tried, is under way, or stands still, that it is so", async () => {
    Object.assign(google.job(SWEEP), { lastAttempt: clock.now(), code: -1 });
    google.job(CENSUS).state = "PAUSED";
    const { stdout, said } = await tokens("status");
    expect(stdout).toMatch(/^sweep .* now +under way/m);
    expect(stdout).toMatch(/^census +paused .* none yet +- +-$/m);
    expect(said).toEqual(["the census is paused: npm run tokens -- schedule resume census"]);
    google.job(CENSUS).state = "DISABLED";
    expect((await tokens("status")).said[0]).toContain("disabled by Google");
    google.job(CENSUS).state = "UPDATE_FAILED";
    expect((await tokens("status")).said[0]).toContain("npm run deploy -- -- --refresh");
  });

  test("takes project and region from the environment, too", async () => {
    vi.stubEnv("GOOGLE_CLOUD_PROJECT", "made-up");
    vi.stubEnv("GOOGLE_CLOUD_REGION", "europe-west1");
    expect(await tokens("status", { at: "" })).toMatchObject({ error: undefined });
    expect(await sentenceOf("status", "--region empty-1")).toContain("region empty-1");
  });
});

describe("run", () => {
  test("starts a sweep, waits until it has ended, and says so", async () => {
    Object.assign(google.job(SWEEP), { lastAttempt: Date.now() - MINUTE, code: 13 });
    expect(await output("run")).toBe("the sweep ran, and the refresher answered that all is well");
    expect(orders()).toEqual(["RunJob tokens-schedule-sweep"]);
    expect(google.job(SWEEP).code).toBe(0);
    await output("run census");
    expect(orders().at(-1)).toBe("RunJob tokens-schedule-census");
  });

  test.each([
    [status.PERMISSION_DENIED, /denied \(403\); .*"Cloud Run Invoker"/],
    [status.UNAUTHENTICATED, /not signed in \(401\)/],
    [status.INTERNAL, /failed \(500\).*log/],
    [status.DEADLINE_EXCEEDED, /too late \(504\)/],
    [status.ABORTED, /failed \(gRPC 10\).*log/],
  ])("that ends with gRPC's status %d fails, and says what to do", async (code, words) => {
    google.answers(code);
    expect(await sentenceOf("run")).toMatch(words);
    const { stdout, code: status } = await tokens("run --json");
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ started: true, result: { code } });
  });

  test("does not take the attempt before for its own", async () => {
    Object.assign(google.job(SWEEP), { lastAttempt: Date.now() - SECOND, code: 0 });
    google.answers(status.UNAVAILABLE);
    expect(await sentenceOf("run")).toContain("unavailable (503)");
  });

  test("that never ends is not waited for for ever", async () => {
    google.answers(undefined);
    google.job(SWEEP).deadline = 60;
    const { error, said } = await tokens("run");
    expect(error).toBe(
      "the sweep was started, but 1m 30s later nothing is known of it: npm run tokens -- schedule status tells once it has ended",
    );
    expect(said[0]).toContain("Ctrl-C ends the waiting, not the sweep");
    expect(said.slice(1)).toEqual(expect.arrayContaining([expect.stringMatching(/^15s: nothing is known/)]));
    expect(said.length).toBeLessThan(8);
    google.job(SWEEP).deadline = undefined;
    expect(await sentenceOf("run")).toContain("3m 30s later");
  });

  test("ends its waiting with Ctrl-C, and says that the sweep goes on", async () => {
    google.answers(undefined);
    expect(await tokens("run", { slept: () => stop() })).toMatchObject({
      error: expect.stringContaining("the sweep goes on"),
      code: 130,
    });
  });

  test("--no-wait starts it, and claims nothing more", async () => {
    google.answers(status.INTERNAL);
    expect(await output("run --no-wait")).toContain("is started");
    expect(JSON.parse(await output("run census --no-wait --json"))).toMatchObject({ started: true });
  });

  test("of a paused job says what Cloud Scheduler makes of it", async () => {
    google.job(SWEEP).state = "PAUSED";
    expect(await sentenceOf("run")).toContain(
      "does not run a job that is paused: npm run tokens -- schedule resume",
    );
    google.runsPaused(true);
    expect(await output("run")).toContain("the sweep ran");
    google.answers(undefined);
    expect(await sentenceOf("run")).toContain("the job is paused, which may be why");
  });
});

describe("pause and resume", () => {
  test("stop both jobs and say what ends with them, and set them going again", async () => {
    const { stdout, said } = await tokens("pause");
    expect(stdout).toBe("the sweep is paused\nthe census is paused\n");
    expect(said.join("\n")).toMatch(
      /nobody reads ends.*between 2 and 12[\s\S]*consent[\s\S]*schedule resume/,
    );
    expect([google.job(SWEEP).state, google.job(CENSUS).state]).toEqual(["PAUSED", "PAUSED"]);
    expect(await output("resume")).toMatch(
      /^the sweep is resumed, and runs in \w+\nthe census is resumed, and/,
    );
    expect([google.job(SWEEP).state, google.job(CENSUS).state]).toEqual(["ENABLED", "ENABLED"]);
  });

  test("say that it was so already, and ask nothing of Google", async () => {
    expect(await output("resume sweep")).toContain("the sweep is not paused");
    expect(orders()).toEqual([]);
    await output("pause census");
    expect(google.job(SWEEP).state).toBe("ENABLED");
    expect(await output("pause census")).toBe("the census is paused already");
    expect(orders()).toEqual(["PauseJob tokens-schedule-census"]);
  });

  test("tell programs what they changed", async () => {
    await output("pause sweep");
    const { jobs } = JSON.parse(await output("pause --json"));
    expect(jobs).toEqual([
      expect.objectContaining({ job: "sweep", state: "paused", changed: false, nextRun: null }),
      expect.objectContaining({ job: "census", state: "paused", changed: true }),
    ]);
  });

  test("that somebody else was quicker with end well", async () => {
    google.fail("PauseJob", { code: status.OK }, () => {
      google.job(SWEEP).state = "PAUSED";
    });
    expect(await output("pause sweep")).toBe("the sweep is paused already");
    google.fail("ResumeJob", { code: status.OK }, () => {
      google.job(SWEEP).state = "ENABLED";
    });
    expect(await output("resume sweep")).toContain("the sweep is not paused");
  });

  test("of a job that Google has disabled say that they can't", async () => {
    google.job(SWEEP).state = "DISABLED";
    for (const line of ["pause sweep", "resume sweep"])
      expect(await sentenceOf(line)).toContain("disabled by Google because of an error");
    expect(google.job(SWEEP).state).toBe("DISABLED");
  });
});

describe("the jobs are found", () => {
  test("among others of the project, over several pages", async () => {
    for (const other of ["backup", "tokens-schedule-sweeper", "nightly"])
      google.create({ name: `${REGION}/jobs/${other}` });
    const { jobs } = JSON.parse(await output("status --json"));
    expect(jobs.map(({ id }: { id: string }) => id)).toEqual([
      "tokens-schedule-sweep",
      "tokens-schedule-census",
    ]);
    expect(google.calls().length).toBeGreaterThan(1);
  });

  test("by the name of their service, where there are several", async () => {
    google.create({ name: `${REGION}/jobs/other-schedule-sweep` });
    expect(await sentenceOf("pause")).toMatch(/several.*--prefix, one of other-schedule, tokens-schedule$/);
    expect(orders()).toEqual([]);
    expect(await output("pause --prefix tokens")).toContain("the sweep is paused");
    expect(orders()).toEqual(["PauseJob tokens-schedule-sweep", "PauseJob tokens-schedule-census"]);
    google.create({ name: `${REGION}/jobs/tokens-sweep` });
    await output("pause --prefix tokens-");
    expect(orders().at(-1)).toBe("PauseJob tokens-sweep");
    expect(await sentenceOf("status --prefix nobody")).toMatch(/begins with "nobody".*other-schedule/);
  });

  test.each([
    ["no project", "--region europe-west1", /^which project\?.*GOOGLE_CLOUD_PROJECT/],
    ["no region", "--project made-up", /^which region\?.*GOOGLE_CLOUD_REGION/],
    ["no region that is one", "--project made-up --region europe/west1", /^--region can hold only/],
    ["a region that is unknown", "--project made-up --region mars-1", /no region "mars-1".*--region/],
    [
      "a region without the service",
      "--project made-up --region empty-1",
      /no job "…-sweep".*deployed there/,
    ],
    ["another project", "--project another --region europe-west1", /no job "…-sweep".*"another"/],
  ])("or not: where there is %s, it says so", async (_, at, words) => {
    expect(await sentenceOf("status", at)).toMatch(words);
  });

  test("or a job was removed in between", async () => {
    google.fail("PauseJob", { code: status.NOT_FOUND });
    expect(await sentenceOf("pause sweep")).toContain('there is no job "tokens-schedule-sweep" any more');
    google.clear();
    google.create({ name: CENSUS });
    expect(await sentenceOf("run sweep")).toContain('no job for the sweep, only "tokens-schedule-census"');
  });
});

describe("what Google refuses is told in one sentence with its remedy", () => {
  const { PERMISSION_DENIED, UNAUTHENTICATED, UNAVAILABLE, RESOURCE_EXHAUSTED, DATA_LOSS } = status;
  const off = "Cloud Scheduler API has not been used in project 1 before or it is disabled. canary";
  const quota = "The API requires a quota project, which is not set by default. canary";
  test.each([
    ["may not", { code: PERMISSION_DENIED, message: "canary" }, /you may not.*"Cloud Scheduler Admin"/],
    [
      "has the API off",
      { code: PERMISSION_DENIED, message: "canary", reason: "SERVICE_DISABLED" },
      /gcloud services enable cloudscheduler.googleapis.com --project made-up/,
    ],
    [
      "has the API off, without a reason",
      { code: PERMISSION_DENIED, message: off },
      /is turned off in project/,
    ],
    [
      "has no quota project",
      { code: PERMISSION_DENIED, message: quota, reason: "SERVICE_DISABLED" },
      /set-quota-project made-up/,
    ],
    [
      "may not act as the account",
      { code: PERMISSION_DENIED, message: "canary lacks iam.serviceAccounts.actAs" },
      /"Service Account User"/,
    ],
    ["is not known", { code: UNAUTHENTICATED, message: "canary" }, /application-default login/],
    ["asks too much", { code: RESOURCE_EXHAUSTED, message: "canary" }, /in a minute/],
    ["meets something else", { code: DATA_LOSS, message: "canary" }, /\(code 15\)/],
  ])("who %s", async (_, failure, words) => {
    for (const [method, line] of [
      ["ListJobs", "status"],
      ["PauseJob", "pause sweep"],
      ["RunJob", "run"],
      ["GetJob", "run"],
    ] as const) {
      google.fail(method, failure);
      const error = await sentenceOf(line);
      expect(error).toMatch(words);
      expect(error).not.toContain("canary");
    }
  });

  test("an order that nobody answered is not given twice", async () => {
    google.fail("RunJob", { code: UNAVAILABLE });
    expect(await sentenceOf("run")).toContain("did not answer");
    expect(orders()).toEqual(["RunJob tokens-schedule-sweep"]);
  });

  test("a question that nobody answered is asked again", async () => {
    google.fail("ListJobs", { code: UNAVAILABLE });
    expect(await output("status")).toContain("sweep");
  });
});
