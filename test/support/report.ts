import { writeFileSync, writeSync } from "node:fs";
import type { Reporter, SerializedError, TestModule, TestSuite, Vitest } from "vitest/node";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** For whoever asks after the run, `.ci/run` for one. */
const FILE = ".vitest-report.json";

/**
 * Closes a run with the line `N passed, N failed, N skipped`, and writes the same numbers to a file.
 * Both come when the process ends: vitest prints nothing later, and a failure after the last test (in the
 * global setup or teardown, or a secret found in what was printed) still counts.
 */
export default class Report implements Reporter {
  #counts: Counts = { passed: 0, failed: 0, skipped: 0 };

  onInit(vitest: Vitest): void {
    if (vitest.config.watch) return;
    process.once("exit", (code) => {
      const leaked = (vitest.getRootProject().getProvidedContext().leaks ?? 0) > 0;
      const failed = this.#counts.failed + (leaked ? 1 : 0);
      const counts = { ...this.#counts, failed: code !== 0 && failed === 0 ? 1 : failed };
      writeFileSync(FILE, `${JSON.stringify(counts)}\n`);
      writeSync(1, `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
    });
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    for (const module of modules) count(module, counts);
    this.#counts = counts;
  }
}

/**
 * Adds up one file. One that does not load, and a suite whose hook fails, count as one failed each: their
 * tests were not run. A test that was interrupted counts as failed.
 */
function count(module: TestModule, counts: Counts): void {
  const suites: (TestModule | TestSuite)[] = [module, ...module.children.allSuites()];
  counts.failed += suites.filter((suite) => suite.errors().length > 0).length;
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    counts[state === "pending" ? "failed" : state] += 1;
  }
}
