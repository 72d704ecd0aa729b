import path from "node:path";
import { defineConfig } from "vitest/config";
import { HANG } from "./test/support/hang.ts";
import { LongestFirst } from "./test/support/longest-first.ts";

// Shared by the workers and, through test/support/environment.ts, by the processes they start.
process.env.NODE_COMPILE_CACHE ??= path.join(import.meta.dirname, "node_modules/.cache/node-compile");

const EMULATOR = "test/support/emulator-setup.ts";
const BUILD = "test/support/build-setup.ts";

/** What a project adds: started `once` for a run that has it, and loaded before `each` of its files. */
interface Setups {
  once?: string[];
  each?: string[];
}

/** One project per folder of `test`. */
const project = (name: string, { once = [], each = [] }: Setups = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], globalSetup: once, setupFiles: each },
});

export default defineConfig({
  test: {
    projects: [
      project("unit", { each: ["test/support/no-children.ts"] }),
      project("model"),
      project("contract", { once: [EMULATOR] }),
      project("infra", { once: [BUILD] }),
      project("emulator", { once: [EMULATOR] }),
      project("e2e", { once: [EMULATOR, BUILD] }),
      project("browser"),
    ],
    globalSetup: ["test/support/leak-watch.ts"],
    setupFiles: ["test/support/record-prints.ts"],
    // Everything that a worker prints goes through its stdout and stderr, which the leak watch records.
    disableConsoleIntercept: true,
    reporters: ["default", "./test/support/report.ts"],
    // Google's library would look for a metadata server for seconds, although the emulator needs no credentials.
    env: { METADATA_SERVER_DETECTION: "none" },
    // Processes, not threads: end-to-end tests start children, and some tests set the environment.
    pool: "forks",
    // The files of a worker share its loaded modules.
    isolate: false,
    // End-to-end tests mostly wait for processes of their own, so two workers per processor keep both busy.
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    // These limits only end hangs; no test passes or fails by its speed.
    expect: { poll: { timeout: HANG } },
    testTimeout: 2 * HANG,
    hookTimeout: 2 * HANG,
    teardownTimeout: HANG,
  },
});
