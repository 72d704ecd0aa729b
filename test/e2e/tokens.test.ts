import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { HOUR } from "../../functions/core/time.ts";
import { INHERITED } from "../support/environment.ts";
import { eventually } from "../support/eventually.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { type Place, sqlitePlace } from "./deployed.ts";

/** The entry point of `npm run tokens` as a process: pipes, signals, exit status, a terminal. Commands run in process elsewhere. */

const PROGRAM = path.resolve(import.meta.dirname, "../../local/tokens.ts");

let folder: string;
let place: Place;
const children: ChildProcess[] = [];
beforeAll(async () => {
  [folder, place] = [await temporaryFolder(), await sqlitePlace()];
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await place.documents.close();
  await stopAll();
});

function start(command: string, args: readonly string[], env: Record<string, string> = {}) {
  // A person's own Google credentials are out of reach.
  const alone = { ...INHERITED, HOME: folder, METADATA_SERVER_DETECTION: "none" };
  const child = spawn(command, args, { cwd: folder, env: { ...alone, ...place.env, ...env }, stdio: "pipe" });
  children.push(child);
  return child;
}
const begin = (line: string, env?: Record<string, string>) =>
  start(process.execPath, [PROGRAM, ...line.split(" ")], env);

async function tokens(line: string, env: Record<string, string> = {}, input = "") {
  const child = begin(line, env);
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  return { code, stdout, stderr };
}

const ADD = "--client-id C1 --redirect-uri http://127.0.0.1/callback";

test("a secret comes over the pipe and ends up in the store, with status 0", async () => {
  expect(await tokens(`add piped ${ADD}`, {}, "canary-client-secret\n")).toMatchObject({
    code: 0,
    stderr: "",
  });
  const { fields } = (await place.documents.read("tokens", "piped")) ?? {};
  expect(fields).toMatchObject({ clientSecret: "canary-client-secret" });
});

test("an error is one sentence and status 1, a mistyped command status 2", async () => {
  const [failed, mistyped] = await Promise.all([tokens("show nobody"), tokens("shw")]);
  expect(failed).toEqual({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^there is no token[^\n]+\n$/),
  });
  expect(mistyped).toMatchObject({
    code: 2,
    stdout: "",
    stderr: expect.stringContaining("Did you mean show?"),
  });
});

test("DEBUG=1 shows where an error was thrown", async () => {
  const { code, stderr } = await tokens("show nobody", { DEBUG: "1" });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^ +at /m);
});

test("Ctrl-C ends the waiting for standard input with status 130", async () => {
  const child = begin(`add interrupted ${ADD}`);
  const [said] = await once(child.stderr.setEncoding("utf8"), "data");
  expect(said).toContain("waiting for the client secret");
  child.kill("SIGINT");
  const [rest, [code]] = await Promise.all([text(child.stderr), once(child, "close")]);
  expect({ code, rest }).toEqual({ code: 130, rest: "cancelled\n" });
});

test("a reader that closes the pipe, as head does, ends the command quietly with status 0", async () => {
  const child = begin(`add closed ${ADD}`);
  child.stdout.destroy();
  await once(child.stdout, "close");
  // It prints after it has read this.
  child.stdin.end("canary-client-secret");
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "close")]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});

test.each(["schedule status", "passphrase rotate"])(
  "%s says how to log in where there are no Google credentials",
  async (line) => {
    const env = { STORE: "", GOOGLE_CLOUD_PROJECT: "made-up", GOOGLE_CLOUD_REGION: "europe-west1" };
    expect(await tokens(line, env)).toEqual({
      code: 1,
      stdout: "",
      stderr: 'there are no Google credentials here: run "gcloud auth application-default login"\n',
    });
  },
);

test("a command that needs no Google service loads none of Google's libraries", async () => {
  const refuse = `
    import { registerHooks } from "node:module";
    registerHooks({ resolve(name, context, next) {
      if (/^(@google-cloud|google-|@grpc)/.test(name)) throw new Error("loaded too early: " + name);
      return next(name, context);
    } });`;
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(refuse)}`;
  expect(await tokens("list", { NODE_OPTIONS })).toMatchObject({ code: 0, stderr: "" });
});

/** Makes a pseudo terminal, where it is util-linux's: others take other options. */
const SCRIPT = "script";
const { stdout: version } = spawnSync(SCRIPT, ["--version"], { encoding: "utf8" });
const NO_TERMINAL = !(version ?? "").includes("util-linux");

/** Escape sequences of xterm: to another screen and back. */
const OPENED = "\x1b[?1049h";
const CLOSED = "\x1b[?1049l";

test.skipIf(NO_TERMINAL)(
  "on a terminal doctor has colours, and watch shows changes in place and leaves the terminal as it was",
  async () => {
    const add = (name: string, hours: number) =>
      place.documents.create("tokens", name, {
        accessToken: `canary-access-${name}`,
        accessExpires: Date.now() + hours * HOUR,
        static: true,
      });
    await add("earlier", 6);
    const program = `${process.execPath} ${PROGRAM}`;
    const lines = `stty rows 12 cols 60; ${program} doctor; ${program} watch --every 1s; echo "status=$?"; stty -a`;
    const terminal = { TERM: "xterm", SHELL: "/bin/sh" };
    const child = start(SCRIPT, ["-qec", lines, "/dev/null"], terminal);
    let shown = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      shown += chunk;
    });
    const shows = (wanted: string) => eventually(() => expect(shown).toContain(wanted));
    await shows(OPENED);
    await shows("earlier");
    await add("arriving", 3);
    await shows("arriving");
    child.stdin.write("q");
    await once(child, "close");

    const [before = "", after = ""] = [
      shown.slice(0, shown.indexOf(OPENED)),
      shown.slice(shown.indexOf(CLOSED)),
    ];
    expect(before).toContain("\x1b[32m✓ well");
    expect(shown.split(OPENED)).toHaveLength(2);
    expect(after).toContain("status=0");
    expect(after).not.toContain("arriving");
    for (const undone of ["\x1b[?25h", "\x1b[?7h"]) expect(shown).toContain(undone);
    // As the shell finds it: it echoes, and reads by line.
    expect(after).toMatch(/[^-]icanon/);
    expect(after).toMatch(/[^-]echo /);
    expect(shown).not.toContain("canary");
  },
);
