import { spawnSync } from "node:child_process";
import path from "node:path";

/** `npm run test:long`: the whole suite with the full numbers of property runs; works in every shell. */
const vitest = path.resolve(import.meta.dirname, "../../node_modules/vitest/vitest.mjs");
const { status } = spawnSync(process.execPath, [vitest, "run", ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...process.env, TEST_LONG: "1" },
});
process.exitCode = status ?? 1;
