import type { Input } from "@pulumi/pulumi";
import { nearest } from "../functions/core/nearest.ts";
import { ArgsError, problemsOf, type TokenServiceArgs } from "./args.ts";

type Kind = "text" | "secret" | "number" | "flag" | "texts" | "secrets" | Kinds;
type Kinds = { readonly [key: string]: Kind };

/** The namespace of our own keys: the project's name in `Pulumi.yaml`. */
export const NAMESPACE = "webex-token-service";

/** What `Pulumi.<stack>.yaml` may hold, beside `gcp:project` and `gcp:region`; `Pulumi.example.yaml` explains each. */
export const KEYS = {
  database: { name: "text", location: "text", adopt: "flag", adoptRules: "flag" },
  names: { lookup: "text", refresher: "text", setup: "text" },
  minInstances: "number",
  maxInstances: "number",
  refreshThreshold: "text",
  refreshConcurrency: "number",
  webexUrl: "text",
  passphrase: "secret",
  sealKeys: "secret",
  sealing: "text",
  operators: "texts",
  notify: { emails: "texts", webhooks: "secrets" },
  compat: "text",
  corsOrigins: "texts",
  legacySetup: "flag",
  staticEgress: "flag",
  publicAccess: "flag",
  protect: "flag",
} as const satisfies Record<Exclude<keyof TokenServiceArgs, "project" | "region">, Kind>;

const WANTED: Record<Extract<Kind, string> | "set", string> = {
  text: "text",
  secret: "text",
  number: "a whole number",
  flag: "true or false",
  texts: "a list of texts",
  secrets: "a list of texts",
  set: "a set of keys, as in Pulumi.example.yaml",
};

/** A stack's configuration as programs are given it: texts; lists and sets of keys as JSON. */
export type Values = Readonly<Record<string, string>>;

/**
 * Throws one `ArgsError` with a sentence for each value that is missing or wrong, and each key that is none. `conceal`
 * makes Pulumi keep a text to itself.
 */
export function readConfig(values: Values, conceal: (text: string) => Input<string>): TokenServiceArgs {
  const problems: string[] = [];
  const ours = Object.entries(values).flatMap(([key, value]) => {
    const [namespace = "", ...rest] = key.split(":");
    if (namespace === NAMESPACE) return [[rest.join(":"), value]];
    if (nearest(namespace, [NAMESPACE])) problems.push(`"${key}" is no key: it begins with "${NAMESPACE}:"`);
    return [];
  });
  const given = setOf("", Object.fromEntries(ours), KEYS, problems);
  const args: TokenServiceArgs = {
    project: values["gcp:project"] ?? "",
    region: values["gcp:region"] ?? "",
    ...given,
  };
  problems.push(...problemsOf(args).map((problem) => problem.replace(/^"(project|region)"/, '"gcp:$1"')));
  if (problems.length > 0) throw new ArgsError(problems);
  return {
    ...args,
    ...(args.passphrase !== undefined && { passphrase: concealed(args.passphrase, conceal) }),
    ...(args.sealKeys !== undefined && { sealKeys: concealed(args.sealKeys, conceal) }),
    ...(args.notify?.webhooks !== undefined && {
      notify: { ...args.notify, webhooks: args.notify.webhooks.map((url) => concealed(url, conceal)) },
    }),
  };
}

const concealed = (value: Input<string>, conceal: (text: string) => Input<string>) =>
  typeof value === "string" ? conceal(value) : value;

/** The values that are right, those of keys that are wrong left out. `path`: where the set is, "" at the top. */
function setOf(path: string, values: object, kinds: Kinds, problems: string[]): object {
  const right = Object.entries(values).flatMap(([key, value]) => {
    const kind = Object.hasOwn(kinds, key) ? kinds[key] : undefined;
    if (kind === undefined) {
      const meant = nearest(key, Object.keys(kinds));
      const hint = meant ? `did you mean "${path}${meant}"?` : "Pulumi.example.yaml explains all there are";
      problems.push(`"${path}${key}" is no key: ${hint}`);
      return [];
    }
    const found = read(`${path}${key}`, value, kind, problems);
    return found === undefined ? [] : [[key, found]];
  });
  return Object.fromEntries(right);
}

/** `undefined`: it is of another kind, which is said. */
function read(path: string, value: unknown, kind: Kind, problems: string[]): unknown {
  if (typeof kind === "object") {
    const set = parsed(value);
    if (isSet(set)) return setOf(`${path}.`, set, kind, problems);
  } else if (kind === "text" || kind === "secret") {
    if (typeof value === "string") return value;
  } else if (kind === "number") {
    if (/^\d+$/.test(String(value))) return Number(value);
  } else if (kind === "flag") {
    if (/^(?:true|false)$/.test(String(value))) return String(value) === "true";
  } else {
    const list = parsed(value);
    if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  }
  problems.push(`"${path}" must be ${WANTED[typeof kind === "object" ? "set" : kind]}`);
  return undefined;
}

const isSet = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** At the top, lists and sets of keys come as JSON. */
function parsed(value: unknown): unknown {
  try {
    return typeof value === "string" ? JSON.parse(value) : value;
  } catch {
    return undefined;
  }
}
