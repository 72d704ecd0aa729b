import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openSealer } from "../../functions/adapters/seal.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { type Refresher, refresh } from "../../functions/core/refresh.ts";
import { keyOf } from "../../functions/core/seal.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { HOUR, MINUTE } from "../../functions/core/time.ts";
import { type Clock, fakeClock } from "../support/clock.ts";
import { type Ended, tokens as run } from "../support/command-line.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { OLD, openWorld, SWEEP, type World } from "../support/world.ts";

/** `keys` and `reseal`: the four steps of a rotation, beside a refresher that goes on running. */

let folder: string;
let file: string;
let clock: Clock;
let world: World;
let refresher: Refresher;

beforeAll(async () => {
  folder = await temporaryFolder();
  file = path.join(folder, "tokens.db");
  clock = fakeClock(Date.now());
  world = await openWorld({ documents: openSqlite(file, clock.now), clock });
  await world.add("sales", world.granted(OLD));
});
afterAll(async () => {
  await world.close();
  await stopAll();
});

const keyFile = () => path.join(folder, "seal-keys.json");
const keySet = (): { keys?: { kid: string; k: string }[] } => JSON.parse(readFileSync(keyFile(), "utf8"));
const kids = () => (keySet().keys ?? []).map(({ kid }) => kid);

/** Runs a command line, which shows no key. */
async function tokens(line: string, env: Record<string, string> = {}): Promise<Ended> {
  const ended = await run(line, { env: { STORE: file, ...env }, cwd: folder, time: { now: clock.now } });
  for (const { k } of keySet().keys ?? []) expect(ended.stdout + ended.stderr).not.toContain(k);
  return ended;
}
const json = async (line: string) => JSON.parse((await tokens(line)).stdout);
const failed = (stderr: RegExp) => ({ code: 1, stdout: "", stderr: expect.stringMatching(stderr) });

async function usedKeys() {
  const { clientSecret, refreshToken } = (await world.documents.read("tokens", "sales"))?.fields ?? {};
  return [keyOf(String(clientSecret)), keyOf(String(refreshToken))];
}

/** An hour is left of the token, and its refresh is due. */
async function refreshed(): Promise<unknown> {
  const now = clock.now();
  await world.edit("sales", { accessExpires: now + HOUR, lastRefresh: now - OLD, refreshAt: now - 1 });
  return (await refresh("sales", SWEEP, refresher)).outcome;
}

describe("sealing", () => {
  test("begins with a first key, readable by its owner only, and a reseal of what is stored plain", async () => {
    expect(await json("keys add --json")).toMatchObject({ kid: kids()[0], seals: true, keys: keyFile() });
    expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
    expect(await usedKeys()).toEqual([undefined, undefined]);
    expect(await json("reseal --json")).toEqual({ tokens: 1, resealed: 1, unopened: [] });
    expect(await usedKeys()).toEqual([kids()[0], kids()[0]]);
    expect((await tokens("reseal")).stdout).toContain("nothing to do");
  });

  test("lets a refresher with the key file refresh what is sealed", async () => {
    const sealer = await openSealer({ keys: keyFile() }, world.log, clock.now);
    refresher = world.refresher({ store: tokenStore(world.documents, clock.now, sealer) });
    expect(await refreshed()).toBe("refreshed");
    expect(await usedKeys()).toEqual([kids()[0], kids()[0]]);
  });

  test("refuses to promote a second key until every instance knows it", async () => {
    expect(await json("keys add --json")).toMatchObject({ kid: kids()[1], seals: false });
    const promote = `keys promote ${kids()[1]}`;
    expect(await tokens(promote)).toEqual(failed(/was added just now.*try again in 120 s/));
    clock.advance(2 * MINUTE);
    expect(await tokens(promote)).toMatchObject({ code: 0 });
  });

  test("refuses to drop the older key while an instance may seal with it, and while a value needs it", async () => {
    const [old] = kids();
    expect(await tokens(`keys drop ${old}`)).toEqual(failed(/was promoted just now/));
    clock.advance(2 * MINUTE);
    const used = `key "${old}" still seals 2 values: run "npm run tokens -- reseal"`;
    expect((await tokens(`keys drop ${old}`)).stderr).toContain(used);
    expect(kids()).toContain(old);
  });

  test("goes over to the new key with a reseal, and the running refresher reads the key file again", async () => {
    expect((await tokens("reseal")).stdout).toContain("1 of 1 tokens resealed");
    expect(await usedKeys()).toEqual([kids()[1], kids()[1]]);
    expect(await refreshed()).toBe("refreshed");
    expect(await usedKeys()).toEqual([kids()[1], kids()[1]]);
    expect(world.live((await refresher.store.read("sales"))?.document.accessToken)).toBe(true);
  });

  test("drops the older key, and never the one that seals", async () => {
    const [old, now] = kids();
    expect(await tokens(`keys drop ${now}`)).toEqual(failed(/promote another one first/));
    expect((await tokens(`keys drop ${old}`)).code).toBe(0);
    const keys = [{ kid: now, seals: true, values: 2 }];
    expect(await json("keys list --json")).toMatchObject({ keys, plain: 0 });
    expect(await tokens("keys drop nonsense")).toEqual(failed(/there is no key "nonsense"/));
  });

  test("leaves the key file alone while another change has it locked, and where it holds no key set", async () => {
    const good = readFileSync(keyFile());
    writeFileSync(`${keyFile()}.new`, "");
    const locked = /somebody else is changing .*; if nobody is, remove .*\.new/;
    expect(await tokens("keys add")).toEqual(failed(locked));
    rmSync(`${keyFile()}.new`);
    expect(readFileSync(keyFile())).toEqual(good);
    writeFileSync(keyFile(), "{}");
    expect(await tokens("keys add")).toEqual(failed(/can't be used: it is no JSON Web Key Set/));
    expect(readFileSync(keyFile(), "utf8")).toBe("{}");
    expect(readdirSync(folder).filter((name) => name.endsWith(".new"))).toEqual([]);
    writeFileSync(keyFile(), good);
  });

  test("lets show name the key that SEAL_KEYS lacks", async () => {
    const other = path.join(folder, "other.json");
    const key = { kty: "oct", kid: "other", k: "A".repeat(43), key_ops: ["encrypt", "decrypt"] };
    writeFileSync(other, JSON.stringify({ keys: [key] }));
    expect((await tokens("show sales", { SEAL_KEYS: other })).stdout).toContain(
      `clientSecret: it is sealed with key "${kids()[0]}", which is not configured`,
    );
  });
});
