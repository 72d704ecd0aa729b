import { describe, expect, test } from "vitest";
import { makeAsker, RefresherFailed } from "../../functions/core/asker.ts";
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
  expect(asker.mayAsk("a", false)).toBe(true);
});

const START = 1_800_000_000_000;
const mayAsk = (asker: ReturnType<typeof makeAsker>, ...names: string[]) =>
  names.map((name) => asker.mayAsk(name, false));

describe("an ask that did not help backs off for ten seconds", () => {
  const silent = () => Promise.reject(new Error("made up"));
  const failing = () => Promise.reject(new RefresherFailed("made up"));

  test("its own name alone when the refresher could not be reached once", async () => {
    const { asker, pass } = asking(silent);
    expect(await asker.ask("a", ASK, 1000)).toMatchObject({ outcome: undefined });
    expect(mayAsk(asker, "a", "b")).toEqual([false, true]);
    pass(10 * SECOND);
    expect(mayAsk(asker, "a")).toEqual([true]);
  });

  test("every name once the refresher could not be reached for three names in a row", async () => {
    const { asker, pass } = asking(silent);
    for (const name of ["a", "b", "c"]) await asker.ask(name, ASK, 1000);
    expect(mayAsk(asker, "d")).toEqual([false]);
    pass(10 * SECOND);
    expect(mayAsk(asker, "a", "d")).toEqual([true, true]);
  });

  test("only the names that the refresher answers with an error, however many they are (row 21)", async () => {
    const { asker } = asking(failing);
    const names = Array.from({ length: 20 }, (_, index) => `broken ${index}`);
    for (const name of names) await asker.ask(name, ASK, 1000);
    expect(mayAsk(asker, ...names, "healthy")).toEqual([...names.map(() => false), true]);
  });

  test("not every name when the refresher answered in between", async () => {
    const { asker } = asking((name) => (name === "b" ? failing() : silent()));
    for (const name of ["a", "b", "c", "d"]) await asker.ask(name, ASK, 1000);
    expect(mayAsk(asker, "e")).toEqual([true]);
  });

  test("its own name until the end of the pause that the refresher names", async () => {
    const { asker, pass } = asking(async () => ({ outcome: "held", until: START + 4 * SECOND }));
    await asker.ask("a", ASK, 1000);
    expect(mayAsk(asker, "a", "b")).toEqual([false, true]);
    pass(4 * SECOND);
    expect(mayAsk(asker, "a")).toEqual([true]);
  });

  test("its own name for no longer than that when the refresher defers it for long", async () => {
    const { asker, pass } = asking(async () => ({ outcome: "deferred", until: START + 600 * SECOND }));
    await asker.ask("a", ASK, 1000);
    expect(mayAsk(asker, "a", "b")).toEqual([false, true]);
    pass(10 * SECOND);
    expect(mayAsk(asker, "a")).toEqual([true]);
  });

  test("its own name when a reader waited without result", () => {
    const { asker } = asking(never);
    asker.backOff("a");
    expect(mayAsk(asker, "a", "b")).toEqual([false, true]);
  });

  test("for no longer when the clock is set back meanwhile", async () => {
    const { asker, pass } = asking(silent);
    for (const name of ["a", "b", "c"]) await asker.ask(name, ASK, 1000);
    pass(-3600 * SECOND);
    expect(mayAsk(asker, "a", "d")).toEqual([true, true]);
  });

  test("not for a rejected token, whose read passes it once per name (row 21)", async () => {
    const rejecting = { ...ASK, ifToken: "made-up-hash" };
    const { asker, pass } = asking(silent);
    for (const name of ["a", "b", "c"]) await asker.ask(name, ASK, 1000);
    expect(asker.mayAsk("a", true)).toBe(true);
    await asker.ask("a", rejecting, 1000);
    expect([asker.mayAsk("a", true), asker.mayAsk("b", true)]).toEqual([false, true]);
    pass(10 * SECOND);
    expect(asker.mayAsk("a", true)).toBe(true);
  });
});
