import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { INHERITED } from "../support/environment.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { type Child, endAll, run } from "./child.ts";

/** `npm run soak`, small and short. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const COMMAND = ["--import", path.join(ROOT, "local/node24.js"), path.join(ROOT, "bench/soak.ts")];
/** With this seed no trouble makes a reader wait for long: a busy machine breaks no promise. */
const SEED = "2979";
const PATIENCE = 90_000;

afterAll(async () => {
  await endAll();
  await stopAll();
});

async function launch(...args: string[]): Promise<{ child: Child; folder: string }> {
  const folder = await temporaryFolder();
  const env = { ...INHERITED, HOME: folder, TMPDIR: folder };
  const small = ["--no-build", "--tokens", "30", "--rate", "50", "--seed", SEED];
  return { child: run(process.execPath, [...COMMAND, ...small, ...args], { cwd: ROOT, env }), folder };
}

/** Processes and files that a run has left behind. */
const leftovers = (folder: string) => [
  ...execFileSync("ps", ["-A", "-o", "args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes(folder)),
  ...readdirSync(folder),
];

test(
  "a few seconds of troubles break no promise, and nothing is left behind",
  async () => {
    const { child, folder } = await launch("--minutes", "0.1");
    const { code } = await child.ended;
    const told = child.stdout();

    expect(told).toContain("No promise was broken.");
    expect(code, told).toBe(0);
    for (const trouble of ["lookup killed", "refresher killed", "store frozen", "authority 500"])
      expect(told).toMatch(new RegExp(`^${trouble} +1 +\\d`, "m"));
    expect(told).toMatch(/^after the last fault every token comes back +kept$/m);
    expect(told).toMatch(/^a token is held +\d+ +\d+ /m);
    expect(told).toMatch(/^Requests to Webex +[1-9]\d*, by token \d+ to \d+/m);
    expect(child.stderr()).not.toMatch(/error|canary|_PF84_/i);
    expect(leftovers(folder)).toEqual([]);
  },
  PATIENCE,
);

test(
  "Ctrl-C ends a run with what there is by then, and every process with it",
  async () => {
    const { child, folder } = await launch("--minutes", "5");
    await vi.waitFor(() => expect(child.stderr()).toContain("all is up"), { timeout: PATIENCE / 2 });
    expect(leftovers(folder).length).toBeGreaterThan(6);
    child.signal("SIGINT", true);
    const { code } = await child.ended;

    expect(code, child.stderr()).toBe(130);
    expect(child.stdout()).toContain("(ended early)");
    expect(child.stdout()).toMatch(/^after the last fault every token comes back +not judged$/m);
    expect(leftovers(folder)).toEqual([]);
  },
  PATIENCE,
);
