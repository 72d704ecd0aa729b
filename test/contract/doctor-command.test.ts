import { mkdirSync } from "node:fs";
import path from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { stateOf } from "../../functions/core/state.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { HOUR } from "../../functions/core/time.ts";
import { framed } from "../../local/commands/watch.ts";
import { CHECKS } from "../../local/doctor/checks.ts";
import { announce, placeFor, withdraw } from "../../local/place.ts";
import { openScreen } from "../../local/screen.ts";
import { hold, release } from "../e2e/child.ts";
import { type Place, sqlitePlace } from "../e2e/deployed.ts";
import { begin, outputOf, tokens } from "../support/command-line.ts";
import { freePort, stopAll, temporaryFolder } from "../support/processes.ts";

/** `doctor` and `watch` on a pipe. */

let folder: string;
let place: Place;
beforeAll(async () => {
  [folder, place] = await Promise.all([temporaryFolder(), sqlitePlace()]);
  await token("sales", 6);
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(async () => {
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
const here = () => ({ env: place.env, cwd: folder });

/** An escape sequence. */
const ESCAPE = "\x1b";

describe("doctor", () => {
  test("ends with 0 where nothing is broken, and prints a plain line for each check", async () => {
    const stdout = await outputOf("doctor", here());
    const lines = stdout.split("\n");
    expect(lines).toHaveLength(CHECKS.length);
    for (const line of lines) expect(line).toMatch(/^[✓!✗-] (well|warning|broken|skipped) +\S/);
    expect(stdout).toMatch(/^✓ well {5}tokens +1 working$/m);
    expect(stdout).not.toContain(ESCAPE);
  });

  test("ends with 1 where a check is broken, and --json prints the checks alone on stdout", async () => {
    await token("gone", -1);
    const { code, stdout, stderr } = await tokens("doctor --json", here());
    const found = JSON.parse(stdout).find(({ id }: { id: string }) => id === "tokens");
    expect(found).toEqual({
      id: "tokens",
      title: "tokens",
      verdict: "broken",
      says: "1 working, 1 ended (gone)",
      remedy: "npm run tokens -- show gone",
    });
    expect({ code, stderr }).toEqual({ code: 1, stderr: `1 of ${CHECKS.length} checks: broken\n` });
    await place.documents.remove("tokens", "gone");
  });

  test("ends with 130 by Ctrl-C while a service that it asks does not answer", async () => {
    const port = await freePort();
    const silent = await hold(port);
    mkdirSync(path.join(folder, ".data/sandbox"), { recursive: true });
    const running = placeFor("sandbox", path.join(folder, ".data"));
    const url = `http://127.0.0.1:${port}`;
    // The process of a running service is another one than this.
    announce(running, { pid: process.ppid, url, webexUrl: url, store: place.env.STORE ?? "" });
    const { says, interrupt, ended } = begin("doctor", here());
    await says("database");
    interrupt();
    expect(await ended).toMatchObject({ code: 130, stderr: "cancelled\n" });
    withdraw(running);
    await release(silent);
  });
});

describe("without Google credentials", () => {
  const project = { GOOGLE_CLOUD_PROJECT: "made-up" };
  beforeEach(() => {
    // Google's library looks for a person's own in both places.
    vi.stubEnv("HOME", folder);
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", undefined);
  });

  test("doctor says how to log in, and skips what needs them", async () => {
    const { code, stdout } = await tokens("doctor", { env: project, cwd: folder });
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^✗ broken +Google credentials +there are no Google credentials here: run "gcloud/m,
    );
    expect(stdout.match(/^- skipped/gm)).toHaveLength(CHECKS.length - 1);
  });

  test("list says how to log in", async () => {
    expect(await tokens("list", { env: project, cwd: folder })).toEqual({
      code: 1,
      stdout: "",
      stderr: 'there are no Google credentials here: run "gcloud auth application-default login"\n',
    });
  });
});

test("watch prints the table once, then a line for each change, and ends with 0 by Ctrl-C", async () => {
  const { says, interrupt, ended } = begin("watch --every 1s", here());
  await says("sales");
  await token("fresh", 2);
  await says("fresh: new, working");
  const found = await place.documents.read("tokens", "fresh");
  await place.documents.update("tokens", "fresh", { accessExpires: 5 }, found?.version ?? "");
  await says("fresh: working → ended");
  await place.documents.remove("tokens", "fresh");
  await says("fresh: removed");
  interrupt();
  const { code, stdout } = await ended;
  expect(code).toBe(0);
  const [head, row, ...changes] = stdout.trimEnd().split("\n");
  expect([head, row]).toEqual([
    expect.stringMatching(/^name +state/),
    expect.stringMatching(/^sales +working/),
  ]);
  expect(changes).toHaveLength(3);
  for (const line of changes) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z {2}fresh: /);
  expect(stdout).not.toContain(ESCAPE);
});

test("watch shows as many tokens as the terminal has lines for, the most urgent first", async () => {
  const now = Date.now();
  const { documents } = await sqlitePlace();
  const failure = { count: 1, code: "invalid_grant", since: 1, at: 1, permanent: true, inputs: "" };
  for (let hours = 1; hours <= 20; hours++)
    await documents.create("tokens", `many-${hours}`, {
      accessToken: "a",
      accessExpires: now + hours * HOUR,
    });
  await documents.create("tokens", "refused", {
    accessToken: "a",
    refreshToken: "r",
    accessExpires: now + 30 * HOUR,
    failure,
  });
  const seen = [];
  for await (const page of tokenStore(documents, () => now).pages(500))
    for (const each of page) seen.push({ token: each, now, state: stateOf(each, now) });
  await documents.close();
  const lines = await framed({ seen, where: "here", every: 1000, trouble: "" }, 12);
  expect(lines).toHaveLength(12);
  expect(lines[3]).toContain("refused");
  expect(lines[4]).toContain("many-1 ");
  expect(lines.at(-1)).toContain("… and 13 more");
});

test.each(["q", "Q", "\x03", "\x04"])(
  "the key %j leaves watch's screen, which gives the terminal back once",
  (key) => {
    const setRawMode = vi.fn();
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode });
    const output = new PassThrough().setEncoding("utf8");
    const screen = openScreen(
      input as unknown as NodeJS.ReadStream,
      output as unknown as NodeJS.WriteStream,
      () => {},
    );
    input.emit("data", "x");
    expect(screen.left.aborted).toBe(false);
    input.emit("data", key);
    expect(screen.left.aborted).toBe(true);
    screen.close();
    screen.close();
    screen.draw(["after the end"]);
    expect(output.read()).toBe(
      ["[?1049h", "[?25l", "[?7l", "[?7h", "[?25h", "[?1049l"].map((code) => ESCAPE + code).join(""),
    );
    expect(setRawMode.mock.calls).toEqual([[true], [false]]);
  },
);
