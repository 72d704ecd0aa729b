import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, expect, test } from "vitest";
import { type Declared, runOffline } from "../../infra/offline.ts";
import { TokenService } from "../../infra/token-service.ts";
import { DESCRIBED, deployedFunctions, ROLES } from "../../local/doctor/deployed-functions.ts";

/** `tokens doctor` finds what the program declares, and operators may read all of it. */

const OPERATOR = "group:operators@example.com";

let resources: readonly Declared[];
beforeAll(async () => {
  ({ resources } = await runOffline(
    () => new TokenService("tokens", { project: "made-up", region: "europe-west1", operators: [OPERATOR] }),
  ));
});

const inputs = (type: string) =>
  resources.filter((resource) => resource.type === type).map((resource) => resource.inputs);

/** As Cloud Functions lists what the program made. */
const listed = (): Declared["inputs"][] =>
  inputs("gcp:cloudfunctionsv2/function:Function").map(({ name, location, serviceConfig, ...rest }) => ({
    ...rest,
    name: `projects/made-up/locations/${location}/functions/${name}`,
    state: "ACTIVE",
    serviceConfig: { ...serviceConfig, uri: `https://${name}.example`, service: `s/${name}` },
  }));

test("doctor finds the three functions, with their passphrase, keys and prefix", async () => {
  const google = { get: async () => ({ functions: listed() }), clockAhead: async () => 0 };
  const where = { project: "made-up", region: undefined, prefix: "tokens" };
  const found = await deployedFunctions(google, where);
  expect(found.map(({ role, name }) => [role, name])).toEqual(ROLES.map((role) => [role, `token-${role}`]));
  const [lookup, refresher, setup] = found;
  expect(lookup?.passphrase).toBe("projects/made-up/secrets/tokens-passphrase");
  expect(refresher?.environment.SEAL_KEYS).toMatch(/tokens-seal-keys/);
  expect(setup?.environment.SEAL_KEYS).toBe(refresher?.environment.SEAL_KEYS);
});

test("the description of each function names its role", () => {
  const described = listed().map(({ description, buildConfig }) => [description, buildConfig.entryPoint]);
  expect(described.sort()).toEqual(ROLES.map((role) => [`${DESCRIBED}${role}`, role]).sort());
});

test("Firestore's rules are released under the name that doctor reads", () => {
  expect(inputs("gcp:firebaserules/release:Release").map(({ name }) => name)).toEqual(["cloud.firestore"]);
});

test("operators may read all that doctor reads, and no more", () => {
  const roles = inputs("gcp:projects/iAMCustomRole:IAMCustomRole");
  const [role] = roles.filter(({ title }) => title === "Token service: operator");
  const asked = [
    "cloudfunctions.functions.list",
    "cloudscheduler.jobs.list",
    "datastore.entities.get",
    "datastore.entities.list",
    "firebaserules.releases.get",
    "firebaserules.rulesets.get",
    "run.services.get",
    "run.services.getIamPolicy",
  ];
  expect(role?.permissions).toEqual(expect.arrayContaining(asked));
  // Doctor asks lookup instead of reading the secrets' policies.
  expect(role?.permissions.filter((permission: string) => permission.startsWith("secretmanager."))).toEqual(
    [],
  );
  const readers = inputs("gcp:secretmanager/secretIamMember:SecretIamMember").filter(
    ({ member, role: granted }) => member === OPERATOR && granted === "roles/secretmanager.secretAccessor",
  );
  expect(readers.map(({ secretId }) => secretId).sort()).toEqual(["tokens-passphrase", "tokens-seal-keys"]);
  const callers = inputs("gcp:cloudrunv2/serviceIamMember:ServiceIamMember").filter(
    ({ member }) => member === OPERATOR,
  );
  expect(callers).toHaveLength(1);
});

/** The permission that each call of Google's client libraries needs (https://cloud.google.com/iam/docs/permissions-reference). */
const NEEDED: Record<string, string> = {
  listJobs: "cloudscheduler.jobs.list",
  getJob: "cloudscheduler.jobs.get",
  runJob: "cloudscheduler.jobs.run",
  pauseJob: "cloudscheduler.jobs.pause",
  resumeJob: "cloudscheduler.jobs.enable",
  listSecretVersions: "secretmanager.versions.list",
  addSecretVersion: "secretmanager.versions.add",
  disableSecretVersion: "secretmanager.versions.disable",
  accessSecretVersion: "secretmanager.versions.access",
};

test("operators have each permission that the commands need in Scheduler, Secret Manager and Firestore", () => {
  const permissions = inputs("gcp:projects/iAMCustomRole:IAMCustomRole")
    .filter(({ title }) => /: (?:operator|keeper)$/.test(title))
    .flatMap((role): string[] => role.permissions);
  // By a role of Google's, on each secret: the test above.
  permissions.push("secretmanager.versions.access");
  const called = ["scheduler-jobs.ts", "managed-secret.ts"].flatMap((file) => {
    const source = readFileSync(path.resolve(import.meta.dirname, "../../local/google", file), "utf8");
    return [...source.matchAll(/\.(\w+(?:Jobs?|SecretVersions?))\(/g)].map(([, call = ""]) => call);
  });
  expect(new Set(called)).toEqual(new Set(Object.keys(NEEDED)));
  for (const call of called) expect(permissions, call).toContain(NEEDED[call]);
  const documents = ["create", "delete", "get", "list", "update"].map((verb) => `datastore.entities.${verb}`);
  expect(permissions).toEqual(expect.arrayContaining(documents));
});
