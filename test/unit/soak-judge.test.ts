import { describe, expect, test } from "vitest";
import {
  type Circumstances,
  type Held,
  judgeFailure,
  judgeMemory,
  judgeOverlap,
  judgeRead,
  judgeReturn,
  PROMISES,
  type Read,
  type Verdict,
} from "../../bench/soak/judge.ts";
import { makeTally } from "../../bench/soak/tally.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const SENT = Date.parse("2027-03-01T12:00:00Z");
/** Nothing was held, and that was the authority's doing. */
const NONE: Circumstances = {
  heldUntil: 0,
  cameUntil: 0,
  rememberedUntil: 0,
  storeAway: false,
  lookupDown: false,
  quiet: false,
};
const HELD: Circumstances = { ...NONE, heldUntil: SENT + MINUTE };
const KEPT = { is: "kept" };
const EXCUSED = expect.objectContaining({ is: "excused" });
const breaks = (promise: keyof typeof PROMISES) => expect.objectContaining({ is: "broken", promise });

/** A read that was answered at once with a token that has half a minute left. */
const read = (changes: Partial<Read> = {}): Read => ({
  name: "sales",
  sent: SENT,
  answered: SENT + 10,
  status: 200,
  liveUntil: SENT + 30 * SECOND,
  late: 0,
  ...changes,
});
const refused = (status: number, after = 10) =>
  read({ status, answered: SENT + after, liveUntil: undefined });

describe("a 200", () => {
  test("with a token that the authority takes keeps every promise", () => {
    expect(judgeRead(read(), HELD)).toEqual(KEPT);
  });

  test("with a token that the authority never gave for that name is broken", () => {
    expect(judgeRead(read({ liveUntil: undefined }), HELD)).toEqual(breaks("live"));
  });

  test("with a token that had ended is broken, but for the second on its way", () => {
    const { answered } = read();
    expect(judgeRead(read({ liveUntil: answered - SECOND }), HELD)).toEqual(KEPT);
    expect(judgeRead(read({ liveUntil: answered - SECOND - 1 }), HELD)).toEqual(breaks("live"));
  });

  test("of a held token within two seconds is kept, later it is broken", () => {
    expect(judgeRead(read({ answered: SENT + 2000 }), HELD)).toEqual(KEPT);
    expect(judgeRead(read({ answered: SENT + 2001 }), HELD)).toEqual(breaks("fast"));
  });

  test("may take longer where no token was held that lived for three seconds more", () => {
    const slow = read({ answered: SENT + 7 * SECOND });
    expect(judgeRead(slow, NONE)).toEqual(KEPT);
    expect(judgeRead(slow, { ...NONE, heldUntil: SENT + 2999 })).toEqual(KEPT);
  });

  test("may take as much longer as the reader itself was late", () => {
    expect(judgeRead(read({ answered: SENT + 2500, late: 500 }), HELD)).toEqual(KEPT);
    expect(judgeRead(read({ answered: SENT + 2501, late: 500 }), HELD)).toEqual(breaks("fast"));
  });

  test("may take longer where the store did not answer and this lookup had not read the token", () => {
    const slow = read({ answered: SENT + 2400 });
    const away = { ...HELD, storeAway: true };
    expect(judgeRead(slow, away)).toEqual(KEPT);
    expect(judgeRead(slow, { ...away, rememberedUntil: SENT + MINUTE })).toEqual(breaks("fast"));
  });
});

describe.each([503, 409])("a %d", (status) => {
  test("is right where no valid token was held", () => {
    expect(judgeRead(refused(status), NONE)).toEqual(EXCUSED);
  });

  test("is right where what was held ended while the read could still wait for a better one", () => {
    expect(judgeRead(refused(status), { ...NONE, heldUntil: SENT + 2999 })).toEqual(EXCUSED);
  });

  test("is broken where a valid token was held", () => {
    expect(judgeRead(refused(status), { ...NONE, heldUntil: SENT + 3000 })).toEqual(breaks("answered"));
  });

  test("is right where the store did not answer and this lookup had never read the token", () => {
    expect(judgeRead(refused(status), { ...HELD, storeAway: true })).toEqual(EXCUSED);
  });

  test("is broken where the store did not answer but this lookup remembered the token", () => {
    const known = { ...HELD, storeAway: true, rememberedUntil: SENT + MINUTE };
    expect(judgeRead(refused(status), known)).toEqual(breaks("answered"));
  });

  test("is broken where a new token had come in time", () => {
    const late = refused(status, 8 * SECOND);
    expect(judgeRead(late, { ...NONE, cameUntil: SENT + MINUTE })).toEqual(breaks("answered"));
  });

  test("is broken where nothing had been wrong for a minute", () => {
    expect(judgeRead(refused(status), { ...NONE, quiet: true })).toEqual(breaks("answered"));
  });
});

test.each([400, 401, 404, 405, 500, 502])("a %d is broken, whatever was held", (status) => {
  expect(judgeRead(refused(status), NONE)).toEqual(breaks("answered"));
});

test("no answer is right from a lookup that was killed, and broken from one that ran", () => {
  expect(judgeRead(refused(0), { ...HELD, lookupDown: true })).toEqual(EXCUSED);
  expect(judgeRead(refused(0), NONE)).toEqual(breaks("answered"));
});

test("two refreshes of a token at a time are broken, unless the first one's lease had run out", () => {
  const overlap = (after: number) => judgeOverlap({ name: "sales", since: SENT, at: SENT + after });
  expect(overlap(0)).toEqual(breaks("single"));
  expect(overlap(28 * SECOND)).toEqual(breaks("single"));
  expect(overlap(30 * SECOND)).toEqual(EXCUSED);
});

describe("memory", () => {
  const growth = (settled?: number, end?: number) => judgeMemory({ title: "lookup 1", settled, end });

  test("may settle higher than it was when warm", () => {
    expect(growth(14, 37)).toEqual(KEPT);
  });

  test("that goes on growing is broken", () => {
    expect(growth(14, 38)).toEqual(breaks("memory"));
  });

  test("of a process that was not there for long enough is not judged", () => {
    expect(growth(undefined, 900)).toEqual(KEPT);
    expect(growth(14)).toEqual(KEPT);
  });
});

describe("at the end", () => {
  const NOW = SENT;
  const held = (changes: Partial<Held> = {}): Held => ({
    name: "sales",
    until: NOW + 40 * SECOND,
    refreshAt: NOW + 5 * SECOND,
    failure: undefined,
    ...changes,
  });

  test("a token that lives and is in its turn has come back", () => {
    expect(judgeReturn(held(), NOW)).toEqual(KEPT);
    expect(judgeReturn(held({ refreshAt: NOW - 9 * SECOND }), NOW)).toEqual(KEPT);
  });

  test.each<[string, Partial<Held>]>([
    ["has ended", { until: NOW }],
    ["failed last", { failure: { code: "timeout", permanent: false } }],
    ["is left behind", { refreshAt: NOW - 11 * SECOND }],
  ])("a token that %s has not", (_, changes) => {
    expect(judgeReturn(held(changes), NOW)).toEqual(breaks("back"));
  });
});

test("a final failure is broken unless the authority refused that very token", () => {
  const token = (permanent: boolean): Held => ({
    name: "sales",
    until: 0,
    refreshAt: 0,
    failure: { code: "html", permanent },
  });
  expect(judgeFailure(token(true), false)).toEqual(breaks("patient"));
  expect(judgeFailure(token(true), true)).toEqual(KEPT);
  expect(judgeFailure(token(false), false)).toEqual(KEPT);
});

describe("a run", () => {
  const about = { what: "503", during: ["authority down"] };

  test("in which all failures were right exits 0, and counts them", () => {
    const tally = makeTally();
    tally.add(judgeRead(read(), HELD), about);
    tally.add(judgeRead(refused(503), NONE), about);
    tally.add(judgeRead(refused(503), NONE), about);
    expect(tally.exitCode()).toBe(0);
    expect(tally.count()).toEqual({ failures: 2, wrong: 0 });
    expect(tally.failures()).toMatchObject([{ what: "503", right: true, count: 2 }]);
  });

  test.each<[keyof typeof PROMISES, Verdict]>([
    ["live", judgeRead(read({ liveUntil: SENT - MINUTE }), HELD)],
    ["answered", judgeRead(refused(503), HELD)],
    ["fast", judgeRead(read({ answered: SENT + 3000 }), HELD)],
    ["single", judgeOverlap({ name: "sales", since: SENT, at: SENT })],
    ["memory", judgeMemory({ title: "lookup 1", settled: 90, end: 900 })],
  ])("in which one promise (%s) was broken once exits 1, and says which", (promise, verdict) => {
    const tally = makeTally();
    for (let round = 0; round < 1000; round++) tally.add(judgeRead(read(), HELD), about);
    tally.add(verdict, about);
    expect(tally.exitCode()).toBe(1);
    expect(tally.promises().filter(({ broken }) => broken > 0)).toEqual([
      { title: PROMISES[promise], broken: 1, examples: [expect.stringContaining("authority down")] },
    ]);
  });

  test("keeps a few examples of what happens often", () => {
    const tally = makeTally();
    for (let round = 0; round < 100; round++) tally.add(judgeRead(refused(500), NONE), about);
    const [broken] = tally.promises().filter(({ broken }) => broken > 0);
    expect(broken?.broken).toBe(100);
    expect(broken?.examples).toHaveLength(5);
  });
});
