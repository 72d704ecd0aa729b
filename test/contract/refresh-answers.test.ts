import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TokenEndpoint } from "../../functions/core/grant.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { type AskByHash, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { CLIENT, OLD, ORG, openWorld, READER, range, SWEEP, type World } from "../support/world.ts";

const FOREIGN = "99999999-8888-7777-6666-555555555555";

let world: World;
afterEach(async () => {
  await world.close();
});

describe("a refresh", () => {
  beforeEach(async () => {
    world = await openWorld();
    await world.add("t", world.granted(OLD));
  });

  test("with a new refresh token stores and uses it", async () => {
    const { refreshToken } = (await world.token("t")).document;
    world.sandbox.faults.add({ fault: "rotate", times: 1 });
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    expect((await world.token("t")).document.refreshToken).not.toBe(refreshToken);
    world.clock.advance(10 * HOUR);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
  });

  test.each(["omit", "null-fields"] as const)(
    "keeps the fields that the answer leaves out: %s (row 5)",
    async (fault) => {
      await world.edit("t", { scope: "granted once", lifetime: 7200 });
      const { document: before } = await world.token("t");
      world.sandbox.faults.add({ fault });
      expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
      const { document } = await world.token("t");
      const { refreshToken, refreshExpires } = before;
      expect(document).toMatchObject({ refreshToken, refreshExpires, scope: "granted once", lifetime: 7200 });
      expect(document.accessExpires).toBe(world.clock.now() + 2 * HOUR);
      expect(world.live(document.accessToken)).toBe(true);
    },
  );

  test("that brings a token of another organization keeps the held one and calls a person", async () => {
    const before = await world.token("t");
    const foreign = world.sandbox.authority.issue("C1").access_token.replace(ORG, FOREIGN);
    const answer = { status: 200, body: JSON.stringify({ access_token: foreign, expires_in: 43_199 }) };
    const endpoint = { ...world.endpoint, refresh: async () => answer };
    const outcome = await refresh("t", READER, world.refresher({ endpoint }));
    expect(outcome).toEqual({ outcome: "failed", code: "foreign_organization", permanent: true });
    const { document } = await world.token("t");
    expect(document.accessToken).toBe(before.document.accessToken);
    expect(world.events("refresh.refused")).toMatchObject([{ token: "t", code: "foreign_organization" }]);
  });

  test("of a token that is rejected at once after each grant comes after 1, 2, 4 … 60 minutes (row 23)", async () => {
    const rejecting = async (): Promise<AskByHash> => ({
      by: "reader",
      ifToken: sha256((await world.token("t")).document.accessToken ?? ""),
    });
    const began = world.clock.now();
    const minutes: number[] = [];
    for (let count = 0; count < 60 * 8; count++) {
      const before = world.refreshes();
      await refresh("t", await rejecting(), world.refresher());
      if (world.refreshes() > before) minutes.push((world.clock.now() - began) / MINUTE);
      world.clock.advance(MINUTE);
    }
    expect(minutes.slice(0, 8)).toEqual([0, 1, 3, 7, 15, 31, 63, 123]);
    expect(minutes.length).toBeLessThanOrEqual(14);
  });

  test("of a rejected token is tried at once again when the one before was good for a while (row 23)", async () => {
    for (const wait of [0, 10 * MINUTE + HOUR, 10 * MINUTE + HOUR]) {
      world.clock.advance(wait);
      const ifToken = sha256((await world.token("t")).document.accessToken ?? "");
      expect(await refresh("t", { by: "reader", ifToken }, world.refresher())).toEqual({
        outcome: "refreshed",
      });
      expect((await world.token("t")).document.rejections?.count).toBe(1);
    }
  });

  test("reads numbers that are strings (row 14)", async () => {
    world.sandbox.faults.add({ fault: "strings" });
    await refresh("t", READER, world.refresher());
    const { document } = await world.token("t");
    expect(document.accessExpires).toBe(world.clock.now() + 43_199 * SECOND);
    expect(document.refreshExpires).toBe(world.clock.now() + CLIENT.refreshLifetime * SECOND);
    expect(document.lifetime).toBe(43_199);
  });

  test("with an unchanged token does not loop (row 14)", async () => {
    world.sandbox.faults.add({ fault: "same-token" });
    const { access_token, refresh_token } = world.sandbox.authority.issue("C1");
    const accessExpires = world.clock.now() + 43_199 * SECOND;
    await world.edit("t", { accessToken: access_token, refreshToken: refresh_token, accessExpires });
    expect(await refresh("t", SWEEP, world.refresher())).toEqual({ outcome: "unchanged" });
    const { document } = await world.token("t");
    expect(document.refreshAt).toBeGreaterThan(world.clock.now() + 8 * HOUR);
    // Through the hours in which it is due and below the threshold, with a reader after each sweep.
    world.clock.advance(8 * HOUR);
    await world.sweepFor(6 * HOUR, world.sweeper(), async () => {
      await refresh("t", READER, world.refresher());
      expect(world.live((await world.token("t")).document.accessToken)).toBe(true);
    });
    expect(world.refreshes()).toBeLessThanOrEqual(40);
    expect(world.critical()).toEqual([]);
  });

  test("with an unchanged token and no lifetime keeps its end (row 14)", async () => {
    const { accessToken, accessExpires } = (await world.token("t")).document;
    const body = JSON.stringify({ access_token: accessToken, token_type: "Bearer" });
    const endpoint: TokenEndpoint = { ...world.endpoint, refresh: async () => ({ status: 200, body }) };
    expect(await refresh("t", READER, world.refresher({ endpoint }))).toEqual({ outcome: "unchanged" });
    expect((await world.token("t")).document).toMatchObject({ accessToken, accessExpires });
  });

  test("of a rejected token that Webex returns unchanged is tried less and less often", async () => {
    world.sandbox.faults.add({ fault: "same-token" });
    await refresh("t", READER, world.refresher());
    const { accessToken, accessExpires } = (await world.token("t")).document;
    const start = world.refreshes();
    const ask: AskByHash = { by: "reader", ifToken: sha256(accessToken ?? "") };
    for (const _ of range(6 * 60)) {
      world.clock.advance(10 * SECOND);
      await refresh("t", ask, world.refresher());
    }
    expect((await world.token("t")).document).toMatchObject({ accessToken, accessExpires });
    expect(world.refreshes() - start).toBeGreaterThanOrEqual(5);
    expect(world.refreshes() - start).toBeLessThanOrEqual(9);
  });
});
