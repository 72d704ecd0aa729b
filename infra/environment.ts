import type { Input } from "@pulumi/pulumi";
import type { Variable } from "../functions/adapters/env.ts";

/** Variables that no deployment sets: those of Cloud Run itself, of one machine, and of a test. */
export const UNSUPPLIED = [
  "PORT",
  "K_SERVICE",
  "GCE_METADATA_HOST",
  "STORE",
  "FIRESTORE_EMULATOR_HOST",
  "PUBLIC_URL",
  "WXCC_URL",
  // A file takes its place: it follows a rotation.
  "TOKEN_PASSPHRASE",
] as const satisfies readonly Variable[];

/** All others that the functions read: one that is new there does not compile here until it is given. */
export type Supplied = Exclude<Variable, (typeof UNSUPPLIED)[number]>;

/** Known only when other parts are made. */
type Late = "REFRESHER_URL" | "SETUP_URL" | "TOKEN_PASSPHRASE_FILE";

/** What the functions are told; `undefined`: the default of theirs. */
export type Told = Readonly<Record<Exclude<Supplied, Late>, Input<string> | undefined>>;

/** Those of them that one function reads. */
export const pick = <K extends keyof Told>(told: Told, ...variables: readonly K[]): Pick<Told, K> =>
  Object.fromEntries(variables.map((variable) => [variable, told[variable]])) as Pick<Told, K>;
