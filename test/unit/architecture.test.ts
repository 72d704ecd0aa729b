import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
/** Of node, core may use what neither waits, nor looks outside. */
const PURE_MODULES = ["node:crypto"];
/** From node:crypto, what gives the same answer for the same question. */
const PURE_CRYPTO = ["createHash", "hash", "timingSafeEqual"];

/** Paths of the TypeScript files below a folder, from the root. */
const filesIn = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, file))
    .sort();

/** The code of a file without its comments. Texts stay: module names are texts. */
const codeOf = (file: string) =>
  readFileSync(join(ROOT, file), "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|\s)\/\/.*$/gm, "$1");

/** Whatever a file imports, by the statements `import`, `export … from` and the call `import()`. */
function importsOf(file: string): string[] {
  const code = codeOf(file);
  const patterns = [
    /(?:^|[;\n])\s*(?:import|export)\b[^;"']*?\bfrom\s*["']([^"']+)["']/g,
    /(?:^|[;\n])\s*import\s*["']([^"']+)["']/g,
    /\bimport\s*\(\s*["'`]([^"'`]+)["'`]/g,
    /\brequire\s*\(\s*["'`]([^"'`]+)["'`]/g,
  ];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map(([, name = ""]) => name));
}

/** Where an import leads: a path from the root for a file of ours, else the module's name. */
const targetOf = (file: string, name: string) =>
  name.startsWith(".") ? relative(ROOT, resolve(ROOT, dirname(file), name)) : name;
const targetsOf = (file: string) => importsOf(file).map((name) => targetOf(file, name));
const isOurs = (name: string) => name.startsWith(".");

const ALL = filesIn("functions");
const CORE = filesIn("functions/core");
const ADAPTERS = filesIn("functions/adapters");
const ENTRIES = ALL.filter((file) => dirname(file) === "functions");

test("there are three functions, and all else is core or adapters", () => {
  expect(ENTRIES).toEqual(["functions/lookup.ts", "functions/refresher.ts", "functions/setup.ts"]);
  expect(ALL).toHaveLength(ENTRIES.length + CORE.length + ADAPTERS.length);
  expect(CORE.length).toBeGreaterThan(10);
  expect(ADAPTERS.length).toBeGreaterThan(5);
});

test("the reader of imports sees what is there", () => {
  expect(targetsOf("functions/lookup.ts")).toContain("functions/core/store.ts");
  expect(targetsOf("functions/core/hash.ts")).toEqual(["node:crypto"]);
  expect(targetsOf("functions/adapters/open-store.ts")).toContain("functions/adapters/firestore.ts");
  for (const file of ALL) {
    const words = codeOf(file).match(/^\s*import\b/gm) ?? [];
    expect(importsOf(file).length, file).toBeGreaterThanOrEqual(words.length);
  }
});

describe("core", () => {
  test.each(CORE)("%s imports core only, and of node what is pure", (file) => {
    const outside = targetsOf(file).filter(
      (target) => dirname(target) !== "functions/core" && !PURE_MODULES.includes(target),
    );
    expect(outside).toEqual([]);
  });

  test.each(CORE)("%s takes nothing by chance from node:crypto", (file) => {
    const names = [...codeOf(file).matchAll(/import\s*\{([^}]*)\}\s*from\s*["']node:crypto["']/g)].flatMap(
      ([, list = ""]) => list.split(",").map((name) => name.trim()),
    );
    expect(names.filter((name) => !PURE_CRYPTO.includes(name))).toEqual([]);
    expect(codeOf(file)).not.toMatch(/import\s+(\*|\w+).*["']node:crypto["']/);
  });

  test.each(CORE)("%s knows no clock, chance, environment, timer, console or network", (file) => {
    const code = codeOf(file);
    for (const outside of [
      /\bDate\.now\b/,
      /\bnew Date\(\s*\)/,
      /\bperformance\b/,
      /\bMath\.random\b/,
      /\bcrypto\.(randomUUID|getRandomValues)\b/,
      /\bprocess\b\s*[.[]/,
      /\bglobalThis\b/,
      /\bset(Timeout|Interval|Immediate)\b/,
      /\bqueueMicrotask\b/,
      /\bconsole\b/,
      /\bfetch\s*\(/,
      /\bAbortSignal\b/,
    ])
      expect(code).not.toMatch(outside);
  });
});

describe("adapters", () => {
  test.each(ADAPTERS)("%s imports core, adapters and what is outside", (file) => {
    const ours = importsOf(file)
      .filter((name) => isOurs(name))
      .map((name) => dirname(targetOf(file, name)));
    expect(ours.filter((folder) => !["functions/core", "functions/adapters"].includes(folder))).toEqual([]);
  });

  test.each(ADAPTERS)("%s names node's modules by their prefix", (file) => {
    const bare = (target: string) => !target.startsWith("node:") && builtinModules.includes(target);
    expect(targetsOf(file).filter(bare)).toEqual([]);
  });
});

test.each(ENTRIES)("%s imports core and adapters, never another function", (file) => {
  const ours = importsOf(file)
    .filter((name) => isOurs(name))
    .map((name) => dirname(targetOf(file, name)));
  expect(ours.filter((folder) => !["functions/core", "functions/adapters"].includes(folder))).toEqual([]);
});

test.each(ALL)("%s imports nothing of a person's machine, and no test", (file) => {
  const leaving = importsOf(file).filter(
    (name) => isOurs(name) && !targetOf(file, name).startsWith("functions/"),
  );
  expect(leaving).toEqual([]);
});

// infra/ is usable in somebody else's program.
test.each(filesIn("infra"))("%s imports of ours only infra and functions", (file) => {
  const ours = importsOf(file)
    .filter((name) => isOurs(name))
    .map((name) => targetOf(file, name));
  expect(ours.filter((target) => !/^(?:infra|functions)\//.test(target))).toEqual([]);
});

test("files of ours are imported with their suffix, as Node's type stripping wants it", () => {
  for (const file of [...ALL, ...filesIn("infra")])
    for (const name of importsOf(file)) if (isOurs(name)) expect(name, file).toMatch(/\.ts$/);
});

// "One module reads the environment, once, and names every missing or malformed variable in one message."
test("the environment as a whole is handed to the one module that reads it; nobody reads a variable", () => {
  const readers = ALL.filter((file) => /\bprocess\.env\s*[.[]/.test(codeOf(file)));
  expect(readers).toEqual([]);
});
