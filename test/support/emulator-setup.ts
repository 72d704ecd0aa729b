import type { TestProject } from "vitest/node";
import { startEmulator } from "./emulator.ts";
import { onceARun } from "./once-a-run.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** `host:port` of the Firestore emulator; `undefined` where there is none. */
    firestoreEmulator: string | undefined;
  }
}

const WITHOUT_EMULATOR =
  "!!! no Firestore emulator: every test against Firestore is SKIPPED. To have it, install the Google Cloud SDK " +
  "component cloud-firestore-emulator (or firebase-tools, and start its emulator once) and Java 17 or newer, " +
  "or set FIRESTORE_EMULATOR_HOST";

/** Starts one emulator for all projects that need it. It ends with the run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const emulator = await onceARun("emulator", startOrSay);
  project.provide("firestoreEmulator", emulator?.host);
  return async () => emulator?.stop();
}

async function startOrSay() {
  const emulator = await startEmulator();
  if (emulator) return emulator;
  if (process.env.REQUIRE_EMULATOR === "1") throw new Error(WITHOUT_EMULATOR);
  console.warn(`\n${WITHOUT_EMULATOR}\n`);
  return undefined;
}
