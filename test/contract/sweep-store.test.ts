import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RawFields } from "../../functions/core/document.ts";
import { readSweeps } from "../../functions/core/status.ts";
import { StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { MINUTE } from "../../functions/core/time.ts";
import { OLD, openWorld, range, type World } from "../support/world.ts";
import { intercepted, isClaim, troubled } from "./troubled.ts";

let world: World;
afterEach(async () => {
  await world.close();
});

describe("a sweep", () => {
  beforeEach(async () => {
    world = await openWorld();
  });

  const add = (name: string, more: RawFields = {}) => world.add(name, { ...world.granted(OLD), ...more });
  const addMany = (count: number) => Promise.all(range(count).map((index) => add(`t${index}`)));

  test("of more than a page reads only the due tokens", async () => {
    const due = 510;
    const tokens = { ...world.granted(OLD), refreshToken: undefined };
    for (const index of range(due)) await world.add(`due ${index}`, tokens);
    for (const index of range(100))
      await world.add(`later ${index}`, { ...tokens, refreshAt: world.clock.now() + 1 });
    let read = 0;
    const hooked = intercepted(world.documents, async (call, perform) => {
      const found: unknown = await perform();
      if (call.collection === "tokens")
        read += Array.isArray(found) ? found.length : call.method === "read" ? 1 : 0;
      return found as Awaited<ReturnType<typeof perform>>;
    });
    const summary = await sweep(world.sweeper({ store: tokenStore(hooked, world.runtime.now) }));
    expect(summary).toMatchObject({ due, deferred: due, remaining: 0 });
    expect(read).toBe(due);
  });

  test("refreshes a token without reading it again", async () => {
    await addMany(5);
    let read = 0;
    const hooked = intercepted(world.documents, (call, perform) => {
      if (call.method === "read" && call.collection === "tokens") read++;
      return perform();
    });
    const summary = await sweep(world.sweeper({ store: tokenStore(hooked, world.runtime.now) }));
    expect(summary).toMatchObject({ refreshed: 5 });
    expect(read).toBe(0);
  });

  test("refreshes the others when one token cannot be written", async () => {
    await addMany(3);
    const store = tokenStore(
      troubled(
        intercepted(world.documents, (call, perform) => {
          if (call.method === "read" && call.collection === "tokens") throw new StoreUnavailable("down");
          return perform();
        }),
        "not performed",
        isClaim,
      ),
      world.runtime.now,
    );
    expect(await sweep(world.sweeper({ store, concurrency: 1 }))).toMatchObject({
      due: 3,
      refreshed: 2,
      failed: 1,
    });
    expect(world.events("store.unavailable")).toEqual([{ token: "t0" }]);
  });

  test("that cannot read the due tokens fails, so that the Scheduler retries it", async () => {
    const store = tokenStore(
      troubled(world.documents, "not performed", ({ method }) => method === "upTo"),
      world.runtime.now,
    );
    await expect(sweep(world.sweeper({ store }))).rejects.toThrow(StoreUnavailable);
  });

  test("that cannot read the next page fails only once the refreshes in flight have ended", async () => {
    await addMany(600);
    let pages = 0;
    const store = tokenStore(
      intercepted(world.documents, (call, perform) => {
        if (call.method === "upTo" && ++pages > 1) throw new StoreUnavailable("down");
        return perform();
      }),
      world.runtime.now,
    );
    await expect(sweep(world.sweeper({ store }))).rejects.toThrow(StoreUnavailable);
    const refreshed = world.refreshes();
    expect(refreshed).toBe(500);
    await new Promise((resolve) => setImmediate(resolve));
    expect(world.refreshes()).toBe(refreshed);
    expect(world.events("refresh.done")).toHaveLength(500);
  });

  test("succeeds when its status cannot be written", async () => {
    await addMany(1);
    const store = tokenStore(
      troubled(world.documents, "not performed", ({ collection }) => collection === "status", 99),
      world.runtime.now,
    );
    expect(await sweep(world.sweeper({ store }))).toMatchObject({ refreshed: 1 });
  });

  test("keeps in status/sweeps its time and the last hundred sweeps with due tokens (row 8)", async () => {
    for (const index of range(101)) {
      await world.add(`t${index}`, { refreshAt: world.clock.now(), clientId: "C1" });
      await sweep(world.sweeper());
      world.clock.advance(MINUTE);
    }
    await sweep(world.sweeper());
    const { last, sweeps } = await readSweeps(world.documents);
    expect(last).toBe(world.clock.now());
    expect(sweeps).toHaveLength(100);
    expect(sweeps.every(({ due }) => due === 1)).toBe(true);
    expect(sweeps.at(-1)?.at).toBe(world.clock.now() - MINUTE);
    expect(sweeps[0]?.at).toBe(world.clock.now() - 100 * MINUTE);
  });
});
