import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { secretFinder } from "../support/canaries.ts";
import { INHERITED } from "../support/environment.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";

/** A test run within this one, with tests that print secrets: it must fail, although each of its tests passes. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const support = (file: string) => path.join(ROOT, "test/support", file);
const VITEST = path.join(ROOT, "node_modules/vitest/vitest.mjs");
/** "canary-refresh-token", so that no command line holds the word. */
const SECRET = `Buffer.from("Y2FuYXJ5LXJlZnJlc2gtdG9rZW4=", "base64").toString()`;

afterAll(stopAll);

const config = {
  globals: true,
  include: ["*.test.js"],
  globalSetup: support("leak-watch.ts"),
  setupFiles: support("record-prints.ts"),
  reporters: [support("report.ts")],
  disableConsoleIntercept: true,
  pool: "forks",
};

/** Runs a file of tests. Its stdout is not recorded: the workers print the secrets there. */
async function runOf(tests: string) {
  const folder = await temporaryFolder();
  writeFileSync(path.join(folder, "made-up.test.js"), tests);
  writeFileSync(
    path.join(folder, "vitest.config.mjs"),
    `export default ${JSON.stringify({ test: config })};`,
  );
  const child = spawn(process.execPath, [VITEST, "run"], {
    cwd: folder,
    env: { ...INHERITED, TMPDIR: folder },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, "close");
  const counts = JSON.parse(readFileSync(path.join(folder, ".vitest-report.json"), "utf8"));
  const kept = readdirSync(folder).filter((name) => name.startsWith("test-prints-"));
  return { code, stderr, counts, kept };
}

/** A test that starts a process and waits for its end; `stdio` is code. */
const child = (program: string, stdio = '"pipe"') => `
  test("a process", async () => {
    const { spawn } = await import("node:child_process");
    const { openSync } = await import("node:fs");
    const child = spawn(process.execPath, ["-e", ${JSON.stringify(program)}], { stdio: ${stdio} });
    child.stdout?.resume();
    child.stderr?.resume();
    await new Promise((resolve) => child.once("close", resolve));
  });`;
const logging = (code: string) => `
  test("code under test", async () => {
    const { plant, printed } = await import(${JSON.stringify(support("prints.ts"))});
    ${code}
  });`;

/** How a test prints a secret, and the line that reports it. */
const LEAKS: [string, string, RegExp][] = [
  [
    "a process on its stdout",
    child(`console.log("fine\\nthis is " + ${SECRET})`),
    /\.stdout:2: a planted refresh:/,
  ],
  ["a process on its stderr", child(`throw new Error(${SECRET})`), /\.stderr:\d+: a planted refresh:/],
  [
    "a process in two pieces",
    child(`process.stdout.write("can"); setTimeout(() => console.log("ary"), 50)`),
    /\.stdout:1:/,
  ],
  [
    "a process in its parent's streams",
    child(`console.log(${SECRET})`, '"inherit"'),
    /\.stdout:\d+: .*a worker/,
  ],
  ["the worker itself", `test("it", () => console.log("a\\n" + ${SECRET}));`, /\.stdout:\d+: .*a worker/],
  ["a log function of a test", logging(`printed(${SECRET});`), /\.log:1: a planted refresh: .*own process/],
  [
    "what was planted by its value",
    logging('plant({ TOKEN_PASSPHRASE: "open Sesame 7" }); printed(JSON.stringify(["open Sesame 7"]));'),
    /\.log:2: a planted passphrase:/,
  ],
];
// Only Linux names the file that a process prints to.
if (process.platform === "linux")
  LEAKS.push([
    "a process to a file",
    child(`console.log(${SECRET})`, '["ignore", openSync("made-up.log", "w"), "pipe"]'),
    /\.stdout:1: a planted refresh:/,
  ]);

describe("a test run", () => {
  test("without a printed secret passes, and leaves no prints behind", async () => {
    const ended = await runOf(child('console.log("fine")') + logging('printed("fine");'));
    expect(ended).toEqual({ code: 0, stderr: "", counts: { passed: 2, failed: 0, skipped: 0 }, kept: [] });
  });

  test("fails for each way to print a secret, and reports place and kind without the secret (row 12)", async () => {
    const { code, stderr, counts, kept } = await runOf(LEAKS.map(([, printing]) => printing).join(""));
    expect({ code, counts }).toEqual({ code: 1, counts: { passed: LEAKS.length, failed: 1, skipped: 0 } });
    expect(kept).toHaveLength(1);
    const reported = stderr.split("\n");
    for (const [how, , line] of LEAKS) expect(reported, how).toContainEqual(expect.stringMatching(line));
    expect(secretFinder()(stderr)).toEqual([]);
  });
});
