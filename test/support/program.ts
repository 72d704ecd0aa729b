import { readFileSync } from "node:fs";
import path from "node:path";
import { Command } from "commander";
import type { Context } from "../../local/commands/context.ts";

const LOCAL = path.resolve(import.meta.dirname, "../../local");

/** The commands of the program, as `local/tokens.ts` makes it; none of them can do anything. */
export async function commandTree(): Promise<Command> {
  const program = new Command("npm run tokens --").option("--live");
  const source = readFileSync(path.join(LOCAL, "tokens.ts"), "utf8");
  const [, list = ""] = /const COMMANDS = \[([^\]]+)\]/.exec(source) ?? [];
  const wanted = list.split(/[\s,]+/);
  const imports = source.matchAll(/^import \{ ([^}]+) \} from "(\.\/commands\/[\w-]+\.ts)";/gm);
  for (const [, names = "", file = ""] of imports)
    for (const name of names.split(", "))
      if (wanted.includes(name)) (await import(path.join(LOCAL, file)))[name](program, {} as Context);
  for (const command of allOf(program)) {
    command.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} });
    if (command.commands.length === 0) command.action(() => {});
  }
  return program;
}

/** A command with all below it. */
export const allOf = (command: Command): Command[] => [command, ...command.commands.flatMap(allOf)];

/** Parses what stands after `npm run tokens --`, as a shell would take it apart; rejects where it is no command line of ours. */
export async function tokensProgram(): Promise<(line: string) => Promise<void>> {
  const program = await commandTree();
  return async (line) => {
    const words = [...line.matchAll(/'((?:[^']|'\\'')*)'|"([^"]*)"|(\S+)/g)].map(
      ([, single, double, bare]) => single ?? double ?? bare ?? "",
    );
    await program.parseAsync(words, { from: "user" });
  };
}
