import { readFileSync } from "node:fs";
import path from "node:path";
import { isSecret } from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";
import { VARIABLES } from "../../functions/adapters/env.ts";
import { parseSealKeys } from "../../functions/core/seal.ts";
import { UNSUPPLIED } from "../../infra/environment.ts";
import { type Declared, runOffline } from "../../infra/offline.ts";
import { POLICIES } from "../../infra/policies.ts";
import { TokenService } from "../../infra/token-service.ts";

/** The whole program with all options, run over mocks. */

const PROJECT = "made-up-project";
const OPERATOR = "group:operators@example.com";
/** Name of the secret of the passphrases. */
const PASSPHRASES = "tokens-passphrase";
let resources: readonly Declared[];
let service: TokenService;

beforeAll(async () => {
  const run = await runOffline(
    () =>
      new TokenService("tokens", {
        project: PROJECT,
        region: "europe-west1",
        operators: [OPERATOR],
        notify: { emails: ["oncall@example.com"], webhooks: ["https://example.com/canary-hook"] },
        corsOrigins: ["https://example.com"],
        compat: "sample",
        staticEgress: true,
        webexUrl: "https://webexapis.example/v1",
      }),
  );
  resources = run.resources;
  service = run.program;
});

const of = (type: string) =>
  resources.filter(({ custom, type: kind }) => custom && kind.endsWith(`:${type}`));
const one = (name: string): Declared => {
  const found = resources.find((resource) => resource.name === name);
  if (found === undefined) throw new Error(`nothing is called ${name}`);
  return found;
};
const functions = () =>
  Object.fromEntries(
    of("Function").map((found) => [found.inputs.buildConfig.entryPoint as string, found.inputs]),
  );
const email = (identity: string) => `tokens-${identity}@${PROJECT}.iam.gserviceaccount.com`;
const member = (identity: string) => `serviceAccount:${email(identity)}`;

describe("identities", () => {
  test.each(Object.keys(POLICIES))("the policy %s holds with all options", (name) => {
    expect(POLICIES[name]?.(resources)).toEqual([]);
  });

  test("each function has a service account of its own", () => {
    const accounts = Object.entries(functions()).map(([name, { serviceConfig }]) => [
      name,
      serviceConfig.serviceAccountEmail,
    ]);
    expect(Object.fromEntries(accounts)).toEqual({
      lookup: email("lookup"),
      refresher: email("refresher"),
      setup: email("setup"),
    });
  });

  test("lookup may get single documents, and nothing else", () => {
    const roles = of("IAMMember").filter(({ inputs }) => inputs.member === member("lookup"));
    expect(roles.map(({ inputs }) => inputs.role)).toEqual([
      `projects/${PROJECT}/roles/tokens_lookup_documents`,
    ]);
    expect(one("tokens-lookup-documents-role").inputs.permissions).toEqual(["datastore.entities.get"]);
  });

  test("only operators may delete a document", () => {
    const able = of("IAMCustomRole").filter(({ inputs }) =>
      inputs.permissions.includes("datastore.entities.delete"),
    );
    expect(able.map(({ name }) => name)).toEqual(["tokens-operator-role"]);
  });

  test("the sealing keys are read by refresher and setup, the passphrases by lookup and setup, both by operators", () => {
    const readers = (secret: string) =>
      of("SecretIamMember")
        .filter(
          ({ inputs }) => inputs.secretId === secret && inputs.role === "roles/secretmanager.secretAccessor",
        )
        .map(({ inputs }) => inputs.member)
        .sort();
    expect(readers("tokens-seal-keys")).toEqual([OPERATOR, member("refresher"), member("setup")]);
    expect(readers("tokens-passphrase")).toEqual([OPERATOR, member("lookup"), member("setup")]);
  });

  test("the refresher is called by the Scheduler, lookup and operators; the others by everyone", () => {
    const callers = (name: string) =>
      of("ServiceIamMember")
        .filter(({ inputs }) => inputs.name === name)
        .map(({ inputs }) => inputs.member)
        .sort();
    expect(callers("token-refresher")).toEqual([OPERATOR, member("lookup"), member("scheduler")]);
    expect(callers("token-lookup")).toEqual(["allUsers"]);
    expect(callers("token-setup")).toEqual(["allUsers"]);
  });
});

describe("functions", () => {
  test("run on Node 24 with a whole processor, many requests at a time, and the words of production", () => {
    for (const { buildConfig, serviceConfig } of Object.values(functions())) {
      expect(buildConfig).toMatchObject({
        runtime: "nodejs24",
        serviceAccount: expect.stringContaining("tokens-build"),
      });
      expect(serviceConfig).toMatchObject({ availableCpu: "1", maxInstanceRequestConcurrency: 80 });
      expect(serviceConfig.environmentVariables.NODE_ENV).toBe("production");
    }
    expect(functions().refresher?.serviceConfig.maxInstanceCount).toBeLessThanOrEqual(3);
  });

  test("have every variable that the code reads, and no other", () => {
    const given = Object.values(functions()).flatMap(({ serviceConfig }) =>
      Object.keys(serviceConfig.environmentVariables),
    );
    // The keys that seal are given; without them "SEALING=off" would be.
    const elsewhere: readonly string[] = [...UNSUPPLIED, "SEALING"];
    expect([...new Set(given)].sort()).toEqual(
      [...VARIABLES.filter((variable) => !elsewhere.includes(variable)), "NODE_ENV"].sort(),
    );
  });

  test("have their passphrases as a file that follows a rotation, in a folder of its own", () => {
    for (const name of ["lookup", "setup"]) {
      const { secretVolumes, environmentVariables } = functions()[name]?.serviceConfig ?? {};
      expect(secretVolumes).toEqual([
        {
          mountPath: `/etc/token-service/${name}`,
          projectId: PROJECT,
          secret: PASSPHRASES,
          versions: [{ version: "latest", path: "live" }],
        },
      ]);
      expect(environmentVariables.TOKEN_PASSPHRASE_FILE).toBe(`/etc/token-service/${name}/live`);
    }
    expect(functions().refresher?.serviceConfig.secretVolumes).toBeUndefined();
  });

  test("find each other, and the plain states of the sample are off", () => {
    const { REFRESHER_URL, SETUP_URL } = functions().lookup?.serviceConfig.environmentVariables ?? {};
    expect(REFRESHER_URL).toBe("https://token-refresher-abc123-ew.a.run.app");
    expect(SETUP_URL).toBe("https://token-setup-abc123-ew.a.run.app");
    expect(functions().setup?.serviceConfig.environmentVariables.LEGACY_SETUP).toBe("off");
  });

  test("are uploaded under a name that changes with their content", () => {
    const names = of("BucketObject").map(({ inputs }) => inputs.name);
    for (const name of names) expect(name).toMatch(/^(lookup|refresher|setup)-[0-9a-f]{64}\.zip$/);
    expect(new Set(names.map((name: string) => name.slice(-68))).size).toBe(3);
  });

  test("refresher and setup ask Webex from the one static address; lookup does not pay for that", () => {
    expect(functions().refresher?.serviceConfig.directVpcEgress).toBe("VPC_EGRESS_ALL_TRAFFIC");
    expect(functions().setup?.serviceConfig.directVpcEgress).toBe("VPC_EGRESS_ALL_TRAFFIC");
    expect(functions().lookup?.serviceConfig.directVpcEgress).toBeUndefined();
  });
});

describe("what can't be recreated", () => {
  test("is protected: the database, and secrets with the versions that hold something", () => {
    const kept = resources.filter(({ protect }) => protect).map(({ name }) => name);
    expect(kept.sort()).toEqual([
      "tokens-database-firestore",
      "tokens-passphrase-first",
      "tokens-passphrase-secret",
      "tokens-seal-keys-first",
      "tokens-seal-keys-secret",
    ]);
    expect(one("tokens-database-firestore").inputs).toMatchObject({
      deleteProtectionState: "DELETE_PROTECTION_ENABLED",
      pointInTimeRecoveryEnablement: "POINT_IN_TIME_RECOVERY_ENABLED",
      deletionPolicy: "ABANDON",
    });
  });

  test("versions of secrets are disabled, never destroyed, and after the first one not touched", () => {
    for (const version of of("SecretVersion")) {
      expect(version.inputs.deletionPolicy).toBe("DISABLE");
      expect(version.ignoreChanges).toEqual(["secretData", "enabled"]);
    }
  });

  test("versions of secrets are added and disabled by operators, and no role can destroy one", () => {
    const roles = of("SecretIamMember").map(({ inputs }) => inputs.role);
    const keeper = `projects/${PROJECT}/roles/tokens_keeper`;
    expect(new Set(roles)).toEqual(new Set(["roles/secretmanager.secretAccessor", keeper]));
    const { permissions } = one("tokens-keeper-role").inputs;
    expect(permissions).toEqual(
      expect.arrayContaining(["secretmanager.versions.add", "secretmanager.versions.disable"]),
    );
    const destroys = of("IAMCustomRole").filter(({ inputs }) =>
      /destroy|secrets\.delete/.test(inputs.permissions),
    );
    expect(destroys).toEqual([]);
    const keepers = of("SecretIamMember").filter(({ inputs }) => inputs.role === keeper);
    expect(keepers.map(({ inputs }) => [inputs.secretId, inputs.member])).toEqual([
      ["tokens-passphrase", OPERATOR],
      ["tokens-seal-keys", OPERATOR],
    ]);
  });

  test("the first sealing keys are ones that the functions take", async () => {
    const { secretData } = one("tokens-seal-keys-first").inputs;
    const text = typeof secretData === "string" ? secretData : secretData.value;
    expect(parseSealKeys(text).primary.kid).toBe("k-first");
  });

  test("the rules are those of firebase.rules, and used states clean themselves up", () => {
    const rules = readFileSync(path.resolve(import.meta.dirname, "../../firebase.rules"), "utf8");
    expect(one("tokens-database-rules").inputs.source.files[0].content).toBe(rules);
    expect(one("tokens-database-rules-released").inputs.name).toBe("cloud.firestore");
    expect(one("tokens-database-expired-states").inputs).toMatchObject({
      collection: "authorizations",
      field: "expires",
      ttlConfig: {},
    });
  });
});

describe("the schedule", () => {
  test("sweeps every minute and counts daily, as an account that may call the refresher and nothing else", () => {
    const [census, sweep] = of("Job").sort((a, b) => a.name.localeCompare(b.name));
    expect(sweep?.inputs).toMatchObject({ schedule: "* * * * *", attemptDeadline: "600s" });
    expect(census?.inputs).toMatchObject({ schedule: expect.stringMatching(/^\d+ \d+ \* \* \*$/) });
    expect(sweep?.inputs.httpTarget).toEqual({
      uri: "https://token-refresher-abc123-ew.a.run.app/",
      httpMethod: "POST",
      oidcToken: {
        serviceAccountEmail: email("scheduler"),
        audience: "https://token-refresher-abc123-ew.a.run.app",
      },
    });
    expect(census?.inputs.httpTarget.uri).toBe("https://token-refresher-abc123-ew.a.run.app/census");
    expect(of("IAMMember").filter(({ inputs }) => inputs.member === member("scheduler"))).toEqual([]);
  });
});

test("each resource has a sentence that says why it exists", () => {
  const custom = resources.filter((resource) => resource.custom);
  const silent = custom.filter(({ name }) => !/^[a-z]+ \S+.* \S+/.test(service.whys.get(name) ?? ""));
  expect(silent.map(({ name }) => name)).toEqual([]);
  expect([...service.whys.keys()].sort()).toEqual(custom.map(({ name }) => name).sort());
});

test("every resource depends on the APIs that it needs", () => {
  const apis = of("Service").map(({ name }) => name);
  const early = resources.filter(
    ({ custom, type, dependsOn }) =>
      custom &&
      type.startsWith("gcp:") &&
      !type.endsWith(":Service") &&
      dependsOn.length === 0 &&
      apis.length > 0,
  );
  expect(early.map(({ name }) => name)).toEqual([]);
});

test("secrets are marked as secret, and the curl output is not", async () => {
  const wrapped = { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270" };
  expect(of("SecretVersion")).toHaveLength(2);
  for (const version of of("SecretVersion")) expect(version.inputs.secretData).toMatchObject(wrapped);
  expect(await isSecret(service.curl)).toBe(false);
  const curl = await new Promise<string>((resolve) => service.curl.apply(resolve));
  expect(curl).toContain("gcloud secrets versions access latest --secret=tokens-passphrase");
});
