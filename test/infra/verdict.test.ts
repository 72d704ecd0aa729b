import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MINUTE, SECOND } from "../../functions/core/time.ts";
import { CommandError } from "../../local/commands/errors.ts";
import { schedulerOf } from "../../local/deploy/jobs.ts";
import type { Outputs } from "../../local/deploy/outputs.ts";
import { tryOut } from "../../local/deploy/verdict.ts";
import { freePort } from "../support/processes.ts";
import { type Job, type StandIn, startScheduler } from "./scheduler.ts";

/** What `npm run deploy` ends with, over a stand-in for the Scheduler and a lookup that answers as told. */

const WAIT = 5 * MINUTE;
const FLAGS = "--location=europe-west1 --project=made-up-project";
const nameOf = (job: string) => `projects/made-up-project/locations/europe-west1/jobs/${job}`;
let scheduler: StandIn | undefined;
/** What the service answers next to everybody: 200 once these are through. */
let statuses: number[];
let base: string;
let server: ReturnType<typeof createServer>;

beforeEach(async () => {
  statuses = [];
  server = createServer((request, response) => {
    const status = request.url === "/token-lookup/health" ? (statuses.shift() ?? 200) : 200;
    response.writeHead(status).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await scheduler?.close();
  server.closeAllConnections();
  server.close();
});

/** Tries out; waiting takes no time. `sweep`, `census`: how these jobs are; `undefined`: not there. */
async function verdict(
  { sweep = {}, census = {} }: { sweep?: Job | "missing"; census?: Job } = {},
  { endpoint, baseUrl = `${base}/token-lookup` }: { endpoint?: string; baseUrl?: string } = {},
) {
  const target = `${base}/`;
  const jobs = { [nameOf("census")]: { target, ...census } };
  if (sweep !== "missing") jobs[nameOf("sweep")] = { target, ...sweep };
  scheduler = await startScheduler(jobs);
  const identity = async () => ({ authorization: "Bearer canary" });
  const env = { GOOGLE_CLOUD_SCHEDULER_CUSTOM_ENDPOINT: endpoint ?? scheduler.endpoint };
  const outputs: Outputs = {
    project: "made-up-project",
    region: "europe-west1",
    baseUrl,
    redirectUri: `${baseUrl}/callback`,
    jobs: { sweep: "sweep", census: "census" },
  };
  let now = 0;
  const said: string[] = [];
  const sleep = async (ms: number) => {
    now += ms;
  };
  const sentence = await tryOut(outputs, {
    scheduler: schedulerOf(identity, env),
    now: () => now,
    sleep,
    say: (text) => said.push(text),
    wait: WAIT,
  }).catch((error: unknown) => {
    if (error instanceof CommandError) return error.message;
    throw error;
  });
  return { sentence, said, now, runs: scheduler.runs.map((name) => name.split("/").at(-1)) };
}

const WELL = /^the service works: a sweep and a census were completed, and lookup answers at /;
const LATE = "new permissions take minutes, so it is tried again for";

test("a service that works is tried once", async () => {
  const { sentence, said, now, runs } = await verdict();
  expect(sentence).toMatch(WELL);
  expect(runs).toEqual(["sweep", "census"]);
  expect(said).toEqual(["trying sweep", "trying census", "trying /health"]);
  expect(now).toBe(0);
});

describe("while new permissions are on their way", () => {
  test("it is tried again, and said why, once for each reason", async () => {
    statuses = [403, 403];
    const { sentence, said, now } = await verdict({
      sweep: { refuses: [403], fails: [7, 7, 14] },
      census: { fails: [16] },
    });
    expect(sentence).toMatch(WELL);
    expect(said).toEqual([
      "trying sweep",
      `you may not run sweep; ${LATE} 4m 55s`,
      `sweep may not call the refresher; ${LATE} 4m 50s`,
      `sweep failed with gRPC code 14; ${LATE} 4m 40s`,
      "trying census",
      `census may not call the refresher; ${LATE} 4m 35s`,
      "trying /health",
      `${base}/token-lookup/health is not open to everybody (403); ${LATE} 4m 30s`,
    ]);
    expect(now).toBe(7 * 5 * SECOND);
  });

  test("it ends after the time that was given, and says what to do", async () => {
    const { sentence, now, runs } = await verdict({ sweep: { fails: Array(100).fill(7) } });
    expect(sentence).toBe(
      `the service does not work yet: sweep may not call the refresher: wait some minutes, then run "gcloud scheduler jobs run sweep ${FLAGS}"`,
    );
    expect(now).toBe(WAIT);
    expect(runs.length).toBe(61);
  });
});

describe("what does not work is told with its remedy", () => {
  const ill = (what: string) => `the service does not work yet: ${what}`;

  test("a job that somebody paused, at once", async () => {
    const { sentence, now, runs } = await verdict({ census: { state: "PAUSED" } });
    expect(sentence).toBe(ill(`census is paused: run "gcloud scheduler jobs resume census ${FLAGS}"`));
    expect([now, runs]).toEqual([0, ["sweep"]]);
  });

  test("a refresher that fails", async () => {
    const { sentence } = await verdict({ sweep: { fails: Array(100).fill(13) } });
    expect(sentence).toBe(
      ill(
        `sweep failed with gRPC code 13: look into the log of the refresher, then run "gcloud scheduler jobs run sweep ${FLAGS}"`,
      ),
    );
  });

  test("a job that is not there, or that you may not run", async () => {
    expect((await verdict({ sweep: "missing" })).sentence).toBe(
      ill('there is no job sweep: run "npm run deploy" again'),
    );
    await scheduler?.close();
    expect((await verdict({ sweep: { refuses: Array(100).fill(403) } })).sentence).toBe(
      ill("you may not run sweep: add yourself to the operators in the stack's file, and deploy again"),
    );
  });

  test("a Scheduler that can't be reached", async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}/v1/`;
    expect((await verdict({}, { endpoint })).sentence).toBe(
      ill(
        `the Scheduler can't be reached: check the network, then run "gcloud scheduler jobs run sweep ${FLAGS}"`,
      ),
    );
  });

  test("a lookup that is closed to everybody, that fails, and that is not there", async () => {
    statuses = Array(100).fill(403);
    const address = `${base}/token-lookup/health`;
    expect((await verdict()).sentence).toBe(
      ill(
        `${address} is not open to everybody (403): run "gcloud run services update token-lookup --no-invoker-iam-check --region=europe-west1 --project=made-up-project"`,
      ),
    );
    await scheduler?.close();
    statuses = Array(100).fill(500);
    const look = (url: string) => `run "curl -i ${url}", and look into the log of lookup`;
    expect((await verdict()).sentence).toBe(ill(`lookup answers 500 at ${address}: ${look(address)}`));
    await scheduler?.close();
    const baseUrl = `http://127.0.0.1:${await freePort()}`;
    expect((await verdict({}, { baseUrl })).sentence).toBe(
      ill(`${baseUrl}/health can't be reached: ${look(`${baseUrl}/health`)}`),
    );
  });
});
