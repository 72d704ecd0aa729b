import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { runtime as machine } from "../../functions/adapters/runtime.ts";
import type { TokenDocument } from "../../functions/core/document.ts";
import { makeLookup } from "../../functions/core/lookup.ts";
import { type Memory, remember } from "../../functions/core/memory.ts";
import type { Outcome } from "../../functions/core/refresh.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { type StoredToken, StoreUnavailable } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD, HOUR, SECOND } from "../../functions/core/time.ts";
import { type Clock, fakeClock } from "../support/clock.ts";
import { WELL } from "./time-documents.ts";

/** The cache of one lookup instance, on a clock that the test moves. */

let clock: Clock;
let memory: Memory;
/** The reads of the store so far, which the test answers. */
let reads: { name: string; give: (token?: StoredToken) => void; fail: (error: Error) => void }[];

beforeEach(() => {
  clock = fakeClock();
  reads = [];
  memory = remember(
    {
      read: (name) =>
        new Promise((give, fail) => {
          reads.push({ name, give, fail });
        }),
    },
    clock,
  );
});

/** A token that is due in eight hours; `ahead`: ms by which the store's clock is ahead of ours. */
function token(more: TokenDocument = {}, ahead = 0): StoredToken {
  const now = clock.now() + ahead;
  const document = { ...WELL, accessExpires: now + 11 * HOUR, refreshAt: now + 8 * HOUR, ...more };
  const snapshot = { id: "flow", fields: {}, version: "1", readAt: now, writtenAt: now };
  return {
    name: "flow",
    document,
    inputs: "",
    mistyped: [],
    unopened: {},
    version: "1",
    ahead,
    writtenAt: now,
    snapshot,
  };
}

const named = (accessToken: string) => token({ accessToken });
/** A read of a store that answers at once. */
async function loaded(name: string, found: StoredToken | undefined, keepMissing = false) {
  const load = memory.load(name, 0, keepMissing);
  reads.at(-1)?.give(found);
  return load;
}
const DOWN = new StoreUnavailable("it is down");
async function failed(name: string): Promise<void> {
  const load = memory.load(name, 0, false);
  reads.at(-1)?.fail(DOWN);
  await expect(load).rejects.toBe(DOWN);
}

describe("a cached token", () => {
  test("is fresh for 30 s", async () => {
    expect(memory.recent("flow")).toBeUndefined();
    const found = token();
    expect(await loaded("flow", found)).toBe(found);
    expect(memory.recent("flow")).toBe(found);
    clock.advance(30 * SECOND - 1);
    expect(memory.recent("flow")).toBe(found);
    clock.advance(1);
    expect(memory.recent("flow")).toBeUndefined();
  });

  test("is fresh until its own refreshAt if that is sooner", async () => {
    await loaded("flow", token({ refreshAt: clock.now() + 5 * SECOND }));
    clock.advance(5 * SECOND - 1);
    expect(memory.recent("flow")).toBeDefined();
    clock.advance(1);
    expect(memory.recent("flow")).toBeUndefined();
  });

  test("has its refreshAt judged by the store's clock (row 13)", async () => {
    const ahead = 60 * SECOND;
    await loaded("flow", token({ refreshAt: clock.now() + ahead + 5 * SECOND }, ahead));
    clock.advance(5 * SECOND - 1);
    expect(memory.recent("flow")).toBeDefined();
    clock.advance(1);
    expect(memory.recent("flow")).toBeUndefined();
  });

  test("that is due is read again in the background once a second", async () => {
    await loaded("flow", token({ refreshAt: clock.now() - 1 }));
    expect(memory.recent("flow")).toBeUndefined();
    expect(memory.lately("flow")).toBeDefined();
    const before = reads.length;
    memory.renew("flow");
    expect(reads).toHaveLength(before);
    clock.advance(SECOND);
    memory.renew("flow");
    memory.renew("flow");
    expect(reads).toHaveLength(before + 1);
    clock.advance(29 * SECOND);
    expect(memory.lately("flow")).toBeUndefined();
    expect(memory.last("flow")).toBeDefined();
  });

  test("without a refreshAt is fresh for 30 s", async () => {
    const { refreshAt: _, ...document } = token().document;
    await loaded("flow", { ...token(), document });
    clock.advance(30 * SECOND - 1);
    expect(memory.recent("flow")).toBeDefined();
    clock.advance(1);
    expect(memory.recent("flow")).toBeUndefined();
  });

  test("has its age from the beginning of its read", async () => {
    const load = memory.load("flow", 0, false);
    clock.advance(3 * SECOND);
    reads[0]?.give(token());
    await load;
    clock.advance(27 * SECOND - 1);
    expect(memory.recent("flow")).toBeDefined();
    clock.advance(1);
    expect(memory.recent("flow")).toBeUndefined();
  });

  test("is kept for an outage at any age (row 17)", async () => {
    const found = token();
    await loaded("flow", found);
    clock.advance(10 * HOUR);
    expect(memory.last("flow")).toBe(found);
    expect(memory.last("other")).toBeUndefined();
  });

  test("is kept when a read fails (row 17)", async () => {
    const found = token();
    await loaded("flow", found);
    await failed("flow");
    expect(memory.recent("flow")).toBe(found);
    expect(memory.last("flow")).toBe(found);
  });

  test("from the future, after the clock was set back, is read again (row 13)", async () => {
    await loaded("flow", token());
    clock.advance(-1);
    expect(memory.recent("flow")).toBeUndefined();
    clock.advance(-HOUR);
    expect(memory.recent("flow")).toBeUndefined();
  });
});

describe("a name without a token", () => {
  test("is cached as missing for 5 s if it may be", async () => {
    expect(await loaded("missing", undefined, true)).toBeUndefined();
    expect(memory.recent("missing")).toBe("missing");
    clock.advance(5 * SECOND - 1);
    expect(memory.recent("missing")).toBe("missing");
    clock.advance(1);
    expect(memory.recent("missing")).toBeUndefined();
  });

  test("is not cached if it may not be", async () => {
    await loaded("missing", undefined, false);
    expect(memory.recent("missing")).toBeUndefined();
  });

  test("is not missing from the cache after the clock was set back (row 13)", async () => {
    await loaded("missing", undefined, true);
    clock.advance(-1);
    expect(memory.recent("missing")).toBeUndefined();
  });

  test("is found by the next read after it was created", async () => {
    await loaded("flow", undefined, true);
    await loaded("flow", token());
    expect(memory.recent("flow")).toMatchObject({ name: "flow" });
  });

  test.each([true, false])("drops its earlier token (cached: %s)", async (keep) => {
    await loaded("flow", token());
    await loaded("flow", undefined, keep);
    expect(memory.last("flow")).toBeUndefined();
    expect(memory.recent("flow")).toBe(keep ? "missing" : undefined);
  });
});

describe("concurrent readers", () => {
  test("of one name share one read of the store", async () => {
    const loads = Array.from({ length: 100 }, () => memory.load("flow", 0, false));
    expect(reads).toHaveLength(1);
    const found = token();
    reads[0]?.give(found);
    expect(new Set(await Promise.all(loads))).toEqual(new Set([found]));
  });

  test("of two names read twice", () => {
    memory.load("flow", 0, false);
    memory.load("other", 0, false);
    expect(reads.map(({ name }) => name)).toEqual(["flow", "other"]);
  });

  test("share a failure, and the next one reads again", async () => {
    const loads = [memory.load("flow", 0, false), memory.load("flow", 0, false)];
    reads[0]?.fail(DOWN);
    for (const load of loads) await expect(load).rejects.toBe(DOWN);
    memory.load("flow", 0, false);
    expect(reads).toHaveLength(2);
  });

  test("that come after the end of a read start another", async () => {
    await loaded("flow", token());
    memory.load("flow", 0, false);
    expect(reads).toHaveLength(2);
  });
});

describe("a reader that must see a later document", () => {
  test("does not join a read that began before", async () => {
    const before = memory.load("flow", 0, false);
    const after = memory.load("flow", memory.mark(), false);
    expect(reads).toHaveLength(2);
    reads[1]?.give(named("new"));
    reads[0]?.give(named("old"));
    expect((await before)?.document.accessToken).toBe("old");
    expect((await after)?.document.accessToken).toBe("new");
  });

  test("joins a read that began after, as other readers do", async () => {
    const mark = memory.mark();
    const loads = [memory.load("flow", 0, false), memory.load("flow", mark, false)];
    expect(reads).toHaveLength(1);
    reads[0]?.give(token());
    expect(await loads[0]).toBe(await loads[1]);
  });

  test("keeps an overtaken read from putting the older document back", async () => {
    const before = memory.load("flow", 0, false);
    const after = memory.load("flow", memory.mark(), false);
    reads[1]?.give(named("new"));
    await after;
    reads[0]?.give(named("old"));
    await before;
    expect(memory.last("flow")?.document.accessToken).toBe("new");
    expect(memory.recent("flow")).toMatchObject({ document: { accessToken: "new" } });
  });

  test("keeps an overtaken read from making a token missing", async () => {
    const first = memory.load("flow", 0, true);
    const second = memory.load("flow", memory.mark(), true);
    reads[1]?.give(token());
    await second;
    reads[0]?.give(undefined);
    await first;
    expect(memory.last("flow")).toBeDefined();
  });

  test.each([true, false])(
    "a read that was overtaken does not bring a token back (kept missing: %s)",
    async (keep) => {
      const first = memory.load("flow", 0, keep);
      const second = memory.load("flow", memory.mark(), keep);
      reads[1]?.give(undefined);
      await second;
      reads[0]?.give(token());
      await first;
      expect(memory.last("flow")).toBeUndefined();
      expect(memory.recent("flow")).toBe(keep ? "missing" : undefined);
    },
  );

  test("joins the later of two reads also after the earlier one ended", async () => {
    const before = memory.load("flow", 0, false);
    const after = memory.load("flow", memory.mark(), false);
    reads[0]?.give(named("old"));
    await before;
    const joined = memory.load("flow", 0, false);
    expect(reads).toHaveLength(2);
    reads[1]?.give(named("new"));
    expect(await joined).toBe(await after);
  });

  test("keeps a document although the later read failed", async () => {
    const before = memory.load("flow", 0, false);
    const after = memory.load("flow", memory.mark(), false);
    reads[0]?.give(named("only"));
    await before;
    reads[1]?.fail(DOWN);
    await expect(after).rejects.toBe(DOWN);
    expect(memory.last("flow")?.document.accessToken).toBe("only");
  });
});

describe("the cache is bounded", () => {
  test("to 5,000 tokens: the oldest is dropped", async () => {
    for (let index = 0; index <= 5000; index++) await loaded(`t${index}`, token());
    expect(memory.last("t0")).toBeUndefined();
    expect(memory.last("t1")).toBeDefined();
    expect(memory.last("t5000")).toBeDefined();
  });

  test("to 5,000 tokens: another read makes a token young and drops none", async () => {
    for (let index = 0; index < 5000; index++) await loaded(`t${index}`, token());
    await loaded("t0", token());
    expect(memory.last("t1")).toBeDefined();
    await loaded("one more", token());
    expect([memory.last("t0"), memory.last("t1")]).toEqual([expect.anything(), undefined]);
  });

  test("to 1,000 unknown names, which never push a token out", async () => {
    await loaded("flow", token());
    for (let index = 0; index <= 1000; index++) await loaded(`n${index}`, undefined, true);
    expect(memory.recent("n0")).toBeUndefined();
    expect(memory.recent("n1")).toBe("missing");
    expect(memory.recent("n1000")).toBe("missing");
    expect(memory.last("flow")).toBeDefined();
  });
});

describe("a store that does not answer", () => {
  test("is unavailable for 10 s after a failed read", async () => {
    expect(memory.isAway()).toBe(false);
    await failed("flow");
    expect(memory.isAway()).toBe(true);
    clock.advance(10 * SECOND - 1);
    expect(memory.isAway()).toBe(true);
    clock.advance(1);
    expect(memory.isAway()).toBe(false);
  });

  test("is not unavailable after the failed read of a caller without a proven passphrase (row 22)", async () => {
    const load = memory.load("flow", 0, false, false);
    reads.at(-1)?.fail(DOWN);
    await expect(load).rejects.toBe(DOWN);
    expect(memory.isAway()).toBe(false);
  });

  test("is not unavailable after it refused one document (row 22)", async () => {
    const refused = new StoreUnavailable("Firestore answered 404", undefined, true);
    const load = memory.load("flow", 0, true, true);
    reads.at(-1)?.fail(refused);
    await expect(load).rejects.toBe(refused);
    expect(memory.isAway()).toBe(false);
  });

  test("is unavailable for 10 s after a wait without an answer", () => {
    memory.giveUp();
    expect(memory.isAway()).toBe(true);
    clock.advance(10 * SECOND);
    expect(memory.isAway()).toBe(false);
  });

  test.each([token, () => undefined])("is available again with its first answer", async (answer) => {
    await failed("flow");
    await loaded("other", answer());
    expect(memory.isAway()).toBe(false);
  });

  test("is tried once a second", () => {
    memory.giveUp();
    expect([memory.mayProbe(), memory.mayProbe()]).toEqual([true, false]);
    clock.advance(999);
    expect(memory.mayProbe()).toBe(false);
    clock.advance(1);
    expect([memory.mayProbe(), memory.mayProbe()]).toEqual([true, false]);
  });

  test("is neither unavailable nor untried because the clock was set back (row 13)", () => {
    memory.giveUp();
    memory.mayProbe();
    clock.advance(-HOUR);
    expect(memory.isAway()).toBe(false);
    expect(memory.mayProbe()).toBe(true);
  });
});

/** One instance over the reads that the test answers. Its sleeps never end unless it has this machine's clock. */
function instance(
  runtime: Runtime = { now: clock.now, sleep: () => new Promise(() => {}), secret: () => "" },
) {
  const asks: ((outcome: Outcome) => void)[] = [];
  const lookup = makeLookup({
    reader: { read: (name) => new Promise((give, fail) => reads.push({ name, give, fail })) },
    askRefresher: () => new Promise((answer) => asks.push(answer)),
    passphrases: { live: async () => ["shared"] },
    runtime,
    log: () => {},
    threshold: DEFAULT_THRESHOLD,
  });
  const ask = (rejected?: string, wait = "8") =>
    lookup({
      method: "GET",
      path: "/",
      query: new URLSearchParams({ name: "flow", wait }),
      headers: { "x-token-passphrase": "shared", ...(rejected && { "x-token-rejected": rejected }) },
    });
  return { asks, ask };
}
/** Lets all pending work go on. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("lookup, after a refresh that it asked for,", () => {
  test("gives a reader no document of an earlier read", async () => {
    const { ask, asks } = instance();
    const first = ask("old");
    await turn();
    reads[0]?.give(named("old"));
    await turn();
    const other = ask("something else");
    await turn();
    expect([reads.length, asks.length]).toEqual([2, 1]);
    asks[0]?.({ outcome: "refreshed" });
    await turn();
    reads[2]?.give(named("new"));
    expect((await first).body).toMatchObject({ token: "new" });
    reads[1]?.give(named("old"));
    expect((await other).body).toMatchObject({ token: "old" });
  });

  test("gives a reader without a token no document of an earlier read", async () => {
    const { ask, asks } = instance();
    const first = ask();
    await turn();
    reads[0]?.give(token({ accessToken: "old", accessExpires: clock.now() - 1 }));
    await turn();
    expect(asks).toHaveLength(1);
    const other = ask();
    await turn();
    const before = reads.length;
    asks[0]?.({ outcome: "refreshed" });
    await turn();
    expect(reads).toHaveLength(before + 1);
    reads.at(-1)?.give(named("new"));
    expect((await first).body).toMatchObject({ token: "new" });
    reads.at(-2)?.give(named("new"));
    expect((await other).body).toMatchObject({ token: "new" });
  });
});

describe("a hundred readers that wait for one ask", () => {
  test.each([
    ["with a live token", 11 * HOUR, "old"],
    ["with nothing", -1, undefined],
  ])("%s read the store once before and once after it", async (_, left, rejected) => {
    const { ask, asks } = instance();
    const answers = Promise.all(Array.from({ length: 100 }, () => ask(rejected)));
    await turn();
    expect(reads).toHaveLength(1);
    reads[0]?.give(token({ accessToken: "old", accessExpires: clock.now() + left }));
    await turn();
    expect([reads.length, asks.length]).toEqual([1, 1]);
    asks[0]?.({ outcome: "refreshed" });
    await turn();
    expect(reads).toHaveLength(2);
    reads[1]?.give(named("new"));
    for (const { body } of await answers) expect(body).toMatchObject({ token: "new" });
  });
});

describe("this machine's clock", () => {
  afterEach(() => vi.restoreAllMocks());

  test("follows when it is set forward, and runs on when it is set back (row 13)", () => {
    const elapsed = performance.now();
    const steady = vi.spyOn(performance, "now").mockReturnValue(elapsed);
    const clock = vi.spyOn(Date, "now").mockReturnValue(0);
    const now = machine.now();
    clock.mockReturnValue(now + HOUR);
    expect(machine.now()).toBe(now + HOUR);
    clock.mockReturnValue(now - HOUR);
    expect(machine.now()).toBe(now);
    steady.mockReturnValue(elapsed + SECOND);
    expect(machine.now()).toBe(now + SECOND);
  });

  test("makes no ended token live when it is set back while the store is down (row 13)", async () => {
    const { ask } = instance(machine);
    const first = ask();
    await turn();
    const soon = Date.now() + HOUR / 2;
    reads[0]?.give({ ...token(), document: { ...WELL, accessExpires: soon, refreshAt: soon + HOUR } });
    expect((await first).status).toBe(200);
    // An hour passes, and the clock is set back by an hour.
    const passed = performance.now() + HOUR;
    vi.spyOn(performance, "now").mockReturnValue(passed);
    const second = ask(undefined, "0");
    await turn();
    reads[1]?.fail(DOWN);
    await expect(second).rejects.toBe(DOWN);
  });
});
