import { execFile, execFileSync } from "node:child_process";
import {
  accessSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { INHERITED } from "../support/environment.ts";
import { freePort, startSandbox, stopAll } from "../support/processes.ts";
import { type Child, endAll, freePair, hold, release, run } from "./child.ts";
import { newClient, until } from "./deployed.ts";

/** `npm start`, as a newcomer runs it; each test in a folder of its own, never in this checkout's. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const COMMAND = ["--import", path.join(ROOT, "local/node24.js"), path.join(ROOT, "local/start.ts")];
const READY = "Ctrl-C ends it";
/** ms that Ctrl-C may take. */
const SOON = 4_000;

const folders: string[] = [];
afterAll(async () => {
  await endAll();
  await stopAll();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "npm-start-"));
  folders.push(folder);
  return folder;
}

interface Options {
  env?: Record<string, string>;
  args?: string[];
}

function launch(folder: string, { env = {}, args = [] }: Options = {}): Child {
  return run(process.execPath, [...COMMAND, ...args], {
    cwd: folder,
    env: { ...INHERITED, HOME: folder, ...env },
  });
}

async function started(folder: string, port: number, { env, args }: Options = {}): Promise<Child> {
  const child = launch(folder, { env: { PORT: String(port), ...env }, ...(args && { args }) });
  await child.says(READY);
  return child;
}

/** Sends what Ctrl-C sends, and gives how it ended, and whether soon; what does not end is killed. */
async function interrupt(child: Child) {
  const begun = Date.now();
  child.signal("SIGINT");
  const patience = setTimeout(() => child.signal("SIGKILL"), 3 * SOON);
  const { code } = await child.ended;
  clearTimeout(patience);
  return { code, soon: Date.now() - begun < SOON };
}
const WELL = { code: 0, soon: true };

const curlLine = (output: string) => /^\s*(curl .*)$/m.exec(output)?.[1] ?? "there is no line with curl";
const passphraseIn = (output: string) => /^\s*passphrase\s+(\S+)/m.exec(output)?.[1];
const runningFile = (folder: string, mode = "sandbox") => path.join(folder, ".data", mode, "running.json");

/** Pastes a line into a shell, and gives the JSON that came. */
async function paste(line: string, cwd: string) {
  const { stdout } = await promisify(execFile)("sh", ["-c", line], { cwd });
  return JSON.parse(stdout);
}

async function sandboxAccepts(port: number, token: string): Promise<boolean> {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch(`http://127.0.0.1:${port + 1}/v1/people/me`, { headers })).status === 200;
}

describe.concurrent("npm start", () => {
  test("prints a curl line that, pasted, answers a token that works", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const child = await started(folder, port);
    const output = child.stdout();
    expect(output).toContain(`http://127.0.0.1:${port}/?name=example`);
    expect(curlLine(output)).toContain(passphraseIn(output));
    const answer = await paste(curlLine(output), folder);
    expect(answer).toEqual({ status: "200", token: expect.any(String) });
    expect(await sandboxAccepts(port, answer.token)).toBe(true);
    expect(child.stderr()).toBe("");
    expect(JSON.parse(readFileSync(runningFile(folder), "utf8"))).toMatchObject({ pid: child.pid });
  });

  test("ends with status 0 soon after Ctrl-C, and says no more that it runs", async () => {
    const folder = newFolder();
    const child = await started(folder, await freePair());
    expect(existsSync(runningFile(folder))).toBe(true);
    expect(await interrupt(child)).toEqual(WELL);
    expect(existsSync(runningFile(folder))).toBe(false);
    expect(child.stderr()).toBe("");
  });

  test("keeps passphrase, tokens and whatever was added over a restart", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const first = await started(folder, port);
    const before = await paste(curlLine(first.stdout()), folder);
    const file = path.join(folder, ".data/sandbox/tokens.db");
    const documents = openSqlite(file, Date.now);
    await documents.create("tokens", "added", { clientId: "of mine" });
    await documents.close();
    expect(await interrupt(first)).toEqual(WELL);

    const second = await started(folder, port);
    expect(passphraseIn(second.stdout())).toBe(passphraseIn(first.stdout()));
    const after = await paste(curlLine(first.stdout()), folder);
    expect(after.token).toBe(before.token);
    expect(await sandboxAccepts(port, after.token)).toBe(true);
    const again = openSqlite(file, Date.now);
    expect((await again.read("tokens", "added"))?.fields).toEqual({ clientId: "of mine" });
    await again.close();
  });

  test("starts again after it was killed", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const first = await started(folder, port);
    first.signal("SIGKILL");
    await first.ended;
    expect(existsSync(runningFile(folder))).toBe(true);
    const second = await started(folder, port);
    const { token } = await paste(curlLine(second.stdout()), folder);
    expect(await sandboxAccepts(port, token)).toBe(true);
  });

  test("starts where a crash left behind the number of a process that is another's by now", async () => {
    // As after every restart of a container: the numbers of its processes begin anew.
    const [folder, port] = [newFolder(), await freePair()];
    mkdirSync(path.dirname(runningFile(folder)), { recursive: true });
    const left = {
      pid: process.pid,
      url: `http://127.0.0.1:${port}`,
      webexUrl: "http://127.0.0.1:1/v1",
      store: "",
    };
    writeFileSync(runningFile(folder), JSON.stringify(left));
    const child = await started(folder, port);
    expect(JSON.parse(readFileSync(runningFile(folder), "utf8"))).toMatchObject({ pid: child.pid });
  });

  test("run by npm itself ends with Ctrl-C from the terminal, which both of them get", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    for (const name of ["package.json", "local", "functions", "node_modules"])
      symlinkSync(path.join(ROOT, name), path.join(folder, name));
    const npm = run("npm", ["start"], {
      cwd: folder,
      env: { ...INHERITED, HOME: folder, PORT: String(port) },
    });
    await npm.says(READY);
    const { token } = await paste(curlLine(npm.stdout()), folder);
    expect(await sandboxAccepts(port, token)).toBe(true);
    const begun = Date.now();
    npm.signal("SIGINT", true);
    const { signal } = await npm.ended;
    expect(signal).not.toBe("SIGKILL");
    expect(Date.now() - begun).toBeLessThan(SOON + 1_000);
    expect(existsSync(runningFile(folder))).toBe(false);
    expect(npm.stderr().replace(/^npm (warn|notice).*\n/gm, "")).toBe("");
  });
});

describe.concurrent("Ctrl-C ends npm start soon", () => {
  test("while a client keeps its connection open", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const child = await started(folder, port);
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    expect(await interrupt(child)).toEqual(WELL);
  });

  test("while a browser holds a connection that it has not used yet", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const child = await started(folder, port);
    const socket = connect(port, "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    // The server has taken it in once it answers somebody who came later.
    await fetch(`http://127.0.0.1:${port}/health`);
    expect(await interrupt(child)).toEqual(WELL);
    socket.destroy();
  });

  test("while the sandbox hangs, and the sweep waits for it", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const first = await started(folder, port);
    await interrupt(first);
    const file = path.join(folder, ".data/sandbox/tokens.db");
    const documents = openSqlite(file, Date.now);
    const found = await documents.read("tokens", "example");
    await documents.close();
    const second = await started(folder, port);
    const fault = { method: "PUT", body: JSON.stringify({ fault: "hang" }) };
    expect((await fetch(`http://127.0.0.1:${port + 1}/sandbox/faults`, fault)).status).toBe(200);
    const again = openSqlite(file, Date.now);
    await again.update("tokens", "example", { refreshAt: Date.now() - 1 }, found?.version ?? "");
    await until("the sweep", async () => (await again.read("tokens", "example"))?.fields.lease !== undefined);
    await again.close();
    expect(await interrupt(second)).toEqual(WELL);
  });
});

describe.concurrent("npm start says in one sentence, and ends with status 1, that", () => {
  /** Starts it, and gives the one line that it wrote to stderr. */
  const complaint = async (folder: string, options: Options = {}) => {
    const child = launch(folder, { ...options, env: { PORT: String(await freePair()), ...options.env } });
    const patience = setTimeout(() => child.signal("SIGKILL"), 15_000);
    const { code, signal } = await child.ended;
    clearTimeout(patience);
    const [stdout, stderr] = [child.stdout(), child.stderr()];
    expect(stdout + stderr).not.toContain("    at ");
    expect(stderr.split("\n"), "one line").toEqual([expect.stringMatching(/^.{20,}$/), ""]);
    expect(stdout).not.toContain(READY);
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    return stderr;
  };
  const prepared = (files: Record<string, string>) => {
    const folder = newFolder();
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(folder, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
    return folder;
  };

  test("its port is in use", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const holder = await hold(port);
    expect(await complaint(folder, { env: { PORT: String(port) } })).toMatch(
      new RegExp(`^port ${port} is in use: .*PORT=\\d+`),
    );
    expect(existsSync(runningFile(folder))).toBe(false);
    await release(holder);
    const { token } = await paste(curlLine((await started(folder, port)).stdout()), folder);
    expect(await sandboxAccepts(port, token), "and it starts when that is free").toBe(true);
  });

  test("the sandbox's port is in use", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const holder = await hold(port + 1);
    expect(await complaint(folder, { env: { PORT: String(port) } })).toMatch(
      new RegExp(`port ${port + 1}.*PORT=\\d+`),
    );
    await release(holder);
  });

  test("no port is left for the sandbox after the last one", async () => {
    const told = await complaint(newFolder(), { env: { PORT: "65535" } });
    const [, advice] = /PORT=(\d+)/.exec(told) ?? [];
    expect(Number(advice ?? 8080), "the port that it advises").toBeLessThan(65_535);
  });

  test("a file is in its folder's way", async () => {
    expect(await complaint(prepared({ ".data": "" }))).toMatch(/^can't make the folder \.data\/sandbox/);
  });

  test("a folder is in the passphrase's way", async () => {
    const folder = prepared({ ".data/sandbox/passphrase/file": "" });
    expect(await complaint(folder)).toMatch(/^can't keep the passphrase in \.data\/sandbox\/passphrase/);
  });

  test("its passphrase file was emptied", async () => {
    expect(await complaint(prepared({ ".data/sandbox/passphrase": "" }))).toContain(
      ".data/sandbox/passphrase",
    );
  });

  test.skipIf(process.getuid?.() === 0)("it may not write here (SKIPPED for root)", async () => {
    const folder = newFolder();
    mkdirSync(path.join(folder, ".data"), { mode: 0o500 });
    expect(await complaint(folder)).toMatch(/^can't make the folder/);
  });

  const garbage = "this is no database, however long it is\n".repeat(200);
  test.for(["tokens.db", "webex.db"])("%s is no database", async (name) => {
    expect(await complaint(prepared({ [`.data/sandbox/${name}`]: garbage }))).toContain(
      `.data/sandbox/${name}`,
    );
  });

  test.for(["tokens.db", "webex.db"])("a folder is in the way of %s", async (name) => {
    const folder = prepared({ [`.data/sandbox/${name}/file`]: "" });
    expect(await complaint(folder)).toContain(`.data/sandbox/${name}`);
  });

  test("variables are malformed, all of them", async () => {
    const env = { PORT: "eighty", REFRESH_THRESHOLD: "soon", WEBEX_URL: "webexapis.com" };
    expect(await complaint(newFolder(), { env })).toMatch(/WEBEX_URL .*; REFRESH_THRESHOLD .*; PORT /);
  });

  test("an option is unknown", async () => {
    expect(await complaint(newFolder(), { args: ["--nonsense"] })).toContain("--nonsense");
  });

  test("its passphrase file is not there", async () => {
    const env = { TOKEN_PASSPHRASE_FILE: "no-such-file" };
    expect(await complaint(newFolder(), { env })).toMatch(/^TOKEN_PASSPHRASE_FILE can't be read: ENOENT/);
  });

  test("it runs already, and lets that one be", async () => {
    const [folder, port] = [newFolder(), await freePair()];
    const first = await started(folder, port);
    const told = await complaint(folder);
    expect(told).toContain(`process ${first.pid}, on http://127.0.0.1:${port}`);
    expect(existsSync(runningFile(folder))).toBe(true);
    expect(await paste(curlLine(first.stdout()), folder)).toMatchObject({ status: "200" });
  });

  test("there are no credentials for the project, when live", async () => {
    const env = {
      GOOGLE_CLOUD_PROJECT: "a-project",
      GCE_METADATA_HOST: "127.0.0.1:1",
      METADATA_SERVER_DETECTION: "none",
      SEALING: "off",
    };
    expect(await complaint(newFolder(), { env, args: ["--live"] })).toMatch(
      /^can't read Firestore of project a-project: .*gcloud auth application-default login/,
    );
  });
});

describe.concurrent("npm start -- --live", () => {
  test("talks to the Webex it is given, with no sandbox of its own, and prints no passphrase", async () => {
    const webex = await startSandbox();
    const client = newClient("http://127.0.0.1:8080/callback");
    await webex.control("POST", "/sandbox/clients", client);
    const grant = await webex.control<{ access_token: string; refresh_token: string }>(
      "POST",
      "/sandbox/grants",
      { clientId: client.clientId },
    );
    const [folder, port] = [newFolder(), await freePort()];
    const child = await started(folder, port, { env: { WEBEX_URL: `${webex.url}/v1` }, args: ["--live"] });
    expect(existsSync(path.join(folder, ".data/sandbox"))).toBe(false);
    expect(JSON.parse(readFileSync(runningFile(folder, "live"), "utf8"))).not.toHaveProperty("sandboxUrl");
    expect(child.stdout()).not.toContain(
      readFileSync(path.join(folder, ".data/live/passphrase"), "utf8").trim(),
    );

    const documents = openSqlite(path.join(folder, ".data/live/tokens.db"), Date.now);
    const { clientId, clientSecret } = client;
    await documents.create("tokens", "mine", { clientId, clientSecret, refreshToken: grant.refresh_token });
    await documents.close();
    const answer = await paste(curlLine(child.stdout()).replace("NAME", "mine"), folder);
    const headers = { authorization: `Bearer ${answer.token}` };
    expect((await fetch(`${webex.url}/v1/people/me`, { headers })).status).toBe(200);

    expect(await interrupt(child)).toEqual(WELL);
    expect(existsSync(runningFile(folder, "live"))).toBe(false);
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
      const folder = newFolder();
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
