import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { census } from "../../functions/core/census.ts";
import type { RawFields } from "../../functions/core/document.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { DAY, HOUR } from "../../functions/core/time.ts";
import { CLIENT, OLD, openWorld, range, SWEEP, type World } from "../support/world.ts";
import { intercepted, troubled } from "./troubled.ts";

let world: World;
afterEach(async () => {
  await world.close();
});

describe("a census", () => {
  beforeEach(async () => {
    world = await openWorld();
  });

  /** A document of the original sample: eight fields, and nothing that the sweep could find it by. */
  function sample(age: number): RawFields {
    const { lifetime, orgId, refreshAt, ...fields } = world.granted(age);
    return fields;
  }

  test("adopts the sample's documents: each is scheduled by its life, one without life is due", async () => {
    await world.add("young", sample(0));
    await world.add("old", sample(OLD));
    await world.add("ended", sample(13 * HOUR));
    await world.add("empty", { clientId: "", clientSecret: "", redirectUri: "" });
    await world.add("fixed", { accessToken: "x", accessExpires: world.clock.now() + DAY, static: true });
    expect(await census(world.refresher())).toMatchObject({ tokens: 5, adopted: 3 });
    expect(world.events("census.adopted").map(({ token }) => token)).toEqual(["ended", "old", "young"]);
    const { document } = await world.token("young");
    const left = (document.accessExpires ?? 0) - (document.refreshAt ?? 0);
    expect(left / HOUR).toBeGreaterThanOrEqual(2.5);
    expect(left / HOUR).toBeLessThanOrEqual(3);
    expect((await sweep(world.sweeper())).refreshed).toBe(2);
    expect(await census(world.refresher())).toMatchObject({ tokens: 5, adopted: 0 });
  });

  test("makes a token due whose credentials were mended by hand", async () => {
    await world.add("t", { ...world.granted(OLD), clientSecret: "wrong" });
    await sweep(world.sweeper());
    await world.edit("t", { clientSecret: CLIENT.clientSecret });
    expect(await sweep(world.sweeper())).toMatchObject({ due: 0 });
    expect(await census(world.refresher())).toMatchObject({ adopted: 1 });
    expect(await sweep(world.sweeper())).toMatchObject({ refreshed: 1 });
  });

  test.each([
    ["text", "1767600000000"],
    ["a word", "soon"],
  ])("makes a token known to the sweep whose refreshAt was typed as %s", async (_, refreshAt) => {
    await world.add("t", { ...world.granted(OLD), refreshAt });
    await census(world.refresher());
    expect(await sweep(world.sweeper())).toMatchObject({ refreshed: 1 });
  });

  test("counts every token in one state", async () => {
    const now = world.clock.now();
    await world.add("working", { ...world.granted(0), refreshAt: now + HOUR });
    await world.add("refreshing", { ...world.granted(OLD), lease: { id: "l", expires: now + 5000 } });
    await world.add("retrying", world.granted(OLD));
    await world.add("refused", { ...world.granted(OLD), clientSecret: "wrong" });
    await world.add("static", { accessToken: "x", accessExpires: now + DAY, static: true });
    await world.add("ended", { accessToken: "x", accessExpires: now - 1, static: true });
    await world.add("new", { clientId: "", clientSecret: "", redirectUri: "" });
    await refresh("refused", SWEEP, world.refresher());
    world.sandbox.faults.add({ fault: "500" });
    await refresh("retrying", SWEEP, world.refresher());
    expect(await census(world.refresher())).toMatchObject({
      tokens: 7,
      states: {
        working: 1,
        refreshing: 1,
        retrying: 1,
        "needs a person": 1,
        static: 1,
        ended: 1,
        "not authorized": 1,
      },
    });
  });

  test("names each field that was mistyped", async () => {
    await world.add("t", { ...world.granted(0), lifetime: "long", clientId: 7 });
    await census(world.refresher());
    expect(world.events("token.mistyped")).toEqual([
      { token: "t", field: "clientId" },
      { token: "t", field: "lifetime" },
    ]);
  });

  test("tells of 14, 7, 3 and 1 days before the end once each, although it comes daily and at odd hours", async () => {
    const day = world.clock.now();
    await world.add("t", {
      ...world.granted(0),
      refreshExpires: day + 20.5 * DAY,
      refreshAt: day + 60 * DAY,
    });
    await world.add("fixed", { accessToken: "x", accessExpires: day + 5 * DAY, static: true });
    for (const hours of [24, 23, 25, 24, 20, 28, 48, 1]) {
      for (const _ of range(3)) {
        await census(world.refresher());
        world.clock.advance(hours * HOUR);
      }
    }
    const told = world.events("token.ending");
    expect(told.filter(({ token }) => token === "t")).toEqual(
      [14, 7, 3, 1].map((days) => ({ token: "t", kind: "refresh token", days })),
    );
    expect(told.filter(({ token }) => token === "fixed")).toEqual(
      [7, 3, 1].map((days) => ({ token: "fixed", kind: "access token", days })),
    );
  });

  test("that failed half-way tells the next time what it could not", async () => {
    const day = world.clock.now();
    await world.add("t", {
      ...world.granted(0),
      refreshExpires: day + 14.5 * DAY,
      refreshAt: day + 60 * DAY,
    });
    await census(world.refresher());
    world.clock.advance(DAY);
    const broken = troubled(world.documents, "not performed", ({ method }) => method === "list");
    const store = tokenStore(broken, world.runtime.now);
    await expect(census(world.refresher({ store }))).rejects.toThrow(StoreUnavailable);
    await census(world.refresher());
    expect(world.events("token.ending")).toEqual([{ token: "t", kind: "refresh token", days: 14 }]);
  });

  test("counts, adopts and forecasts all other documents when one can't be written", async () => {
    for (const name of ["a", "b", "c"]) {
      const { refreshAt: _, ...document } = world.granted(0);
      await world.add(name, { ...document, refreshExpires: world.clock.now() + 6.5 * DAY });
    }
    const real = tokenStore(world.documents, world.runtime.now);
    const update: typeof real.update = (token, changes) =>
      token.name === "b" ? Promise.reject(new StoreUnavailable("down")) : real.update(token, changes);
    const store = { ...real, update };
    expect(await census(world.refresher({ store }))).toMatchObject({ tokens: 3, adopted: 2, failed: 1 });
    expect(world.events("store.unavailable")).toMatchObject([{ token: "b" }]);
    expect(world.events("token.ending").map(({ token }) => token)).toEqual(["a", "b", "c"]);
    expect(await census(world.refresher())).toMatchObject({ adopted: 1, failed: 0 });
  });

  test("reads every document once", async () => {
    const fixed = { accessToken: "x", accessExpires: world.clock.now() + 90 * DAY, static: true };
    for (const index of range(1001)) await world.add(`t${index}`, fixed);
    let read = 0;
    const hooked = intercepted(world.documents, async (call, perform) => {
      const found: unknown = await perform();
      if (call.collection === "tokens") read += Array.isArray(found) ? found.length : 1;
      return found as Awaited<ReturnType<typeof perform>>;
    });
    const store = tokenStore(hooked, world.runtime.now);
    expect(await census(world.refresher({ store }))).toMatchObject({ tokens: 1001 });
    expect(read).toBe(1001);
  });
});
