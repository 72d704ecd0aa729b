import { beforeAll, describe, expect, test } from "vitest";
import type { Declared } from "../../infra/offline.ts";
import { POLICIES } from "../../infra/policies.ts";
import { GIVEN, PROJECT, runUnusual, SECRET } from "./unusual.ts";

/** The policies over a deployment that keeps them, and over ones that break each. */

const FUNCTION = "gcp:cloudfunctionsv2/function:Function";
let resources: readonly Declared[];

beforeAll(async () => {
  resources = (await runUnusual()).resources;
});

test.each(Object.keys(POLICIES))("the policy %s holds for an unusual deployment", (name) => {
  expect(POLICIES[name]?.(resources)).toEqual([]);
});

describe("a policy fails when", () => {
  const custom = { custom: true, protect: false, dependsOn: [], ignoreChanges: [], importId: undefined };
  const made = (type: string, inputs: Declared["inputs"]): Declared => ({
    ...custom,
    type,
    name: "made up",
    inputs,
  });
  const changed = (name: string, change: (inputs: Declared["inputs"]) => object): Declared[] =>
    resources.map((each) =>
      each.name === name ? { ...each, inputs: { ...each.inputs, ...change(each.inputs) } } : each,
    );
  const LOOKUP = `serviceAccount:tokens-lookup@${PROJECT}.iam.gserviceaccount.com`;
  const invoker = (member: string, name: string) =>
    made("gcp:cloudrunv2/serviceIamMember:ServiceIamMember", { member, name, role: "roles/run.invoker" });
  const project = (role: string, member: string) =>
    made("gcp:projects/iAMMember:IAMMember", { role, member });
  const secretGrant = (secretId: string, role: string) =>
    made("gcp:secretmanager/secretIamMember:SecretIamMember", { member: LOOKUP, secretId, role });
  const variable = (name: string, value: unknown) =>
    changed("tokens-setup-function", ({ serviceConfig }) => ({
      serviceConfig: {
        ...serviceConfig,
        environmentVariables: { ...serviceConfig.environmentVariables, [name]: value },
      },
    }));
  const condition = (id: string, kind: string, change: object) =>
    changed(`tokens-watching-alert-${id}`, ({ conditions }) => ({
      conditions: [{ ...conditions[0], [kind]: { ...conditions[0][kind], ...change } }],
    }));

  const broken: [string, string, () => readonly Declared[]][] = [
    [
      "the refresher is open to everybody",
      "noPublicRefresher",
      () => [...resources, invoker("allUsers", "sample-refresher")],
    ],
    [
      "the refresher is open to every Google account",
      "noPublicRefresher",
      () => [...resources, invoker("allAuthenticatedUsers", "sample-refresher")],
    ],
    ["an account is an editor", "noPrimitiveRoles", () => [...resources, project("roles/editor", LOOKUP)]],
    ["a variable holds a passphrase", "noSecretInEnvironment", () => variable("TOKEN_PASSPHRASE", "x")],
    [
      "a variable of another name holds a secret",
      "noSecretInEnvironment",
      () => variable("WEBEX_URL", { ...SECRET, value: GIVEN.passphrase }),
    ],
    [
      "a variable holds a secret that lost its mark",
      "noSecretInEnvironment",
      () => variable("WEBEX_URL", GIVEN.passphrase),
    ],
    [
      "two functions share an account",
      "anAccountEach",
      () => [...resources, ...resources.filter(({ type }) => type === FUNCTION).slice(0, 1)],
    ],
    ["lookup may write", "lookupOnlyReads", () => [...resources, project("roles/datastore.user", LOOKUP)]],
    [
      "lookup's own role lets it write",
      "lookupOnlyReads",
      () =>
        changed("tokens-lookup-documents-role", () => ({
          permissions: ["datastore.entities.get", "datastore.entities.update"],
        })),
    ],
    [
      "lookup reads the sealing keys",
      "lookupOnlyReads",
      () => [...resources, secretGrant("tokens-seal-keys", "roles/secretmanager.secretAccessor")],
    ],
    [
      "lookup changes its passphrases",
      "lookupOnlyReads",
      () => [...resources, secretGrant("tokens-passphrase", "roles/secretmanager.secretVersionAdder")],
    ],
    [
      "an alert on log lines has no rate limit",
      "alertsThatGoogleTakes",
      () => changed("tokens-watching-alert-unsaved", () => ({ alertStrategy: { autoClose: "86400s" } })),
    ],
    [
      "an alert on log lines has a second condition",
      "alertsThatGoogleTakes",
      () =>
        changed("tokens-watching-alert-unsaved", ({ conditions }) => ({
          conditions: [...conditions, ...conditions],
        })),
    ],
    [
      "the duration of an absence is too short",
      "alertsThatGoogleTakes",
      () => condition("no-sweep", "conditionAbsent", { duration: "60s" }),
    ],
    [
      "the metric of an alert is missing",
      "alertsThatGoogleTakes",
      () => resources.filter(({ name }) => name !== "tokens-watching-measured-overdue"),
    ],
    [
      "the condition of an alert gives no number",
      "alertsThatGoogleTakes",
      () =>
        condition("lookup-slow", "conditionThreshold", {
          aggregations: [
            { alignmentPeriod: "60s", perSeriesAligner: "ALIGN_DELTA", crossSeriesReducer: "REDUCE_SUM" },
          ],
        }),
    ],
    [
      "an incident names a label that is not extracted",
      "alertsThatGoogleTakes",
      () => condition("unsaved", "conditionMatchedLog", { labelExtractors: {} }),
    ],
    [
      "a dashboard draws a missing metric",
      "dashboardsThatGoogleTakes",
      () => resources.filter(({ name }) => name !== "tokens-watching-measured-asks"),
    ],
  ];

  test.each(broken)("%s", (_, policy, resourcesThen) => {
    expect(POLICIES[policy]?.(resourcesThen())).not.toEqual([]);
  });

  test("it is broken, for each policy", () => {
    expect(Object.keys(POLICIES).filter((name) => !broken.some(([, policy]) => policy === name))).toEqual([]);
  });
});
