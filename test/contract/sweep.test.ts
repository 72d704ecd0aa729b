import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RawFields } from "../../functions/core/document.ts";
import { readSweeps } from "../../functions/core/status.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { CLIENT, OLD, openWorld, range, type World } from "../support/world.ts";
import { escorted, intercepted, isClaim } from "./troubled.ts";

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

  test("refreshes what is due, counts it, and logs and returns the same numbers", async () => {
    const now = world.clock.now();
    world.sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    await addMany(3);
    await add("longest due", { refreshAt: now - 90 * SECOND });
    await add("refused", { ...world.granted(OLD, { ...CLIENT, clientId: "C2" }) });
    world.sandbox.authority.revoke({ clientId: "C2" });
    await add("in another's hands", { lease: { id: "another", expires: now + 20 * SECOND } });
    await add("no refresh token", { refreshToken: undefined });
    await add("not yet", { refreshAt: now + 1 });
    const endpoint = escorted(world.endpoint, { before: async () => world.clock.advance(1000) });
    const summary = await sweep(world.sweeper({ endpoint, concurrency: 1 }));
    expect(summary).toEqual({
      due: 7,
      refreshed: 4,
      failed: 1,
      deferred: 2,
      paused: 0,
      remaining: 0,
      overdueSeconds: 90,
      elapsedMs: 5000,
    });
    expect(world.events("sweep.done")).toEqual([summary]);
    expect((await readSweeps(world.documents)).sweeps).toEqual([{ ...summary, at: world.clock.now() }]);
    // It would come up for ever.
    expect((await world.token("no refresh token")).document.refreshAt).toBeUndefined();
    expect(world.refreshes()).toBe(5);
  });

  test("with nothing due asks nothing, and only remembers when it was", async () => {
    await add("not yet", { refreshAt: world.clock.now() + 1 });
    expect(await sweep(world.sweeper())).toMatchObject({ due: 0, remaining: 0, overdueSeconds: 0 });
    expect(world.refreshes()).toBe(0);
    expect(await readSweeps(world.documents)).toEqual({ last: world.clock.now(), sweeps: [] });
  });

  test("takes the longest overdue first", async () => {
    const order: string[] = [];
    for (const [index, name] of ["c", "a", "b"].entries())
      await add(name, { refreshAt: world.clock.now() - 1000 + index });
    const hooked = intercepted(world.documents, (call, perform) => {
      if (isClaim(call)) order.push("claim");
      return perform();
    });
    const store = tokenStore(hooked, world.runtime.now);
    await sweep(world.sweeper({ concurrency: 1, store }));
    expect(order).toHaveLength(3);
    expect(world.events("refresh.done").map(({ token }) => token)).toEqual(["c", "a", "b"]);
  });

  test("never has more than its concurrency at Webex", async () => {
    await addMany(12);
    let now = 0;
    let most = 0;
    const endpoint = escorted(world.endpoint, {
      before: async () => {
        most = Math.max(most, ++now);
        await world.runtime.sleep(0);
      },
      after: async () => {
        now--;
      },
    });
    expect(await sweep(world.sweeper({ endpoint, concurrency: 4 }))).toMatchObject({ refreshed: 12 });
    expect(most).toBe(4);
  });

  test("stops at four fifths of its deadline and says what remains; the next one goes on", async () => {
    await addMany(10);
    const endpoint = escorted(world.endpoint, { before: async () => world.clock.advance(2000) });
    const sweeper = world.sweeper({ endpoint, concurrency: 1, deadline: 10_000 });
    expect(await sweep(sweeper)).toMatchObject({ due: 4, refreshed: 4, remaining: 6, elapsedMs: 8000 });
    expect(await sweep(sweeper)).toMatchObject({ due: 4, refreshed: 4, remaining: 2 });
    expect(await sweep(sweeper)).toMatchObject({ due: 2, refreshed: 2, remaining: 0 });
    expect(world.refreshes()).toBe(10);
  });

  test("that stopped counts as remaining what it did not reach, not what it had to pass over", async () => {
    await addMany(3);
    const now = world.clock.now();
    await add("leased", {
      refreshAt: now - 10 * SECOND,
      lease: { id: "another", expires: now + 20 * SECOND },
    });
    const endpoint = escorted(world.endpoint, { before: async () => world.clock.advance(8000) });
    const summary = await sweep(world.sweeper({ endpoint, concurrency: 1, deadline: 10_000 }));
    expect(summary).toMatchObject({ due: 2, refreshed: 1, deferred: 1, remaining: 2 });
  });

  test("passes over the tokens of a throttled client, counts them as paused, and takes them later", async () => {
    await addMany(5);
    world.sandbox.faults.add({ fault: "429", retryAfter: 150, times: 2 });
    const sweeper = world.sweeper({ concurrency: 1 });
    expect(await sweep(sweeper)).toMatchObject({ due: 5, failed: 2, paused: 3, remaining: 0 });
    world.clock.advance(MINUTE);
    expect(await sweep(sweeper)).toMatchObject({ due: 3, refreshed: 0, paused: 3 });
    world.clock.advance(MINUTE * 3);
    expect(await sweep(sweeper)).toMatchObject({ refreshed: 5, paused: 0 });
    expect(world.refreshes()).toBe(7);
  });

  test("and another one at the same time refresh each due token once", async () => {
    await addMany(40);
    const [one, other] = await Promise.all([sweep(world.sweeper()), sweep(world.sweeper())]);
    expect(one.refreshed + other.refreshed).toBe(40);
    expect(world.refreshes()).toBe(40);
    expect(world.events("refresh.discarded")).toEqual([]);
  });

  test("does not come back to a fixed token that has a refresh token too", async () => {
    await add("fixed", { static: true });
    await sweep(world.sweeper());
    expect(world.refreshes()).toBe(0);
    expect(await sweep(world.sweeper())).toMatchObject({ due: 0 });
  });

  test("uses a refresh token once more a day before its end", async () => {
    const client = { ...CLIENT, clientId: "S1", accessLifetime: 14 * 86_400, refreshLifetime: 20 * 86_400 };
    world.sandbox.authority.registerClient(client);
    const granted = world.granted(0, client);
    const ends = granted.refreshExpires ?? 0;
    await world.add("app", { ...granted, refreshAt: world.clock.now() + 13 * DAY });
    const used: number[] = [];
    const sweeper = world.sweeper();
    while (world.clock.now() < ends) {
      if ((await sweep(sweeper)).refreshed > 0) used.push((ends - world.clock.now()) / DAY);
      world.clock.advance(HOUR);
    }
    expect(used).toEqual([7, 1]);
    const { document } = await world.token("app");
    expect(document.accessExpires).toBe(ends - DAY + 14 * DAY);
  });
});
