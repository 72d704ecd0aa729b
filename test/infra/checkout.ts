import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { type Child, run } from "../e2e/child.ts";
import { freePort, temporaryFolder } from "../support/processes.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const { version } = createRequire(import.meta.url)("pulumi/package.json");
const PARTS = ["package.json", "package-lock.json", "firebase.rules", "functions", "infra", "local"];

/** What the stand-in for Pulumi's CLI answers to a command, such as "whoami"; exit code 0 and nothing unless given. */
export interface CliAnswer {
  code?: number;
  stdout?: string;
  stderr?: string;
  /** It goes on until a signal ends it, with `code`. */
  waits?: boolean;
}

/** A checkout of the project of its own: stacks, builds and Pulumi's home are nobody else's. */
export interface Checkout {
  folder: string;
  /** Writes `infra/Pulumi.<name>.yaml`. */
  stack(name: string, yaml: string): void;
  /** Puts a stand-in for the CLI where Pulumi's npm package keeps what it has downloaded. */
  pulumi(answers: Record<string, CliAnswer>): void;
  /** The command lines that the stand-in got, in order. */
  calls(): string[];
  /** `npm run preview` or `npm run deploy`, without npm. */
  start(script: "preview" | "deploy", args: string[], env?: Record<string, string>): Child;
  built(): boolean;
}

/** The least that a stack can say. */
export const STACK = "config:\n  gcp:project: made-up-project\n  gcp:region: europe-west1\n";
export const IDENTITY = { GOOGLE_OAUTH_ACCESS_TOKEN: "canary-google-access-token" };
export const LOGGED_IN: Record<string, CliAnswer> = {
  whoami: { stdout: "made-up\n" },
  stack: { stdout: "dev\n" },
};

/** Runs it to its end. */
export async function outcomeOf(here: Checkout, script: "preview" | "deploy", args: string[], env = {}) {
  const child = here.start(script, args, env);
  const { code } = await child.ended;
  return { code, stdout: child.stdout(), stderr: child.stderr() };
}

/** Such that nothing can be fetched, whatever network this machine has. */
export async function offline(): Promise<Record<string, string>> {
  const proxy = `http://127.0.0.1:${await freePort()}`;
  return { NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: proxy, HTTP_PROXY: proxy };
}

export async function checkout(): Promise<Checkout> {
  const folder = await temporaryFolder();
  for (const part of PARTS)
    cpSync(path.join(ROOT, part), path.join(folder, part), {
      recursive: true,
      filter: (file) => !/Pulumi\.(?!example\.)[^/]+\.yaml$/.test(file),
    });
  symlinkSync(path.join(ROOT, "node_modules"), path.join(folder, "node_modules"));
  const home = await temporaryFolder();
  const bin = path.join(home, "versions", version, "bin");
  const calls = path.join(folder, "calls.txt");
  return {
    folder,
    stack: (name, yaml) => writeFileSync(path.join(folder, "infra", `Pulumi.${name}.yaml`), yaml),
    pulumi(answers) {
      mkdirSync(bin, { recursive: true });
      writeFileSync(path.join(bin, "answers.json"), JSON.stringify(answers));
      writeFileSync(path.join(bin, "pulumi"), STAND_IN.replaceAll("CALLS", JSON.stringify(calls)));
      chmodSync(path.join(bin, "pulumi"), 0o755);
    },
    calls: () => (existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : []),
    start(script, args, env = {}) {
      const { PATH, NODE_COMPILE_CACHE } = process.env;
      return run(process.execPath, ["--import", "./local/node24.js", `local/${script}.ts`, ...args], {
        cwd: folder,
        env: {
          PATH,
          NODE_COMPILE_CACHE,
          HOME: folder,
          PULUMI_HOME: home,
          METADATA_SERVER_DETECTION: "none",
          ...env,
        },
      });
    },
    built: () => existsSync(path.join(folder, "dist/lookup/index.cjs")),
  };
}

/** As a person's shell would find it: an executable. "stack output" is a command of two words. */
const STAND_IN = `#!/usr/bin/env node
const { appendFileSync, readFileSync } = require("node:fs");
const args = process.argv.slice(2);
if (args[0] !== "version") appendFileSync(CALLS, args.join(" ") + "\\n");
const answers = JSON.parse(readFileSync(__dirname + "/answers.json", "utf8"));
const { code = 0, stdout = "", stderr = "", waits } = answers[args.slice(0, 2).join(" ")] ?? answers[args[0]] ?? {};
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exitCode = code;
if (waits) {
  setInterval(() => {}, 1000);
  for (const signal of ["SIGINT", "SIGTERM"])
    process.on(signal, () => {
      appendFileSync(CALLS, signal + "\\n");
      process.exit();
    });
  process.stdout.write("waiting\\n");
}
`;
