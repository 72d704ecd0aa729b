import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { parsePassphrases } from "../../functions/core/passphrase.ts";
import { outputOf, tokens } from "../support/command-line.ts";
import { INHERITED } from "../support/environment.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { endAll, freePair, run } from "./child.ts";

const START = path.resolve(import.meta.dirname, "../../local/start.ts");
/** With each SIGUSR2, more than a minute passes for the process that preloads this. */
const CLOCK = `--import=data:text/javascript,${encodeURIComponent(
  `const { now } = Date; let ahead = 0; Date.now = () => now() + ahead;
   process.on("SIGUSR2", () => { ahead += 61_000; });`,
)}`;

afterAll(async () => {
  await endAll();
  await stopAll();
});

test("a rotation of npm start's shared passphrase needs no restart and turns no caller away", async () => {
  const [cwd, port] = [await temporaryFolder(), await freePair()];
  const env = { ...INHERITED, HOME: cwd, PORT: String(port), NODE_OPTIONS: CLOCK };
  const service = run(process.execPath, [START], { cwd, env });
  await service.says("Ctrl-C ends it");
  const file = path.join(cwd, ".data/sandbox/passphrase");
  const kept = () => parsePassphrases(readFileSync(file, "utf8"));
  const statusOf = async (passphrase: string) => {
    const headers = { "x-token-passphrase": passphrase };
    return (await fetch(`http://127.0.0.1:${port}/?name=example`, { headers })).status;
  };
  // The process takes its time to notice a signal.
  const becomes = (passphrase: string, status: number) =>
    expect.poll(() => statusOf(passphrase), { interval: 20 }).toBe(status);
  const [first = ""] = kept();
  expect(await statusOf(first)).toBe(200);

  const second = await outputOf("passphrase rotate", { cwd });
  expect(kept()).toEqual([second, first]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  service.signal("SIGUSR2");
  await becomes(second, 200);
  expect(await statusOf(first)).toBe(200);

  const finished = await tokens("passphrase rotate --finish", { cwd });
  expect(finished).toMatchObject({ code: 0, stdout: expect.stringContaining("within a minute") });
  expect(kept()).toEqual([second]);
  service.signal("SIGUSR2");
  await becomes(first, 401);
  expect(await statusOf(second)).toBe(200);

  const said = [finished.stdout, finished.stderr, service.stdout(), service.stderr()].join("\n");
  expect(said).not.toContain(second);
});
