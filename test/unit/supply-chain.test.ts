import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";

/** What comes from elsewhere: which versions, whether they are the same for everybody, and what they may run. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const json = (file: string) => JSON.parse(readFileSync(path.join(ROOT, file), "utf8"));
const manifest = json("package.json");
const locked = Object.entries<Record<string, unknown>>(json("package-lock.json").packages)
  .filter(([place]) => place !== "")
  .map(([place, entry]) => ({ name: place.replace(/^.*node_modules\//, ""), place, ...entry }) as Locked);

interface Locked {
  name: string;
  place: string;
  version: string;
  integrity?: string;
  hasInstallScript?: boolean;
}

it("whatever wants to run a script when it is installed was decided about, and nothing else is named", () => {
  const wanting = locked.filter(({ hasInstallScript }) => hasInstallScript).map(({ name }) => name);
  // Else the lock file is not read as it is meant.
  expect(wanting).toContain("esbuild");
  expect(Object.keys(manifest.allowScripts).sort()).toEqual([...new Set(wanting)].sort());
});

it("only the package that brings Node itself may run its script", () => {
  const allowed = Object.entries(manifest.allowScripts).filter(([, may]) => may !== false);
  expect(allowed).toEqual([["node", true]]);
});

it("everything that is asked for by name has one exact version", () => {
  const asked = { ...manifest.dependencies, ...manifest.devDependencies };
  for (const [name, version] of Object.entries(asked)) expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
});

it("everything that is installed is known by its content", () => {
  expect(locked.length).toBeGreaterThan(100);
  expect(locked.filter(({ integrity }) => !integrity?.startsWith("sha512-"))).toEqual([]);
});
