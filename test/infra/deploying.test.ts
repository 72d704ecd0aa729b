import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type DocumentStore, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { withDefaults } from "../../infra/args.ts";
import { KEYS, NAMESPACE, readConfig } from "../../infra/config.ts";
import { here } from "../../local/deploy/main.ts";
import { checkOwn } from "../../local/deploy/stack.ts";
import { deployProgram } from "../../local/deploy.ts";
import { previewProgram } from "../../local/preview.ts";
import { tokensProgram } from "../support/program.ts";
import { openWorld } from "../support/world.ts";

/** The commands and settings in docs/deploy.md exist, and its steps lead to a valid configuration. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(path.join(ROOT, file), "utf8");
const PAGE = read("docs/deploy.md").replaceAll("\\\n", "");
const BLOCKS = [...PAGE.matchAll(/^ *```(?:sh|yaml)\n([\s\S]*?)^ *```/gm)].map(([, text = ""]) => text);
const PROSE = PAGE.replace(/^ *```[\s\S]*?^ *```/gm, "");
const INLINE = [...PROSE.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text.replace(/\s+/g, " "));

/** Every command to type, without its remark, and those within others. */
const COMMANDS = [
  ...INLINE,
  ...BLOCKS.flatMap((block) => block.split("\n").map((line) => line.replace(/ +# .*$/, ""))),
].flatMap((line) =>
  line.split(/\$\((?!gcloud)|\)"|&&|\|/).flatMap((part) => /\b(?:npm|npx) .*$/.exec(part)?.[0].trim() ?? []),
);
const startingWith = (start: string) =>
  COMMANDS.flatMap((command) => (command.startsWith(`${start} `) ? command.slice(start.length + 1) : []));

test("every npm script in docs/deploy.md exists", () => {
  const { scripts } = JSON.parse(read("package.json"));
  const named = startingWith("npm run").map((rest) => rest.split(" ")[0] ?? "");
  expect(new Set(named)).toEqual(new Set(["preview", "deploy", "build", "tokens"]));
  for (const name of named) expect(scripts).toHaveProperty(name);
});

test("every npm run tokens line in docs/deploy.md parses", async () => {
  const parse = await tokensProgram();
  const lines = startingWith("npm run tokens --");
  expect(lines.length).toBeGreaterThan(12);
  for (const line of lines) await parse(line);
});

test.each([
  ["preview", previewProgram],
  ["deploy", deployProgram],
] as const)("every option of npm run %s in docs/deploy.md exists", (script, program) => {
  const options = program(here).options.map(({ long }) => long);
  const named = startingWith(`npm run ${script} --`).flatMap((rest) => rest.match(/--[\w-]+/g) ?? []);
  expect(named.length).toBeGreaterThan(0);
  for (const option of named) expect(options).toContain(option);
});

/** From Pulumi's reference (https://www.pulumi.com/docs/iac/cli/commands/); its CLI is not installed here. */
const PULUMI: Record<string, { words: number; options: string[] }> = {
  login: { words: 1, options: [] },
  "stack init": { words: 1, options: [] },
  "stack output": { words: 1, options: [] },
  "config set": { words: 2, options: ["--path", "--secret"] },
  destroy: { words: 0, options: ["--exclude-protected"] },
};

test("every pulumi command in docs/deploy.md exists, with its options, and is about the program in infra", () => {
  const lines = startingWith("npx pulumi");
  expect(lines.length).toBeGreaterThan(10);
  for (const line of lines) {
    const [name, { words, options }] = pulumiOf(line);
    const rest = line
      .slice(name.length)
      .replace(/\$\([^)]*\)/g, "X")
      .split(" ")
      .filter(Boolean);
    const at = rest.indexOf("--cwd");
    if (name !== "login") expect(rest.splice(at, 2), line).toEqual(["--cwd", "infra"]);
    const given = rest.filter((word) => word.startsWith("--"));
    for (const option of given) expect(options, line).toContain(option);
    expect(rest.length - given.length, line).toBeLessThanOrEqual(words);
  }
});

function pulumiOf(line: string): [string, { words: number; options: string[] }] {
  const found = Object.entries(PULUMI).find(([name]) => `${line} `.startsWith(`${name} `));
  if (found === undefined) throw new Error(`pulumi has no command such as: ${line}`);
  return found;
}

describe("a configuration in docs/deploy.md", () => {
  /** As Pulumi writes them into the stack's file, with the project's namespace where a key has none. */
  function configured(lines: readonly string[]): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const line of lines) {
      const [key = "", value = "made up"] = line
        .replace(/^(?:--(?:path|secret) )+/, "")
        .replace(/ --cwd infra/, "")
        .replace(/\$\(gcloud config get-value account\)/, "person@tokens.example")
        .replace("$GOOGLE_CLOUD_PROJECT", "tokens-made-up")
        .replace("$REGION", "europe-west1")
        .split(" ");
      const [first = "", ...inner] = key
        .replaceAll("'", "")
        .split(/[.[\]]+/)
        .filter(Boolean);
      const full = first.includes(":") ? first : `${NAMESPACE}:${first}`;
      values[full] = placed(values[full], inner, value);
    }
    return values;
  }

  /** `path`: keys of sets, and places in lists. */
  function placed(into: unknown, [key, ...path]: readonly string[], value: string): unknown {
    if (key === undefined) return value;
    if (/^\d+$/.test(key)) return [...((into as unknown[]) ?? []), placed(undefined, path, value)];
    const set = (into ?? {}) as Record<string, unknown>;
    return { ...set, [key]: placed(set[key], path, value) };
  }

  const asPrograms = (values: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(values).map(([key, value]) => [
        key,
        typeof value === "string" ? value : JSON.stringify(value),
      ]),
    );

  test("that its commands make is valid, and not the example's", () => {
    const values = asPrograms(configured(startingWith("npx pulumi config set")));
    expect(readConfig(values, String)).toMatchObject({
      project: "tokens-made-up",
      region: "europe-west1",
      operators: ["user:person@tokens.example"],
      notify: { emails: ["person@tokens.example"] },
      names: { lookup: "OLD-NAME" },
    });
    expect(() => checkOwn({ name: "prod", file: "x", values, more: false, locked: true })).not.toThrow();
  });

  test("has every key that the page names, and takes its values", () => {
    const load = createRequire(createRequire(import.meta.url).resolve("@pulumi/pulumi"))("js-yaml").load;
    const settings = INLINE.filter((text) => /^[a-z]\w*: /.test(text));
    expect(settings.length).toBeGreaterThan(6);
    for (const text of settings) {
      const own = Object.entries(load(text)).map(([key, value]) => [
        `${NAMESPACE}:${key}`,
        typeof value === "object" ? JSON.stringify(value) : String(value),
      ]);
      const where = { "gcp:project": "tokens-made-up", "gcp:region": "europe-west1" };
      expect(() => readConfig({ ...where, ...Object.fromEntries(own) }, String), text).not.toThrow();
    }
  });
});

describe("an output named in docs/deploy.md", () => {
  let outputs: string[];
  beforeAll(() => {
    const [, list = ""] = /export const \{([^}]+)\} = service;/.exec(read("infra/index.ts")) ?? [];
    outputs = list.split(",").map((name) => name.trim());
  });

  test("is one of the program's where a command reads it", () => {
    const named = startingWith("npx pulumi stack output").flatMap((rest) => /^\w+/.exec(rest)?.[0] ?? []);
    expect(new Set(named)).toEqual(new Set(["commandLine", "curl"]));
    for (const name of named) expect(outputs).toContain(name);
  });

  test("is one of the program's, or a key of the configuration", () => {
    const others = ["allUsers", "deletionPolicy"];
    const named = INLINE.filter((text) => /^[a-z]+[A-Z]\w*$/.test(text) && !others.includes(text));
    expect(named.length).toBeGreaterThan(2);
    for (const name of named) expect([...outputs, ...Object.keys(KEYS)]).toContain(name);
  });
});

test("a sweep that finds nothing costs the reads and writes that docs/deploy.md counts, and its sums are right", async () => {
  const world = await openWorld();
  const calls: string[] = [];
  const documents = new Proxy(world.documents, {
    get(target, name: keyof DocumentStore) {
      return (...given: never[]) => {
        calls.push(name);
        return (target[name] as (...given: never[]) => unknown)(...given);
      };
    },
  });
  const sweeper = world.sweeper({ store: tokenStore(documents, world.runtime.now) });
  await sweep(sweeper);
  calls.length = 0;
  await sweep(sweeper);
  await world.close();
  const writes = calls.filter((call) => call === "update").length;
  const reads = calls.length - writes;

  const columns = (row: string) => {
    const [, ...cells] = (PAGE.split("\n").find((line) => line.startsWith(`| ${row}`)) ?? "").split(/ ?\| ?/);
    return cells.slice(1, 4).map((cell) => Number(cell.replaceAll(",", "")));
  };
  const [tokens, refreshes] = [columns("tokens"), columns("refreshes")];
  const SWEEPS = 43_200;
  const flows = [1e5, 1e6, 1e7];
  const sums = (of: (index: number) => number) => tokens.map((_, index) => of(index));
  const at = (numbers: number[], index: number) => numbers[index] ?? Number.NaN;
  expect(refreshes).toEqual(sums((index) => Math.round((at(tokens, index) * 720) / 9.5)));
  expect(columns(`Firestore reads: ${reads} × 43,200`)).toEqual(
    sums((index) => reads * SWEEPS + at(refreshes, index) + 30 * at(tokens, index) + at(flows, index)),
  );
  expect(writes).toBe(1);
  const written = sums((index) => SWEEPS + 2 * at(refreshes, index));
  for (const [index, number] of columns("Firestore writes").entries())
    expect(Math.abs(number - at(written, index))).toBeLessThanOrEqual(1);
});

test("the functions in docs/deploy.md have their default names", () => {
  const { names } = withDefaults({ project: "tokens-made-up", region: "europe-west1" });
  const named = [...PAGE.matchAll(/gcloud run services update (\S+)/g)].map(([, name]) => name);
  expect(named).toEqual([names.lookup, names.setup]);
});
