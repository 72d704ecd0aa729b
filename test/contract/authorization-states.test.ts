import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Authorizer, type Callback, finishAuthorization } from "../../functions/core/authorization.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { refresh } from "../../functions/core/refresh.ts";
import type { Problem } from "../../functions/core/reply.ts";
import { HOUR, MINUTE } from "../../functions/core/time.ts";
import { CLIENT, OLD, openWorld, range, SETTINGS, SWEEP, type World } from "../support/world.ts";
import { authorizer, consented, OTHER_ORG, plainConsent, problem, SCOPES } from "./authorizations.ts";

let world: World;
afterEach(async () => {
  await world.close();
});

describe("an authorization", () => {
  beforeEach(async () => {
    world = await openWorld();
    world.sandbox.authority.registerClient({ ...CLIENT, requirePkce: true });
    await world.add("t", { ...SETTINGS, scopes: SCOPES });
  });

  const finish = (callback: Callback, more: Partial<Authorizer> = {}) =>
    finishAuthorization(callback, authorizer(world, more));

  test("keeps the state itself nowhere, and of the code nothing", async () => {
    const { state, code } = await consented(world, "t");
    await finish({ state, code });
    const all = await Promise.all(
      (["tokens", "authorizations", "status"] as const).map((collection) =>
        world.documents.list(collection, 99),
      ),
    );
    expect(JSON.stringify(all)).not.toContain(state);
    expect(JSON.stringify(all)).not.toContain(code);
    expect(JSON.stringify(world.logged)).not.toContain(state);
    expect(all[1]?.map(({ id }) => id)).toEqual([sha256(state)]);
  });

  test("has its state bound to its verifier: the code with another state's verifier is refused", async () => {
    const mine = await consented(world, "t");
    const stolen = await consented(world, "t");
    expect(await problem(finish({ state: mine.state, code: stolen.code }))).toBe("code_refused");
    expect((await world.token("t")).document.accessToken).toBeUndefined();
  });

  test("that is replayed is refused, and Webex is not asked again", async () => {
    const callback = await consented(world, "t");
    await finish(callback);
    const { version } = await world.token("t");
    expect(await problem(finish(callback))).toBe("state_refused");
    expect(world.exchanges()).toBe(1);
    expect((await world.token("t")).version).toBe(version);
  });

  test("whose code Webex refused has used its state up all the same", async () => {
    const { state, code } = await consented(world, "t");
    expect(await problem(finish({ state, code: "forged" }))).toBe("code_refused");
    expect(await problem(finish({ state, code }))).toBe("state_refused");
    expect(world.exchanges()).toBe(1);
  });

  test("after fifteen minutes is refused, a moment before it is not", async () => {
    const [late, justInTime] = [await consented(world, "t"), await consented(world, "t")];
    const states = await world.documents.list("authorizations", 9);
    expect(states.map(({ fields }) => fields.expires)).toEqual(
      range(2).map(() => world.clock.now() + 15 * MINUTE),
    );
    // The sandbox's codes live ten minutes: a refused code shows that the state was accepted.
    world.clock.advance(15 * MINUTE - 1);
    expect(await problem(finish(justInTime))).toBe("code_refused");
    world.clock.advance(1);
    expect(await problem(finish(late))).toBe("state_refused");
    expect(world.exchanges()).toBe(1);
  });

  test.each(["unknown", "t ", "T", sha256("t"), "set_state_here"])(
    "with the state %j, which nobody made, is refused, and Webex is not asked",
    async (state) => {
      const code = await problem(finish({ code: "c", state }));
      expect(code).toBe(state === "set_state_here" ? "unset_state" : "state_refused");
      expect(world.exchanges()).toBe(0);
    },
  );

  describe("by the plain name of a token", () => {
    const outcome = async (state = "t", more: Partial<Authorizer> = {}) => {
      const callback = await plainConsent(world, state);
      const ended = await finish(callback, more).catch((error: Problem) => error.code);
      return { ended, asked: world.exchanges() };
    };
    const accepted = { ended: "t", asked: 1 };
    const refused = { ended: "state_refused", asked: 0 };

    test("is accepted for one that never held a token, within an hour of its last edit", async () => {
      world.clock.advance(HOUR - 1);
      expect(await outcome()).toEqual(accepted);
    });

    test("is refused for one that never held a token, an hour after its last edit", async () => {
      world.clock.advance(HOUR);
      expect(await outcome()).toEqual(refused);
      await world.edit("t", { scopes: "again" });
      expect(await outcome()).toEqual(accepted);
    });

    test("is refused while the access token lives, whatever else is wrong", async () => {
      await world.edit("t", { ...world.granted(OLD), refreshExpires: world.clock.now() - 1 });
      world.sandbox.authority.revoke();
      await refresh("t", SWEEP, world.refresher());
      expect(await outcome()).toEqual(refused);
    });

    test("is refused where the access token has ended, but the refresh token may still serve", async () => {
      await world.edit("t", world.granted(13 * HOUR));
      expect(await outcome()).toEqual(refused);
    });

    test("is refused where a blip keeps the token from being refreshed", async () => {
      await world.edit("t", world.granted(13 * HOUR));
      world.sandbox.faults.add({ fault: "500", times: 1 });
      await refresh("t", SWEEP, world.refresher());
      expect(await outcome()).toEqual(refused);
    });

    test("is refused for an imported refresh token that was never used", async () => {
      await world.edit("t", { refreshToken: "imported" });
      expect(await outcome()).toEqual(refused);
    });

    test("is accepted where the refresh token has ended", async () => {
      await world.edit("t", { ...world.granted(13 * HOUR), refreshExpires: world.clock.now() });
      expect(await outcome()).toEqual(accepted);
    });

    test("is accepted where Webex refused the refresh token for good", async () => {
      await world.edit("t", world.granted(13 * HOUR));
      world.sandbox.authority.revoke();
      await refresh("t", SWEEP, world.refresher());
      expect(await outcome()).toEqual(accepted);
    });

    test("is refused where the refusal was of credentials that were mended since", async () => {
      await world.edit("t", { ...world.granted(13 * HOUR), clientSecret: "wrong" });
      await refresh("t", SWEEP, world.refresher());
      await world.edit("t", { clientSecret: CLIENT.clientSecret });
      expect(await outcome()).toEqual(refused);
    });

    test("is refused for an ended fixed token", async () => {
      await world.edit("t", { accessToken: "x", accessExpires: world.clock.now() - 1, static: true });
      expect(await outcome()).toEqual(refused);
    });

    test("is refused where plain states are off", async () => {
      expect(await outcome("t", { plainStates: false })).toEqual(refused);
    });

    test("is refused for tokens of another organization than before", async () => {
      await world.edit("t", { ...world.granted(13 * HOUR), refreshExpires: 1, orgId: OTHER_ORG });
      expect(await outcome()).toEqual({ ended: "foreign_organization", asked: 1 });
    });
  });
});
