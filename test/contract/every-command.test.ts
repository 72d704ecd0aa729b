import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { allOf, commandTree, tokensProgram } from "../support/program.ts";

/** What every command of the command line has, future ones included. */

const commands = allOf(commandTree()).slice(1);
const parse = tokensProgram();
const pathOf = (command: Command): string =>
  command.parent?.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();

/** All that `--help` prints. */
function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (more) => {
      text += more;
    },
  });
  command.outputHelp();
  return text;
}

/** Command lines after "Examples:", without the remark beside each, and without what a shell does with their output. */
function examplesIn(help: string): string[] {
  const [, text = ""] = help.split("\nExamples:\n");
  return [...text.matchAll(/^ {2}npm run tokens -- (.+?)(?: {2,}.*)?$/gm)].map(([, line = ""]) =>
    line.replace(/ (\||<|>>?) .*$/, "").trim(),
  );
}

test("the program has its commands, groups and subcommands", () => {
  expect(commands.length).toBeGreaterThan(30);
  expect(commands.map(pathOf)).toEqual(
    expect.arrayContaining(["doctor", "watch", "keys promote", "sandbox down"]),
  );
});

describe.each(commands.map((command) => ({ path: pathOf(command), command })))(
  "$path",
  ({ path, command }) => {
    const help = helpOf(command);

    test("has examples of itself in its help, and each one parses", async () => {
      const lines = examplesIn(help);
      expect(lines.filter((line) => line === path || line.startsWith(`${path} `)).length).toBeGreaterThan(0);
      // An example with an ellipsis stands for something longer.
      for (const line of lines) if (!line.includes("…")) await parse(line);
    });

    test("describes itself, its options and its arguments", () => {
      expect(command.description()).not.toBe("");
      for (const { description, flags } of command.options) expect(description, flags).not.toBe("");
      for (const argument of command.registeredArguments)
        expect(argument.description, argument.name()).not.toBe("");
    });

    test("suggests the right name for a mistyped option and a mistyped command", async () => {
      const said: string[] = [];
      const typed = async (line: string) => {
        const program = commandTree();
        for (const each of allOf(program)) each.configureOutput({ writeErr: (text) => void said.push(text) });
        const words = [...line.split(" "), ...command.registeredArguments.map(() => "30s")];
        await program.parseAsync(words, { from: "user" }).catch(() => {});
        return said.splice(0).join("");
      };
      const [option] = command.options.filter(({ long }) => (long ?? "").length > 4);
      if (option !== undefined)
        // A mandatory option that is mistyped is reported as missing.
        expect(await typed(`${path} ${option.long}x`)).toContain(
          option.mandatory ? `required option '${option.long}` : `Did you mean ${option.long}?`,
        );
      const near = command.name().length > 3 ? `${path.slice(0, -2)}${path.slice(-1)}` : undefined;
      if (near !== undefined) expect(await typed(near)).toMatch(/Did you mean/);
    });

    test("has --json, unless it is a group or a screen", () => {
      if (command.commands.length > 0 || path === "watch") return;
      expect(command.options.map(({ long }) => long)).toContain("--json");
    });
  },
);
