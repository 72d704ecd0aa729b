import { type Command, CommanderError } from "commander";
import { build, explain as explainBuild } from "../build.ts";
import { CommandError, explain } from "../commands/errors.ts";

/** Runs one of the two programs; all that goes wrong becomes one sentence and a status. */
export function runProgram(program: Command): void {
  program
    .exitOverride()
    .parseAsync()
    .catch((error: unknown) => {
      // Commander has said it already.
      if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : 2);
      const { sentence, exitCode } = explain(error);
      process.stderr.write(`${process.env.DEBUG && error instanceof Error ? error.stack : sentence}\n`);
      process.exit(exitCode);
    });
}

/** What is deployed is always what stands here now. Throws `CommandError`. */
export async function buildFunctions(): Promise<void> {
  try {
    await build();
  } catch (error) {
    throw new CommandError(`the build failed: ${explainBuild(error)}`);
  }
}

export const say = (text: string) => void process.stderr.write(`${text}\n`);
