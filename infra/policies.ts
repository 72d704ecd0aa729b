import { alertsThatGoogleTakes, dashboardsThatGoogleTakes } from "./alert-rules.ts";
import type { Declared } from "./offline.ts";

/** What must hold of every deployment, as plain functions over what is declared. Each gives what breaks it. */
export type Policy = (resources: readonly Declared[]) => string[];

const INVOKER = "gcp:cloudrunv2/serviceIamMember:ServiceIamMember";
const FUNCTION = "gcp:cloudfunctionsv2/function:Function";
const READER = "gcp:secretmanager/secretIamMember:SecretIamMember";
const VERSION = "gcp:secretmanager/secretVersion:SecretVersion";
const ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole";
/** Owner, editor and viewer reach everything in a project. */
const PRIMITIVE = /^roles\/(owner|editor|viewer)$/;
const PUBLIC = /^all(?:Authenticated)?Users$/i;

/** Nobody but those that are named may call the refresher. */
export const noPublicRefresher: Policy = (resources) => {
  const refreshers = resources
    .filter(({ type, inputs }) => type === FUNCTION && inputs.buildConfig?.entryPoint === "refresher")
    .map(({ inputs }) => inputs.name);
  return resources
    .filter(
      ({ type, inputs }) =>
        type === INVOKER && PUBLIC.test(inputs.member) && refreshers.includes(inputs.name),
    )
    .map(({ name }) => `${name} opens the refresher to everybody`);
};

/** No account gets a role that reaches a whole project. */
export const noPrimitiveRoles: Policy = (resources) =>
  resources
    .filter(({ inputs }) => typeof inputs.role === "string" && PRIMITIVE.test(inputs.role))
    .map(({ name, inputs }) => `${name} grants ${inputs.role}`);

/** Secrets come from Secret Manager: no environment variable holds one, or is named as if it did. */
export const noSecretInEnvironment: Policy = (resources) => {
  const secrets = resources
    .filter(({ type }) => type === VERSION)
    .map(({ inputs }) => textOf(inputs.secretData));
  return resources
    .filter(({ type }) => type === FUNCTION)
    .flatMap(({ name, inputs }) =>
      Object.entries({
        ...inputs.serviceConfig?.environmentVariables,
        ...inputs.buildConfig?.environmentVariables,
      })
        .filter(
          ([variable, value]) =>
            /^TOKEN_PASSPHRASE$|SECRET$|PASSWORD|_KEY$/.test(variable) ||
            typeof value !== "string" ||
            secrets.includes(value),
        )
        .map(([variable]) => `${name} holds a secret in ${variable}`),
    );
};

/** What is secret arrives wrapped. */
const textOf = (value: unknown) =>
  typeof value === "object" && value !== null && "value" in value ? value.value : value;

/** What lookup, the function that everybody may call, is granted: to get documents, to ask, and its passphrases. */
export const lookupOnlyReads: Policy = (resources) => {
  const lookups = resources
    .filter(({ type, inputs }) => type === FUNCTION && inputs.buildConfig?.entryPoint === "lookup")
    .map(({ inputs }) => `serviceAccount:${inputs.serviceConfig?.serviceAccountEmail}`);
  const mayGet = resources
    .filter(({ type, inputs }) => type === ROLE && `${inputs.permissions}` === "datastore.entities.get")
    .map(({ inputs }) => `projects/${inputs.project}/roles/${inputs.roleId}`);
  return resources
    .filter(({ inputs }) => lookups.includes(inputs.member))
    .filter(({ type, inputs: { role, secretId = "" } }) => {
      if (type === INVOKER) return role !== "roles/run.invoker";
      if (type === READER) return role !== "roles/secretmanager.secretAccessor" || /key/.test(secretId);
      return !mayGet.includes(role);
    })
    .map(({ name, inputs }) => `${name} grants lookup ${inputs.role}`);
};

/** Each function acts as an account of its own, and none as Google's default one. */
export const anAccountEach: Policy = (resources) => {
  const accounts = resources
    .filter(({ type }) => type === FUNCTION)
    .map(({ name, inputs }) => ({
      name,
      email: inputs.serviceConfig?.serviceAccountEmail as string | undefined,
    }));
  return accounts
    .filter(({ email }, index) => !email || accounts.findIndex((other) => other.email === email) !== index)
    .map(({ name }) => `${name} has no account of its own`);
};

export const POLICIES: Readonly<Record<string, Policy>> = {
  noPublicRefresher,
  noPrimitiveRoles,
  noSecretInEnvironment,
  anAccountEach,
  lookupOnlyReads,
  alertsThatGoogleTakes,
  dashboardsThatGoogleTakes,
};
