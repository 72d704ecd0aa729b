import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { LEASE_TIME } from "../../functions/core/time.ts";
import { runtimeOf } from "../support/clock.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { OLD, openWorld, SWEEP, type World } from "../support/world.ts";
import { movableClock } from "./crash.ts";
import { expectHonestAnswer } from "./crash-reader.ts";

const NAME = "t";
const REFRESHER = path.resolve(import.meta.dirname, "../support/claimer.ts");

let folder: string;
let file: string;
let world: World;
let child: ChildProcess;
beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "crash-"));
  file = path.join(folder, "tokens.db");
  const clock = movableClock();
  world = await openWorld({ documents: openSqlite(file, clock.now), clock, runtime: runtimeOf(clock) });
  // Webex processes the request at once, and answers after the process was killed.
  world.sandbox.faults.add({ fault: "slow", delayMs: 60_000, times: 1 });
});
afterEach(async () => {
  child.kill("SIGKILL");
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a refresher process killed while Webex answers leaves the held token, and the next refreshes after its lease (rows 3 and 4)", async () => {
  await world.add(NAME, world.granted(OLD));
  const { document: before } = await world.token(NAME);
  const args = [REFRESHER, file, "refresh", world.url, NAME];
  child = spawn(process.execPath, args, { cwd: folder, stdio: ["pipe", "ignore", "inherit"] });
  child.stdin?.end("go\n");
  await eventuallyTrue(() => world.sandbox.authority.counters().refresh_token.granted === 1);
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  expect(await ended).toEqual([null, "SIGKILL"]);

  const held = await expectHonestAnswer(NAME, world);
  expect(held).toMatchObject({ status: 200, body: { token: before.accessToken } });

  const { document } = await world.token(NAME);
  expect(document.lease?.expires).toBeLessThanOrEqual(world.clock.now() + LEASE_TIME);
  expect(await refresh(NAME, SWEEP, world.refresher())).toMatchObject({ outcome: "leased" });
  world.clock.advance(LEASE_TIME);
  expect(await refresh(NAME, SWEEP, world.refresher())).toEqual({ outcome: "refreshed" });
  expect(world.refreshes()).toBe(2);
  expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: 200 });
});
