import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HANG } from "./hang.ts";
import { freePort } from "./processes.ts";

const RULES = path.resolve(import.meta.dirname, "../../firebase.rules");
const MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore";
const { JAVA_HOME } = process.env;
const JAVA = JAVA_HOME ? path.join(JAVA_HOME, "bin/java") : "java";
const READY_WITHIN = HANG;

export interface Emulator {
  /** `host:port`, the form that `FIRESTORE_EMULATOR_HOST` has. */
  readonly host: string;
  /** Ends the process if it was started here; one that was already there is left alone. */
  stop(): Promise<void>;
}

/**
 * Google's own Firestore emulator: the one that `FIRESTORE_EMULATOR_HOST` names, else one started here
 * from the Cloud SDK's or firebase-tools' copy. `undefined` where there is no copy or no Java.
 * It enforces this repository's rules, so a client without a bearer is refused, as in production.
 */
export async function startEmulator(): Promise<Emulator | undefined> {
  const existing = process.env.FIRESTORE_EMULATOR_HOST;
  if (existing) return { host: existing, stop: async () => {} };
  const jar = jarOfCloudSdk() ?? jarOfFirebaseTools();
  // The error is set where there is no such command, the status where macOS has only its stub.
  const java = spawnSync(JAVA, ["-version"], { stdio: "ignore" });
  if (!jar || java.error || java.status !== 0) return undefined;
  return start(jar);
}

async function start(jar: string): Promise<Emulator> {
  const port = await freePort();
  // For the minutes that it lives: no second compiler, one thread to collect garbage.
  const quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
  const args = [
    ...quick,
    "-cp",
    jar,
    MAIN,
    "start",
    "--host=127.0.0.1",
    `--port=${port}`,
    `--rules=${RULES}`,
  ];
  const child = spawn(JAVA, args, { stdio: ["ignore", "pipe", "pipe"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const host = `127.0.0.1:${port}`;
  await untilReady(child, host);
  const stop = async () => {
    process.off("exit", kill);
    await end(child);
  };
  return { host, stop };
}

async function untilReady(child: ChildProcess, host: string): Promise<void> {
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    // Kept up to a limit, but always read: a full pipe would stop the emulator.
    stream?.setEncoding("utf8").on("data", (chunk: string) => {
      if (output.length < 10_000) output += chunk;
    });
  }
  const deadline = Date.now() + READY_WITHIN;
  while (!(await answers(host))) {
    if (hasEnded(child) || Date.now() > deadline) {
      await end(child);
      throw new Error(`the Firestore emulator did not start:\n${output}`);
    }
    await sleep(50);
  }
}

async function answers(host: string): Promise<boolean> {
  try {
    return (await fetch(`http://${host}/`, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

/** SIGKILL: it holds nothing but memory, and takes seconds to end by itself. */
async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exited;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function jarOfCloudSdk(): string | undefined {
  for (const folder of (process.env.PATH ?? "").split(path.delimiter)) {
    const gcloud = path.join(folder, "gcloud");
    if (!existsSync(gcloud)) continue;
    const sdk = path.resolve(realpathSync(gcloud), "../..");
    const jar = path.join(sdk, "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar");
    if (existsSync(jar)) return jar;
  }
  return undefined;
}

function jarOfFirebaseTools(): string | undefined {
  const cache = path.join(homedir(), ".cache/firebase/emulators");
  if (!existsSync(cache)) return undefined;
  const newest = readdirSync(cache)
    .filter((name) => /^cloud-firestore-emulator-v[\d.]+\.jar$/.test(name))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
    .at(-1);
  return newest && path.join(cache, newest);
}

/** A project id that nothing has used: each test file that takes one has an empty database to itself. */
export function freshProject(): string {
  return `test-${randomBytes(8).toString("hex")}`;
}
