import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = path.resolve(import.meta.dirname, "../..");
const FRAMEWORK = "@google-cloud/functions-framework";
const json = (...file: string[]) => JSON.parse(readFileSync(path.join(ROOT, ...file), "utf8"));
const rootLock = json("package-lock.json");

describe.each(["lookup", "refresher", "setup"])("the deployable folder of %s", (name) => {
  it("holds one file of code, a manifest and a lock, and nothing else", () => {
    const files = readdirSync(path.join(ROOT, "dist", name)).sort();
    expect(files).toEqual(["index.cjs", "package-lock.json", "package.json"]);
  });

  it("depends on the Functions Framework only, at the project's own version", () => {
    const manifest = json("dist", name, "package.json");
    const { version } = rootLock.packages[`node_modules/${FRAMEWORK}`];
    expect(manifest.dependencies).toEqual({ [FRAMEWORK]: version });
    expect(manifest.main).toBe("index.cjs");
  });

  it("has no script that Google's buildpack would run", () => {
    expect(json("dist", name, "package.json").scripts).toBeUndefined();
  });

  it("locks the very packages that the project was tested with", () => {
    const lock = json("dist", name, "package-lock.json");
    const { "": own, ...packages } = lock.packages;
    expect(lock.name).toBe(name);
    expect(own).toMatchObject({ name, dependencies: json("dist", name, "package.json").dependencies });
    expect(packages).toHaveProperty([`node_modules/${FRAMEWORK}`]);
    for (const [place, { version, integrity }] of Object.entries<Record<string, string>>(packages)) {
      expect(rootLock.packages[place]).toMatchObject({ version, integrity });
    }
  });
});

it("lookup carries neither the Firestore SDK nor got: they triple its start", () => {
  const inputs = Object.keys(json("dist/meta/lookup.json").inputs);
  const heavy = /node_modules\/(@google-cloud\/|@grpc\/|google-gax|google-auth-library|got\/|jose\/)/;
  expect(inputs.filter((file) => heavy.test(file))).toEqual([]);
});
