import { describe, expect, test } from "vitest";
import { makeAsker } from "../../functions/core/asker.ts";
import type { Outcome } from "../../functions/core/refresh.ts";
import { SECOND } from "../../functions/core/time.ts";

const ASK = { by: "reader" } as const;

/** An asker on a clock of its own; nobody answers unless `answer` does. */
function asking(answer: (name: string) => Promise<Outcome>) {
  const clock = { now: 1_800_000_000_000 };
  const asked: string[] = [];
  const sleeping: { until: number; wake: () => void }[] = [];
  const asker = makeAsker({
    mark: () => clock.now,
    askRefresher: (name) => {
      asked.push(name);
      return answer(name);
    },
    runtime: {
      now: () => clock.now,
      sleep: (ms) => new Promise((wake) => sleeping.push({ until: clock.now + ms, wake })),
      secret: () => "made-up",
    },
    log: () => undefined,
  });
  const pass = (ms: number) => {
    clock.now += ms;
    for (const { until, wake } of sleeping) if (until <= clock.now) wake();
  };
  return { asker, asked, pass };
}

const never = () => new Promise<Outcome>(() => undefined);

test("one ask per name is under way, and all who come meanwhile get its answer", async () => {
  const { asker, asked } = asking(async () => ({ outcome: "refreshed" }));
  const answers = await Promise.all([
    asker.ask("a", ASK, 1000),
    asker.ask("a", ASK, 1000),
    asker.ask("b", ASK, 1000),
  ]);
  expect(answers.map((answer) => answer?.outcome)).toEqual(Array(3).fill({ outcome: "refreshed" }));
  expect(asked).toEqual(["a", "b"]);
  await asker.ask("a", ASK, 1000);
  expect(asked).toEqual(["a", "b", "a"]);
});

test("whoever loses patience goes, and the ask goes on for the others", async () => {
  const { asker, asked, pass } = asking(never);
  const impatient = asker.ask("a", ASK, 100);
  pass(100);
  expect(await impatient).toBeUndefined();
  asker.ask("a", ASK, 5000);
  expect(asked).toEqual(["a"]);
  expect(asker.ready("a")).toBe(true);
});

describe("asking is of no use for ten seconds", () => {
  test("for any name, after the refresher did not answer", async () => {
    const { asker, pass } = asking(() => Promise.reject(new Error("made up")));
    expect(await asker.ask("a", ASK, 1000)).toMatchObject({ outcome: undefined });
    expect([asker.ready("a"), asker.ready("b")]).toEqual([false, false]);
    pass(10 * SECOND);
    expect([asker.ready("a"), asker.ready("b")]).toEqual([true, true]);
  });

  test("for any name, while Webex wants a pause; not longer than that", async () => {
    const { asker, pass } = asking(async () => ({ outcome: "held", until: 1_800_000_000_000 + 4 * SECOND }));
    await asker.ask("a", ASK, 1000);
    expect(asker.ready("b")).toBe(false);
    pass(4 * SECOND);
    expect(asker.ready("b")).toBe(true);
  });

  test("for this name alone, after it was put off: another that was rejected must not wait for it", async () => {
    const { asker, pass } = asking(async () => ({
      outcome: "deferred",
      until: 1_800_000_000_000 + 600 * SECOND,
    }));
    await asker.ask("a", ASK, 1000);
    expect([asker.ready("a"), asker.ready("b")]).toEqual([false, true]);
    pass(10 * SECOND);
    expect(asker.ready("a")).toBe(true);
  });

  test("for this name alone, after somebody waited in vain", () => {
    const { asker } = asking(never);
    asker.rest("a");
    expect([asker.ready("a"), asker.ready("b")]).toEqual([false, true]);
  });

  test("but not longer, where the clock is set back meanwhile", async () => {
    const { asker, pass } = asking(() => Promise.reject(new Error("made up")));
    await asker.ask("a", ASK, 1000);
    asker.rest("b");
    pass(-3600 * SECOND);
    expect([asker.ready("a"), asker.ready("b")]).toEqual([true, true]);
  });
});
