import { rm } from "node:fs/promises";
import path from "node:path";
import type { TestProject } from "vitest/node";
import { build, explain } from "../../local/build.ts";
import { startEmulator } from "./emulator.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** `host:port` of the Firestore emulator; `undefined` where it could not be had. */
    firestoreEmulator: string | undefined;
  }
}

const WITHOUT_EMULATOR =
  "!!! no Firestore emulator: every test against Firestore is SKIPPED. To have it, install the Google Cloud SDK " +
  "component cloud-firestore-emulator (or firebase-tools, and start its emulator once) and Java 17 or newer, " +
  "or set FIRESTORE_EMULATOR_HOST";

/** Once for a whole run: the emulator, and the deployable folders that end-to-end tests run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [emulator] = await Promise.all([startEmulator(), buildOrSay()]);
  if (!emulator) {
    if (process.env.REQUIRE_EMULATOR === "1") throw new Error(WITHOUT_EMULATOR);
    console.warn(`\n${WITHOUT_EMULATOR}\n`);
  }
  project.provide("firestoreEmulator", emulator?.host);
  return async () => emulator?.stop();
}

/**
 * A function that does not compile must not keep a unit test of something else from running. So this only
 * says it, and takes the older build away: whatever needs the build then fails, and nothing tests old code.
 */
async function buildOrSay(): Promise<void> {
  try {
    await build();
  } catch (error) {
    await rm(path.resolve(import.meta.dirname, "../../dist"), { recursive: true, force: true });
    console.error(`\n!!! the build failed, and so will every test that needs it: ${explain(error)}\n`);
  }
}
