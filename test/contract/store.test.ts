import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { freshProject } from "../support/emulator.ts";
import { storeContract } from "./store.ts";

const folder = mkdtempSync(path.join(tmpdir(), "store-"));
afterAll(() => rmSync(folder, { recursive: true }));

storeContract("SQLite", async () => openSqlite(path.join(folder, "store.db"), Date.now));

const emulator = inject("firestoreEmulator");
storeContract(
  emulator === undefined ? "Firestore (SKIPPED: no emulator)" : "Firestore",
  async () => {
    process.env.FIRESTORE_EMULATOR_HOST = emulator;
    return openFirestore({ project: freshProject(), database: "(default)" });
  },
  emulator === undefined,
);

describe("the SQLite file", () => {
  const file = path.join(folder, "shared.db");

  test("keeps what was written when it is closed and opened again", async () => {
    const first = openSqlite(file, Date.now);
    const version = await first.create("tokens", "a", { clientId: "c", refreshAt: 1 });
    await first.close();
    const second = openSqlite(file, Date.now);
    expect(await second.read("tokens", "a")).toMatchObject({ fields: { clientId: "c" }, version });
    expect(await second.update("tokens", "a", { clientId: "d" }, version ?? "")).toBeDefined();
    await second.close();
  });

  test("opened twice is one store", async () => {
    const [one, other] = [openSqlite(file, Date.now), openSqlite(file, Date.now)];
    const version = (await other.create("tokens", "b", { clientId: "c" })) ?? "";
    expect(await one.update("tokens", "b", { clientId: "d" }, version)).toBeDefined();
    expect(await other.update("tokens", "b", { clientId: "e" }, version)).toBeUndefined();
    await Promise.all([one.close(), other.close()]);
  });

  test("that is not SQLite, or cannot be opened, is named in one sentence", () => {
    expect(() => openSqlite(import.meta.filename, Date.now)).toThrow(import.meta.filename);
    const nowhere = path.join(folder, "no", "such", "folder.db");
    expect(() => openSqlite(nowhere, Date.now)).toThrow(nowhere);
  });

  test("that fails in use gives StoreUnavailable", async () => {
    const store = openSqlite(path.join(folder, "closed.db"), Date.now);
    await store.close();
    await expect(store.read("tokens", "a")).rejects.toThrow(
      expect.objectContaining({ name: "StoreUnavailable" }),
    );
    await expect(store.create("tokens", "a", {})).rejects.toThrow(
      expect.objectContaining({ name: "StoreUnavailable" }),
    );
  });
});
