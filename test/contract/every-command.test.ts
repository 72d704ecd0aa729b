import type { Command } from "commander";
import { beforeAll, describe, expect, test } from "vitest";
import { allOf, commandTree, tokensProgram } from "../support/program.ts";

/** What holds for each command of the command line, the ones to come included. */

const tree = await commandTree();
const commands = allOf(tree).slice(1);
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

test("there are many", () => {
  expect(commands.length).toBeGreaterThan(30);
  expect(commands.map(pathOf)).toEqual(
    expect.arrayContaining(["doctor", "watch", "keys promote", "sandbox down"]),
  );
});

describe.each(commands.map((command) => ({ path: pathOf(command), command })))(
  "$path",
  ({ path, command }) => {
    const help = helpOf(command);
    let parse: (line: string) => Promise<void>;
    beforeAll(async () => {
      parse = await tokensProgram();
    });

    test("has examples in its help, of itself, and each can be typed", async () => {
      const lines = examplesIn(help);
      expect(lines.filter((line) => line === path || line.startsWith(`${path} `)).length).toBeGreaterThan(0);
      // What stands for something longer can only be read.
      for (const line of lines) if (!line.includes("…")) await parse(line);
    });

    test("says of itself, its options and its arguments what they are", () => {
      expect(command.description()).not.toBe("");
      for (const { description, flags } of command.options) expect(description, flags).not.toBe("");
      for (const argument of command.registeredArguments)
        expect(argument.description, argument.name()).not.toBe("");
    });

    test("suggests the near name of a mistyped option, and of a mistyped command", async () => {
      const said: string[] = [];
      const typed = async (line: string) => {
        const program = await commandTree();
        for (const each of allOf(program)) each.configureOutput({ writeErr: (text) => void said.push(text) });
        const words = [...line.split(" "), ...command.registeredArguments.map(() => "30s")];
        await program.parseAsync(words, { from: "user" }).catch(() => {});
        return said.splice(0).join("");
      };
      const [option] = command.options.filter(({ long }) => (long ?? "").length > 4);
      if (option !== undefined)
        // One that must be given is missing as long as it is mistyped.
        expect(await typed(`${path} ${option.long}x`)).toContain(
          option.mandatory ? `required option '${option.long}` : `Did you mean ${option.long}?`,
        );
      const near = command.name().length > 3 ? `${path.slice(0, -2)}${path.slice(-1)}` : undefined;
      if (near !== undefined) expect(await typed(near)).toMatch(/Did you mean/);
    });

    test("answers programs in JSON, unless it is a group or a screen", () => {
      if (command.commands.length > 0 || path === "watch") return;
      expect(command.options.map(({ long }) => long)).toContain("--json");
    });
  },
);
