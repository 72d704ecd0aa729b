import fc from "fast-check";
import { expect, test } from "vitest";
import { type History, history } from "./history.ts";
import { REGRESSIONS } from "./regressions.ts";
import { run } from "./run.ts";

const seed = Number(process.env.MODEL_SEED ?? Date.now() % 2 ** 31);
const numRuns = Number(process.env.MODEL_RUNS ?? 10_000);

test("whatever happens in whatever order, every rule holds", { timeout: 120_000 }, async () => {
  console.log(`model: ${numRuns} runs, MODEL_SEED=${seed}`);
  const property = fc.asyncProperty(history, async (told: History) => {
    expect(await run(told)).toEqual([]);
  });
  await fc.assert(property, { seed, numRuns, examples: REGRESSIONS.map((told) => [told]) });
});
