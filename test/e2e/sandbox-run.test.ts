import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { stopAll, temporaryFolder } from "../support/processes.ts";

afterAll(stopAll);

const run = (...args: string[]) =>
  spawn(process.execPath, [
    "--no-warnings",
    path.join(import.meta.dirname, "../../local/sandbox/run.ts"),
    ...args,
  ]);

test("the sandbox prints its address as one JSON line, serves there, and exits with 0 on SIGTERM", async () => {
  const child = run("--port", "0", "--file", path.join(await temporaryFolder(), "run.sqlite"));
  const [line] = await once(child.stdout, "data");
  const { sandbox: url } = JSON.parse(String(line));
  expect(await (await fetch(`${url}/sandbox`)).json()).toMatchObject({ clients: [], faults: [] });
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([0, null]);
});

test("the sandbox exits with 1 and names a bad port", async () => {
  const child = run("--port", "x");
  const exited = once(child, "exit");
  const [said] = await once(child.stderr, "data");
  expect(String(said)).toContain("--port must be 0 to 65535");
  expect(await exited).toEqual([1, null]);
});
