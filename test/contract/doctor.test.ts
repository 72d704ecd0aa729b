import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { CloudSchedulerClient } from "@google-cloud/scheduler";
import { status } from "@grpc/grpc-js";
import { OAuth2Client } from "google-auth-library";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { formatSealKeys } from "../../functions/core/seal.ts";
import { type DocumentStore, StoreUnavailable } from "../../functions/core/store.ts";
import { HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import type { Deployment } from "../../local/deployment.ts";
import { type Check, type Examined, examine } from "../../local/doctor/check.ts";
import { CHECKS } from "../../local/doctor/checks.ts";
import { googleRest } from "../../local/doctor/google-rest.ts";
import { patientOf } from "../../local/doctor/patient.ts";
import { presentManaged } from "../../local/google/managed-secret.ts";
import { schedulerJobs } from "../../local/google/scheduler-jobs.ts";
import { PASSPHRASE, type Place, sqlitePlace } from "../e2e/deployed.ts";
import { closeAll, openWebex, serveOn } from "../e2e/in-process.ts";
import { type CloudScheduler, startCloudScheduler } from "../support/cloud-scheduler.ts";
import { redirect } from "../support/google-clients.ts";
import { ACCESS_TOKEN, type GoogleServices, startGoogleServices } from "../support/google-rest.ts";
import { stopAll } from "../support/processes.ts";
import { tokensProgram } from "../support/program.ts";
import { sealerOf, sealKey } from "../support/sealing.ts";
import { type SecretManager, startSecretManager } from "../support/secret-manager.ts";

/**
 * Each of doctor's checks on a healthy and a broken deployment: the functions over HTTP, Google's libraries against
 * stand-ins, and a front that demands an identity as IAM does.
 */

const HERE = "projects/made-up/locations/europe-west1";
const SWEEP = `${HERE}/jobs/tokens-schedule-sweep`;
const CENSUS = `${HERE}/jobs/tokens-schedule-census`;
const KEPT = "projects/made-up/secrets/tokens-passphrase";
const KEYS = "projects/made-up/secrets/tokens-seal-keys";
const LIST = `/v2/projects/made-up/locations/-/functions`;
const RELEASE = "/v1/projects/made-up/releases/cloud.firestore";
const RULES = readFileSync(path.resolve(import.meta.dirname, "../../firebase.rules"), "utf8");
const IDENTITY = "canary-identity-token";

let google: GoogleServices;
let scheduler: CloudScheduler;
let secrets: SecretManager;
let place: Place;
let functions: ReturnType<typeof serveOn>;
let lookup: string;
let setup: string;
let front: Server;
let refresherUrl: string;
/** Whether the front demands an identity. */
let isPrivate: boolean;

beforeAll(async () => {
  [google, scheduler, secrets, place] = await Promise.all([
    startGoogleServices(),
    startCloudScheduler(),
    startSecretManager(),
    sqlitePlace(),
  ]);
  redirect(CloudSchedulerClient, scheduler.port);
  functions = serveOn(place, await openWebex());
  [lookup, setup] = [await functions.lookup("http://127.0.0.1:1"), await functions.setup()];
  const refresher = await functions.refresher();
  front = createServer(async ({ url = "/", headers }, response) => {
    if (isPrivate && headers.authorization !== `Bearer ${IDENTITY}`)
      return void response.writeHead(403, { "content-type": "text/html" }).end("<h1>Forbidden</h1>");
    const answer = await fetch(new URL(url, refresher));
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  refresherUrl = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
});

afterAll(async () => {
  front.closeAllConnections();
  front.close();
  await closeAll();
  await stopAll();
  await Promise.all([google.close(), scheduler.close(), secrets.close()]);
});

/** A healthy deployment. */
beforeEach(async () => {
  isPrivate = true;
  google.clear();
  google.put(LIST, { functions: [deployed("lookup"), deployed("refresher"), deployed("setup"), stranger] });
  google.put(RELEASE, { rulesetName: "projects/made-up/rulesets/r1" });
  google.put("/v1/projects/made-up/rulesets/r1", { source: { files: [{ content: RULES }] } });
  google.put(`/v2/${HERE}/services/token-refresher`, { invokerIamDisabled: false });
  google.put(
    `/v2/${HERE}/services/token-refresher:getIamPolicy`,
    bindings("serviceAccount:tokens-scheduler@made-up.iam.gserviceaccount.com"),
  );
  scheduler.clear();
  scheduler.create({ name: SWEEP, lastAttempt: Date.now() - 20 * SECOND, code: 0 });
  scheduler.create({ name: CENSUS, schedule: "17 3 * * *", lastAttempt: Date.now() - HOUR, code: 0 });
  secrets.create(KEPT, PASSPHRASE);
  secrets.create(
    KEYS,
    formatSealKeys({ primary: sealKey("k-now"), all: [sealKey("k-now"), sealKey("k-old")] }),
  );
  const { documents } = place;
  for (const { id } of await documents.list("tokens", 100)) await documents.remove("tokens", id);
  await token("sales", { refreshToken: await sealed("k-now") });
  await swept(20 * SECOND);
});

const bindings = (...members: string[]) => ({ bindings: [{ role: "roles/run.invoker", members }] });
const sealed = (kid: string, name = "sales") =>
  sealerOf(kid).seal("canary-refresh-token", { token: name, field: "refreshToken" });
const token = (name: string, fields: object) =>
  place.documents.create("tokens", name, {
    accessToken: "canary-access-token",
    accessExpires: Date.now() + 6 * HOUR,
    refreshAt: Date.now() + HOUR,
    ...fields,
  });
async function swept(ago: number): Promise<void> {
  await place.documents.remove("status", "sweeps");
  await place.documents.create("status", "sweeps", { last: Date.now() - ago, sweeps: [] });
}

function deployed(role: "lookup" | "refresher" | "setup", other: object = {}, config: object = {}) {
  const uri = { lookup, setup, refresher: refresherUrl }[role];
  return {
    name: `${HERE}/functions/token-${role}`,
    description: `Webex token service: ${role}`,
    state: "ACTIVE",
    buildConfig: { entryPoint: role },
    serviceConfig: {
      uri,
      service: `${HERE}/services/token-${role}`,
      serviceAccountEmail: `tokens-${role}@made-up.iam.gserviceaccount.com`,
      environmentVariables: role === "lookup" ? {} : { SEAL_KEYS: KEYS },
      ...(role === "lookup" && { secretVolumes: [{ projectId: "made-up", secret: KEPT.split("/").at(-1) }] }),
      ...config,
    },
    ...other,
  };
}
/** Another function in the same project. */
const stranger = { name: `${HERE}/functions/hello`, state: "ACTIVE", buildConfig: { entryPoint: "hello" } };

interface How {
  kind?: "project" | "machine" | "emulator";
  sealing?: Deployment["sealing"];
  service?: Deployment["service"];
  documents?: DocumentStore;
  prefix?: string;
  checks?: readonly Check[];
  rest?: () => Promise<never>;
}

const STORES = {
  project: { kind: "firestore", project: "made-up", database: "(default)", emulator: undefined },
  emulator: { kind: "firestore", project: "made-up", database: "(default)", emulator: "127.0.0.1:1" },
  machine: undefined,
} as const;

async function doctor(how: How = {}): Promise<Record<string, Examined>> {
  const { kind = "project", documents = place.documents, checks = CHECKS, prefix } = how;
  const ending = new AbortController();
  const client = new OAuth2Client();
  client.setCredentials({ access_token: ACCESS_TOKEN, expiry_date: Date.now() + HOUR });
  const options = { project: "made-up", signal: ending.signal, endpoint: () => google.url };
  const patient = await patientOf({
    deployment: {
      where: "made-up tokens",
      service: how.service,
      sealing: how.sealing,
      open: async () => kept(documents),
    } as Partial<Deployment> as Deployment,
    settings: { store: STORES[kind] },
    region: undefined,
    prefix,
    now: Date.now,
    signal: ending.signal,
    google: {
      rest: how.rest ?? (async () => googleRest(client, options)),
      jobs: (where) => schedulerJobs(where),
      secret: (where) =>
        where.startsWith("projects/")
          ? presentManaged(where, secrets.client)
          : Promise.resolve(readFileSync(where, "utf8")),
      identity: async () => ({ authorization: `Bearer ${IDENTITY}` }),
    },
  });
  const found = await Promise.all(examine(checks, patient));
  ending.abort();
  expect(JSON.stringify(found)).not.toMatch(/canary/);
  for (const { remedy } of found) if (remedy !== undefined) remedies.add(remedy);
  return Object.fromEntries(found.map((each) => [each.id, each]));
}

const remedies = new Set<string>();

/** The store, left open at the end of each run of doctor. */
const kept = (documents: DocumentStore): DocumentStore =>
  new Proxy(documents, {
    get: (target, name) => {
      if (name === "close") return async () => {};
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });

/** The result of one check. */
const resultOf = async (id: string, how: How = {}) => {
  const found = (await doctor(how))[id];
  if (found === undefined) throw new Error(`there is no check ${id}`);
  return found;
};

test("doctor reports every check as ok for a healthy deployment", async () => {
  const found = Object.values(await doctor());
  expect(found.map(({ id, verdict, says }) => (verdict === "well" ? id : { id, verdict, says }))).toEqual([
    "credentials",
    "clock",
    "database",
    "rules",
    "functions",
    "refresher-private",
    "sweep-job",
    "census-job",
    "last-sweep",
    "passphrase",
    "sealing",
    "tokens",
    "mistyped",
    "published",
  ]);
  expect(new Set(found.map(({ title }) => title)).size).toBe(CHECKS.length);
});

test("doctor skips the checks that need credentials when there are none", async () => {
  const found = await doctor({ rest: () => Promise.reject(new Error("made up")) });
  const { credentials, ...others } = found;
  expect(credentials?.verdict).toBe("broken");
  expect(new Set(Object.values(others).map(({ verdict }) => verdict))).toEqual(new Set(["skipped"]));
});

test("doctor reports Google's refusals in one sentence without Google's text", async () => {
  google.refuse(RELEASE, 403, { message: "canary", status: "PERMISSION_DENIED" });
  google.refuse(LIST, 403, { message: "canary", details: [{ reason: "SERVICE_DISABLED" }] });
  const found = await doctor();
  expect(found.rules).toMatchObject({ verdict: "broken", says: expect.stringContaining('"operators"') });
  expect(found.functions?.says).toContain(
    "gcloud services enable cloudfunctions.googleapis.com --project made-up",
  );
  expect(found.tokens?.verdict).toBe("well");
});

const away = () => Promise.reject(new StoreUnavailable("made up"));

test("doctor reports a database that does not answer, and skips the checks that need it", async () => {
  const down = { ...place.documents, read: away, list: away } as unknown as DocumentStore;
  const found = await doctor({ documents: down });
  expect(found.database).toMatchObject({
    verdict: "broken",
    says: expect.stringContaining("did not answer"),
  });
  for (const id of ["last-sweep", "sealing", "tokens", "mistyped", "published"])
    expect(found[id]?.verdict).toBe("skipped");
  expect(found.functions?.verdict).toBe("well");
});

describe("doctor reports Firestore's rules", () => {
  test("that differ or are missing as broken", async () => {
    google.put("/v1/projects/made-up/rulesets/r1", {
      source: { files: [{ content: RULES.replace("if false", "if true") }] },
    });
    expect(await resultOf("rules")).toMatchObject({ verdict: "broken", remedy: "npm run deploy" });
    google.put(RELEASE, undefined);
    expect(await resultOf("rules")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("none are released"),
    });
  });

  test("that differ only in comments and layout as ok", async () => {
    const words = `// Made up.\n${RULES.replace(/\/\/.*$/gm, "")}`.replace(/\n/g, "\n\n\t");
    google.put("/v1/projects/made-up/rulesets/r1", { source: { files: [{ content: words }] } });
    expect((await resultOf("rules")).verdict).toBe("well");
  });
});

describe("doctor reports functions", () => {
  test("that are not deployed by name", async () => {
    google.put(LIST, { functions: [deployed("lookup")] });
    expect(await resultOf("functions")).toMatchObject({
      verdict: "broken",
      says: "not deployed: refresher, setup",
    });
  });

  test.each([
    ["failed to deploy", { state: "FAILED" }, {}, /token-lookup is FAILED/],
    ["do not answer", {}, { uri: "http://127.0.0.1:1" }, /token-lookup does not answer/],
  ])("that %s as broken", async (_, other, config, says) => {
    google.put(LIST, {
      functions: [deployed("lookup", other, config), deployed("refresher"), deployed("setup")],
    });
    expect(await resultOf("functions")).toMatchObject({
      verdict: "broken",
      says: expect.stringMatching(says),
    });
  });

  test("that IAM closes as broken, with the command that opens them", async () => {
    const shut = createServer((_, response) => void response.writeHead(403).end("<h1>Forbidden</h1>"));
    await new Promise<void>((resolve) => shut.listen(0, "127.0.0.1", resolve));
    const uri = `http://127.0.0.1:${(shut.address() as AddressInfo).port}`;
    google.put(LIST, {
      functions: [deployed("lookup", {}, { uri }), deployed("refresher"), deployed("setup")],
    });
    expect(await resultOf("functions")).toMatchObject({
      verdict: "broken",
      remedy:
        "gcloud run services update token-lookup --region europe-west1 --project made-up --no-invoker-iam-check",
    });
    shut.closeAllConnections();
    shut.close();
  });

  test("of the service with the given prefix", async () => {
    const others = (["lookup", "refresher", "setup"] as const).map((role) =>
      deployed(
        role,
        { name: `${HERE}/functions/other-${role}` },
        { serviceAccountEmail: `other-${role}@x`, uri: "http://127.0.0.1:1" },
      ),
    );
    google.put(LIST, {
      functions: [...others, deployed("lookup"), deployed("refresher"), deployed("setup")],
    });
    expect((await resultOf("functions")).says).toMatch(/--prefix, one of other, tokens/);
    expect(await resultOf("functions", { prefix: "tokens" })).toMatchObject({ verdict: "well" });
    expect((await resultOf("functions", { prefix: "other" })).verdict).toBe("broken");
  });

  test("of all pages of the list", async () => {
    const first = `${LIST}?pageSize=500`;
    google.put(first, { functions: [deployed("lookup"), stranger], nextPageToken: "made up" });
    google.put(`${first}&pageToken=made%20up`, { functions: [deployed("refresher"), deployed("setup")] });
    expect((await resultOf("functions")).verdict).toBe("well");
  });
});

describe("doctor reports that the refresher is not private", () => {
  const policy = `/v2/${HERE}/services/token-refresher:getIamPolicy`;

  test.each(["allUsers", "allAuthenticatedUsers"])("when %s may call it", async (member) => {
    google.put(policy, bindings("user:a@example.com", member));
    expect(await resultOf("refresher-private")).toMatchObject({
      verdict: "broken",
      remedy: `gcloud run services remove-iam-policy-binding token-refresher --region europe-west1 --project made-up --member=${member} --role=roles/run.invoker`,
    });
  });

  test("when IAM does not check callers", async () => {
    google.put(`/v2/${HERE}/services/token-refresher`, { invokerIamDisabled: true });
    expect((await resultOf("refresher-private")).remedy).toMatch(/token-refresher .*--invoker-iam-check$/);
  });

  test("when it answers a caller without identity, whatever the policy says", async () => {
    isPrivate = false;
    expect(await resultOf("refresher-private")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("answers a stranger"),
    });
  });
});

describe("doctor reports a job of Cloud Scheduler", () => {
  test.each([
    ["is paused", { state: "PAUSED" }, "broken", "npm run tokens -- schedule resume sweep"],
    ["was disabled", { state: "DISABLED" }, "broken", "npm run deploy"],
    ["failed last", { code: 7 }, "broken", "npm run tokens -- schedule run sweep"],
    [
      "never ran",
      { lastAttempt: undefined, code: undefined },
      "warning",
      "npm run tokens -- schedule run sweep",
    ],
    ["is under way", { code: -1 }, "well", undefined],
  ] as const)("that %s", async (_, change, verdict, remedy) => {
    Object.assign(scheduler.job(SWEEP), change);
    const found = await doctor();
    expect(found["sweep-job"]).toMatchObject({ verdict, ...(remedy && { remedy }) });
    expect(found["census-job"]?.verdict).toBe("well");
  });

  test("that is missing as broken", async () => {
    scheduler.clear();
    scheduler.create({ name: SWEEP, lastAttempt: Date.now(), code: 0 });
    expect(await resultOf("census-job")).toMatchObject({ verdict: "broken", says: "there is no such job" });
  });

  test("that it may not read as broken, and says why", async () => {
    scheduler.fail("ListJobs", { code: status.PERMISSION_DENIED });
    expect((await resultOf("sweep-job")).says).toMatch(/^you may not do that/);
  });
});

test.each([
  [2 * MINUTE, "well"],
  [4 * MINUTE, "warning"],
  [16 * MINUTE, "broken"],
])("doctor reports a sweep %i ms ago as %s (row 8)", async (ago, verdict) => {
  await swept(ago);
  expect(await resultOf("last-sweep")).toMatchObject({
    verdict,
    says: expect.stringMatching(/^\d+m.* ago$/),
  });
});

test("doctor reports a missing sweep as broken (row 8)", async () => {
  await place.documents.remove("status", "sweeps");
  expect(await resultOf("last-sweep")).toMatchObject({
    verdict: "broken",
    remedy: "npm run tokens -- schedule status",
  });
});

describe("doctor reports the passphrase", () => {
  test("as broken when lookup has another one", async () => {
    secrets.create(KEPT, "canary-another-passphrase");
    expect(await resultOf("passphrase")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("lookup refuses"),
    });
  });

  test("as broken when there is none, or more than two", async () => {
    secrets.create(KEPT);
    expect(await resultOf("passphrase")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("holds nothing"),
    });
    secrets.create(KEPT, "canary-1\ncanary-2\ncanary-3");
    expect((await resultOf("passphrase")).says).toContain("at most two may be live");
  });

  test("as ok during a rotation, with the command that finishes it", async () => {
    secrets.create(KEPT, `${PASSPHRASE}\ncanary-older-passphrase`);
    expect(await resultOf("passphrase")).toMatchObject({
      verdict: "well",
      says: expect.stringContaining("--finish"),
    });
  });

  test("by the answer of a lookup with COMPAT=sample, too", async () => {
    const uri = await functions.lookup("http://127.0.0.1:1", { COMPAT: "sample" });
    const like = deployed("lookup", {}, { uri });
    google.put(LIST, { functions: [like, deployed("refresher"), deployed("setup")] });
    expect((await resultOf("passphrase")).verdict).toBe("well");
    secrets.create(KEPT, "canary-another-passphrase");
    expect((await resultOf("passphrase")).verdict).toBe("broken");
  });
});

describe("doctor reports sealing keys", () => {
  test.each([
    ["that are missing", "k-lost", "broken", "npm run tokens -- keys list"],
    ["that only open", "k-old", "warning", "npm run tokens -- reseal"],
  ])("%s and have sealed something", async (_, kid, verdict, remedy) => {
    await token("support", { refreshToken: await sealed(kid, "support") });
    expect(await resultOf("sealing")).toMatchObject({ verdict, remedy, says: expect.stringContaining(kid) });
  });

  test("with a warning while some values are not sealed", async () => {
    await token("support", { refreshToken: "canary-plain", clientSecret: "canary-plain" });
    expect(await resultOf("sealing")).toMatchObject({
      verdict: "warning",
      says: "2 values are stored as they are",
    });
  });

  test("that cannot be used as broken, without quoting them", async () => {
    secrets.create(KEYS, '{"keys":"canary"}');
    expect(await resultOf("sealing")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("can't be used"),
    });
    secrets.create(KEYS);
    expect(await resultOf("sealing")).toMatchObject({
      verdict: "broken",
      remedy: "npm run tokens -- keys add",
    });
  });

  test("as broken when they differ from the functions' keys, or between functions", async () => {
    const others = { keys: "projects/made-up/secrets/others" };
    expect(await resultOf("sealing", { sealing: others })).toMatchObject({
      verdict: "broken",
      remedy: `export SEAL_KEYS=${KEYS}`,
    });
    const off = deployed("setup", {}, { environmentVariables: { SEALING: "off" } });
    google.put(LIST, { functions: [deployed("lookup"), deployed("refresher"), off] });
    expect(await resultOf("sealing")).toMatchObject({ verdict: "broken", remedy: "npm run deploy" });
  });

  test("with a warning when sealing is off in a project", async () => {
    const off = (["refresher", "setup"] as const).map((role) =>
      deployed(role, {}, { environmentVariables: { SEALING: "off" } }),
    );
    google.put(LIST, { functions: [deployed("lookup"), ...off] });
    expect((await resultOf("sealing")).verdict).toBe("warning");
  });
});

test.each([
  [0, "well"],
  [SECOND, "well"],
  [20 * SECOND, "warning"],
  [-20 * SECOND, "warning"],
  [-2 * MINUTE, "broken"],
])("doctor reports a clock that is %i ms behind Google's as %s (row 13)", async (ms, verdict) => {
  google.skew(ms);
  const found = await resultOf("clock");
  expect(found.verdict).toBe(verdict);
  if (ms !== 0 && verdict !== "well") expect(found.says).toContain(ms > 0 ? "behind" : "ahead");
});

describe("doctor reports tokens", () => {
  const failure = { count: 1, code: "timeout", since: 1, at: 1, permanent: false, inputs: "" };
  test.each([
    ["needs a person", { failure: { ...failure, permanent: true } }, "broken"],
    ["ended", { refreshToken: undefined, static: true, accessExpires: 5 }, "broken"],
    ["retrying", { failure }, "warning"],
    [
      "not authorized",
      { refreshToken: undefined, accessToken: undefined, accessExpires: undefined },
      "warning",
    ],
  ])("in the state '%s' by name", async (state, fields, verdict) => {
    const given = Object.fromEntries(
      Object.entries({ refreshToken: "canary-refresh", ...fields }).filter(
        ([, value]) => value !== undefined,
      ),
    );
    const gone = "accessToken" in fields;
    await place.documents.create("tokens", "support eu", {
      ...(!gone && { accessToken: "canary-access", accessExpires: Date.now() + HOUR }),
      refreshAt: Date.now() + HOUR,
      ...given,
    });
    expect(await resultOf("tokens")).toMatchObject({
      verdict,
      says: `1 working, 1 ${state} (support eu)`,
      remedy: "npm run tokens -- show 'support eu'",
    });
  });

  test("with mistyped fields by name and field, without the values", async () => {
    await token("support", { lifetime: "canary soon", failure: "canary" });
    expect(await resultOf("mistyped")).toMatchObject({
      verdict: "warning",
      says: expect.stringMatching(/support \(lifetime, failure\)$/),
      remedy: "npm run tokens -- show support",
    });
  });

  test("that cannot be published by name and reason", async () => {
    const failure = { count: 2, code: "forbidden", since: 1, at: 2 };
    await token("support", { publish: { variables: ["v"], region: "us1", failure } });
    await token("sales", { publish: { variables: ["v"], region: "us1", publishedAt: 1 } });
    expect(await resultOf("published")).toMatchObject({
      verdict: "warning",
      says: "not published: support (forbidden)",
      remedy: "npm run tokens -- show support",
    });
  });

  test("with a count, and five of many names", async () => {
    for (let each = 0; each < 12; each++) await token(`t${each}`, { accessExpires: 5, static: true });
    expect((await resultOf("tokens")).says).toMatch(/12 ended \((\w+, ){4}\w+ and 7 more\)$/);
  });
});

describe("doctor, with the tokens on this machine or in the emulator,", () => {
  test.each(["machine", "emulator"] as const)("skips the checks that do not apply: %s", async (kind) => {
    const found = await doctor({ kind });
    for (const id of ["credentials", "clock", "rules", "refresher-private", "sweep-job", "census-job"])
      expect(found[id]).toMatchObject({
        verdict: "skipped",
        says: kind === "machine" ? "not on this machine" : "not with the emulator",
      });
    for (const id of ["functions", "last-sweep", "passphrase"])
      expect(found[id]).toMatchObject({ verdict: "skipped", says: expect.stringContaining("npm start") });
    for (const id of ["database", "tokens", "mistyped"]) expect(found[id]?.verdict).toBe("well");
    expect(google.asked()).toEqual([]);
  });

  test("checks a running service, its passphrase and its sweeps", async () => {
    const file = path.resolve(import.meta.dirname, "../../package.json");
    const service = { pid: 1, url: lookup, webexUrl: "", store: "" };
    const found = await doctor({ kind: "machine", service });
    expect([found.functions?.verdict, found["last-sweep"]?.verdict]).toEqual(["well", "well"]);
    expect(found.passphrase?.says).toContain("TOKEN_PASSPHRASE");
    const other = await doctor({ kind: "machine", service: { ...service, passphrase: file } });
    expect(other.passphrase?.verdict).toBe("broken");
    await swept(HOUR);
    expect((await resultOf("last-sweep", { kind: "machine", service })).verdict).toBe("broken");
    const down = await doctor({ kind: "machine", service: { ...service, url: "http://127.0.0.1:1" } });
    expect(down.functions).toMatchObject({ verdict: "broken", remedy: "npm start" });
  });
});

describe("a check of doctor", () => {
  const check = (id: string, run: Check["run"], limit?: number): Check => ({
    id,
    title: id,
    run,
    ...(limit && { limit }),
  });

  test("that throws is broken, quotes nothing, and does not end the others", async () => {
    const boom = check("boom", () => {
      throw new Error("canary");
    });
    const found = await doctor({ checks: [boom, ...CHECKS] });
    expect(found.boom).toMatchObject({ verdict: "broken", says: expect.stringContaining("bug") });
    expect(found.tokens?.verdict).toBe("well");
  });

  test("ends at its limit", async () => {
    const slow = check("slow", () => new Promise(() => {}), 20);
    expect((await doctor({ checks: [slow] })).slow).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("0.02 s"),
    });
  });

  test("does not wait for a check that it does not need", async () => {
    const order: string[] = [];
    let release = () => {};
    const first = check("first", async () => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      order.push("first");
      return { verdict: "well", says: "" };
    });
    const second = check("second", () => {
      order.push("second");
      release();
      return { verdict: "well", says: "" };
    });
    await doctor({ checks: [first, second] });
    expect(order).toEqual(["second", "first"]);
  });
});

test("each of doctor's remedies is an existing command", async () => {
  expect(remedies.size).toBeGreaterThan(10);
  const parse = await tokensProgram();
  const { scripts } = JSON.parse(
    readFileSync(path.resolve(import.meta.dirname, "../../package.json"), "utf8"),
  );
  const unknown = [...remedies].filter(
    (remedy) =>
      !/^(gcloud run services (update|remove-iam-policy-binding) |npm start$|export SEAL_KEYS=projects\/)/.test(
        remedy,
      ),
  );
  for (const remedy of unknown) {
    const [, script = "", , line] = /^npm run ([\w-]+)( -- (.+))?$/.exec(remedy) ?? [];
    // Another part of the project brings it.
    if (script !== "deploy") expect(Object.keys(scripts), remedy).toContain(script);
    if (script === "tokens") await parse(line ?? "");
  }
});
