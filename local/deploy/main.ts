import { type Command, CommanderError } from "commander";
import { runtime } from "../../functions/adapters/runtime.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { ROOT } from "../build/names.ts";
import { build, explain as explainBuild } from "../build.ts";
import { CommandError, explain } from "../commands/errors.ts";
import { type Cli, openCli } from "./cli.ts";

/** What `npm run preview` and `npm run deploy` use of the world outside. */
export interface World {
  env: Readonly<Record<string, string | undefined>>;
  /** The checkout, whose folder `infra` holds the stacks. */
  root: string;
  openCli(): Promise<Cli>;
  build(): Promise<unknown>;
  runtime: Pick<Runtime, "now" | "sleep">;
  stdout(text: string): void;
  stderr(text: string): void;
  exit(code: number): void;
}

/** This machine, and the checkout that this file is part of. */
export const here: World = {
  env: process.env,
  root: ROOT,
  openCli,
  build,
  runtime,
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  exit: (code) => process.exit(code),
};

/** Runs one of the two programs. A failure becomes one sentence and an exit code. */
export async function runProgram(program: Command, world: World, args: readonly string[]): Promise<void> {
  program.exitOverride().configureOutput({ writeOut: world.stdout, writeErr: world.stderr });
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    // Commander has printed it.
    if (error instanceof CommanderError) return world.exit(error.exitCode === 0 ? 0 : 2);
    const { sentence, exitCode } = explain(error);
    world.stderr(`${world.env.DEBUG && error instanceof Error ? error.stack : sentence}\n`);
    world.exit(exitCode);
  }
}

/** Builds what is deployed from the code as it is now. Throws `CommandError`. */
export async function buildFunctions({ build }: World): Promise<void> {
  try {
    await build();
  } catch (error) {
    throw new CommandError(`the build failed: ${explainBuild(error)}`);
  }
}
