import { setTimeout as sleep } from "node:timers/promises";
import type { TestProject } from "vitest/node";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { freshProject, startEmulator } from "./emulator.ts";
import { HANG } from "./hang.ts";
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
  if (emulator) {
    await warmUp(emulator.host);
    return emulator;
  }
  if (process.env.REQUIRE_EMULATOR === "1") throw new Error(WITHOUT_EMULATOR);
  console.warn(`\n${WITHOUT_EMULATOR}\n`);
  return undefined;
}

/** The emulator's first answers take seconds on a busy machine; the store gives each call five. So no test sends them. */
async function warmUp(host: string): Promise<void> {
  // Else Google's library looks for a metadata server from this process, too.
  process.env.METADATA_SERVER_DETECTION ??= "none";
  const before = process.env.FIRESTORE_EMULATOR_HOST;
  process.env.FIRESTORE_EMULATOR_HOST = host;
  const documents = openFirestore({ project: freshProject(), database: "(default)" });
  if (before === undefined) delete process.env.FIRESTORE_EMULATOR_HOST;
  const calls = [
    () => documents.create("tokens", "warm", { refreshAt: 1 }),
    () => documents.update("tokens", "warm", { refreshAt: 2 }, "0.0"),
    () => documents.upTo({ collection: "tokens", field: "refreshAt", until: 2 }, 1),
    () => documents.count({ collection: "tokens", field: "refreshAt", until: 2 }),
  ];
  const deadline = Date.now() + HANG;
  for (const call of calls)
    while (!(await answers(call))) {
      if (Date.now() > deadline)
        throw new Error("the Firestore emulator accepts connections, but does not answer");
      await sleep(100);
    }
  await documents.close();
}

const answers = (call: () => Promise<unknown>) =>
  call().then(
    () => true,
    () => false,
  );
