import path from "node:path";
import { afterAll, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { openConsole } from "../../local/console/open.ts";
import { enter, send } from "../support/console.ts";
import { freshProject } from "../support/emulator.ts";
import { INHERITED } from "../support/environment.ts";
import { eventually } from "../support/eventually.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { type Child, endAll, freePair, hold, release, run } from "./child.ts";

/** The operator's page as it is started, with `npm run console` and with `npm start`. */

const ROOT = path.resolve(import.meta.dirname, "../..");
afterAll(async () => {
  await endAll();
  await stopAll();
});

function launch(program: "console" | "start", folder: string, env: Record<string, string>): Child {
  const command = ["--import", path.join(ROOT, "local/node24.js"), path.join(ROOT, `local/${program}.ts`)];
  return run(process.execPath, command, { cwd: folder, env: { ...INHERITED, HOME: folder, ...env } });
}

const placeOf = (url: string) => {
  const { origin, host, searchParams } = new URL(url);
  return { origin, host, key: searchParams.get("key") ?? "" };
};

/** Where the page opens, once the child has printed it. */
async function address(child: Child) {
  await child.says("Ctrl-C ends it");
  return placeOf(/(http:\/\/127\.0\.0\.1:\d+\/\?key=[\w-]{43})/.exec(child.stdout())?.[1] ?? "nowhere:");
}

async function interrupt(child: Child) {
  child.signal("SIGINT");
  return child.ended;
}

const noBug = (where: string) => expect.unreachable(where);

describe.concurrent("npm run console", () => {
  test("works on the store STORE, with an address that opens the page once", async () => {
    const STORE = path.join(await temporaryFolder(), "tokens.db");
    const opened = await openConsole({ port: 0 }, { STORE }, noBug);
    const at = placeOf(opened.url);
    const { look, order } = await enter(at);
    expect((await look("tokens")).body.rows).toEqual([]);
    expect((await look("about")).body).toMatchObject({
      where: STORE,
      sandbox: false,
      lookup: null,
      redirectUri: null,
    });
    const form = {
      name: "sales",
      clientId: "C",
      clientSecret: "canary-client-secret-of-console",
      scopes: "a",
      redirectUri: "https://x.test/callback",
    };
    expect((await order("add", form)).body).toEqual({ well: true, text: 'Token "sales" is added.' });
    const documents = openSqlite(STORE, Date.now);
    expect((await documents.read("tokens", "sales"))?.fields).toMatchObject({ clientId: "C" });
    await documents.close();

    const again = await send(at.origin, `/?key=${at.key}`, { headers: { host: at.host } });
    expect(again.status).toBe(403);
    await opened.close();
  });

  test("refuses a port in use that --port names, and takes another where no port is named", async () => {
    const STORE = path.join(await temporaryFolder(), "tokens.db");
    const port = await freePair();
    const holder = await hold(port + 1);
    const env = { STORE, PORT: String(port - 1) };
    await expect(openConsole({ port: port + 1 }, env, noBug)).rejects.toThrow(
      /^the console can't listen on port \d+ \(EADDRINUSE\): choose another with --port$/,
    );
    const free = await openConsole({}, env, noBug);
    expect(placeOf(free.url).host).not.toBe(`127.0.0.1:${port + 1}`);
    await free.close();
    await release(holder);
  });

  const emulator = inject("firestoreEmulator");
  test.skipIf(emulator === undefined)("works on the Firestore project that --project names", async () => {
    const project = freshProject();
    const env = { FIRESTORE_EMULATOR_HOST: emulator ?? "", METADATA_SERVER_DETECTION: "none" };
    Object.assign(process.env, env);
    const documents = openFirestore({ project, database: "(default)" });
    await eventually(() => documents.create("tokens", "in the cloud", { clientId: "C" }));
    const opened = await openConsole({ project, port: 0 }, env, noBug);
    const { look } = await enter(placeOf(opened.url));
    expect((await look("about")).body.where).toContain(project);
    expect(
      await eventually(async () => (await look("tokens")).body.rows ?? expect.unreachable()),
    ).toMatchObject([{ name: "in the cloud", state: "not authorized" }]);
    await opened.close();
    await documents.close();
  });

  test("opens the page of a running npm start on the same tokens; Ctrl-C ends both", async () => {
    const folder = await temporaryFolder();
    const port = await freePair();
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
    await other.order("sandbox/fault", { fault: "500", seconds: 600 });
    expect((await other.order("refresh", { name: "example" })).body.well).toBe(false);
    expect(await interrupt(beside)).toMatchObject({ code: 0 });
    expect(await interrupt(service)).toMatchObject({ code: 0 });
    expect(service.stderr() + beside.stderr()).toBe("");
  });
});
