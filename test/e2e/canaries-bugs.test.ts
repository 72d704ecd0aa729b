import { createRequire } from "node:module";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { secretFinder } from "../support/canaries.ts";
import { INHERITED } from "../support/environment.ts";
import { freePort, type Running, startHandler, stopAll } from "../support/processes.ts";
import { endAll, run } from "./child.ts";
import { until } from "./deployed.ts";

/** Bugs whose errors quote a secret, in a function that is made of the same parts as the deployed ones. */

const SECRET = "canary-passphrase-in-an-error";
const SOURCE = path.resolve(import.meta.dirname, "../support/buggy.ts");
const FRAMEWORK = path.join(
  path.dirname(createRequire(import.meta.url).resolve("@google-cloud/functions-framework")),
  "main.js",
);
const secretsIn = secretFinder();

afterAll(async () => {
  await endAll();
  await stopAll();
});
const call = (running: Running, bug: string) =>
  fetch(`${running.url}/${bug}`, { headers: { "x-token-passphrase": SECRET } });

describe("a bug while a request is answered", () => {
  let running: Running;
  beforeAll(async () => {
    running = await startHandler("buggy", SOURCE, {});
  });

  test.each([
    ["in its message", "message"],
    ["in a message of several lines that looks like a stack", "lines"],
    ["in its cause", "cause"],
    ["in each of several errors", "several"],
    ["and is no error, but the secret itself", "text"],
    ["and is an object that looks like an error", "object"],
    ["in the stack alone, its message was changed", "renamed"],
    ["in its properties", "properties"],
    ["as JSON that it could not parse", "parsing"],
    ["as an address that is none", "address"],
    ["as a header that is none", "header"],
    ["in the options of got's request", "request"],
    ["in an answer of fetch", "answer"],
  ])("that quotes a secret %s is told by its place alone, in the log and to the caller", async (_, bug) => {
    const before = running.output().length;
    const response = await call(running, bug);
    expect(response.status).toBe(500);
    const { reference, message } = (await response.json()) as Record<string, string>;
    expect(secretsIn(String(message))).toEqual([]);
    const said = () => running.output().slice(before);
    await vi.waitFor(() => expect(said().join("")).toContain(reference));
    const lines = said().filter((line) => line.includes(String(reference)));
    expect(lines).toHaveLength(1);
    expect(secretsIn(lines[0] ?? "")).toEqual([]);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ event: "bug", severity: "CRITICAL", reference });
  });

  test("is found by the place that its line names", async () => {
    await call(running, "message");
    expect(JSON.parse(running.output().at(-1) ?? "").where).toMatch(/^Error at .*buggy\.ts:\d+/);
  });

  test("a store that quotes a secret in what it failed with is told without that", async () => {
    expect((await call(running, "store")).status).toBe(503);
    const line = running.output().at(-1) ?? "";
    expect(JSON.parse(line)).toMatchObject({ event: "store.unavailable", reason: "the store failed" });
    expect(secretsIn(line)).toEqual([]);
  });
});

/** Runs it to its end; it says where it ended, and nothing of the secret. */
async function end(env: Record<string, string>): Promise<string> {
  const args = [FRAMEWORK, `--source=${SOURCE}`, "--target=buggy", `--port=${await freePort()}`];
  const own = { ...INHERITED, NODE_ENV: "production", TOKEN_PASSPHRASE: SECRET, ...env };
  const child = run(process.execPath, args, { cwd: import.meta.dirname, env: own });
  expect((await child.ended).code).toBeGreaterThan(0);
  const output = child.stdout() + child.stderr();
  expect(output).toMatch(/buggy\.ts:\d+/);
  expect(secretsIn(output)).toEqual([]);
  return output;
}

describe("a bug that nobody waits for", () => {
  const BUGS = ["uncaught-exception", "unhandled-rejection"];

  test.each(BUGS)("after an answer, as an %s, is told by its place alone", async (bug) => {
    const running = await startHandler("buggy", SOURCE, {});
    expect((await call(running, bug)).status).toBe(200);
    await until("the bug", async () => running.output().length > 0);
    await running.stop();
    expect(running.output().join("\n")).toMatch(/buggy\.ts:\d+/);
    expect(running.output().flatMap(secretsIn)).toEqual([]);
  });

  test.each(BUGS)("without a request, as an %s, is told by its place alone", async (bug) => {
    await end({ BUG_SOON: bug });
  });

  test("at the start is told by its place alone", async () => {
    expect(await end({ BUG_AT_START: "yes" })).toMatch(/"event":"service\.stopped"/);
  });
});
