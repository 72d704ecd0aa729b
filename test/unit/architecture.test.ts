import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
/** Modules of Node that core may use: they neither wait nor look outside. */
const PURE_MODULES = ["node:crypto"];
/** What core may use of node:crypto: the same input gives the same output. */
const PURE_CRYPTO = ["createHash", "hash", "timingSafeEqual"];

/** Paths of the TypeScript files below a folder, from the root. */
const filesIn = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, file))
    .sort();

/** The code of a file without its comments. Strings stay: module names are strings. */
const codeOf = (file: string) =>
  readFileSync(join(ROOT, file), "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|\s)\/\/.*$/gm, "$1");

/** Everything that a file imports by `import`, `export … from`, `import()` or `require()`. */
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

/** The target of an import: a path from the root for one of our files, else the module's name. */
const targetOf = (file: string, name: string) =>
  name.startsWith(".") ? relative(ROOT, resolve(ROOT, dirname(file), name)) : name;
const targetsOf = (file: string) => importsOf(file).map((name) => targetOf(file, name));
const isOurs = (name: string) => name.startsWith(".");
/** The imports of our own files, as paths from the root. */
const oursOf = (file: string) =>
  importsOf(file)
    .filter((name) => isOurs(name))
    .map((name) => targetOf(file, name));

/** `file: what` for each thing that breaks a rule, so a failure lists every offender. */
const offences = (files: readonly string[], broken: (file: string) => readonly string[]) =>
  files.flatMap((file) => broken(file).map((what) => `${file}: ${what}`));

const ALL = filesIn("functions");
const CORE = filesIn("functions/core");
const ADAPTERS = filesIn("functions/adapters");
const ENTRIES = ALL.filter((file) => dirname(file) === "functions");
const INFRA = filesIn("infra");
const isCoreOrAdapter = (target: string) => /^functions\/(?:core|adapters)\/[^/]+$/.test(target);

test("functions/ holds three functions, core and adapters", () => {
  expect(ENTRIES).toEqual(["functions/lookup.ts", "functions/refresher.ts", "functions/setup.ts"]);
  expect(ALL).toHaveLength(ENTRIES.length + CORE.length + ADAPTERS.length);
  expect(CORE.length).toBeGreaterThan(10);
  expect(ADAPTERS.length).toBeGreaterThan(5);
});

test("the reader of imports, which the other rules rest on, finds every import", () => {
  expect(targetsOf("functions/lookup.ts")).toContain("functions/core/store.ts");
  expect(targetsOf("functions/core/hash.ts")).toEqual(["node:crypto"]);
  expect(targetsOf("functions/adapters/open-store.ts")).toContain("functions/adapters/firestore.ts");
  for (const file of ALL) {
    const words = codeOf(file).match(/^\s*import\b/gm) ?? [];
    expect(importsOf(file).length, file).toBeGreaterThanOrEqual(words.length);
  }
});

describe("functions/core", () => {
  test("imports only core and pure modules of Node", () => {
    const isAllowed = (target: string) =>
      dirname(target) === "functions/core" || PURE_MODULES.includes(target);
    expect(offences(CORE, (file) => targetsOf(file).filter((target) => !isAllowed(target)))).toEqual([]);
  });

  test("imports from node:crypto by name, and nothing random", () => {
    const named = /import\s*\{([^}]*)\}\s*from\s*["']node:crypto["']/g;
    const whole = /import\s+(\*|\w+).*["']node:crypto["']/g;
    const found = offences(CORE, (file) => {
      const names = [...codeOf(file).matchAll(named)].flatMap(([, list = ""]) =>
        list.split(",").map((name) => name.trim()),
      );
      return [...names.filter((name) => !PURE_CRYPTO.includes(name)), ...(codeOf(file).match(whole) ?? [])];
    });
    expect(found).toEqual([]);
  });

  test("uses no clock, randomness, environment, timer, console or network", () => {
    const outside = [
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
    ];
    const found = offences(CORE, (file) => outside.flatMap((used) => codeOf(file).match(used)?.[0] ?? []));
    expect(found).toEqual([]);
  });
});

test("adapters and functions import of functions/ only core and adapters", () => {
  const foreign = (file: string) => oursOf(file).filter((target) => !isCoreOrAdapter(target));
  expect(offences([...ADAPTERS, ...ENTRIES], foreign)).toEqual([]);
});

test("adapters import Node's modules with the prefix node:", () => {
  const bare = (target: string) => !target.startsWith("node:") && builtinModules.includes(target);
  expect(offences(ADAPTERS, (file) => targetsOf(file).filter(bare))).toEqual([]);
});

test("functions/ imports neither local tools nor tests", () => {
  const leaving = (file: string) => oursOf(file).filter((target) => !target.startsWith("functions/"));
  expect(offences(ALL, leaving)).toEqual([]);
});

test("infra/, which other programs may import, imports of this repository only infra and functions", () => {
  const leaving = (file: string) => oursOf(file).filter((target) => !/^(?:infra|functions)\//.test(target));
  expect(offences(INFRA, leaving)).toEqual([]);
});

test("our files are imported with the suffix .ts, which Node's type stripping needs", () => {
  const bare = (file: string) => importsOf(file).filter((name) => isOurs(name) && !name.endsWith(".ts"));
  expect(offences([...ALL, ...INFRA], bare)).toEqual([]);
});

// One module reads the environment, once, and names every missing or malformed variable in one message.
test("functions/ passes the whole environment to the module that reads it, and reads no single variable", () => {
  expect(ALL.filter((file) => /\bprocess\.env\s*[.[]/.test(codeOf(file)))).toEqual([]);
});
