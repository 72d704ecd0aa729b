import { type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { constants } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { ROOT } from "../build/names.ts";
import { CommandError } from "../commands/errors.ts";

const load = createRequire(import.meta.url);
/** Timeout of a query of the CLI, in ms. */
const PATIENCE = 60_000;
/** A second signal within so many ms is the same one: npm repeats what the terminal has sent. */
const SAME = 1000;

/** Pulumi's command line, as its npm package downloads it. */
export interface Cli {
  /** Runs a query without a terminal. */
  ask(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  /** Returns what it prints on standard output; the rest goes to this terminal. */
  read(...args: string[]): Promise<{ code: number; stdout: string }>;
  /** Runs it on this terminal and returns its exit code. Pulumi handles Ctrl-C. */
  run(...args: string[]): Promise<number>;
}

/** Downloads the CLI on first use. Throws `CommandError`. */
export async function openCli(): Promise<Cli> {
  await fetched();
  const bin: string = await load("pulumi/lib/resolve").resolve();
  const env = {
    ...process.env,
    // The language hosts are next to the CLI; the program runs on the Node that runs this.
    PATH: [path.dirname(bin), path.dirname(process.execPath), process.env.PATH].join(path.delimiter),
    PULUMI_SKIP_UPDATE_CHECK: "true",
  };
  const start = (args: string[], stdio: SpawnOptions["stdio"], more: SpawnOptions = {}) =>
    spawn(bin, args, { cwd: ROOT, env, stdio, ...more });
  return {
    async ask(...args) {
      const child = start([...args, "--non-interactive"], ["ignore", "pipe", "pipe"], { timeout: PATIENCE });
      const [stdout, stderr, [code]] = await Promise.all([
        textOf(child.stdout),
        textOf(child.stderr),
        once(child, "close"),
      ]);
      return { code: code ?? 1, stdout, stderr };
    },
    async read(...args) {
      const child = start(args, ["inherit", "pipe", "inherit"]);
      const [stdout, [code]] = await Promise.all([textOf(child.stdout), once(child, "close")]);
      return { code: code ?? 1, stdout };
    },
    async run(...args) {
      const child = start(args, "inherit");
      const stop = passSignals((signal) => child.kill(signal));
      const [code, signal] = await once(child, "close").finally(stop);
      return code ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0);
    },
  };
}

const textOf = (stream: NodeJS.ReadableStream | null) => (stream === null ? "" : text(stream));

/** Returns a function that stops passing them. */
function passSignals(kill: (signal: NodeJS.Signals) => void): () => void {
  // A terminal sends Ctrl-C to all its processes; a second one would abort Pulumi in the middle of its work.
  const onTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  let last = Number.NEGATIVE_INFINITY;
  const pass = (signal: NodeJS.Signals) => {
    if ((signal === "SIGINT" && onTerminal) || performance.now() - last < SAME) return;
    last = performance.now();
    kill(signal);
  };
  process.on("SIGINT", pass).on("SIGTERM", pass);
  return () => void process.off("SIGINT", pass).off("SIGTERM", pass);
}

/** The package downloads the CLI on its first use; a failure becomes one sentence. */
async function fetched(): Promise<void> {
  const wrapper = fileURLToPath(import.meta.resolve("pulumi/run.js"));
  const child = spawn(process.execPath, [wrapper, "version"], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
    if (process.stderr.isTTY) process.stderr.write(chunk);
  });
  const [code] = await once(child, "close");
  if (code === 0) return;
  const version: string = process.env.PULUMI_VERSION || load("pulumi/package.json").version;
  if (/^Downloading/m.test(said))
    throw new CommandError(
      `the Pulumi CLI ${version} could not be fetched from get.pulumi.com: check the network (behind a proxy: export HTTPS_PROXY=… NODE_USE_ENV_PROXY=1), then run this again`,
    );
  const folder: string = load("pulumi/lib/cache").cacheDir(version);
  throw new CommandError(`the Pulumi CLI in ${folder} does not run: rm -r ${folder}, then run this again`);
}
