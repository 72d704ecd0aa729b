import type { Command } from "commander";
import { runtime } from "../../functions/adapters/runtime.ts";
import { makeProgram } from "../../local/commands/program.ts";
import { openTerminal } from "../../local/terminal.ts";

/** The commands of the program; none of them does anything. */
export function commandTree(): Command {
  const { signal } = new AbortController();
  const program = makeProgram({ env: {}, terminal: openTerminal(signal), runtime, signal });
  for (const command of allOf(program)) {
    command.configureOutput({ writeOut: () => {}, writeErr: () => {} });
    if (command.commands.length === 0) command.action(() => {});
  }
  return program;
}

/** A command with all below it. */
export const allOf = (command: Command): Command[] => [command, ...command.commands.flatMap(allOf)];

/** Parses what stands after `npm run tokens --`; rejects where it is no command line of the program. */
export function tokensProgram(): (line: string) => Promise<void> {
  const program = commandTree();
  return async (line) => {
    await program.parseAsync(wordsOf(line), { from: "user" });
  };
}

/** The words of a command line, as a shell splits it. */
export const wordsOf = (line: string): string[] =>
  [...line.matchAll(/'((?:[^']|'\\'')*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? "",
  );
