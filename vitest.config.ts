import path from "node:path";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/support/longest-first.ts";

// For the workers and, through test/support/environment.ts, for all that they start.
process.env.NODE_COMPILE_CACHE ??= path.join(import.meta.dirname, "node_modules/.cache/node-compile");

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/leak-watch.ts", "test/support/global-setup.ts"],
    setupFiles: ["test/support/record-prints.ts"],
    // So that all that a worker prints goes by its stdout and stderr, which are recorded.
    disableConsoleIntercept: true,
    reporters: ["default", "./test/support/report.ts"],
    // Google's library would look for a metadata server for seconds, although the emulator wants no credentials.
    env: { METADATA_SERVER_DETECTION: "none" },
    // Processes, not threads: end-to-end tests start children, and some tests set the environment.
    pool: "forks",
    // Files leave nothing behind in their process, so that the next one need not load everything again.
    isolate: false,
    // End-to-end tests mostly wait for processes of their own: twice as many as there are processors keep those busy.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    // A busy machine draws a page late.
    expect: { poll: { timeout: 8_000 } },
    testTimeout: 20_000,
    hookTimeout: 30_000,
    teardownTimeout: 5_000,
  },
});
