import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { enter, send } from "../support/console.ts";
import { freshProject } from "../support/emulator.ts";
import { type Child, endAll, freePair, hold, release, run } from "./child.ts";

/** The operator's page as it is started, with `npm run console` and with `npm start`. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const folders: string[] = [];
afterAll(async () => {
  await endAll();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "console-"));
  folders.push(folder);
  return folder;
}

function launch(
  program: "console" | "start",
  folder: string,
  env: Record<string, string>,
  args: string[] = [],
): Child {
  const { PATH } = process.env;
  const command = ["--import", path.join(ROOT, "local/node24.js"), path.join(ROOT, `local/${program}.ts`)];
  return run(process.execPath, [...command, ...args], { cwd: folder, env: { PATH, HOME: folder, ...env } });
}

/** Where the page opens, once the child has said so. */
async function address(child: Child) {
  await child.says("Ctrl-C ends it");
  const [, url = ""] = /(http:\/\/127\.0\.0\.1:\d+\/\?key=[\w-]{43})/.exec(child.stdout()) ?? [];
  const { origin, host, searchParams } = new URL(url);
  return { origin, host, key: searchParams.get("key") ?? "" };
}

async function interrupt(child: Child) {
  child.signal("SIGINT");
  return child.ended;
}

describe.concurrent("npm run console", () => {
  test("prints an address that opens the page once, works on the store, and ends with Ctrl-C", async () => {
    const folder = newFolder();
    const STORE = path.join(folder, "tokens.db");
    const child = launch("console", folder, { STORE, PORT: String(await freePair()) });
    const at = await address(child);
    const { look, order } = await enter(at);
    expect((await look("tokens")).body.rows).toEqual([]);
    expect((await look("about")).body).toMatchObject({
      where: STORE,
      sandbox: false,
      lookup: null,
      redirectUri: null,
    });
    const secret = "canary-client-secret-of-console";
    const form = {
      name: "sales",
      clientId: "C",
      clientSecret: secret,
      scopes: "a",
      redirectUri: "https://x.test/callback",
    };
    expect((await order("add", form)).body).toEqual({ well: true, text: 'Token "sales" is added.' });
    const documents = openSqlite(STORE, Date.now);
    expect((await documents.read("tokens", "sales"))?.fields).toMatchObject({ clientId: "C" });
    await documents.close();

    const again = await send(at.origin, `/?key=${at.key}`, { headers: { host: at.host } });
    expect(again.status).toBe(403);
    const ended = await interrupt(child);
    expect(ended).toMatchObject({ code: 0 });
    expect(child.stderr()).toBe("");
    expect(child.stdout()).not.toContain(secret);
  });

  test("says in one sentence that its port is taken, and takes another where none was asked for", async () => {
    const folder = newFolder();
    const port = await freePair();
    const env = { STORE: path.join(folder, "tokens.db"), PORT: String(port - 1) };
    const holder = await hold(port + 1);
    const asked = launch("console", folder, env, ["--port", String(port + 1)]);
    expect((await asked.ended).code).toBe(1);
    expect(asked.stderr()).toMatch(
      /^the console can't listen on port \d+ \(EADDRINUSE\): choose another with --port\n$/,
    );
    const free = launch("console", folder, env);
    expect((await address(free)).host).not.toBe(`127.0.0.1:${port + 1}`);
    await interrupt(free);
    await release(holder);
  });

  const emulator = inject("firestoreEmulator");
  test.skipIf(emulator === undefined)("works on the Firestore project that is named", async () => {
    const [folder, project] = [newFolder(), freshProject()];
    const env = { FIRESTORE_EMULATOR_HOST: emulator ?? "", METADATA_SERVER_DETECTION: "none" };
    Object.assign(process.env, env);
    const documents = openFirestore({ project, database: "(default)" });
    await documents.create("tokens", "in the cloud", { clientId: "C" });
    const child = launch("console", folder, { ...env, PORT: String(await freePair()) }, [
      "--project",
      project,
    ]);
    const { look } = await enter(await address(child));
    expect((await look("about")).body.where).toContain(project);
    expect((await look("tokens")).body.rows).toMatchObject([
      { name: "in the cloud", state: "not authorized" },
    ]);
    await interrupt(child);
    await documents.close();
  });
});

describe.concurrent("npm start", () => {
  test("serves the page too, and npm run console opens another on the same tokens", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const PORT = String(port);
    const service = launch("start", folder, { PORT });
    const { look, order } = await enter(await address(service));
    const about = {
      sandbox: true,
      lookup: `http://127.0.0.1:${port}`,
      redirectUri: `http://127.0.0.1:${port}/callback`,
    };
    expect((await look("about")).body).toMatchObject(about);
    expect((await look("tokens")).body.rows).toMatchObject([{ name: "example", state: "working" }]);
    expect((await order("refresh", { name: "example" })).body).toMatchObject({ well: true });

    const beside = launch("console", folder, { PORT });
    const other = await enter(await address(beside));
    expect((await other.look("about")).body).toMatchObject(about);
    expect((await other.look("tokens")).body.rows).toMatchObject([{ name: "example" }]);
    await other.order("sandbox/fault", { fault: "500", seconds: 30 });
    expect((await other.order("refresh", { name: "example" })).body.well).toBe(false);
    expect(await interrupt(beside)).toMatchObject({ code: 0 });
    const begun = Date.now();
    expect(await interrupt(service)).toMatchObject({ code: 0 });
    expect(Date.now() - begun).toBeLessThan(3_000);
    expect(service.stderr() + beside.stderr()).toBe("");
  });

  test("with real tokens prints no key where a journal may listen", async () => {
    const folder = newFolder();
    const child = launch("start", folder, { PORT: String(await freePair()) }, ["--live"]);
    await child.says("Ctrl-C ends it");
    expect(child.stdout()).toContain("npm run console prints its address");
    expect(child.stdout()).not.toContain("key=");
    await interrupt(child);
  });
});
