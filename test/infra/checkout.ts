import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { type Child, run } from "../e2e/child.ts";
import { temporaryFolder } from "../support/processes.ts";
import { type CliAnswer, STACK } from "./deployer.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const { version } = createRequire(import.meta.url)("pulumi/package.json");
const PARTS = ["package.json", "package-lock.json", "firebase.rules", "functions", "infra", "local"];

/** `waits`: runs until a signal ends it, with `code`. */
type ProcessAnswer = CliAnswer & { waits?: boolean };

/** A copy of the project with one stack, "dev", and a stand-in for Pulumi's CLI as an executable. */
export interface Checkout {
  /** What the stand-in answers from now on. */
  pulumi(answers: Readonly<Record<string, ProcessAnswer>>): void;
  /** The command lines and signals that the stand-in got, in order. */
  calls(): string[];
  /** `npm run preview` or `npm run deploy`, without npm. */
  start(script: "preview" | "deploy", args: string[], env: Record<string, string>): Child;
  built(): boolean;
}

export async function checkout(): Promise<Checkout> {
  const folder = await temporaryFolder();
  for (const part of PARTS)
    cpSync(path.join(ROOT, part), path.join(folder, part), {
      recursive: true,
      filter: (file) => !/Pulumi\.(?!example\.)[^/]+\.yaml$/.test(file),
    });
  symlinkSync(path.join(ROOT, "node_modules"), path.join(folder, "node_modules"));
  writeFileSync(path.join(folder, "infra", "Pulumi.dev.yaml"), STACK);
  // Where Pulumi's npm package keeps the CLI that it has downloaded.
  const home = await temporaryFolder();
  const bin = path.join(home, "versions", version, "bin");
  const calls = path.join(folder, "calls.txt");
  return {
    pulumi(answers) {
      mkdirSync(bin, { recursive: true });
      writeFileSync(path.join(bin, "answers.json"), JSON.stringify(answers));
      writeFileSync(path.join(bin, "pulumi"), STAND_IN.replaceAll("CALLS", JSON.stringify(calls)));
      chmodSync(path.join(bin, "pulumi"), 0o755);
    },
    calls: () => (existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : []),
    start(script, args, env) {
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

/** "stack output" is a command of two words. */
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
