import { execFile } from "node:child_process";
import { cp, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import { type BuildFailure, build as bundle, type Metafile } from "esbuild";

const run = promisify(execFile);
const ROOT = path.resolve(import.meta.dirname, "..");
const FRAMEWORK = "@google-cloud/functions-framework";
const FUNCTIONS = ["lookup", "refresher", "setup"] as const;

/** Packages that a dependency asks for inside `try`, and works without. */
const OPTIONAL = new Set(["supports-color"]);

export interface BuiltFunction {
  readonly name: (typeof FUNCTIONS)[number];
  /** Bytes of `index.cjs`. */
  readonly size: number;
}

/**
 * Writes `dist/lookup`, `dist/refresher` and `dist/setup`, each ready to be deployed as it is, and what
 * esbuild knows about each bundle in `dist/meta`. Everything is made in a folder aside first: when this
 * throws, `dist` is as it was.
 */
export async function build(): Promise<BuiltFunction[]> {
  const dist = path.join(ROOT, "dist");
  const aside = path.join(dist, `.building-${process.pid}`);
  await rm(aside, { recursive: true, force: true });
  await mkdir(path.join(aside, "meta"), { recursive: true });
  try {
    const manifests = writeManifests(aside);
    const bundles = FUNCTIONS.map((name) => writeBundle(name, aside));
    // Where one fails, the others must be at rest too before their folder is taken away.
    await Promise.allSettled([manifests, ...bundles]);
    await manifests;
    const built = await Promise.all(bundles);
    for (const name of [...FUNCTIONS, "meta"]) await replaceFolder(aside, dist, name);
    return built;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

/**
 * Not minified: of the start of a function that loads the Firestore SDK it saves about 15 ms of 150,
 * of lookup's nothing, and stack traces in the cloud's log would name no line of ours.
 */
async function writeBundle(name: BuiltFunction["name"], folder: string): Promise<BuiltFunction> {
  const outfile = path.join(folder, name, "index.cjs");
  const { metafile } = await bundle({
    absWorkingDir: ROOT,
    entryPoints: [path.join("functions", `${name}.ts`)],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    // Its registry of functions must be the one instance that the framework's own process uses.
    external: [FRAMEWORK],
    metafile: true,
    logLevel: "silent",
    // In a CommonJS bundle `import.meta` is empty: code that needs it would break in the cloud only.
    logOverride: { "empty-import-meta": "error" },
  });
  const missing = outsidePackages(metafile);
  if (missing.length > 0) throw new Error(`the bundle of ${name} would lack ${missing.join(", ")}`);
  await writeFile(path.join(folder, "meta", `${name}.json`), JSON.stringify(metafile));
  return { name, size: (await stat(outfile)).size };
}

function outsidePackages({ outputs }: Metafile): string[] {
  return Object.values(outputs)
    .flatMap((output) => output.imports)
    .filter((found) => found.external && found.path !== FRAMEWORK)
    .map((found) => found.path)
    .filter((specifier) => !isBuiltin(specifier) && !OPTIONAL.has(specifier));
}

/**
 * `package.json` and `package-lock.json` of each function. No script named `build` or `gcp-build` may be
 * there: Google's buildpack would run it. The lock is this project's own, pruned by npm itself to the one
 * dependency, so a deployed function gets the very versions that were tested.
 */
async function writeManifests(folder: string): Promise<void> {
  const root = JSON.parse(await readFile(path.join(ROOT, "package.json"), "utf8"));
  const manifest = {
    name: "lock",
    version: root.version,
    private: true,
    main: "index.cjs",
    engines: { node: "24" },
    dependencies: { [FRAMEWORK]: root.dependencies[FRAMEWORK] },
  };
  const lock = await prunedLock(path.join(folder, "lock"), manifest);
  for (const name of FUNCTIONS) {
    const own = { ...lock, name, packages: { ...lock.packages, "": { ...lock.packages[""], name } } };
    await mkdir(path.join(folder, name), { recursive: true });
    await writeJson(path.join(folder, name, "package.json"), { ...manifest, name });
    await writeJson(path.join(folder, name, "package-lock.json"), own);
  }
}

interface Lock {
  packages: Record<string, object>;
}

async function prunedLock(folder: string, manifest: object): Promise<Lock> {
  const file = path.join(folder, "package-lock.json");
  await mkdir(folder);
  await writeJson(path.join(folder, "package.json"), manifest);
  await cp(path.join(ROOT, "package-lock.json"), file);
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  await run("npm", ["install", "--package-lock-only", "--offline", "--ignore-scripts", ...quiet], {
    cwd: folder,
    shell: process.platform === "win32",
  });
  return JSON.parse(await readFile(file, "utf8"));
}

/** Puts the new folder in the old one's place. Another build at the same time may come in between. */
async function replaceFolder(from: string, to: string, name: string, tries = 5): Promise<void> {
  await rename(path.join(to, name), path.join(from, `old-${name}-${tries}`)).catch(ignore("ENOENT"));
  try {
    await rename(path.join(from, name), path.join(to, name));
  } catch (error) {
    if (tries <= 1) throw error;
    ignore("ENOTEMPTY", "EEXIST", "EPERM")(error);
    await replaceFolder(from, to, name, tries - 1);
  }
}

function ignore(...codes: string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  };
}

async function writeJson(file: string, value: object): Promise<void> {
  await writeFile(file, `${JSON.stringify(value, null, 2)}\n`);
}

/** One line of whatever `build` threw: of esbuild's errors, the first with its place. */
export function explain(error: unknown): string {
  const [first] = (error as Partial<BuildFailure>).errors ?? [];
  if (!first) return error instanceof Error ? error.message : String(error);
  const place = first.location ? `${first.location.file}:${first.location.line}: ` : "";
  return `${place}${first.text}`;
}

if (import.meta.main) {
  try {
    for (const { name, size } of await build()) {
      console.log(`dist/${name}  ${(size / 1024).toFixed(0)} kB`);
    }
  } catch (error) {
    console.error(`the build failed: ${explain(error)}`);
    process.exitCode = 1;
  }
}
