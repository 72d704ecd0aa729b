import { execFile } from "node:child_process";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { FRAMEWORK, FUNCTIONS, ROOT } from "./names.ts";

const run = promisify(execFile);

/**
 * `package.json` and `package-lock.json` of each function. No script named `build` or `gcp-build` may be
 * there: Google's buildpack would run it. The lock is this project's own, pruned by npm itself to the one
 * dependency, so a deployed function gets the very versions that were tested.
 */
export async function writeManifests(folder: string): Promise<void> {
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

async function writeJson(file: string, value: object): Promise<void> {
  await writeFile(file, `${JSON.stringify(value, null, 2)}\n`);
}
