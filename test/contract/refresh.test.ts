import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Outcome, refresh } from "../../functions/core/refresh.ts";
import { StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { OLD, openWorld, READER, SWEEP, type World } from "../support/world.ts";
import { escorted, intercepted, isClaim, troubled } from "./troubled.ts";

let world: World;
afterEach(async () => {
  await world.close();
});

const never = () => new Promise<never>(() => {});

describe("a refresh", () => {
  beforeEach(async () => {
    world = await openWorld();
    await world.add("t", world.granted(OLD));
  });

  /** A store that answers until `down` is set. */
  function interruptible() {
    const state = { down: false };
    const hooked = intercepted(world.documents, (_, perform) => {
      if (state.down) throw new StoreUnavailable("down");
      return perform();
    });
    return { state, store: tokenStore(hooked, world.runtime.now) };
  }

  test("finds the store down as it saves, tries until its lease runs out, says so, and recovers next time", async () => {
    const { state, store } = interruptible();
    const after = async () => {
      state.down = true;
    };
    const started = world.clock.now();
    const refresher = world.refresher({ store, endpoint: escorted(world.endpoint, { after }) });
    expect(await refresh("t", READER, refresher)).toEqual({ outcome: "unsaved" });
    expect(world.clock.now() - started).toBeGreaterThanOrEqual(29 * SECOND);
    expect(world.clock.now() - started).toBeLessThanOrEqual(30 * SECOND);
    expect(world.events("refresh.unsaved")).toEqual([{ token: "t", count: undefined }]);
    expect(world.critical()).toHaveLength(1);
    expect(world.live((await world.token("t")).document.accessToken)).toBe(true);
    world.clock.advance(SECOND);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    expect(world.live((await world.token("t")).document.accessToken)).toBe(true);
  });

  test("finds the store down as it saves, and saves when it is back before the lease ends", async () => {
    const { state, store } = interruptible();
    const started = world.clock.now();
    const runtime = {
      ...world.runtime,
      sleep: async (ms: number) => {
        await world.runtime.sleep(ms);
        state.down = world.clock.now() < started + 20 * SECOND;
      },
    };
    const after = async () => {
      state.down = true;
    };
    const refresher = world.refresher({ store, runtime, endpoint: escorted(world.endpoint, { after }) });
    expect(await refresh("t", READER, refresher)).toEqual({ outcome: "refreshed" });
    expect(world.refreshes()).toBe(1);
    expect(world.live((await world.token("t")).document.accessToken)).toBe(true);
    expect(world.critical()).toEqual([]);
  });

  test("that can't claim because the store is down says so, and does not ask Webex", async () => {
    const store = tokenStore(troubled(world.documents, "not performed", isClaim, 1000), world.runtime.now);
    const ended = refresh("t", READER, world.refresher({ store }));
    await expect(ended).rejects.toThrow(StoreUnavailable);
    expect(world.refreshes()).toBe(0);
  });

  test("that was killed leaves a lease that ends after 30 s, and not before", async () => {
    let asked = () => {};
    const reached = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const before = async () => {
      asked();
      await never();
    };
    void refresh("t", READER, world.refresher({ endpoint: escorted(world.endpoint, { before }) }));
    await reached;
    const until = world.clock.now() + 30 * SECOND;
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "leased", until });
    world.clock.advance(30 * SECOND - 1);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "leased", until });
    world.clock.advance(1);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    expect(world.refreshes()).toBe(1);
  });

  test("killed at any await leaves the held token, and is made good once its lease is over", async () => {
    for (const when of ["before", "after"] as const) {
      let kills = 0;
      for (let last = false; !last; kills++) {
        const name = `${when} ${kills}`;
        await world.add(name, world.granted(OLD));
        let step = 0;
        let died = () => {};
        const dead = new Promise<"killed">((resolve) => {
          died = () => resolve("killed");
        });
        const mortal = async <T>(perform: () => Promise<T>): Promise<T> => {
          if (step++ !== kills) return perform();
          if (when === "after") await perform();
          died();
          return never();
        };
        const { endpoint } = world;
        const refresher = world.refresher({
          store: tokenStore(
            intercepted(world.documents, (_, perform) => mortal(perform)),
            world.runtime.now,
          ),
          endpoint: { ...endpoint, refresh: (request) => mortal(() => endpoint.refresh(request, false)) },
        });
        const end = await Promise.race([dead, refresh(name, SWEEP, refresher)]);
        last = end !== "killed";

        expect(world.live((await world.token(name)).document.accessToken)).toBe(true);
        world.clock.advance(30 * SECOND);
        await sweep(world.sweeper());
        const { document } = await world.token(name);
        expect(world.live(document.accessToken)).toBe(true);
        expect(document.accessExpires).toBeGreaterThan(world.clock.now() + 11 * HOUR);
        expect(document.lease).toBeUndefined();
        expect(document.failure).toBeUndefined();
      }
      // Read, claim, Webex, save: there were that many ways to die.
      expect(kills).toBe(5);
    }
  });

  test("whose lease ran out before Webex answered gives way to the one that came after it", async () => {
    let winner: string | undefined;
    const after = async () => {
      world.clock.advance(31 * SECOND);
      expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
      winner = (await world.token("t")).document.accessToken;
    };
    const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
    expect(await refresh("t", READER, refresher)).toEqual({ outcome: "discarded" });
    expect((await world.token("t")).document.accessToken).toBe(winner);
  });

  test("whose lease ran out while another one is asking Webex does not write over its lease", async () => {
    const slow = async () => {
      world.clock.advance(31 * SECOND);
      let outcome: Outcome | undefined;
      const before = async () => {
        outcome = await late;
      };
      const second = refresh(
        "t",
        READER,
        world.refresher({ endpoint: escorted(world.endpoint, { before }) }),
      );
      overtaken = second.then((end) => [outcome, end]);
      while (!(await leasedAnew())) await world.runtime.sleep(0);
    };
    const first = (await world.token("t")).version;
    const leasedAnew = async () => {
      const { document, version } = await world.token("t");
      return version !== first && (document.lease?.expires ?? 0) > world.clock.now();
    };
    let overtaken: Promise<unknown> = never();
    const late = refresh(
      "t",
      READER,
      world.refresher({ endpoint: escorted(world.endpoint, { after: slow }) }),
    );
    await late;
    expect(await overtaken).toEqual([{ outcome: "refreshed" }, { outcome: "refreshed" }]);
    expect(world.live((await world.token("t")).document.accessToken)).toBe(true);
  });

  test("whose lease ran out, but after which nobody came, is stored: nothing newer is overwritten", async () => {
    const after = async () => world.clock.advance(31 * SECOND);
    const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
    expect(await refresh("t", READER, refresher)).toEqual({ outcome: "refreshed" });
    const { document } = await world.token("t");
    // Life counts from the start of the request.
    expect(document.accessExpires).toBe(world.clock.now() - 31 * SECOND + 43_199 * SECOND);
  });

  test("by machines whose clocks are two minutes apart: one asks, and what it stores is by the store's clock", async () => {
    const machine = (off: number) => {
      const now = () => world.clock.now() + off;
      return world.refresher({ runtime: { ...world.runtime, now }, store: tokenStore(world.documents, now) });
    };
    const machines = [machine(-MINUTE), machine(MINUTE), machine(0)];
    const outcomes = await Promise.all(machines.map((one) => refresh("t", READER, one)));
    expect(outcomes.map(({ outcome }) => outcome).toSorted()).toEqual(["leased", "leased", "refreshed"]);
    expect(world.refreshes()).toBe(1);
    const { document } = await world.token("t");
    expect(document.accessExpires).toBe(world.clock.now() + 43_199 * SECOND);
    for (const one of machines) expect(await refresh("t", READER, one)).toEqual({ outcome: "fresh" });
  });

  test("after the clock was set back an hour is not held back by a lease or a failure from the future", async () => {
    const lease = { id: "from the future", expires: world.clock.now() + HOUR };
    await world.edit("t", { lease });
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
  });
});
