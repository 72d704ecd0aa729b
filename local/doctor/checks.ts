import { clock, credentials, database, rules } from "./access.ts";
import type { Check } from "./check.ts";
import { functions, privacy } from "./functions.ts";
import { censusJob, lastSweep, sweepJob } from "./schedule.ts";
import { passphrase, sealing } from "./secrets.ts";
import { mistyped, published, tokens } from "./tokens.ts";

/** All that is examined, in the order in which it is told. What a check needs stands before it. */
export const CHECKS: readonly Check[] = [
  credentials,
  clock,
  database,
  rules,
  functions,
  privacy,
  sweepJob,
  censusJob,
  lastSweep,
  passphrase,
  sealing,
  tokens,
  mistyped,
  published,
];
