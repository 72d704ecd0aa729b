import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TokenEndpoint } from "../../functions/core/grant.ts";
import { EVENTS } from "../../functions/core/log.ts";
import { type Outcome, refresh } from "../../functions/core/refresh.ts";
import { HOUR, MINUTE } from "../../functions/core/time.ts";
import type { Fault } from "../../local/sandbox/faults.ts";
import { OLD, openWorld, READER, SWEEP, type World } from "../support/world.ts";

let world: World;
afterEach(async () => {
  await world.close();
});

const unhurried = (endpoint: TokenEndpoint): TokenEndpoint => ({
  ...endpoint,
  refresh: (request) => endpoint.refresh(request, false),
});

describe("a refresh", () => {
  beforeEach(async () => {
    world = await openWorld();
    await world.add("t", world.granted(OLD));
  });

  test("whose answer was lost after Webex processed it recovers at the next try", async () => {
    const before = await world.token("t");
    world.sandbox.faults.add({ fault: "lost", times: 1 });
    expect(await refresh("t", READER, world.refresher())).toEqual({
      outcome: "failed",
      code: "network",
      permanent: false,
    });
    expect((await world.token("t")).document).toMatchObject({
      accessToken: before.document.accessToken,
      refreshToken: before.document.refreshToken,
      failure: { count: 1, code: "network", permanent: false },
    });
    world.clock.advance(MINUTE);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    const { document } = await world.token("t");
    expect(world.live(document.accessToken)).toBe(true);
    expect(document.failure).toBeUndefined();
    expect(world.critical()).toEqual([]);
  });

  test("by the sweep, whose answer was lost, asks once more by itself; for a reader it does not", async () => {
    world.sandbox.faults.add({ fault: "lost", times: 1 });
    expect(await refresh("t", SWEEP, world.refresher())).toEqual({ outcome: "refreshed" });
    expect(world.refreshes()).toBe(2);
  });

  test("that lost a rotated refresh token says so, CRITICAL and once, and the held token stays", async () => {
    const { accessToken } = (await world.token("t")).document;
    world.sandbox.faults.add({ fault: "rotate", times: 1 });
    const endpoint: TokenEndpoint = {
      ...world.endpoint,
      refresh: async (request) => {
        await world.endpoint.refresh(request, false);
        return { error: "network" };
      },
    };
    expect(await refresh("t", READER, world.refresher({ endpoint }))).toMatchObject({ permanent: false });
    world.clock.advance(MINUTE);
    const refused: Outcome = { outcome: "failed", code: "invalid_request", permanent: true };
    expect(await refresh("t", READER, world.refresher())).toEqual(refused);
    expect(world.events("refresh.refused")).toEqual([
      { token: "t", count: 1, code: "invalid_request", permanent: true },
    ]);
    expect(EVENTS["refresh.refused"]).toBe("CRITICAL");
    const { document } = await world.token("t");
    expect(document.accessToken).toBe(accessToken);
    expect(world.live(accessToken)).toBe(true);
    expect(await refresh("t", READER, world.refresher())).toMatchObject({ outcome: "deferred" });
    expect(world.critical()).toHaveLength(1);
  });

  const BLIPS: Fault[] = [
    ...(["429", "429-none", "429-zero", "429-rand", "429-empty"] as const),
    ...(["500", "html", "html-403", "html-500", "redirect", "empty-token", "down", "lost"] as const),
  ];
  test.each(BLIPS)(
    "takes an hour of %s for a blip: nothing is deleted, and it recovers alone",
    async (fault) => {
      const { document: before } = await world.token("t");
      await world.edit("t", { accessExpires: world.clock.now() + 3 * HOUR });
      world.sandbox.faults.add({ fault, seconds: 3600 });
      const sweeper = world.sweeper({ endpoint: unhurried(world.endpoint) });
      await world.sweepFor(HOUR, sweeper);
      const { document } = await world.token("t");
      expect(document).toMatchObject({ accessToken: before.accessToken, refreshToken: before.refreshToken });
      expect(document.failure).toMatchObject({ permanent: false });
      expect(world.refreshes()).toBeLessThanOrEqual(13);
      await world.sweepFor(13 * MINUTE, sweeper);
      const { document: after } = await world.token("t");
      expect(after.accessToken).not.toBe(before.accessToken);
      expect(world.live(after.accessToken)).toBe(true);
      expect(after.failure).toBeUndefined();
      expect(world.critical()).toEqual([]);
    },
  );
});
