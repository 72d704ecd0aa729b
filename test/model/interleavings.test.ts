import fc from "fast-check";
import { expect, test } from "vitest";
import { runs } from "../support/property.ts";
import { type History, history } from "./history.ts";
import { REGRESSIONS } from "./regressions.ts";
import { run } from "./run.ts";

test("every rule holds after any history of reads, sweeps, faults and crashes", async () => {
  const property = fc.asyncProperty(history, async (steps: History) => {
    expect(await run(steps)).toEqual([]);
  });
  await fc.assert(property, { ...runs(2_000, 10_000), examples: REGRESSIONS.map((steps) => [steps]) });
});
