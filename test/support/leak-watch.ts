import { rmSync, writeSync } from "node:fs";
import type { TestProject } from "vitest/node";
import { describeLeak, leaksIn } from "./leaks.ts";
import { keepPrints, recordChildren } from "./prints.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Lines with a secret, found at the end in what the run printed. */
    leaks: number;
  }
}

const MOST_TOLD = 30;

/**
 * For a whole run: keeps all that its processes print. When this one ends, all others have ended: then that is looked
 * through for secrets, and the run fails for each that is found. What was printed is kept then, to be looked at.
 */
export default function watch(project: TestProject): void {
  const folder = keepPrints();
  recordChildren("the test run");
  // First in line: the reporter counts what is found here.
  process.prependOnceListener("exit", () => {
    const leaks = leaksIn(folder);
    project.provide("leaks", leaks.length);
    if (leaks.length === 0) return rmSync(folder, { recursive: true });
    const lines = leaks.slice(0, MOST_TOLD).map((leak) => `${describeLeak(leak)}\n`);
    const more = leaks.length > MOST_TOLD ? `and ${leaks.length - MOST_TOLD} more\n` : "";
    writeSync(2, `\n!!! secrets were printed, in ${leaks.length} lines:\n${lines.join("")}${more}\n`);
    process.exitCode = 1;
  });
}
