import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";
import { parsePassphrases } from "../../functions/core/passphrase.ts";
import type { DocumentStore } from "../../functions/core/store.ts";
import { HOUR } from "../../functions/core/time.ts";
import { INHERITED } from "../support/environment.ts";
import { type Running, startFunction, stopAll, temporaryFolder } from "../support/processes.ts";
import { endAll, freePair, run } from "./child.ts";
import { firestorePlace, type Place, sqlitePlace, until } from "./deployed.ts";

/** Passphrases as an operator changes them: the real command line, beside services that go on running. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const PROGRAM = path.join(ROOT, "local/tokens.ts");
const SHARED = "made-up-shared-passphrase";
const OLDER = "made-up-passphrase-before-it";
const RANDOM = /^[\w-]{43}$/;
vi.setConfig({ testTimeout: 60_000 });

afterAll(async () => {
  await endAll();
  await stopAll();
});

/** Runs this before a process's own code. */
const preload = (code: string) => ({
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}`,
});

/** Lets somewhat more than a minute pass in the process that has it, with each SIGUSR2. */
const CLOCK = preload(
  `const { now } = Date; let ahead = 0; Date.now = () => now() + ahead;
   process.on("SIGUSR2", () => { ahead += 61_000; });`,
);

/** Runs `tokens passphrase …`, or another command of it. */
async function tokens(
  line: string,
  cwd: string,
  env: Record<string, string> = {},
  command: readonly string[] = [process.execPath],
) {
  const [first = "", ...rest] = command;
  const child = run(first, [...rest, PROGRAM, ...line.split(" ")], { cwd, env: { ...INHERITED, ...env } });
  const { code, signal } = await child.ended;
  return { code, signal, stdout: child.stdout(), stderr: child.stderr() };
}

/** What a command printed that ended well. */
async function well(line: string, cwd: string, env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await tokens(line, cwd, env);
  expect({ line, code, stderr: code === 0 ? "" : stderr }).toEqual({ line, code: 0, stderr: "" });
  return stdout.trim();
}

const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });
const header = (passphrase: string) => ({ "x-token-passphrase": passphrase });

async function statusOf(address: string, headers: Record<string, string>): Promise<number> {
  const { status } = await fetch(address, { headers });
  return status;
}

/** Waits for a status: a process takes its time to notice a signal. */
const becomes = (address: string, headers: Record<string, string>, status: number) =>
  expect.poll(() => statusOf(address, headers), { timeout: 15_000, interval: 100 }).toBe(status);

const passphrasesIn = (file: string) => parsePassphrases(readFileSync(file, "utf8"));

/** A file with these passphrases in a folder of its own. */
async function kept(...passphrases: string[]) {
  const folder = await temporaryFolder();
  const file = path.join(folder, "passphrase");
  writeFileSync(file, `${passphrases.join("\n")}\n`, { mode: 0o600 });
  return { folder, file, env: { TOKEN_PASSPHRASE_FILE: file } };
}

test("the shared passphrase of a running npm start is rotated without a restart or a caller turned away", async () => {
  const [folder, port] = [await temporaryFolder(), await freePair()];
  const service = run(process.execPath, [path.join(ROOT, "local/start.ts")], {
    cwd: folder,
    env: { ...INHERITED, HOME: folder, PORT: String(port), ...CLOCK },
  });
  await service.says("Ctrl-C ends it");
  const file = path.join(folder, ".data/sandbox/passphrase");
  const address = `http://127.0.0.1:${port}/?name=example`;
  const [first = ""] = passphrasesIn(file);
  expect(await statusOf(address, header(first))).toBe(200);

  const rotated = await tokens("passphrase rotate", folder);
  const second = rotated.stdout.trim();
  expect(rotated.code).toBe(0);
  expect(second).toMatch(RANDOM);
  expect(rotated.stderr).toContain("within a minute");
  expect(rotated.stderr).not.toContain(second);
  expect(passphrasesIn(file)).toEqual([second, first]);
  expect(statSync(file).mode & 0o777).toBe(0o600);

  service.signal("SIGUSR2");
  await becomes(address, header(second), 200);
  expect(await statusOf(address, header(first))).toBe(200);
  expect(await statusOf(address, basic(`flow:${second}`))).toBe(200);

  const finished = await tokens("passphrase rotate --finish", folder);
  expect(finished).toMatchObject({ code: 0, stdout: expect.stringContaining("within a minute") });
  expect(passphrasesIn(file)).toEqual([second]);
  service.signal("SIGUSR2");
  await becomes(address, header(first), 401);
  expect(await statusOf(address, header(second))).toBe(200);

  for (const text of [finished.stdout, finished.stderr, service.stdout(), service.stderr()])
    expect(text).not.toContain(second);
  expect(finished.stdout + finished.stderr).not.toContain(first);
});

describe("the shared passphrases' file", () => {
  /** The command ends like that as it is about to do this. */
  const dying = (step: string, after = "") =>
    preload(
      `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
       const { ${step} } = fs;
       fs.${step} = (...given) => { ${after} process.kill(process.pid, "SIGKILL"); for (;;); };
       syncBuiltinESMExports();`,
    );

  test.concurrent.each(["writeFileSync", "renameSync"])(
    "is as it was after a crash before %s",
    async (step) => {
      const { folder, file, env } = await kept(SHARED, OLDER);
      const ended = await tokens("passphrase rotate", folder, { ...env, ...dying(step) });
      expect(ended).toMatchObject({ signal: "SIGKILL", stdout: "" });
      expect(passphrasesIn(file)).toEqual([SHARED, OLDER]);
      expect(existsSync(`${file}.new`)).toBe(true);
    },
  );

  test.concurrent("holds the new one after a crash that kept it from being printed", async () => {
    const { folder, file, env } = await kept(SHARED);
    const crash = dying("renameSync", "renameSync(...given);");
    const ended = await tokens("passphrase rotate", folder, { ...env, ...crash });
    expect(ended).toMatchObject({ signal: "SIGKILL", stdout: "" });
    expect(passphrasesIn(file)).toEqual([expect.stringMatching(RANDOM), SHARED]);
    expect(existsSync(`${file}.new`)).toBe(false);
  });

  test.concurrent("is as it was where the disk has no room", async () => {
    const { folder, file, env } = await kept(SHARED, OLDER);
    const full = ["sh", "-c", 'ulimit -f 0 && exec "$0" "$@"', process.execPath];
    const ended = await tokens("passphrase rotate", folder, env, full);
    expect(ended).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^can't write .*passphrase \(\w+\): it is as it was\n$/),
    });
    expect(passphrasesIn(file)).toEqual([SHARED, OLDER]);
    expect(existsSync(`${file}.new`)).toBe(false);
  });
});

test("a rotation that can't be made ends with status 1 and one sentence", async () => {
  const env = { TOKEN_PASSPHRASE: SHARED };
  const ended = await tokens("passphrase rotate", await temporaryFolder(), env);
  expect(ended).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/^[^\n]+\n$/) });
  expect(ended.stderr).not.toContain(SHARED);
});

const FIXED = { accessToken: "canary-live-access-token", static: true };

/** A built lookup over that place, with two tokens and a file for the shared passphrase. */
async function deployed({ env: store, documents }: Place) {
  const accessExpires = Date.now() + 12 * HOUR;
  // On a busy machine the emulator takes seconds for its first answer.
  const answers = () => documents.list("tokens", 1).then(Array.isArray, () => false);
  await until("an answer of the store", answers);
  for (const name of ["sales", "other"]) await documents.create("tokens", name, { ...FIXED, accessExpires });
  const { folder, env } = await kept(SHARED);
  const lookup = await startFunction("lookup", {
    ...store,
    ...env,
    ...CLOCK,
    REFRESHER_URL: "http://127.0.0.1:1",
  });
  return {
    lookup,
    address: (name: string) => `${lookup.url}/?name=${name}`,
    well: (line: string) => well(line, folder, store),
    tokens: (line: string) => tokens(line, folder, store),
    /** What lookup remembers of a token is older than half a minute. */
    later: () => process.kill(lookup.pid, "SIGUSR2"),
    hash: async () => (await documents.read("tokens", "sales"))?.fields.passphraseHash,
  };
}

describe("a token's own passphrase", () => {
  let documents: DocumentStore;
  let here: Awaited<ReturnType<typeof deployed>>;
  let lookup: Running;
  let own: string;
  beforeAll(async () => {
    const place = await sqlitePlace();
    ({ documents } = place);
    here = await deployed(place);
    ({ lookup } = here);
  });
  afterAll(() => documents.close());

  test("is made and printed once, and its hash alone is stored", async () => {
    expect(await statusOf(here.address("sales"), header(SHARED))).toBe(200);
    own = await here.well("passphrase set sales");
    expect(own).toMatch(RANDOM);
    expect(await here.hash()).toBe(sha256(own));
  });

  test("opens that token, which the shared one opens no more, in the header or as Basic password", async () => {
    here.later();
    await becomes(here.address("sales"), header(SHARED), 401);
    expect(await statusOf(here.address("sales"), basic(`flow:${SHARED}`))).toBe(401);
    expect(await statusOf(here.address("sales"), header(own))).toBe(200);
    expect(await statusOf(here.address("sales"), basic(`flow:${own}`))).toBe(200);
    expect(await statusOf(here.address("sales"), {})).toBe(401);
    expect(await statusOf(here.address("other"), header(own))).toBe(401);
    expect(await statusOf(here.address("other"), basic(`flow:${own}`))).toBe(401);
    expect(await statusOf(here.address("other"), header(SHARED))).toBe(200);
  });

  test("is never shown again, nor its hash", async () => {
    const lines = ["list --json", "show sales", "show sales --json --reveal"];
    const seen = await Promise.all(lines.map(here.well));
    expect(seen[2]).toContain('"ownPassphrase": true');
    for (const text of seen) for (const secret of [own, sha256(own)]) expect(text).not.toContain(secret);
  });

  test("is not replaced unless that is meant; then the old one is good no more", async () => {
    const refused = await here.tokens("passphrase set sales");
    expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("--replace") });
    expect(await here.hash()).toBe(sha256(own));
    const answer = JSON.parse(await here.well("passphrase set sales --replace --json"));
    const passphrase = expect.stringMatching(RANDOM);
    expect(answer).toEqual({ name: "sales", passphrase, replaced: true, within: 30 });
    here.later();
    await becomes(here.address("sales"), header(own), 401);
    own = answer.passphrase;
    expect(await statusOf(here.address("sales"), header(own))).toBe(200);
  });

  test("is cleared: then the shared one opens the token again", async () => {
    expect(await here.well("passphrase clear sales --yes")).toContain('opens token "sales" again');
    expect(await here.hash()).toBeUndefined();
    here.later();
    await becomes(here.address("sales"), header(SHARED), 200);
    expect(await statusOf(here.address("sales"), header(own))).toBe(401);
  });

  test("a wrong one is logged with the address that the platform saw, and without its value", async () => {
    const wrong = "canary-wrong-passphrase";
    const addresses = ["198.51.100.7", "198.51.100.8", "2001:db8::9"];
    for (const [index, given] of [header(wrong), basic(`user:${wrong}`), basic(wrong)].entries()) {
      const caller = addresses[index] ?? "";
      const forged = { "x-forwarded-for": `203.0.113.7, 10.0.0.1 , ${caller}`, "user-agent": "canary-agent" };
      expect(await statusOf(here.address("sales"), { ...given, ...forged })).toBe(401);
      const line = () => lookup.output().find((each) => each.includes(caller)) ?? "{}";
      await expect
        .poll(() => JSON.parse(line()), { timeout: 15_000 })
        .toMatchObject({
          event: "request.unauthorized",
          severity: "WARNING",
          caller,
          token: "sales",
        });
    }
    const log = lookup.output().join("\n");
    for (const secret of [wrong, SHARED, own, FIXED.accessToken, "203.0.113.7", "canary-agent"]) {
      expect(log).not.toContain(secret);
      expect(log).not.toContain(Buffer.from(secret).toString("base64").slice(0, 12));
      expect(log).not.toContain(sha256(secret));
    }
  });
});

const emulator = inject("firestoreEmulator");

test.skipIf(emulator === undefined)("a token in Firestore is given a passphrase of its own too", async () => {
  const place = await firestorePlace(emulator ?? "");
  const here = await deployed(place);
  const own = await here.well("passphrase set sales");
  await becomes(here.address("sales"), header(own), 200);
  await becomes(here.address("sales"), header(SHARED), 401);
  expect(await here.hash()).toBe(sha256(own));
  await place.documents.close();
});
