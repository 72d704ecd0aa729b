import { spawn, spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { HOUR } from "../../functions/core/time.ts";
import { CHECKS } from "../../local/doctor/checks.ts";
import { announce, placeFor, withdraw } from "../../local/place.ts";
import { INHERITED } from "../support/environment.ts";
import { freePort, stopAll, temporaryFolder } from "../support/processes.ts";
import { type Child, endAll, hold, release, run } from "./child.ts";
import { firestorePlace, type Place, sqlitePlace } from "./deployed.ts";

/** `doctor` and `watch` as their users have them: processes of their own, on a pipe and on a terminal. */

const PROGRAM = path.resolve(import.meta.dirname, "../../local/tokens.ts");
vi.setConfig({ testTimeout: 60_000 });

const emulator = inject("firestoreEmulator");

let folder: string;
let place: Place;
let env: Record<string, string>;
beforeAll(async () => {
  [folder, place] = await Promise.all([temporaryFolder(), sqlitePlace()]);
  env = { ...INHERITED, ...place.env, METADATA_SERVER_DETECTION: "none" };
  await token("sales", 6);
});
afterAll(async () => {
  await endAll();
  await place.documents.close();
  await stopAll();
});

const token = (name: string, hours: number, more: object = {}) =>
  place.documents.create("tokens", name, {
    accessToken: `canary-access-${name}`,
    refreshToken: "canary-refresh",
    accessExpires: Date.now() + hours * HOUR,
    refreshAt: Date.now() + HOUR,
    ...more,
  });
const start = (line: string, more: Record<string, string> = {}): Child =>
  run(process.execPath, [PROGRAM, ...line.split(" ")], { cwd: folder, env: { ...env, ...more } });

/** Makes a pseudo terminal, where it is util-linux's: others take other options. */
const SCRIPT = "script";
const { stdout: version } = spawnSync(SCRIPT, ["--version"], { encoding: "utf8" });
const NO_TERMINAL = !(version ?? "").includes("util-linux");

/** An escape sequence. */
const ESCAPE = "\x1b";

/** A terminal of 12 lines and 60 columns, in which a command runs; it ends with the terminal's settings. */
function onTerminal(line: string, more: Record<string, string> = {}) {
  const program = `${process.execPath} ${PROGRAM} ${line}`;
  const command = `stty rows 12 cols 60; ${program}; echo "status=$?"; stty -a`;
  const child = spawn(SCRIPT, ["-qec", command, "/dev/null"], {
    cwd: folder,
    env: { ...env, TERM: "xterm", SHELL: "/bin/sh", ...more },
    stdio: ["pipe", "pipe", "ignore"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const ended = new Promise<string>((resolve) => {
    child.once("close", () => resolve(text));
  });
  return {
    ended,
    type: (keys: string) => void child.stdin.write(keys),
    shows: (wanted: string) => expect.poll(() => text, { timeout: 20_000, interval: 30 }).toContain(wanted),
    text: () => text,
    kill: () => void child.kill("SIGKILL"),
  };
}

describe("doctor", () => {
  test("ends with 0 where nothing is broken: a line a check, plain on a pipe", async () => {
    const child = start("doctor");
    expect(await child.ended).toMatchObject({ code: 0 });
    expect(child.stderr()).toBe("");
    const lines = child.stdout().trimEnd().split("\n");
    expect(lines).toHaveLength(CHECKS.length);
    for (const line of lines) expect(line).toMatch(/^[✓!✗-] (well|warning|broken|skipped) +\S/);
    expect(child.stdout()).toMatch(/^✓ well {5}tokens +1 working$/m);
    expect(child.stdout()).not.toContain(ESCAPE);
  });

  test("ends with 1 where something is broken, and tells programs what, in JSON alone", async () => {
    await token("gone", -1);
    const child = start("doctor --json");
    expect(await child.ended).toMatchObject({ code: 1 });
    const found = JSON.parse(child.stdout());
    expect(found.find(({ id }: { id: string }) => id === "tokens")).toEqual({
      id: "tokens",
      title: "tokens",
      verdict: "broken",
      says: "1 working, 1 ended (gone)",
      remedy: "npm run tokens -- show gone",
    });
    expect(child.stderr()).toBe(`1 of ${CHECKS.length} checks: broken\n`);
    await place.documents.remove("tokens", "gone");
  });

  test("ends at once by Ctrl-C, although something does not answer", async () => {
    const port = await freePort();
    const silent = await hold(port);
    await mkdir(path.join(folder, ".data/sandbox"), { recursive: true });
    const here = placeFor("sandbox", path.join(folder, ".data"));
    const url = `http://127.0.0.1:${port}`;
    announce(here, { pid: process.pid, url, webexUrl: url, store: place.env.STORE ?? "" });
    const child = start("doctor");
    await child.says("database");
    child.signal("SIGINT");
    const { code, ms } = await child.ended;
    expect({ code, stderr: child.stderr() }).toEqual({ code: 130, stderr: "cancelled\n" });
    expect(ms).toBeLessThan(15_000);
    withdraw(here);
    await release(silent);
  });

  test.skipIf(emulator === undefined)(
    `looks into the emulator, and asks nobody else${emulator === undefined ? " (SKIPPED: no emulator)" : ""}`,
    async () => {
      const there = await firestorePlace(emulator ?? "");
      await there.documents.create("tokens", "sales", {
        lifetime: ["canary"],
        static: true,
        accessToken: "canary",
        accessExpires: Date.now() + HOUR,
      });
      const child = start("doctor", { STORE: "", ...there.env });
      expect(await child.ended).toMatchObject({ code: 0 });
      expect(child.stdout()).toMatch(
        /^✓ well {5}database +the emulator's Firestore, project \S+ can be read$/m,
      );
      expect(child.stdout()).toMatch(/^! warning {2}fields of documents .*sales \(lifetime\)/m);
      expect(child.stdout().match(/not with the emulator/g)).toHaveLength(6);
      await there.documents.close();
    },
  );

  test("without Google credentials says how to log in, and ends soon", async () => {
    const child = start("doctor", { STORE: "", GOOGLE_CLOUD_PROJECT: "made-up", HOME: folder });
    const { code, ms } = await child.ended;
    expect(code).toBe(1);
    expect(ms).toBeLessThan(20_000);
    expect(child.stdout()).toMatch(
      /^✗ broken +Google credentials +there are no Google credentials here: run "gcloud/m,
    );
    expect(child.stdout().match(/^- skipped/gm)).toHaveLength(CHECKS.length - 1);
  });

  test.skipIf(NO_TERMINAL).each([
    ["has colours on a terminal", {}, true],
    ["has none where NO_COLOR is set", { NO_COLOR: "1" }, false],
  ])("%s", async (_, more, coloured) => {
    const text = await onTerminal("doctor", more).ended;
    expect(text).toContain("status=0");
    expect(text.includes(`${ESCAPE}[32m✓`)).toBe(coloured);
    expect(text).toMatch(/✓ well/);
  });
});

describe.skipIf(NO_TERMINAL)("watch on a terminal", () => {
  const OPENED = `${ESCAPE}[?1049h`;
  const CLOSED = `${ESCAPE}[?1049l`;

  test.each([
    ["q", "q"],
    ["Ctrl-C", "\x03"],
  ])("shows what changes in place, and leaves the terminal as it was by %s", async (_, key) => {
    const terminal = onTerminal("watch --every 1s");
    try {
      await terminal.shows("1 tokens");
      await token("arriving", 3);
      await terminal.shows("2 tokens");
      terminal.type(key);
      const text = await terminal.ended;
      expect(text).toContain("status=0");
      expect(text.indexOf(CLOSED)).toBeGreaterThan(text.indexOf(OPENED));
      expect(text.split(OPENED)).toHaveLength(2);
      expect(text.slice(text.indexOf(CLOSED))).not.toContain("arriving");
      for (const undone of ["[?25h", "[?7h"]) expect(text).toContain(`${ESCAPE}${undone}`);
      // As the shell finds it: it echoes, and reads by line.
      expect(text).toMatch(/[^-]icanon/);
      expect(text).toMatch(/[^-]echo /);
      expect(text).not.toContain("canary");
    } finally {
      terminal.kill();
      await place.documents.remove("tokens", "arriving");
    }
  });

  test("fits into the terminal, the most urgent first", async () => {
    const names = Array.from({ length: 20 }, (_, index) => `many-${index}`);
    await Promise.all(names.map((name, index) => token(name, index + 1)));
    const failure = { count: 1, code: "invalid_grant", since: 1, at: 1, permanent: true, inputs: "" };
    await token("last", 30, { failure });
    const terminal = onTerminal("watch --every 1s");
    try {
      await terminal.shows("… and 14 more");
      terminal.type("q");
      const [, text = ""] = (await terminal.ended).split(`${ESCAPE}[H`);
      const [picture = ""] = text.split(`${ESCAPE}[J`);
      const lines = picture.split(/\r?\r\n/);
      expect(lines).toHaveLength(12);
      expect(lines[3]).toContain("last");
      expect(lines[4]).toContain("many-0");
    } finally {
      terminal.kill();
      for (const name of [...names, "last"]) await place.documents.remove("tokens", name);
    }
  });
});

describe("watch on a pipe", () => {
  test("prints the table once, then a line for each change, and ends well by Ctrl-C", async () => {
    const child = start("watch --every 1s");
    await child.says("sales");
    await token("fresh", 2);
    await child.says("fresh: new, working");
    const found = await place.documents.read("tokens", "fresh");
    await place.documents.update("tokens", "fresh", { accessExpires: 5 }, found?.version ?? "");
    await child.says("fresh: working → ended");
    await place.documents.remove("tokens", "fresh");
    await child.says("fresh: removed");
    child.signal("SIGINT");
    expect(await child.ended).toMatchObject({ code: 0 });
    const [head, row, ...changes] = child.stdout().trimEnd().split("\n");
    expect([head, row]).toEqual([
      expect.stringMatching(/^name +state/),
      expect.stringMatching(/^sales +working/),
    ]);
    expect(changes).toHaveLength(3);
    for (const line of changes) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z {2}fresh: /);
    expect(child.stdout()).not.toContain(ESCAPE);
  });

  test("a duration that is none is refused", async () => {
    const child = start("watch --every soon");
    expect(await child.ended).toMatchObject({ code: 2 });
    expect(child.stderr()).toContain("--every must be a duration");
  });
});

test.each([
  ["docter", "doctor"],
  ["wach", "watch"],
  ["schedule statu", "status"],
])("%s: the near command is suggested", async (typed, meant) => {
  const child = start(typed);
  expect(await child.ended).toMatchObject({ code: 2 });
  expect(child.stderr()).toContain(`(Did you mean ${meant}?)`);
});
