import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createSandbox } from "../../local/sandbox/server.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sandbox-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("an unusable database", () => {
  test("names the file when it is no database, a folder, or something else's", () => {
    const broken = join(folder, "broken.sqlite");
    writeFileSync(broken, "not a database ".repeat(100));
    const other = join(folder, "other.sqlite");
    const db = new DatabaseSync(other);
    db.exec("CREATE TABLE tokens (name TEXT)");
    db.close();
    for (const path of [broken, folder, other, join(broken, "below.sqlite")]) {
      expect(() => createSandbox({ file: path })).toThrow(`the sandbox's database ${path} cannot be used: `);
    }
  });
});

describe("run", () => {
  const run = (...args: string[]) =>
    spawn(process.execPath, [
      "--no-warnings",
      join(import.meta.dirname, "../../local/sandbox/run.ts"),
      ...args,
    ]);

  test("prints its address as one JSON line, answers there, and ends cleanly on SIGTERM", async () => {
    const child = run("--port", "0", "--file", join(folder, "run.sqlite"));
    const [line] = await once(child.stdout, "data");
    const { sandbox: url } = JSON.parse(String(line));
    expect(await (await fetch(`${url}/sandbox`)).json()).toMatchObject({ clients: [], faults: [] });
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  test("says what is wrong with its arguments", async () => {
    const child = run("--port", "x");
    const [said] = await once(child.stderr, "data");
    expect(String(said)).toContain("--port must be 0 to 65535");
    expect(await once(child, "exit")).toEqual([1, null]);
  });
});
