import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { openWorld } from "../support/world.ts";

const CLAIMER = fileURLToPath(new URL("../support/claimer.ts", import.meta.url));
const PROCESSES = 5;

let folder: string;
let children: ChildProcess[];
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "processes-"));
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** Starts five processes, lets them all go on once each has printed each of `meetings`, and gives their results. */
async function race<T>(file: string, meetings: string[], ...job: string[]): Promise<T[]> {
  const runs = Array.from({ length: PROCESSES }, () => {
    const child = spawn(process.execPath, [CLAIMER, file, ...job], { stdio: "pipe" });
    children.push(child);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
      });
    }
    return { child, closed: once(child, "close"), output: () => output };
  });
  for (const meeting of meetings) {
    const isThere = ({ child, output }: (typeof runs)[number]) =>
      child.exitCode !== null || output().split("\n").includes(meeting);
    await eventuallyTrue(() => runs.every(isThere));
    for (const { child } of runs) child.stdin?.write("go\n");
  }
  return Promise.all(
    runs.map(async ({ closed, output }) => {
      const [code] = await closed;
      const [result = "", ...lines] = output().trimEnd().split("\n").toReversed();
      expect([code, lines.toReversed()]).toEqual([0, meetings]);
      return JSON.parse(result) as T;
    }),
  );
}

test("five processes that open a new SQLite file at once and add to one counter get the exact sum", async () => {
  const file = path.join(folder, "store.db");
  const lost = await race<number>(file, ["ready", "read"], "count", "10");
  expect(lost.reduce((sum, one) => sum + one)).toBeGreaterThanOrEqual(PROCESSES - 1);
  const store = openSqlite(file, Date.now);
  expect((await store.read("status", "counter"))?.fields.count).toBe(10 * PROCESSES);
  await store.close();
});

test("a new SQLite file that another process is creating is waited for", async () => {
  const file = path.join(folder, "new.db");
  // The state of a file that another process opens, for a tenth of what the store waits.
  const program = `
    const { DatabaseSync } = require("node:sqlite");
    const database = new DatabaseSync(process.argv[1]);
    database.exec("CREATE TABLE other (a); BEGIN IMMEDIATE; INSERT INTO other VALUES (1)");
    console.log("held");
    setTimeout(() => database.exec("COMMIT"), 100);`;
  const child = spawn(process.execPath, ["-e", program, file], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  await once(child.stdout, "data");
  const store = openSqlite(file, Date.now);
  expect(await store.create("tokens", "a", {})).toBeDefined();
  await store.close();
});

test("five processes that race to refresh each of six tokens send Webex one request for each (row 1)", async () => {
  const file = path.join(folder, "store.db");
  const documents = openSqlite(file, Date.now);
  const world = await openWorld({ documents, clock: { now: Date.now, advance: () => {} }, runtime });
  const names = Array.from({ length: 6 }, (_, index) => `token-${index}`);
  for (const name of names) await world.add(name, world.granted(24 * 3_600_000));
  world.sandbox.faults.add({ fault: "slow", delayMs: 100 });

  const outcomes = await race<string[]>(file, ["ready"], "refresh", world.url, ...names);

  for (const [index, name] of names.entries()) {
    const each = outcomes.map((one) => one[index]);
    expect(each.filter((outcome) => outcome === "refreshed")).toHaveLength(1);
    expect(each.filter((outcome) => outcome === "leased" || outcome === "fresh")).toHaveLength(4);
    const { document } = await world.token(name);
    expect(document.lease).toBeUndefined();
    expect(world.sandbox.authority.holder(document.accessToken ?? "")?.live).toBe(true);
  }
  expect(world.refreshes()).toBe(names.length);
  await world.close();
});
