import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Authorizer, type Callback, finishAuthorization } from "../../functions/core/authorization.ts";
import { AUTHORIZED } from "../../functions/core/consent.ts";
import type { TokenEndpoint } from "../../functions/core/grant.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import { CLIENT, OLD, ORG, openWorld, SETTINGS, SWEEP, type World } from "../support/world.ts";
import { authorizer, consented, OTHER_ORG, problem, SCOPES } from "./authorizations.ts";
import { escorted, isSave, troubled } from "./troubled.ts";

let world: World;
afterEach(async () => {
  await world.close();
});

const FOREIGN = { ...CLIENT, clientId: "C2", clientSecret: "canary-client-secret-of-C2", orgId: OTHER_ORG };

describe("an authorization", () => {
  beforeEach(async () => {
    world = await openWorld();
    world.sandbox.authority.registerClient({ ...CLIENT, requirePkce: true });
    await world.add("t", { ...SETTINGS, scopes: SCOPES });
  });

  const finish = (callback: Callback, more: Partial<Authorizer> = {}) =>
    finishAuthorization(callback, authorizer(world, more));

  test("with PKCE gives tokens that live, and all that the sweep needs", async () => {
    expect(await finish(await consented(world, "t"))).toBe("t");
    const { document } = await world.token("t");
    expect(world.live(document.accessToken)).toBe(true);
    expect(document).toMatchObject({
      ...SETTINGS,
      scope: SCOPES,
      scopes: SCOPES,
      orgId: ORG,
      lifetime: 43_199,
      accessExpires: world.clock.now() + 43_199 * SECOND,
      refreshExpires: world.clock.now() + CLIENT.refreshLifetime * SECOND,
      lastRefresh: world.clock.now(),
    });
    expect(document.refreshAt).toBeGreaterThan(world.clock.now() + 8 * HOUR);
    expect(world.events("setup.authorized")).toEqual([{ token: "t" }]);
    world.clock.advance(10 * HOUR);
    expect(await sweep(world.sweeper())).toMatchObject({ refreshed: 1 });
  });

  test("that Webex says no scope of forgets the scope of the tokens before", async () => {
    await world.edit("t", { scope: "spark:people_read" });
    const endpoint: TokenEndpoint = {
      ...world.endpoint,
      async exchange(request) {
        const answer = await world.endpoint.exchange(request);
        if ("error" in answer) return answer;
        const { scope: _, ...body } = JSON.parse(answer.body);
        return { ...answer, body: JSON.stringify(body) };
      },
    };
    await finish(await consented(world, "t"), { endpoint });
    expect((await world.token("t")).document.scope).toBeUndefined();
  });

  test("without PKCE works where the integration does not want it", async () => {
    world.sandbox.authority.registerClient(CLIENT);
    expect(await finish(await consented(world, "t", { pkce: false }))).toBe("t");
  });

  test("of a token that was removed meanwhile is refused, and Webex is not asked", async () => {
    const callback = await consented(world, "t");
    await world.store.remove("t");
    expect(await problem(finish(callback))).toBe("not_found");
    expect(world.exchanges()).toBe(0);
    expect(await world.store.read("t")).toBeUndefined();
  });

  test.each(["clientId", "clientSecret", "redirectUri"])("without %s is refused by name", async (field) => {
    const callback = await consented(world, "t");
    await world.edit("t", { [field]: undefined });
    const ended = finish(callback);
    await expect(ended).rejects.toMatchObject({
      code: "settings_missing",
      message: expect.stringContaining(field),
    });
    expect(world.exchanges()).toBe(0);
  });

  test("that Webex can't answer now says so and changes nothing", async () => {
    const callback = await consented(world, "t");
    world.sandbox.faults.add({ fault: "html-500" });
    const { version } = await world.token("t");
    expect(await problem(finish(callback))).toBe("webex_unavailable");
    expect((await world.token("t")).version).toBe(version);
  });

  test("by tokens of another organization is refused and changes nothing, unless that was meant", async () => {
    await finish(await consented(world, "t"));
    world.sandbox.authority.registerClient(FOREIGN);
    const { clientId, clientSecret } = FOREIGN;
    await world.edit("t", { clientId, clientSecret });
    const { version } = await world.token("t");
    expect(await problem(finish(await consented(world, "t")))).toBe("foreign_organization");
    expect((await world.token("t")).version).toBe(version);
    await finish(await consented(world, "t", { newOrg: true }));
    const { document } = await world.token("t");
    expect(document.orgId).toBe(OTHER_ORG);
    expect(world.live(document.accessToken)).toBe(true);
  });

  test("clears what was wrong and whose hands it was in", async () => {
    await world.edit("t", { ...world.granted(OLD) });
    world.sandbox.authority.revoke();
    await refresh("t", SWEEP, world.refresher());
    await world.edit("t", { lease: { id: "another", expires: world.clock.now() + 20_000 }, static: true });
    expect((await world.token("t")).document.failure).toMatchObject({ permanent: true });
    await finish(await consented(world, "t"));
    const { document } = await world.token("t");
    expect(document).not.toHaveProperty("failure");
    expect(document).not.toHaveProperty("lease");
    expect(document).not.toHaveProperty("static");
    expect(world.live(document.accessToken)).toBe(true);
  });

  test("is stored over an edit of another field that came in between", async () => {
    const callback = await consented(world, "t");
    const after = () => world.edit("t", { passphraseHash: "f".repeat(64) });
    await finish(callback, { endpoint: escorted(world.endpoint, { after }) });
    const { document } = await world.token("t");
    expect(document.passphraseHash).toBe("f".repeat(64));
    expect(world.live(document.accessToken)).toBe(true);
  });

  test("is stored over a lease that was taken in between", async () => {
    await world.edit("t", { ...world.granted(OLD) });
    const callback = await consented(world, "t");
    const after = () => world.edit("t", { lease: { id: "another", expires: world.clock.now() + 20_000 } });
    await finish(callback, { endpoint: escorted(world.endpoint, { after }) });
    const { document } = await world.token("t");
    expect(document.lease).toBeUndefined();
    expect(document.lastRefresh).toBe(world.clock.now());
  });

  test.each([{ clientSecret: "another" }, { clientId: "C9" }])(
    "is refused where %j came in between: those tokens are another client's",
    async (edit) => {
      const callback = await consented(world, "t");
      const after = () => world.edit("t", edit);
      const ended = finish(callback, { endpoint: escorted(world.endpoint, { after }) });
      expect(await problem(ended)).toBe("settings_changed");
      expect((await world.token("t")).document).toEqual({ ...SETTINGS, scopes: SCOPES, ...edit });
    },
  );

  test.each(["landed", "not performed"] as const)(
    "whose write timed out and %s is stored, and the code used once",
    async (trouble) => {
      const callback = await consented(world, "t");
      const store = tokenStore(troubled(world.documents, trouble, isSave), world.runtime.now);
      expect(await finish(callback, { store })).toBe("t");
      const { document } = await world.token("t");
      expect(world.live(document.accessToken)).toBe(true);
      expect(world.exchanges()).toBe(1);
    },
  );

  test("that can't be stored for ten seconds says so, CRITICAL", async () => {
    const callback = await consented(world, "t");
    const started = world.clock.now();
    const store = tokenStore(troubled(world.documents, "not performed", isSave, 10_000), world.runtime.now);
    expect(await problem(finish(callback, { store }))).toBe("not_saved");
    expect(world.clock.now() - started).toBeLessThanOrEqual(11 * SECOND);
    expect(world.events("refresh.unsaved")).toEqual([{ token: "t" }]);
  });

  test("that ends after a later one leaves the later one's tokens alone", async () => {
    const [earlier, later] = [await consented(world, "t"), await consented(world, "t")];
    const after = async () => {
      world.clock.advance(5 * SECOND);
      await finish(later);
    };
    await finish(earlier, { endpoint: escorted(world.endpoint, { after }) });
    const { document } = await world.token("t");
    expect(document.lastRefresh).toBe(world.clock.now());
    expect(world.exchanges()).toBe(2);
  });

  test("of another organization without a refresh token forgets the old organization's", async () => {
    await finish(await consented(world, "t"));
    world.sandbox.authority.registerClient(FOREIGN);
    const { clientId, clientSecret } = FOREIGN;
    await world.edit("t", { clientId, clientSecret });
    const callback = await consented(world, "t", { newOrg: true });
    world.sandbox.faults.add({ fault: "omit", times: 1 });
    await finish(callback);
    const { document } = await world.token("t");
    expect(document.orgId).toBe(OTHER_ORG);
    expect(document).not.toHaveProperty("refreshToken");
    expect(document).not.toHaveProperty("refreshAt");
  });

  test("leaves word of its end for whoever made the address", async () => {
    const result = async ({ state }: Callback) =>
      (await world.documents.read("authorizations", sha256(state)))?.fields.result;
    const good = await consented(world, "t");
    await finish(good);
    expect(await result(good)).toBe(AUTHORIZED);
    const bad = await consented(world, "t");
    await problem(finish({ ...bad, code: "made-up" }));
    expect(await result(bad)).toMatch(/^Webex refused the authorization code for token "t"/);
  });
});
