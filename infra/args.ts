import type { Input } from "@pulumi/pulumi";
import { parsePassphrases } from "../functions/core/passphrase.ts";
import { parseSealKeys } from "../functions/core/seal.ts";

/** What a deployment can be told. All but `project` and `region` has a default. */
export interface TokenServiceArgs {
  /** Google Cloud project. */
  project: string;
  /** Region of the functions and of the Scheduler, such as "europe-west1". */
  region: string;
  database?: {
    /** "(default)" is the one that Cisco's sample uses, and the one with a free quota. */
    name?: string;
    /** Where it is kept, such as "eur3"; the region unless given. It can't be moved later. */
    location?: string;
    /** It exists already: it is taken over as it is, with all its documents. */
    adopt?: boolean;
    /** Rules have been released for it before: the release is taken over. */
    adoptRules?: boolean;
  };
  /** Names of the functions. One that keeps the name of Cisco's sample keeps its address and its redirect URI. */
  names?: { lookup?: string; refresher?: string; setup?: string };
  /** Instances of lookup that are kept warm, 0 to 100; each costs. */
  minInstances?: number;
  /** Instances of lookup at most, 1 to 1000; each answers 80 requests at a time. */
  maxInstances?: number;
  /** Upper bound of the life below which a read asks for a refresh, such as "2h". */
  refreshThreshold?: string;
  /** Tokens that one refresher refreshes at a time, 1 to 200. */
  refreshConcurrency?: number;
  /** Base address of Webex; another one for FedRAMP. */
  webexUrl?: string;
  /** The first shared passphrase; made at random unless given. Later ones are the command line's. */
  passphrase?: Input<string>;
  /** The first sealing keys, a JSON Web Key Set; made at random unless given. "off": what lasts is stored as it is. */
  sealKeys?: Input<string>;
  sealing?: "on" | "off";
  /** Who uses the command line: "user:…", "group:…" or "serviceAccount:…". */
  operators?: readonly string[];
  /** Whom alerts reach. */
  notify?: { emails?: readonly string[]; webhooks?: readonly Input<string>[] };
  /** "sample": every error as Cisco's sample tells it. */
  compat?: "sample";
  /** Origins whose pages may read. */
  corsOrigins?: readonly string[];
  /** `/init`, and plain token names as states, as Cisco's sample has them. */
  legacySetup?: boolean;
  /** Webex is asked from one address that never changes. It costs a NAT gateway. */
  staticEgress?: boolean;
  /** False: lookup and setup are not opened to everybody, because a policy of the organization forbids it. */
  publicAccess?: boolean;
  /** False: what can't be made again may be destroyed, too. */
  protect?: boolean;
}

const NAMES = { lookup: "token-lookup", refresher: "token-refresher", setup: "token-setup" };

/** All of it, with the defaults. */
export type Settings = ReturnType<typeof withDefaults>;

/** Throws an `ArgsError` that names everything that is wrong. */
export function withDefaults(args: TokenServiceArgs) {
  const problems = problemsOf(args);
  if (problems.length > 0) throw new ArgsError(problems);
  const { database = {}, names = {}, notify = {} } = args;
  return {
    project: args.project,
    region: args.region,
    database: {
      name: database.name ?? "(default)",
      location: database.location ?? args.region,
      adopt: database.adopt ?? false,
      adoptRules: database.adoptRules ?? false,
    },
    names: { ...NAMES, ...names },
    minInstances: args.minInstances ?? 0,
    maxInstances: args.maxInstances ?? 20,
    refreshThreshold: args.refreshThreshold ?? "2h",
    refreshConcurrency: args.refreshConcurrency ?? 10,
    webexUrl: args.webexUrl,
    passphrase: args.passphrase,
    sealKeys: args.sealKeys,
    sealing: args.sealing ?? ("on" as const),
    operators: args.operators ?? [],
    emails: notify.emails ?? [],
    webhooks: notify.webhooks ?? [],
    compat: args.compat,
    corsOrigins: args.corsOrigins ?? [],
    legacySetup: args.legacySetup ?? false,
    staticEgress: args.staticEgress ?? false,
    publicAccess: args.publicAccess ?? true,
    protect: args.protect ?? true,
  };
}

/** The configuration can't be used. One sentence that names every key that is missing or wrong. */
export class ArgsError extends Error {
  override name = "ArgsError";

  constructor(problems: readonly string[]) {
    super(problems.join("; "));
  }
}

/** Stands for a secret that is not opened here, as in Pulumi's own prints: nothing is said against it. */
export const UNOPENED = "[secret]";

const PATTERNS = {
  project: [/^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$/, "the id of a Google Cloud project"],
  region: [/^[a-z]+-[a-z]+\d+$/, 'a region, such as "europe-west1"'],
  location: [
    /^(?:eur3|nam5|nam7|[a-z]+-[a-z]+\d+)$/,
    'where Firestore can be, such as "eur3" or "europe-west1"',
  ],
  database: [
    /^(?:\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$/,
    '"(default)", or 4 to 63 letters, digits and "-"',
  ],
  functionName: [/^[A-Za-z](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/, 'up to 63 letters, digits, "-" and "_"'],
  threshold: [/^\d+[smh]$/, 'a duration, such as "2h"'],
  member: [/^(?:user|group|serviceAccount):[^\s@]+@[^\s@]+$/, '"user:…", "group:…" or "serviceAccount:…"'],
  email: [/^[^\s@]+@[^\s@]+$/, "an e-mail address"],
  origin: [/^https?:\/\/[^/\s?#]+$/, 'an origin, such as "https://example.com"'],
  address: [/^https:\/\/[^\s?#]+$/, "an https address without a query"],
  webhook: [{ test: isWebhook }, "an https address"],
  sealing: [/^(?:on|off)$/, '"on" or "off"'],
  compat: [/^sample$/, '"sample", or left out'],
} as const satisfies Record<string, readonly [Pick<RegExp, "test">, string]>;

/** All that is wrong, a sentence for each; a secret that is not known yet is right. */
export function problemsOf(args: TokenServiceArgs): string[] {
  const problems: string[] = [];
  const check = (key: string, value: Input<string> | undefined, kind: keyof typeof PATTERNS) => {
    const [pattern, wanted] = PATTERNS[kind];
    if (isKnown(value) && !pattern.test(value)) problems.push(`"${key}" must be ${wanted}`);
  };
  const range = (key: string, value: number | undefined, least: number, most: number) => {
    if (value !== undefined && !(Number.isInteger(value) && value >= least && value <= most))
      problems.push(`"${key}" must be a whole number from ${least} to ${most}`);
  };
  for (const key of ["project", "region"] as const) {
    if (!args[key]) problems.push(`"${key}" is missing`);
    else check(key, args[key], key);
  }
  check("database.name", args.database?.name, "database");
  check("database.location", args.database?.location, "location");
  for (const [name, value] of Object.entries(args.names ?? {})) check(`names.${name}`, value, "functionName");
  const names = Object.values({ ...NAMES, ...args.names });
  if (new Set(names).size < names.length) problems.push('"names" must be different ones');
  range("minInstances", args.minInstances, 0, 100);
  range("maxInstances", args.maxInstances, 1, 1000);
  if ((args.minInstances ?? 0) > (args.maxInstances ?? 20))
    problems.push('"minInstances" is above "maxInstances"');
  check("refreshThreshold", args.refreshThreshold, "threshold");
  range("refreshConcurrency", args.refreshConcurrency, 1, 200);
  check("webexUrl", args.webexUrl, "address");
  const each = (key: string, values: readonly Input<string>[] = [], kind: keyof typeof PATTERNS) => {
    for (const [index, value] of values.entries()) check(`${key}[${index}]`, value, kind);
  };
  each("operators", args.operators, "member");
  each("notify.emails", args.notify?.emails, "email");
  each("notify.webhooks", args.notify?.webhooks, "webhook");
  each("corsOrigins", args.corsOrigins, "origin");
  check("compat", args.compat, "compat");
  check("sealing", args.sealing, "sealing");
  const parsed = (key: "passphrase" | "sealKeys", parse: (text: string) => unknown) => {
    const value = args[key];
    try {
      if (isKnown(value)) parse(value);
    } catch (error) {
      problems.push(`"${key}" can't be used: ${(error as Error).message}`);
    }
  };
  parsed("passphrase", parsePassphrases);
  parsed("sealKeys", parseSealKeys);
  if (args.sealing === "off" && args.sealKeys !== undefined)
    problems.push('"sealKeys" is given and "sealing" is "off": set one of them');
  return problems;
}

/** What Monitoring is given: an address, and a user and a password if they are in it. */
function isWebhook(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || !/^https:\/\/\S+$/.test(text)) return false;
  try {
    decodeURIComponent(url.username + url.password);
    return true;
  } catch {
    return false;
  }
}

const isKnown = (value: Input<string> | undefined): value is string =>
  typeof value === "string" && value !== UNOPENED;
