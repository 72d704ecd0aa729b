import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { LEASE_TIME } from "../../functions/core/time.ts";
import { runtimeOf } from "../support/clock.ts";
import { CLIENT, OLD, openWorld, SWEEP, type World } from "../support/world.ts";
import { movableClock } from "./crash.ts";
import { expectHonestAnswer } from "./crash-reader.ts";

const NAME = "t";
const REFRESHER = path.resolve(import.meta.dirname, "../support/claimer.ts");
const COMMANDS = path.resolve(import.meta.dirname, "../../local/tokens.ts");

let folder: string;
let file: string;
let world: World;
let child: ChildProcess;
beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "crash-"));
  file = path.join(folder, "tokens.db");
  const clock = movableClock();
  world = await openWorld({ documents: openSqlite(file, clock.now), clock, runtime: runtimeOf(clock) });
  // Processed at once, and answered when nobody listens any more.
  world.sandbox.faults.add({ fault: "slow", delayMs: 60_000, times: 1 });
});
afterEach(async () => {
  child.kill("SIGKILL");
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a real process, and kills it while Webex's answer is on its way. */
async function killedAsItAsks(args: string[], input: string): Promise<void> {
  const env = { PATH: process.env.PATH, STORE: file, WEBEX_URL: world.url };
  child = spawn(process.execPath, args, { cwd: folder, env, stdio: ["pipe", "ignore", "inherit"] });
  child.stdin?.end(input);
  await vi.waitUntil(() => world.sandbox.authority.counters().refresh_token.granted === 1, 15_000);
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  expect(await ended).toEqual([null, "SIGKILL"]);
}

/** Another process, here, finds a lease, waits for its end, and gets the tokens. */
async function expectMadeGood(): Promise<void> {
  const { document } = await world.token(NAME);
  expect(document.lease?.expires).toBeLessThanOrEqual(world.clock.now() + LEASE_TIME);
  expect(await refresh(NAME, SWEEP, world.refresher())).toMatchObject({ outcome: "leased" });
  world.clock.advance(LEASE_TIME);
  expect(await refresh(NAME, SWEEP, world.refresher())).toEqual({ outcome: "refreshed" });
  expect(world.refreshes()).toBe(2);
  expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: 200 });
}

test("a refresher ended by SIGKILL while Webex answers leaves the held token, and a lease that ends", async () => {
  await world.add(NAME, world.granted(OLD));
  const { document: before } = await world.token(NAME);
  await killedAsItAsks([REFRESHER, file, "refresh", world.url, NAME], "go\n");
  const held = await expectHonestAnswer(NAME, world);
  expect(held).toMatchObject({ status: 200, body: { token: before.accessToken } });
  await expectMadeGood();
});

test("an import ended by SIGKILL while Webex answers leaves what was typed, and the sweep goes on with it", async () => {
  const { refresh_token: refreshToken } = world.sandbox.authority.issue(CLIENT.clientId);
  const { clientId, clientSecret } = CLIENT;
  const typed = JSON.stringify({ clientSecret, refreshToken });
  await killedAsItAsks([COMMANDS, "import", NAME, "--client-id", clientId], typed);
  const { document } = await world.token(NAME);
  expect(document).toMatchObject({ clientId, clientSecret, refreshToken });
  expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: 503 });
  await expectMadeGood();
});
