import { randomBytes } from "node:crypto";
import { cp, writeFile } from "node:fs/promises";
import path from "node:path";
import { formatSealKeys } from "../../functions/core/seal.ts";
import { build } from "../../local/build.ts";
import { environment, frameworkArgs } from "../deployed.ts";
import { documentOf, faultsOf, LIFETIME, openRecords, type Records } from "./authority.ts";
import { chanceOf } from "./chance.ts";
import type { Overlap } from "./judge.ts";
import { type Member, makeMember } from "./member.ts";
import { emulatorThatFreezes, type FreezingPlace, sqliteThatFreezes } from "./place.ts";
import { startWitness, type Witness } from "./witness.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const LOOKUPS = 4;
const REFRESHERS = 2;
/** Seconds of its first life that a token has left at least: they were not all made at once. */
const LEFT = 40;

export interface WorldOptions {
  tokens: number;
  store: "sqlite" | "firestore";
  seed: string;
  /** Make the deployable folders anew. */
  build: boolean;
  /** An empty one. */
  folder: string;
  say(text: string): void;
}

/** Every part that a run is made of, started and well. */
export interface World {
  names: string[];
  place: FreezingPlace;
  records: Records;
  authority: ReturnType<typeof faultsOf>;
  witness: Witness;
  sandbox: Member;
  refreshers: Member[];
  lookups: Member[];
  close(): Promise<void>;
}

/** `onOverlap`: two refreshes of a token at a time. */
export async function makeWorld(
  options: WorldOptions,
  onOverlap: (overlap: Overlap) => void,
): Promise<World> {
  const { folder, store, say } = options;
  if (options.build) {
    say("building");
    await build();
  }
  // In a place of its own, which no other build replaces meanwhile.
  for (const name of ["lookup", "refresher"])
    await cp(path.join(ROOT, "dist", name), path.join(folder, name), { recursive: true });

  say("making tokens");
  const file = path.join(folder, "authority.db");
  const records = openRecords(file);
  const documents = enrolAll(records, options);
  const names = Object.keys(documents);
  const place =
    store === "sqlite"
      ? await sqliteThatFreezes(path.join(folder, "tokens.db"), documents)
      : await emulatorThatFreezes(documents);

  say("starting processes");
  const sandbox = await makeMember({
    title: "sandbox",
    args: (port) => [path.join(ROOT, "local/sandbox/run.ts"), "--port", String(port), "--file", file],
    env: {},
    folder,
  });
  await sandbox.start();
  const witness = await startWitness(sandbox.url, onOverlap);
  const fleet = await startFleet(folder, place.env, witness.url);
  return {
    names,
    place,
    records,
    authority: faultsOf(sandbox.url),
    witness,
    sandbox,
    ...fleet,
    async close() {
      const members = [...fleet.lookups, ...fleet.refreshers, sandbox];
      await Promise.all(members.map((member) => member.kill()));
      await witness.close();
      await place.close();
      records.close();
    },
  };
}

function enrolAll(records: Records, { tokens, seed }: WorldOptions) {
  const chance = chanceOf(`tokens of ${seed}`);
  const width = String(tokens).length;
  const names = Array.from(
    { length: tokens },
    (_, index) => `token-${String(index + 1).padStart(width, "0")}`,
  );
  const left = () => LEFT + Math.round(chance() * (LIFETIME - LEFT));
  return Object.fromEntries(names.map((name) => [name, documentOf(name, records.enrol(name, left()))]));
}

/** Each refresher is asked by half of the lookups, and swept in its turn. */
async function startFleet(folder: string, store: Record<string, string>, webex: string) {
  const keys = await makeKeys(folder);
  const make = (title: string, name: "lookup" | "refresher", env: Record<string, string>) =>
    makeMember({ title, args: (port) => frameworkArgs(folder, name, port), env, folder });
  const tuning = { WEBEX_URL: webex, SEAL_KEYS: keys, REFRESH_CONCURRENCY: "50", SWEEP_DEADLINE: "10s" };
  const refreshers: Member[] = [];
  for (let number = 1; number <= REFRESHERS; number++)
    refreshers.push(await make(`refresher ${number}`, "refresher", { ...environment(store), ...tuning }));
  const lookups: Member[] = [];
  for (let number = 1; number <= LOOKUPS; number++) {
    const asks = refreshers[number % REFRESHERS]?.url;
    lookups.push(await make(`lookup ${number}`, "lookup", environment(store, asks)));
  }
  await Promise.all([...refreshers, ...lookups].map((member) => member.start()));
  return { refreshers, lookups };
}

/** What lasts is sealed, as it is in production. */
async function makeKeys(folder: string): Promise<string> {
  const file = path.join(folder, "seal-keys.json");
  const primary = { kid: "soak", k: randomBytes(32).toString("base64url") };
  await writeFile(file, formatSealKeys({ primary, all: [primary] }), { mode: 0o600 });
  return file;
}
