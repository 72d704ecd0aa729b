import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { beforeAll, describe, expect, test } from "vitest";
import { alertsFor } from "../../infra/alerts.ts";
import { commandTree } from "../support/program.ts";

/** The text of each alert: title, remedy, and the commands in it. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const ALERTS = alertsFor("tokens");

/** Every command line in back quotes, with its alert. */
const COMMANDS = ALERTS.flatMap(({ id, remedy }) =>
  [...remedy.matchAll(/`([^`]+)`/g)].map(([, command = ""]) => ({ id, command })),
);
/** The words after `npm run tokens --`, without duplicates; NAME stands for the alert's token. */
const TOKENS = [
  ...new Set(
    COMMANDS.flatMap(({ command }) => /^npm run tokens -- (.+)$/.exec(command)?.[1] ?? []).map((words) =>
      words.replace(/'[^']*'/, "NAME"),
    ),
  ),
];

test.each(ALERTS)("alert $id has a title and a remedy of at least two steps: $title", ({ remedy, title }) => {
  expect(title).toMatch(/^[A-Z].*[^.]$/);
  expect(remedy.split("\n").filter((line) => /^(?:\d\.|-) /.test(line)).length).toBeGreaterThanOrEqual(2);
  expect(remedy).toMatch(/`(npm run|curl)/);
});

describe("npm run tokens -- in the alerts' remedies:", () => {
  let program: Command;
  beforeAll(async () => {
    program = await commandTree();
  });

  test("most alerts name it", () => {
    expect(TOKENS.length).toBeGreaterThan(8);
    expect(program.commands.length).toBeGreaterThan(8);
  });

  test.each(TOKENS)("%s is a command, with these arguments and options", (text) => {
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

test("every other npm script in the alerts' remedies exists", () => {
  const { scripts } = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8"));
  const named = COMMANDS.flatMap(({ command }) => /^npm run ([\w-]+)/.exec(command)?.[1] ?? []);
  expect([...new Set(named)].filter((script) => !(script in scripts))).toEqual([]);
});

// Without it Pulumi compares with its state, and finds nothing to change.
test("remedies that repair a manual change deploy with --refresh", () => {
  const deploys = ALERTS.flatMap(({ remedy }) =>
    [...remedy.matchAll(/^.*`(npm run deploy[^`]*)`.*$/gm)].map(([line, command]) => ({ line, command })),
  );
  const afterChange = ({ line }: { line: string }) => /, then `npm run deploy`/.test(line);
  expect(deploys.filter(afterChange).length).toBeGreaterThan(0);
  const repairing = deploys.filter((each) => !afterChange(each));
  expect(repairing.length).toBeGreaterThan(2);
  for (const { command } of repairing) expect(command).toBe("npm run deploy -- -- --refresh");
});

test("remedies contain no kind of command that is not tested here", () => {
  const others = COMMANDS.map(({ command }) => command)
    .filter((command) => /\s/.test(command))
    .filter(
      (command) =>
        !/^(npm run |curl -i BASE_URL\/health$|jsonPayload\.event="|compat: sample$)/.test(command),
    );
  expect(others).toEqual([]);
});

test("every document in the alerts' remedies exists", () => {
  const named = ALERTS.flatMap(({ remedy }) => remedy.match(/docs\/[\w-]+\.md/g) ?? []);
  expect(named.length).toBeGreaterThan(2);
  expect([...new Set(named)].filter((file) => !existsSync(path.join(ROOT, file)))).toEqual([]);
});
