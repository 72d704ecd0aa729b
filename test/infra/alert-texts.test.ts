import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { beforeAll, describe, expect, test } from "vitest";
import { alertsFor } from "../../infra/alerts.ts";
import { commandTree } from "../support/program.ts";

/** What each alert tells whoever is woken by it. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const ALERTS = alertsFor("tokens");

/** Every command line in back quotes, with its alert. */
const COMMANDS = ALERTS.flatMap(({ id, remedy }) =>
  [...remedy.matchAll(/`([^`]+)`/g)].map(([, command = ""]) => ({ id, command })),
);
/** What stands after `npm run tokens --`, each once; the name of a token is known only when the alert comes. */
const TOKENS = [
  ...new Set(
    COMMANDS.flatMap(({ command }) => /^npm run tokens -- (.+)$/.exec(command)?.[1] ?? []).map((words) =>
      words.replace(/'[^']*'/, "NAME"),
    ),
  ),
];

test.each(ALERTS)("$id says what to do: $title", ({ remedy, title }) => {
  expect(title).toMatch(/^[A-Z].*[^.]$/);
  expect(remedy.split("\n").filter((line) => /^(?:\d\.|-) /.test(line)).length).toBeGreaterThanOrEqual(2);
  expect(remedy).toMatch(/`(npm run|curl)/);
});

describe("npm run tokens --", () => {
  let program: Command;
  beforeAll(async () => {
    program = await commandTree();
  });

  test("is named by most of them", () => {
    expect(TOKENS.length).toBeGreaterThan(8);
    expect(program.commands.length).toBeGreaterThan(8);
  });

  test.each(TOKENS)("%s is a command that there is, with these arguments and options", (text) => {
    const words = text.split(" ");
    let command = program;
    const below = () => command.commands.find((each) => each.name() === words[0]);
    for (let next = below(); next !== undefined; next = below()) {
      command = next;
      words.shift();
    }
    expect(command === program, "there is no such command").toBe(false);
    expect(command.commands, "there are more words to it").toEqual([]);
    const options = words.filter((word) => word.startsWith("--"));
    for (const option of options) expect(command.options.map(({ long }) => long)).toContain(option);
    const wanted = command.registeredArguments.filter(({ required }) => required);
    expect(words.filter((word) => word === "NAME")).toHaveLength(wanted.length);
  });
});

test("every other npm script that they name is one", () => {
  const { scripts } = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8"));
  const named = COMMANDS.flatMap(({ command }) => /^npm run ([\w-]+)/.exec(command)?.[1] ?? []);
  expect([...new Set(named)].filter((script) => !(script in scripts))).toEqual([]);
});

// Without it Pulumi compares with what it remembers, and sees nothing to mend.
test("whoever is to mend what was changed by hand is told to have Pulumi look at it first", () => {
  const deploys = ALERTS.flatMap(({ remedy }) =>
    [...remedy.matchAll(/^.*`(npm run deploy[^`]*)`.*$/gm)].map(([line, command]) => ({ line, command })),
  );
  const afterChange = ({ line }: { line: string }) => /, then `npm run deploy`/.test(line);
  expect(deploys.filter(afterChange).length).toBeGreaterThan(0);
  const mending = deploys.filter((each) => !afterChange(each));
  expect(mending.length).toBeGreaterThan(2);
  for (const { command } of mending) expect(command).toBe("npm run deploy -- -- --refresh");
});

test("no command in them is of a kind that is not checked here", () => {
  const others = COMMANDS.map(({ command }) => command)
    .filter((command) => /\s/.test(command))
    .filter(
      (command) =>
        !/^(npm run |curl -i BASE_URL\/health$|jsonPayload\.event="|compat: sample$)/.test(command),
    );
  expect(others).toEqual([]);
});

test("every document that they name is there", () => {
  const named = ALERTS.flatMap(({ remedy }) => remedy.match(/docs\/[\w-]+\.md/g) ?? []);
  expect(named.length).toBeGreaterThan(2);
  expect([...new Set(named)].filter((file) => !existsSync(path.join(ROOT, file)))).toEqual([]);
});
