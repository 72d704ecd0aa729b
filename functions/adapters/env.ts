import { DEFAULT_THRESHOLD, HOUR, MINUTE, SECOND } from "../core/time.ts";

/** What the environment says, read once. Durations are ms. */
export interface Settings {
  /** `undefined`: nothing says where the tokens are. */
  store: StoreSettings | undefined;
  /** Cloud Run says so: the metadata server is there. */
  onGoogleCloud: boolean;
  webexUrl: string;
  /** In place of the contact centre's own address in every region. */
  wxccUrl: string | undefined;
  /** Where the shared passphrases are. */
  passphrase: { text: string } | { file: string } | undefined;
  refresherUrl: string | undefined;
  setupUrl: string | undefined;
  /** The https address under which browsers reach this service. */
  publicUrl: string | undefined;
  threshold: number;
  concurrency: number;
  sweepDeadline: number;
  /** Answer as Cisco's sample does. */
  sample: boolean;
  corsOrigins: readonly string[];
  legacySetup: boolean;
  /**
   * Where the sealing keys are: `projects/…/secrets/…`, or a file. "off": what lasts is stored as it is. `undefined`: the
   * store is Firestore itself, and neither was said.
   */
  sealing: { keys: string } | "off" | undefined;
  port: number;
  /** Google Cloud's metadata server: host, and port where it is not 80. */
  metadataHost: string;
}

export type StoreSettings =
  | { kind: "sqlite"; file: string }
  /** Without a project, the metadata server knows it. */
  | { kind: "firestore"; project: string | undefined; database: string; emulator: string | undefined };

/** The environment can't be used: one message that names every variable that is missing or malformed. */
export class SettingsError extends Error {
  override name = "SettingsError";
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Every variable that is read, and none besides: what deploys the functions is held against it. */
export const VARIABLES = [
  "PORT",
  "STORE",
  "GOOGLE_CLOUD_PROJECT",
  "FIRESTORE_DATABASE",
  "FIRESTORE_EMULATOR_HOST",
  "WEBEX_URL",
  "WXCC_URL",
  "TOKEN_PASSPHRASE",
  "TOKEN_PASSPHRASE_FILE",
  "REFRESHER_URL",
  "SETUP_URL",
  "PUBLIC_URL",
  "REFRESH_THRESHOLD",
  "REFRESH_CONCURRENCY",
  "SWEEP_DEADLINE",
  "SEAL_KEYS",
  "SEALING",
  "COMPAT",
  "CORS_ORIGINS",
  "LEGACY_SETUP",
  "GCE_METADATA_HOST",
  "K_SERVICE",
] as const;

export type Variable = (typeof VARIABLES)[number];

/** What a function can't do without. */
export type Needed = "store" | "passphrase" | "refresherUrl" | "sealing";

/** Settings of a function that can't do without those: they are there. */
export type SettingsWith<N extends Needed> = Settings & { [K in N]: NonNullable<Settings[K]> };

/** What is said of each where it is missing. */
export const MISSING: Record<Needed, string> = {
  store:
    "no store is configured: set GOOGLE_CLOUD_PROJECT (Firestore), FIRESTORE_EMULATOR_HOST with GOOGLE_CLOUD_PROJECT (its emulator), or STORE to a file (SQLite)",
  passphrase: "TOKEN_PASSPHRASE or TOKEN_PASSPHRASE_FILE is missing",
  refresherUrl: "REFRESHER_URL is missing: the address of the refresher function",
  sealing:
    "SEAL_KEYS is missing: the secret that holds the sealing keys (SEALING=off stores secrets as they are)",
};

/** Reads the environment; nothing else reads it. Throws `SettingsError`. */
export function readSettings<N extends Needed>(env: Environment, needed: readonly N[]): SettingsWith<N> {
  const read = reader(env);
  const onGoogleCloud = read.text("K_SERVICE") !== undefined;
  const store = storeSettings(read, onGoogleCloud);
  const settings: Settings = {
    store,
    onGoogleCloud,
    webexUrl: read.url("WEBEX_URL") ?? "https://webexapis.com/v1",
    wxccUrl: read.url("WXCC_URL"),
    passphrase: passphraseSettings(read),
    refresherUrl: read.url("REFRESHER_URL"),
    setupUrl: read.url("SETUP_URL"),
    publicUrl: read.url("PUBLIC_URL"),
    threshold: read.duration("REFRESH_THRESHOLD", 10 * SECOND, 7 * 24 * HOUR) ?? DEFAULT_THRESHOLD,
    concurrency: read.whole("REFRESH_CONCURRENCY", 1, 200) ?? 10,
    sweepDeadline: read.duration("SWEEP_DEADLINE", 10 * SECOND, 30 * MINUTE) ?? 9 * MINUTE,
    sample: read.oneOf("COMPAT", ["sample"]) === "sample",
    corsOrigins: read.origins("CORS_ORIGINS"),
    legacySetup: read.oneOf("LEGACY_SETUP", ["on", "off"]) !== "off",
    sealing: sealingSettings(read, store),
    port: read.whole("PORT", 1, 65535) ?? 8080,
    metadataHost: read.text("GCE_METADATA_HOST") ?? "metadata.google.internal",
  };
  for (const need of needed) if (settings[need] === undefined) read.problems.push(MISSING[need]);
  if (read.problems.length > 0) throw new SettingsError(read.problems.join("; "));
  return settings as SettingsWith<N>;
}

function storeSettings(read: Reader, onGoogleCloud: boolean): StoreSettings | undefined {
  const file = read.text("STORE");
  const project = read.text("GOOGLE_CLOUD_PROJECT");
  const database = read.text("FIRESTORE_DATABASE") ?? "(default)";
  const emulator = read.text("FIRESTORE_EMULATOR_HOST");
  if (file !== undefined) return { kind: "sqlite", file };
  if (emulator && project === undefined)
    read.problems.push("GOOGLE_CLOUD_PROJECT is missing: with the emulator any name will do");
  if (project === undefined && !emulator && !onGoogleCloud) return undefined;
  return { kind: "firestore", project, database, emulator };
}

function passphraseSettings(read: Reader): Settings["passphrase"] {
  const text = read.text("TOKEN_PASSPHRASE");
  const file = read.text("TOKEN_PASSPHRASE_FILE");
  if (text !== undefined && file !== undefined)
    read.problems.push("TOKEN_PASSPHRASE and TOKEN_PASSPHRASE_FILE are both set: set one");
  if (file !== undefined) return { file };
  return text === undefined ? undefined : { text };
}

/** In Firestore itself nothing is stored plain unless somebody says so. */
function sealingSettings(read: Reader, store: StoreSettings | undefined): Settings["sealing"] {
  const keys = read.text("SEAL_KEYS");
  const said = read.oneOf("SEALING", ["on", "off"]);
  if (keys !== undefined && said === "off")
    read.problems.push("SEAL_KEYS is set and SEALING is off: set one of them");
  if (keys !== undefined) return { keys };
  const shared = store?.kind === "firestore" && store.emulator === undefined;
  return said === "off" || (said === undefined && !shared) ? "off" : undefined;
}

type Reader = ReturnType<typeof reader>;

/** Reads one variable each; what is malformed is collected, so that all of it can be told at once. */
function reader(env: Environment) {
  const problems: string[] = [];
  const text = (name: Variable) => env[name]?.trim() || undefined;
  const parsed = <T>(name: Variable, parse: (value: string) => T | undefined, wanted: string) => {
    const value = text(name);
    if (value === undefined) return undefined;
    const result = parse(value);
    if (result === undefined) problems.push(`${name} must be ${wanted}`);
    return result;
  };
  return {
    problems,
    text,
    url: (name: Variable) => parsed(name, baseUrl, "an http or https address without a query"),
    whole: (name: Variable, least: number, most: number) =>
      parsed(name, (value) => wholeBetween(value, least, most), `a whole number from ${least} to ${most}`),
    duration: (name: Variable, least: number, most: number) =>
      parsed(
        name,
        (value) => durationBetween(value, least, most),
        `a duration from ${least / SECOND}s to ${most / MINUTE}m, such as "90s", "9m" or "2h"`,
      ),
    oneOf: <T extends string>(name: Variable, words: readonly T[]) =>
      parsed(name, (value) => words.find((word) => word === value), `"${words.join('" or "')}"`),
    origins: (name: Variable) =>
      parsed(name, originList, 'a list of origins, such as "https://example.com,https://example.org"') ?? [],
  };
}

function baseUrl(value: string): string | undefined {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol) || /[?#@]/.test(value)) return undefined;
  return url.href.replace(/\/+$/, "");
}

function wholeBetween(value: string, least: number, most: number): number | undefined {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  return number >= least && number <= most ? number : undefined;
}

const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR };

function durationBetween(value: string, least: number, most: number): number | undefined {
  const [, amount, unit = ""] = /^(\d+)([smh])$/.exec(value) ?? [];
  const ms = Number(amount) * (UNITS[unit] ?? Number.NaN);
  return ms >= least && ms <= most ? ms : undefined;
}

function originList(value: string): string[] | undefined {
  const origins = value.split(",").map((origin) => origin.trim());
  const known = origins.map((origin) => URL.parse(origin)?.origin);
  return known.every((origin, index) => origin === origins[index]) ? origins : undefined;
}
