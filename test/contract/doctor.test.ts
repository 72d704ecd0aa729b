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
import { type CloudScheduler, startCloudScheduler } from "../support/cloud-scheduler.ts";
import { redirect } from "../support/google-clients.ts";
import { ACCESS_TOKEN, type GoogleServices, startGoogleServices } from "../support/google-rest.ts";
import { type Running, startFunction, stopAll } from "../support/processes.ts";
import { tokensProgram } from "../support/program.ts";
import { sealerOf, sealKey } from "../support/sealing.ts";
import { type SecretManager, startSecretManager } from "../support/secret-manager.ts";

/**
 * Each check whole and broken: the built functions in processes of their own, Google's libraries against stand-ins, and a
 * front that asks for an identity as IAM does.
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
let lookup: Running;
let setup: Running;
let front: Server;
let refresherUrl: string;
/** Whether the front asks for an identity. */
let isPrivate: boolean;

beforeAll(async () => {
  [google, scheduler, secrets, place] = await Promise.all([
    startGoogleServices(),
    startCloudScheduler(),
    startSecretManager(),
    sqlitePlace(),
  ]);
  redirect(CloudSchedulerClient, scheduler.port);
  const env = { ...place.env, TOKEN_PASSPHRASE: PASSPHRASE };
  const [refresher, ...others] = await Promise.all([
    startFunction("refresher", place.env),
    startFunction("lookup", { ...env, REFRESHER_URL: "http://127.0.0.1:1" }),
    startFunction("setup", env),
  ]);
  [lookup, setup] = others;
  front = createServer(async ({ url = "/", headers }, response) => {
    if (isPrivate && headers.authorization !== `Bearer ${IDENTITY}`)
      return void response.writeHead(403, { "content-type": "text/html" }).end("<h1>Forbidden</h1>");
    const answer = await fetch(new URL(url, refresher.url));
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  refresherUrl = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
}, 60_000);

afterAll(async () => {
  front.closeAllConnections();
  front.close();
  await stopAll();
  await place.documents.close();
  await Promise.all([google.close(), scheduler.close(), secrets.close()]);
});

/** A deployment that is well. */
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
  const uri = { lookup: lookup.url, setup: setup.url, refresher: refresherUrl }[role];
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
/** Somebody else's, in the same project. */
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

/** It outlives each examination. */
const kept = (documents: DocumentStore): DocumentStore =>
  new Proxy(documents, {
    get: (target, name) => {
      if (name === "close") return async () => {};
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });

/** What one check came to. */
const told = async (id: string, how: How = {}) => {
  const found = (await doctor(how))[id];
  if (found === undefined) throw new Error(`there is no check ${id}`);
  return found;
};

test("a deployment that is well is told so, check by check", async () => {
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

test("without credentials all that needs them is left alone, and nothing else is blamed", async () => {
  const found = await doctor({ rest: () => Promise.reject(new Error("made up")) });
  const { credentials, ...others } = found;
  expect(credentials?.verdict).toBe("broken");
  expect(new Set(Object.values(others).map(({ verdict }) => verdict))).toEqual(new Set(["skipped"]));
});

test("Google's refusals are told in one sentence, and nothing that Google said", async () => {
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

test("a database that does not answer is broken, and what needs it is left alone", async () => {
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

describe("rules", () => {
  test("that are others, or none, are broken", async () => {
    google.put("/v1/projects/made-up/rulesets/r1", {
      source: { files: [{ content: RULES.replace("if false", "if true") }] },
    });
    expect(await told("rules")).toMatchObject({ verdict: "broken", remedy: "npm run deploy" });
    google.put(RELEASE, undefined);
    expect(await told("rules")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("none are released"),
    });
  });

  test("that differ in remarks and layout alone are well", async () => {
    const words = `// Made up.\n${RULES.replace(/\/\/.*$/gm, "")}`.replace(/\n/g, "\n\n\t");
    google.put("/v1/projects/made-up/rulesets/r1", { source: { files: [{ content: words }] } });
    expect((await told("rules")).verdict).toBe("well");
  });
});

describe("functions", () => {
  test("that are not deployed are named", async () => {
    google.put(LIST, { functions: [deployed("lookup")] });
    expect(await told("functions")).toMatchObject({
      verdict: "broken",
      says: "not deployed: refresher, setup",
    });
  });

  test.each([
    ["failed to deploy", { state: "FAILED" }, {}, /token-lookup is FAILED/],
    ["do not answer", {}, { uri: "http://127.0.0.1:1" }, /token-lookup does not answer/],
  ])("that %s are broken", async (_, other, config, says) => {
    google.put(LIST, {
      functions: [deployed("lookup", other, config), deployed("refresher"), deployed("setup")],
    });
    expect(await told("functions")).toMatchObject({ verdict: "broken", says: expect.stringMatching(says) });
  });

  test("that let nobody in are broken, with the line that opens them", async () => {
    const shut = createServer((_, response) => void response.writeHead(403).end("<h1>Forbidden</h1>"));
    await new Promise<void>((resolve) => shut.listen(0, "127.0.0.1", resolve));
    const uri = `http://127.0.0.1:${(shut.address() as AddressInfo).port}`;
    google.put(LIST, {
      functions: [deployed("lookup", {}, { uri }), deployed("refresher"), deployed("setup")],
    });
    expect(await told("functions")).toMatchObject({
      verdict: "broken",
      remedy:
        "gcloud run services update token-lookup --region europe-west1 --project made-up --no-invoker-iam-check",
    });
    shut.closeAllConnections();
    shut.close();
  });

  test("of two services are told apart by their prefix", async () => {
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
    expect((await told("functions")).says).toMatch(/--prefix, one of other, tokens/);
    expect(await told("functions", { prefix: "tokens" })).toMatchObject({ verdict: "well" });
    expect((await told("functions", { prefix: "other" })).verdict).toBe("broken");
  });

  test("that come on several pages are all found", async () => {
    const first = `${LIST}?pageSize=500`;
    google.put(first, { functions: [deployed("lookup"), stranger], nextPageToken: "made up" });
    google.put(`${first}&pageToken=made%20up`, { functions: [deployed("refresher"), deployed("setup")] });
    expect((await told("functions")).verdict).toBe("well");
  });
});

describe("the refresher is not private", () => {
  const policy = `/v2/${HERE}/services/token-refresher:getIamPolicy`;

  test.each(["allUsers", "allAuthenticatedUsers"])("where %s may call it", async (member) => {
    google.put(policy, bindings("user:a@example.com", member));
    expect(await told("refresher-private")).toMatchObject({
      verdict: "broken",
      remedy: `gcloud run services remove-iam-policy-binding token-refresher --region europe-west1 --project made-up --member=${member} --role=roles/run.invoker`,
    });
  });

  test("where IAM is not asked at all", async () => {
    google.put(`/v2/${HERE}/services/token-refresher`, { invokerIamDisabled: true });
    expect((await told("refresher-private")).remedy).toMatch(/token-refresher .*--invoker-iam-check$/);
  });

  test("where a stranger is answered, whatever the policy says", async () => {
    isPrivate = false;
    expect(await told("refresher-private")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("answers a stranger"),
    });
  });
});

describe("a job of Cloud Scheduler", () => {
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
  ] as const)("that %s is told so", async (_, change, verdict, remedy) => {
    Object.assign(scheduler.job(SWEEP), change);
    const found = await doctor();
    expect(found["sweep-job"]).toMatchObject({ verdict, ...(remedy && { remedy }) });
    expect(found["census-job"]?.verdict).toBe("well");
  });

  test("that is not there is broken", async () => {
    scheduler.clear();
    scheduler.create({ name: SWEEP, lastAttempt: Date.now(), code: 0 });
    expect(await told("census-job")).toMatchObject({ verdict: "broken", says: "there is no such job" });
  });

  test("that may not be looked at is broken, and says why", async () => {
    scheduler.fail("ListJobs", { code: status.PERMISSION_DENIED });
    expect((await told("sweep-job")).says).toMatch(/^you may not do that/);
  });
});

test.each([
  [2 * MINUTE, "well"],
  [4 * MINUTE, "warning"],
  [16 * MINUTE, "broken"],
])("a sweep %i ms ago is: %s", async (ago, verdict) => {
  await swept(ago);
  expect(await told("last-sweep")).toMatchObject({ verdict, says: expect.stringMatching(/^\d+m.* ago$/) });
});

test("where no sweep ever came, it is broken", async () => {
  await place.documents.remove("status", "sweeps");
  expect(await told("last-sweep")).toMatchObject({
    verdict: "broken",
    remedy: "npm run tokens -- schedule status",
  });
});

describe("the passphrase", () => {
  test("is broken where lookup has another one", async () => {
    secrets.create(KEPT, "canary-another-passphrase");
    expect(await told("passphrase")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("lookup refuses"),
    });
  });

  test("is broken where there is none, or more than two", async () => {
    secrets.create(KEPT);
    expect(await told("passphrase")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("holds nothing"),
    });
    secrets.create(KEPT, "canary-1\ncanary-2\ncanary-3");
    expect((await told("passphrase")).says).toContain("at most two may be live");
  });

  test("says where a rotation waits for its end", async () => {
    secrets.create(KEPT, `${PASSPHRASE}\ncanary-older-passphrase`);
    expect(await told("passphrase")).toMatchObject({
      verdict: "well",
      says: expect.stringContaining("--finish"),
    });
  });

  test("is taken, or refused, by a lookup that answers as Cisco's sample does", async () => {
    const env = {
      ...place.env,
      TOKEN_PASSPHRASE: PASSPHRASE,
      COMPAT: "sample",
      REFRESHER_URL: "http://127.0.0.1:1",
    };
    const sample = await startFunction("lookup", env);
    const like = deployed("lookup", {}, { uri: sample.url });
    google.put(LIST, { functions: [like, deployed("refresher"), deployed("setup")] });
    expect((await told("passphrase")).verdict).toBe("well");
    secrets.create(KEPT, "canary-another-passphrase");
    expect((await told("passphrase")).verdict).toBe("broken");
    await sample.stop();
  });
});

describe("sealing keys", () => {
  test.each([
    ["that are not there", "k-lost", "broken", "npm run tokens -- keys list"],
    ["that only open", "k-old", "warning", "npm run tokens -- reseal"],
  ])("%s, and have sealed something, are told", async (_, kid, verdict, remedy) => {
    await token("support", { refreshToken: await sealed(kid, "support") });
    expect(await told("sealing")).toMatchObject({ verdict, remedy, says: expect.stringContaining(kid) });
  });

  test("that have not sealed all are a warning", async () => {
    await token("support", { refreshToken: "canary-plain", clientSecret: "canary-plain" });
    expect(await told("sealing")).toMatchObject({
      verdict: "warning",
      says: "2 values are stored as they are",
    });
  });

  test("that can't be used are broken, and not quoted", async () => {
    secrets.create(KEYS, '{"keys":"canary"}');
    expect(await told("sealing")).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("can't be used"),
    });
    secrets.create(KEYS);
    expect(await told("sealing")).toMatchObject({ verdict: "broken", remedy: "npm run tokens -- keys add" });
  });

  test("that are others here than there, or differ between the functions, are broken", async () => {
    const others = { keys: "projects/made-up/secrets/others" };
    expect(await told("sealing", { sealing: others })).toMatchObject({
      verdict: "broken",
      remedy: `export SEAL_KEYS=${KEYS}`,
    });
    const off = deployed("setup", {}, { environmentVariables: { SEALING: "off" } });
    google.put(LIST, { functions: [deployed("lookup"), deployed("refresher"), off] });
    expect(await told("sealing")).toMatchObject({ verdict: "broken", remedy: "npm run deploy" });
  });

  test("that are off are a warning in a project", async () => {
    const off = (["refresher", "setup"] as const).map((role) =>
      deployed(role, {}, { environmentVariables: { SEALING: "off" } }),
    );
    google.put(LIST, { functions: [deployed("lookup"), ...off] });
    expect((await told("sealing")).verdict).toBe("warning");
  });
});

test.each([
  [0, "well"],
  [3 * SECOND, "well"],
  [20 * SECOND, "warning"],
  [-20 * SECOND, "warning"],
  [-2 * MINUTE, "broken"],
])("a clock that Google's is %i ms ahead of is: %s", async (ms, verdict) => {
  google.skew(ms);
  const found = await told("clock");
  expect(found.verdict).toBe(verdict);
  if (ms !== 0 && verdict !== "well") expect(found.says).toContain(ms > 0 ? "behind" : "ahead");
});

describe("tokens", () => {
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
  ])("one that is '%s' is named", async (state, fields, verdict) => {
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
    expect(await told("tokens")).toMatchObject({
      verdict,
      says: `1 working, 1 ${state} (support eu)`,
      remedy: "npm run tokens -- show 'support eu'",
    });
  });

  test("whose documents are mistyped are named with the fields, never the values", async () => {
    await token("support", { lifetime: "canary soon", failure: "canary" });
    expect(await told("mistyped")).toMatchObject({
      verdict: "warning",
      says: expect.stringMatching(/support \(lifetime, failure\)$/),
      remedy: "npm run tokens -- show support",
    });
  });

  test("that can't be published are named with the reason", async () => {
    const failure = { count: 2, code: "forbidden", since: 1, at: 2 };
    await token("support", { publish: { variables: ["v"], region: "us1", failure } });
    await token("sales", { publish: { variables: ["v"], region: "us1", publishedAt: 1 } });
    expect(await told("published")).toMatchObject({
      verdict: "warning",
      says: "not published: support (forbidden)",
      remedy: "npm run tokens -- show support",
    });
  });

  test("that are many are counted, and few of them named", async () => {
    for (let each = 0; each < 12; each++) await token(`t${each}`, { accessExpires: 5, static: true });
    expect((await told("tokens")).says).toMatch(/12 ended \((\w+, ){4}\w+ and 7 more\)$/);
  });
});

describe("where the tokens are on this machine, or in the emulator", () => {
  test.each(["machine", "emulator"] as const)(
    "%s: what does not apply is skipped with a word",
    async (kind) => {
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
    },
  );

  test("a service that runs there is asked, and so are its passphrase and its sweeps", async () => {
    const file = path.resolve(import.meta.dirname, "../../package.json");
    const service = { pid: 1, url: lookup.url, webexUrl: "", store: "" };
    const found = await doctor({ kind: "machine", service });
    expect([found.functions?.verdict, found["last-sweep"]?.verdict]).toEqual(["well", "well"]);
    expect(found.passphrase?.says).toContain("TOKEN_PASSPHRASE");
    const other = await doctor({ kind: "machine", service: { ...service, passphrase: file } });
    expect(other.passphrase?.verdict).toBe("broken");
    await swept(HOUR);
    expect((await told("last-sweep", { kind: "machine", service })).verdict).toBe("broken");
    const down = await doctor({ kind: "machine", service: { ...service, url: "http://127.0.0.1:1" } });
    expect(down.functions).toMatchObject({ verdict: "broken", remedy: "npm start" });
  });
});

describe("a check", () => {
  const check = (id: string, run: Check["run"], limit?: number): Check => ({
    id,
    title: id,
    run,
    ...(limit && { limit }),
  });

  test("that throws says so, quotes nothing, and does not end the others", async () => {
    const boom = check("boom", () => {
      throw new Error("canary");
    });
    const found = await doctor({ checks: [boom, ...CHECKS] });
    expect(found.boom).toMatchObject({ verdict: "broken", says: expect.stringContaining("bug") });
    expect(found.tokens?.verdict).toBe("well");
  });

  test("that takes too long is ended", async () => {
    const slow = check("slow", () => new Promise(() => {}), 20);
    expect((await doctor({ checks: [slow] })).slow).toMatchObject({
      verdict: "broken",
      says: expect.stringContaining("0.02 s"),
    });
  });

  test("does not wait for another that it has no need of", async () => {
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

test("every remedy that was given is a command that exists", async () => {
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
