import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { INHERITED } from "../support/environment.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";

/** A file of secrets that a process changes as it is killed, or as the disk is full. */

const BEFORE = "made-up-secret-before";
const AFTER = "made-up-secret-after";
afterAll(stopAll);

async function fileOfSecret(): Promise<string> {
  const file = path.join(await temporaryFolder(), "secret");
  writeFileSync(file, BEFORE);
  return file;
}

/** Changes the file in a process of its own, which runs `before` first; `shell` starts it. */
function change(file: string, before: string, shell = 'exec "$0" "$@"') {
  const code = `${before}
    const { changeFile } = await import(${JSON.stringify(path.resolve(import.meta.dirname, "../../local/secret-text.ts"))});
    try { changeFile(${JSON.stringify(file)}, () => ${JSON.stringify(AFTER)}); } catch (error) { console.log(error.message); }`;
  const args = ["-c", shell, process.execPath, "--input-type=module", "--eval", code];
  return spawnSync("sh", args, { env: INHERITED, encoding: "utf8" });
}

/** Kills the process as it is about to call `step` of node's fs, or right after. */
const dying = (step: string, done = "") => `
  import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
  const { ${step} } = fs;
  fs.${step} = (...given) => { ${done} process.kill(process.pid, "SIGKILL"); for (;;); };
  syncBuiltinESMExports();`;

test.each(["writeFileSync", "renameSync"])(
  "a secret's file keeps its text when the process is killed before %s",
  async (step) => {
    const file = await fileOfSecret();
    expect(change(file, dying(step)).signal).toBe("SIGKILL");
    expect(readFileSync(file, "utf8")).toBe(BEFORE);
    expect(existsSync(`${file}.new`)).toBe(true);
  },
);

test("a secret's file holds the new text when the process is killed right after renameSync", async () => {
  const file = await fileOfSecret();
  expect(change(file, dying("renameSync", "renameSync(...given);")).signal).toBe("SIGKILL");
  expect(readFileSync(file, "utf8")).toBe(AFTER);
  expect(existsSync(`${file}.new`)).toBe(false);
});

test("a secret's file keeps its text when the disk has no room", async () => {
  const file = await fileOfSecret();
  const { stdout } = change(file, "", 'ulimit -f 0 && exec "$0" "$@"');
  expect(stdout).toMatch(/^can't write .*secret \(\w+\): it is as it was\n$/);
  expect(readFileSync(file, "utf8")).toBe(BEFORE);
  expect(existsSync(`${file}.new`)).toBe(false);
});
