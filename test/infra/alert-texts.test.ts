import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { alertsFor } from "../../infra/alerts.ts";

/** What each alert tells whoever is woken by it. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const ALERTS = alertsFor("tokens");
const PROGRAM = path.join(ROOT, "local/tokens.ts");
const { PATH, HOME } = process.env;
const INHERITED = { PATH, HOME };
const run = promisify(execFile);

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
  test("is named by most of them", () => {
    expect(TOKENS.length).toBeGreaterThan(8);
  });

  test.concurrent.each(TOKENS)("%s is a command that there is, with these options", async (text) => {
    const [command = "", options = ""] = /^((?:[a-z]+ ?)+)(.*)$/.exec(text)?.slice(1) ?? [];
    const words = command.trim().split(" ");
    const { stdout } = await run(process.execPath, [PROGRAM, ...words, "--help"], { env: INHERITED });
    expect(stdout).toMatch(new RegExp(`^Usage: npm run tokens -- ${words.join(" ")}(?: |\\n)`));
    for (const option of options.match(/--[a-z-]+/g) ?? [])
      expect(stdout).toMatch(new RegExp(`^ +${option}\\b`, "m"));
  });
});

test("every other npm script that they name is one", () => {
  const { scripts } = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8"));
  const named = COMMANDS.flatMap(({ command }) => /^npm run ([\w-]+)/.exec(command)?.[1] ?? []);
  expect([...new Set(named)].filter((script) => !(script in scripts))).toEqual([]);
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
