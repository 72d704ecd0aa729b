import { all, type Input, type Output } from "@pulumi/pulumi";
import type { Variable } from "../functions/adapters/env.ts";

/** Variables that make no difference to the command line: those of the functions alone, and of the machine they run on. */
type Unread =
  | "PORT"
  | "K_SERVICE"
  | "GCE_METADATA_HOST"
  | "SETUP_URL"
  | "REFRESH_CONCURRENCY"
  | "SWEEP_DEADLINE"
  | "WXCC_URL"
  | "COMPAT"
  | "CORS_ORIGINS"
  | "LEGACY_SETUP";

/** What the command line reads; `undefined`: nothing, whatever is set where it runs. One that is new must be given. */
export type Told = Readonly<
  Record<Exclude<Variable, Unread> | "GOOGLE_CLOUD_REGION", Input<string> | undefined>
>;

/** A line for a shell to `eval`: all that it starts from then on works on this deployment, and on no other. */
export const shellLine = (told: Told): Output<string> =>
  all(told).apply((values) => {
    const entries = Object.entries<string | undefined>(values);
    const unset = entries.flatMap(([name, value]) => (value === undefined ? [name] : []));
    const set = entries.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${quoted(value)}`]));
    return `unset ${unset.join(" ")}; export ${set.join(" ")}`;
  });

/** As a shell takes it for one word that means nothing but itself. */
const quoted = (text: string): string =>
  /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
