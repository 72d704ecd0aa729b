import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { PROMISES } from "../../bench/soak/judge.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { HOUR } from "../../functions/core/time.ts";
import { INHERITED } from "../support/environment.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { endAll, run } from "./child.ts";

/** `npm run soak`, small and short. What it judges right and wrong is in the unit tests of its judge. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const COMMAND = ["--import", path.join(ROOT, "local/node24.js"), path.join(ROOT, "bench/soak.ts")];
const NAMES = ["token-1", "token-2", "token-3", "token-4", "token-5"];

afterAll(async () => {
  await endAll();
  await stopAll();
});

/** The command lines of all processes that work in the folder. */
const processesIn = (folder: string) =>
  execFileSync("ps", ["-A", "-o", "args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes(folder));

test("reports tokens that the authority never gave as a broken promise; Ctrl-C ends all its processes", async () => {
  const folder = await temporaryFolder();
  const args = ["--no-build", "--tokens", String(NAMES.length), "--rate", "20", "--seed", "7"];
  const child = run(process.execPath, [...COMMAND, ...args], {
    cwd: ROOT,
    env: { ...INHERITED, HOME: folder, TMPDIR: folder },
  });
  while (!child.stderr().includes("all is up")) await Promise.race([sleep(50), child.ended.then(failed)]);
  expect(processesIn(folder).length).toBeGreaterThan(6);

  const [own = ""] = readdirSync(folder);
  const documents = openSqlite(path.join(folder, own, "tokens.db"), Date.now);
  const fields = {
    accessToken: "canary-token-of-no-authority",
    accessExpires: Date.now() + HOUR,
    refreshAt: Date.now() + HOUR,
  };
  // Readers that reject such a token get a good one in its place, so the store is tampered with until the soak says so.
  while (!/[1-9]\d* failed \([1-9]\d* wrong\)/.test(child.stderr())) {
    for (const name of NAMES) {
      const found = await documents.read("tokens", name);
      await documents.update("tokens", name, fields, found?.version ?? "").catch(() => "the store is frozen");
    }
    await Promise.race([sleep(200), child.ended.then(failed)]);
  }
  await documents.close();
  child.signal("SIGINT", true);
  const { code } = await child.ended;

  expect(code, child.stderr()).toBe(1);
  const said = child.stdout();
  expect(said).toContain("(ended early)");
  expect(said).toMatch(new RegExp(`^${PROMISES.live} +BROKEN, \\d+ times`, "m"));
  expect(said).toMatch(new RegExp(`^${PROMISES.back} +not judged$`, "m"));
  expect(said).toMatch(/^A promise was broken\.\nThe logs are in /m);
  expect(processesIn(folder)).toEqual([]);

  function failed() {
    expect.unreachable(`the soak ended: ${child.stdout()}${child.stderr()}`);
  }
});
