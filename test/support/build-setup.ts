import { rm } from "node:fs/promises";
import path from "node:path";
import { build, explain } from "../../local/build.ts";
import { onceARun } from "./once-a-run.ts";

/** Builds the deployable folders once, for all projects whose tests run them. */
export default function setup(): Promise<void> {
  return onceARun("build", buildOrSay);
}

/**
 * Removes an older build where the new one fails, so that no test runs old code. The tests that need the build then fail;
 * the others still run.
 */
async function buildOrSay(): Promise<void> {
  try {
    await build();
  } catch (error) {
    await rm(path.resolve(import.meta.dirname, "../../dist"), { recursive: true, force: true });
    console.error(`\n!!! the build failed, and so will every test that needs it: ${explain(error)}\n`);
  }
}
