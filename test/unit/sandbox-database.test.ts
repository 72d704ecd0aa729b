import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createSandbox } from "../../local/sandbox/server.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sandbox-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("the sandbox names its database's path when that is not SQLite, a folder, or another program's", () => {
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
