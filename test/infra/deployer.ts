import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Cli } from "../../local/deploy/cli.ts";
import { runProgram, type World } from "../../local/deploy/main.ts";
import { deployProgram } from "../../local/deploy.ts";
import { previewProgram } from "../../local/preview.ts";
import { fakeClock, runtimeOf } from "../support/clock.ts";
import { plant, printed } from "../support/prints.ts";
import { temporaryFolder } from "../support/processes.ts";

/** `npm run preview` and `npm run deploy` in this process, with a stand-in for Pulumi's CLI. */

const INFRA = path.resolve(import.meta.dirname, "../../infra");

/** The shortest valid stack. */
export const STACK = "config:\n  gcp:project: made-up-project\n  gcp:region: europe-west1\n";
export const IDENTITY = { GOOGLE_OAUTH_ACCESS_TOKEN: "canary-google-access-token" };

/** What Pulumi's CLI answers to a command, such as "whoami" or "stack output"; exit code 0 and no output by default. */
export interface CliAnswer {
  code?: number;
  stdout?: string;
  stderr?: string;
}

export const LOGGED_IN: Readonly<Record<string, CliAnswer>> = {
  whoami: { stdout: "made-up\n" },
  stack: { stdout: "dev\n" },
};

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
  /** Whether the functions were built. */
  built: boolean;
  /** The command lines that Pulumi's CLI got, in order. */
  calls: string[];
}

/** A checkout without stacks, whose CLI is logged in. */
export async function deployer() {
  const root = await temporaryFolder();
  const fileOf = (name: string) => path.join("infra", `Pulumi.${name}.yaml`);
  mkdirSync(path.join(root, "infra"));
  cpSync(path.join(INFRA, "Pulumi.example.yaml"), path.join(root, fileOf("example")));
  let answers = LOGGED_IN;
  return {
    /** Writes `infra/Pulumi.<name>.yaml`. */
    stack: (name: string, yaml: string) => writeFileSync(path.join(root, fileOf(name)), yaml),
    /** What the CLI answers from now on. */
    pulumi(given: Readonly<Record<string, CliAnswer>>) {
      answers = { ...LOGGED_IN, ...given };
    },
    async run(
      script: "preview" | "deploy",
      args: readonly string[],
      { env = IDENTITY, ...rest }: Partial<World> = {},
    ): Promise<Outcome> {
      plant(env);
      const outcome: Outcome = { code: 0, stdout: "", stderr: "", built: false, calls: [] };
      const write = (stream: "stdout" | "stderr") => (text: string) => {
        outcome[stream] += text;
        printed(text);
      };
      const world: World = {
        env,
        root,
        openCli: async () => standIn(answers, outcome.calls, write("stdout")),
        async build() {
          outcome.built = true;
        },
        runtime: runtimeOf(fakeClock()),
        stdout: write("stdout"),
        stderr: write("stderr"),
        exit(code) {
          outcome.code = code;
        },
        ...rest,
      };
      const program = script === "deploy" ? deployProgram : previewProgram;
      await runProgram(program(world), world, args);
      return outcome;
    },
  };
}

function standIn(
  answers: Readonly<Record<string, CliAnswer>>,
  calls: string[],
  show: (text: string) => void,
): Cli {
  const answer = async (...args: string[]) => {
    calls.push(args.join(" "));
    const [command = ""] = args;
    return { code: 0, stdout: "", stderr: "", ...(answers[args.slice(0, 2).join(" ")] ?? answers[command]) };
  };
  return {
    ask: answer,
    read: answer,
    async run(...args) {
      const { code, stdout } = await answer(...args);
      show(stdout);
      return code;
    },
  };
}
