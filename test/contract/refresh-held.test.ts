import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { census } from "../../functions/core/census.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { CLIENT, OLD, openWorld, READER, SETTINGS, SWEEP, type World } from "../support/world.ts";

let world: World;
afterEach(async () => {
  await world.close();
});

describe("a refresh", () => {
  beforeEach(async () => {
    world = await openWorld();
    await world.add("t", world.granted(OLD));
  });

  test("of a revoked token is asked for 40 times at most in a day of sweeps and reads, and alerts once (row 7)", async () => {
    const { accessToken } = (await world.token("t")).document;
    world.sandbox.authority.revoke();
    const sweeper = world.sweeper();
    await world.sweepFor(DAY, sweeper, () => refresh("t", READER, sweeper), 5 * MINUTE);
    expect(world.refreshes()).toBeGreaterThanOrEqual(3);
    expect(world.refreshes()).toBeLessThanOrEqual(40);
    expect(world.events("refresh.refused")).toHaveLength(1);
    expect(world.critical()).toHaveLength(1);
    expect((await world.token("t")).document).toMatchObject({ accessToken, failure: { permanent: true } });
  });

  test("that was refused for an hour is tried again when the held token ends (row 24)", async () => {
    world.sandbox.faults.add({ fault: "invalid-request" });
    await world.sweepFor(50 * MINUTE);
    world.sandbox.faults.clear();
    expect((await world.token("t")).document.failure?.permanent).toBe(true);
    await world.sweepFor(12 * MINUTE);
    const { document } = await world.token("t");
    expect(document.failure).toBeUndefined();
    expect(world.live(document.accessToken)).toBe(true);
  });

  test("of a token stored by a clock that ran a month ahead is due at the next read and at the census (row 28)", async () => {
    const ahead = world.clock.now() + 30 * DAY;
    const bogus = { accessExpires: ahead + 12 * HOUR, lastRefresh: ahead, refreshAt: ahead + 9 * HOUR };
    await world.edit("t", bogus);
    await census(world.refresher());
    expect((await world.token("t")).document.refreshAt).toBe(world.clock.now());
    await world.edit("t", bogus);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    const { document } = await world.token("t");
    expect(document.accessExpires).toBe(world.clock.now() + 43_199_000);
  });

  test("with a secret corrected after a long backoff is tried by the next ask (row 16)", async () => {
    await world.edit("t", { clientSecret: "wrong" });
    await world.sweepFor(4.5 * HOUR);
    expect((await world.token("t")).document.failure?.count).toBeGreaterThanOrEqual(3);
    const asked = world.refreshes();
    await refresh("t", READER, world.refresher());
    expect(world.refreshes()).toBe(asked);
    await world.edit("t", { clientSecret: CLIENT.clientSecret });
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    expect((await world.token("t")).document.failure).toBeUndefined();
  });

  test("with another wrong secret is a new refusal with a new alert", async () => {
    await world.edit("t", { clientSecret: "wrong" });
    await refresh("t", READER, world.refresher());
    await world.edit("t", { clientSecret: "canary-wrong-secret" });
    await refresh("t", READER, world.refresher());
    expect((await world.token("t")).document.failure).toMatchObject({ count: 1 });
    expect(world.events("refresh.refused")).toHaveLength(2);
  });

  test.each([
    ["clientId", undefined, "missing_clientId"],
    ["clientId", "  ", "missing_clientId"],
    ["clientSecret", undefined, "missing_clientSecret"],
    ["clientSecret", 12, "mistyped_clientSecret"],
  ])(
    "without %s (%j) is a permanent failure that names it, without a request to Webex",
    async (field, value, code) => {
      await world.edit("t", { [field]: value });
      const { document: before } = await world.token("t");
      expect(await refresh("t", SWEEP, world.refresher())).toEqual({
        outcome: "failed",
        code,
        permanent: true,
      });
      expect(world.refreshes()).toBe(0);
      const { document } = await world.token("t");
      expect(document.failure).toMatchObject({ code, permanent: true, count: 1 });
      expect(document.accessToken).toBe(before.accessToken);
      expect(world.events("refresh.refused")).toHaveLength(1);
      await world.sweepFor(HOUR);
      expect(world.events("refresh.refused")).toHaveLength(1);
      await world.edit("t", { [field]: SETTINGS[field as "clientId"] });
      expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    },
  );

  test("after a 429 pauses its own token for the Retry-After and leaves the client's others one at a time", async () => {
    await world.add("u", world.granted(OLD));
    world.sandbox.faults.add({ fault: "429", retryAfter: 120, times: 1 });
    const refresher = world.refresher();
    expect(await refresh("t", READER, refresher)).toMatchObject({ outcome: "failed", code: "rate_limited" });
    const until = world.clock.now() + 120 * SECOND;
    expect(await refresh("t", READER, refresher)).toMatchObject({
      outcome: "deferred",
      until: expect.any(Number),
    });
    expect((await world.token("t")).document.failure?.notBefore).toBe(until);
    expect(await refresh("u", READER, refresher)).toEqual({ outcome: "refreshed" });
    world.clock.advance(150 * SECOND);
    expect(await refresh("t", SWEEP, refresher)).toEqual({ outcome: "refreshed" });
  });

  test("after two tokens of a client met a 429 pauses that client until its Retry-After is over", async () => {
    for (const name of ["u", "v"]) await world.add(name, world.granted(OLD));
    world.sandbox.faults.add({ fault: "429", retryAfter: 120, times: 2 });
    const refresher = world.refresher();
    await refresh("t", READER, refresher);
    await refresh("u", READER, refresher);
    const until = world.clock.now() + 120 * SECOND;
    expect(await refresh("v", READER, refresher)).toEqual({ outcome: "held", until });
    world.clock.advance(120 * SECOND - 1);
    expect(await refresh("v", READER, refresher)).toEqual({ outcome: "held", until });
    expect(world.refreshes()).toBe(2);
    world.clock.advance(1);
    expect(await refresh("v", READER, refresher)).toEqual({ outcome: "refreshed" });
  });

  test("that an ending process declines can be asked of the next one at once", async () => {
    const ending = world.refresher();
    ending.pauses.drain();
    const now = world.clock.now();
    expect(await refresh("t", READER, ending)).toEqual({ outcome: "held", until: now });
    expect(world.refreshes()).toBe(0);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
  });

  test("obeys a Retry-After for ten minutes at most", async () => {
    world.sandbox.faults.add({ fault: "429", retryAfter: 86_400, times: 1 });
    const refresher = world.refresher();
    await refresh("t", READER, refresher);
    world.clock.advance(10 * MINUTE);
    expect(await refresh("t", SWEEP, refresher)).toEqual({ outcome: "refreshed" });
  });
});
