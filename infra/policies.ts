import type { Declared } from "./offline.ts";

/** What must hold of every deployment, as plain functions over what is declared. Each gives what breaks it. */
export type Policy = (resources: readonly Declared[]) => string[];

const INVOKER = "gcp:cloudrunv2/serviceIamMember:ServiceIamMember";
const FUNCTION = "gcp:cloudfunctionsv2/function:Function";
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
export const noSecretInEnvironment: Policy = (resources) =>
  resources
    .filter(({ type }) => type === FUNCTION)
    .flatMap(({ name, inputs }) =>
      Object.keys(inputs.serviceConfig?.environmentVariables ?? {})
        .filter((variable) => /^TOKEN_PASSPHRASE$|SECRET$|PASSWORD|_KEY$/.test(variable))
        .map((variable) => `${name} holds a secret in ${variable}`),
    );

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
};
