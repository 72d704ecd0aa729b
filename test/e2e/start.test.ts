import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { accessSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { type AllInOne, startAllInOne } from "../../local/all-in-one.ts";
import { narrator } from "../../local/narrate.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { INHERITED } from "../support/environment.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { printed } from "../support/prints.ts";
import { freePort, stopAll, temporaryFolder } from "../support/processes.ts";
import { endAll, freePair, hold, release, run } from "./child.ts";
import { newClient } from "./deployed.ts";

/** `npm start`: as processes where a process matters, else in this one. Each test has its own folder. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const COMMAND = ["--import", path.join(ROOT, "local/node24.js"), path.join(ROOT, "local/start.ts")];
const READY = "Ctrl-C ends it";

const running = new Set<AllInOne>();
afterAll(async () => {
  for (const one of running) await one.close();
  await endAll();
  await stopAll();
});

interface Options {
  live?: boolean;
  env?: Record<string, string>;
}

async function start(folder: string, port: number, { live = false, env = {} }: Options = {}) {
  const started = await startAllInOne({
    live,
    env: { PORT: String(port), ...env },
    terminal: false,
    log: narrator(printed),
    root: path.join(folder, ".data"),
  });
  running.add(started);
  return started;
}

async function close(started: AllInOne): Promise<void> {
  running.delete(started);
  await started.close();
}

const curlLine = (output: string) => /^\s*(curl .*)$/m.exec(output)?.[1] ?? "there is no line with curl";
const passphraseIn = (output: string) => /^\s*passphrase\s+(\S+)/m.exec(output)?.[1];
const runningFile = (folder: string, mode = "sandbox") => path.join(folder, ".data", mode, "running.json");
const storeFile = (folder: string, mode = "sandbox") => path.join(folder, ".data", mode, "tokens.db");

/** Pastes a line into a shell, and gives the JSON that it printed. */
async function paste(line: string, cwd: string) {
  const { stdout } = await promisify(execFile)("sh", ["-c", line], { cwd });
  return JSON.parse(stdout);
}

async function accepts(webexUrl: string, token: string): Promise<boolean> {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch(`${webexUrl}/v1/people/me`, { headers })).status === 200;
}
const sandboxAt = (port: number) => `http://127.0.0.1:${port + 1}`;

describe.concurrent("npm start", () => {
  test("prints a curl command that gets a working token, lets no second one start, and ends with Ctrl-C", async () => {
    const [folder, port] = [await temporaryFolder(), await freePair()];
    for (const name of ["package.json", "local", "functions", "node_modules"])
      symlinkSync(path.join(ROOT, name), path.join(folder, name));
    const npm = run("npm", ["start"], {
      cwd: folder,
      env: { ...INHERITED, HOME: folder, PORT: String(port) },
    });
    await npm.says(READY);
    expect(npm.stdout()).toContain(`http://127.0.0.1:${port}/?name=example`);
    expect(curlLine(npm.stdout())).toContain(passphraseIn(npm.stdout()));
    const answer = await paste(curlLine(npm.stdout()), folder);
    expect(answer).toEqual({ status: "200", token: expect.any(String) });
    expect(await accepts(sandboxAt(port), answer.token)).toBe(true);

    const { pid } = JSON.parse(readFileSync(runningFile(folder), "utf8"));
    await expect(start(folder, port)).rejects.toThrow(
      `it runs already, as process ${pid}, on http://127.0.0.1:${port}`,
    );
    expect(existsSync(runningFile(folder))).toBe(true);

    npm.signal("SIGINT", true);
    const { signal } = await npm.ended;
    expect(signal).not.toBe("SIGKILL");
    expect(existsSync(runningFile(folder))).toBe(false);
    expect(npm.stderr().replace(/^npm (warn|notice).*\n/gm, "")).toBe("");
  });

  test("keeps passphrase, tokens and added documents when it is killed and started again", async () => {
    const [folder, port] = [await temporaryFolder(), await freePair()];
    const first = run(process.execPath, COMMAND, {
      cwd: folder,
      env: { ...INHERITED, HOME: folder, PORT: String(port) },
    });
    await first.says(READY);
    const documents = openSqlite(storeFile(folder), Date.now);
    const before = await documents.read("tokens", "example");
    await documents.create("tokens", "added", { clientId: "of mine" });
    first.signal("SIGKILL");
    await first.ended;
    expect(existsSync(runningFile(folder))).toBe(true);

    const second = await start(folder, port);
    expect(passphraseIn(second.welcome)).toBe(passphraseIn(first.stdout()));
    const { token } = await paste(curlLine(first.stdout()), folder);
    expect(await accepts(sandboxAt(port), token)).toBe(true);
    const { refreshToken } = (await documents.read("tokens", "example"))?.fields ?? {};
    expect(refreshToken).toBe(before?.fields.refreshToken);
    expect((await documents.read("tokens", "added"))?.fields).toEqual({ clientId: "of mine" });
    await documents.close();
  });

  test("starts where a crash left the number of a process that is now another program's", async () => {
    // Every restart of a container counts its processes from 1.
    const [folder, port] = [await temporaryFolder(), await freePair()];
    mkdirSync(path.dirname(runningFile(folder)), { recursive: true });
    const left = { pid: process.ppid, url: `http://127.0.0.1:${port}`, webexUrl: "", store: "" };
    writeFileSync(runningFile(folder), JSON.stringify(left));
    await start(folder, port);
    expect(JSON.parse(readFileSync(runningFile(folder), "utf8"))).toMatchObject({ pid: process.pid });
  });

  test("ends while a client keeps its connection, another is unused, and a sweep waits for Webex", async () => {
    const [folder, port] = [await temporaryFolder(), await freePair()];
    const started = await start(folder, port);
    const documents = openSqlite(storeFile(folder), Date.now);
    const example = async () => await documents.read("tokens", "example");
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    // The server has accepted the first connection once it answers on a later one.
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    const fault = { method: "PUT", body: JSON.stringify({ fault: "hang" }) };
    expect((await fetch(`${sandboxAt(port)}/sandbox/faults`, fault)).status).toBe(200);
    await eventuallyTrue(async () => {
      const found = await example();
      if (found?.fields.lease !== undefined) return true;
      await documents.update("tokens", "example", { refreshAt: Date.now() - 1 }, found?.version ?? "");
      return false;
    });
    const leased = await example();

    await close(started);
    expect((await example())?.fields.lease, "the refresh has not finished").toEqual(leased?.fields.lease);
    expect(existsSync(runningFile(folder))).toBe(false);
    await documents.close();
    socket.destroy();
  });

  test("talks with --live to the Webex that it is given, and prints neither passphrase nor page key", async () => {
    const webex = createSandbox({ file: ":memory:" });
    const webexUrl = `http://127.0.0.1:${await webex.listen()}`;
    const { clientId, clientSecret, ...client } = newClient("http://127.0.0.1:8080/callback");
    webex.authority.registerClient({ clientId, clientSecret, ...client });
    const refreshToken = webex.authority.issue(clientId).refresh_token;
    const [folder, port] = [await temporaryFolder(), await freePort()];
    const started = await start(folder, port, { env: { WEBEX_URL: `${webexUrl}/v1` }, live: true });
    expect(existsSync(path.join(folder, ".data/sandbox"))).toBe(false);
    expect(JSON.parse(readFileSync(runningFile(folder, "live"), "utf8"))).not.toHaveProperty("sandboxUrl");
    const passphrase = readFileSync(path.join(folder, ".data/live/passphrase"), "utf8").trim();
    expect(started.welcome).not.toContain(passphrase);
    expect(started.welcome).toContain("npm run console prints its address");
    expect(started.welcome).not.toContain("key=");

    const documents = openSqlite(storeFile(folder, "live"), Date.now);
    await documents.create("tokens", "mine", { clientId, clientSecret, refreshToken });
    await documents.close();
    const { token } = await paste(curlLine(started.welcome).replace("NAME", "mine"), folder);
    expect(await accepts(webexUrl, token)).toBe(true);

    await close(started);
    expect(existsSync(runningFile(folder, "live"))).toBe(false);
    await webex.close();
  });
});

describe.concurrent("npm start refuses in one sentence", () => {
  async function refusal(folder: string, options: Options & { port?: number } = {}): Promise<string> {
    const { message } = await start(folder, options.port ?? (await freePair()), options).then(
      () => expect.unreachable("it started"),
      (error: Error) => error,
    );
    expect(message).toMatch(/^.{20,}$/);
    expect(existsSync(runningFile(folder))).toBe(false);
    return message;
  }

  test("a port in use, with exit status 1, and starts on it once it is free", async () => {
    const [folder, port] = [await temporaryFolder(), await freePair()];
    const holder = await hold(port);
    const child = run(process.execPath, COMMAND, {
      cwd: folder,
      env: { ...INHERITED, HOME: folder, PORT: String(port) },
    });
    expect(await child.ended).toMatchObject({ code: 1, signal: null });
    expect(child.stdout()).toBe("");
    expect(child.stderr()).toMatch(new RegExp(`^port ${port} is in use: .*PORT=\\d+\n$`));
    expect(await refusal(folder, { port })).toBe(child.stderr().trim());
    await release(holder);
    const { welcome } = await start(folder, port);
    const { token } = await paste(curlLine(welcome), folder);
    expect(await accepts(sandboxAt(port), token)).toBe(true);
  });

  test("a port of the sandbox in use", async () => {
    const port = await freePair();
    const holder = await hold(port + 1);
    expect(await refusal(await temporaryFolder(), { port })).toMatch(
      new RegExp(`port ${port + 1}.*PORT=\\d+`),
    );
    await release(holder);
  });

  test("a port with no port after it for the sandbox", async () => {
    const told = await refusal(await temporaryFolder(), { port: 65_535 });
    const [, advice] = /PORT=(\d+)/.exec(told) ?? [];
    expect(Number(advice ?? 8080), "the port that it advises").toBeLessThan(65_535);
  });

  const garbage = "this is no database, however long it is\n".repeat(200);
  test.for<[what: string, files: Record<string, string>, words: RegExp]>([
    ["a file where its folder must be", { ".data": "" }, /^can't make the folder .*\.data\/sandbox/],
    [
      "a folder where the passphrase file must be",
      { ".data/sandbox/passphrase/file": "" },
      /^can't keep the passphrase in .*\.data\/sandbox\/passphrase/,
    ],
    ["an empty passphrase file", { ".data/sandbox/passphrase": "" }, /\.data\/sandbox\/passphrase/],
    ["a store that is no database", { ".data/sandbox/tokens.db": garbage }, /sandbox\/tokens\.db/],
    ["a sandbox file that is no database", { ".data/sandbox/webex.db": garbage }, /sandbox\/webex\.db/],
    ["a folder where the store must be", { ".data/sandbox/tokens.db/file": "" }, /sandbox\/tokens\.db/],
    ["a folder where the sandbox file must be", { ".data/sandbox/webex.db/file": "" }, /sandbox\/webex\.db/],
  ])("%s", async ([, files, words]) => {
    const folder = await temporaryFolder();
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(folder, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
    expect(await refusal(folder)).toMatch(words);
  });

  test.skipIf(process.getuid?.() === 0)("a folder without write permission (SKIPPED for root)", async () => {
    const folder = await temporaryFolder();
    mkdirSync(path.join(folder, ".data"), { mode: 0o500 });
    expect(await refusal(folder)).toMatch(/^can't make the folder/);
  });

  test("malformed variables, all at once, and a passphrase file that does not exist", async () => {
    const env = { PORT: "eighty", REFRESH_THRESHOLD: "soon", WEBEX_URL: "webexapis.com" };
    expect(await refusal(await temporaryFolder(), { env })).toMatch(
      /WEBEX_URL .*; REFRESH_THRESHOLD .*; PORT /,
    );
    const missing = { TOKEN_PASSPHRASE_FILE: "no-such-file" };
    expect(await refusal(await temporaryFolder(), { env: missing })).toMatch(
      /^TOKEN_PASSPHRASE_FILE can't be read: ENOENT/,
    );
  });
});

describe("npm start with an older Node", () => {
  /** The first other than Node 24 that this machine has. */
  const older = (process.env.PATH ?? "")
    .split(path.delimiter)
    .map((folder) => path.join(folder, "node"))
    .find((node) => isOlder(node));
  test.skipIf(older === undefined)(
    older === undefined ? "(SKIPPED: this machine has none)" : "says what to do",
    async () => {
      const folder = await temporaryFolder();
      const child = run(older ?? "", COMMAND, { cwd: folder, env: { HOME: folder } });
      const { code } = await child.ended;
      expect(code).toBe(1);
      expect(child.stdout()).toBe("");
      expect(child.stderr().split("\n")).toEqual([
        expect.stringMatching(
          /^this project runs on Node 24, but "node" here is \d+\.\d+\.\d+: run "npm ci"/,
        ),
        "",
      ]);
      expect(existsSync(path.join(folder, ".data"))).toBe(false);
    },
  );
});

function isOlder(node: string): boolean {
  try {
    accessSync(node);
    return Number(/v(\d+)/.exec(execFileSync(node, ["--version"], { encoding: "utf8" }))?.[1]) < 24;
  } catch {
    return false;
  }
}
