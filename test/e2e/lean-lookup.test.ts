import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";

describe("the bundle of lookup", () => {
  const ROOT = path.resolve(import.meta.dirname, "../..");
  const packagesOf = (name: string) => {
    const meta = JSON.parse(readFileSync(path.join(ROOT, "dist/meta", `${name}.json`), "utf8"));
    const found = Object.keys(meta.inputs).flatMap(
      (file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? [],
    );
    return new Set(found);
  };

  test.each([
    "@google-cloud/firestore",
    "@google-cloud/secret-manager",
    "@grpc/grpc-js",
    "google-gax",
    "google-auth-library",
    "gaxios",
    "got",
    "jose",
  ])("contains nothing of %s", (forbidden) => {
    expect([...packagesOf("lookup")]).not.toContain(forbidden);
  });

  test("contains no package at all", () => {
    expect([...packagesOf("lookup")]).toEqual([]);
  });

  test("differs from the bundle of refresher, which contains them", () => {
    const heavy = packagesOf("refresher");
    for (const name of [
      "@google-cloud/firestore",
      "@grpc/grpc-js",
      "google-gax",
      "google-auth-library",
      "got",
    ])
      expect([...heavy]).toContain(name);
  });
});
