import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Publish } from "../../functions/core/document.ts";
import type { EndpointAnswer } from "../../functions/core/grant.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { putTokens } from "../../local/actions/import.ts";
import type { Fault } from "../../local/sandbox/faults.ts";
import type { Variable } from "../../local/sandbox/variable.ts";
import { CLIENT, OLD, openWorld, range, SWEEP, type World } from "../support/world.ts";
import { KILLED, kills, mortalProcess } from "./crash.ts";
import { between, makeVariable, sweepLater, VARIABLE, variable, WISH, writes } from "./publishing.ts";
import { intercepted, troubled } from "./troubled.ts";

const OPERATOR = { by: "operator" } as const;

let world: World;
let name = "";
let count = 0;
beforeEach(async () => {
  world = await openWorld();
  name = `published ${++count}`;
  makeVariable(world);
});
afterEach(async () => {
  await world.close();
});

/** A token of that age that is to be published now. */
async function add(age = 0, wish: Partial<Publish> = {}): Promise<void> {
  const refreshAt = age === 0 ? world.clock.now() + 9 * HOUR : world.clock.now() - 1;
  const publish = { ...WISH, nextAt: world.clock.now() - 1, ...wish };
  const scope = CLIENT.scopes.join(" ");
  await world.add(name, { ...world.granted(age), refreshAt, scope, publish });
}
const held = async () => (await world.token(name)).document.accessToken;
const published = async () => (await world.token(name)).document.publish;
/** The contact centre, and how often it was asked for a variable. */
function counted() {
  let count = 0;
  const read = (send: () => Promise<EndpointAnswer>) => {
    count++;
    return send();
  };
  return { asked: () => count, variables: between(world.variables, { read }) };
}
/** What is held is what flows read, and nobody has anything left to do. */
async function expectPublished(): Promise<void> {
  expect(variable(world)).toEqual({ ...VARIABLE, defaultValue: await held() });
  expect(await published()).toEqual({ ...WISH, publishedAt: expect.any(Number) });
}

describe("publishing", () => {
  test("follows each refresh in the same sweep, and changes the value alone", async () => {
    await add(OLD, { nextAt: world.clock.now() + DAY });
    const before = await held();
    await sweep(world.sweeper());
    expect(await held()).not.toBe(before);
    await expectPublished();
    expect(world.events("publish.done")).toEqual([{ token: name, variables: 1 }]);
  });

  test("happens in sweeps only: a reader's refresh leaves word of it in the write of the grant", async () => {
    await add(OLD, { nextAt: world.clock.now() + DAY });
    await refresh(name, { by: "reader" }, world.refresher());
    expect(variable(world)).toEqual(VARIABLE);
    expect((await published())?.nextAt).toBeLessThanOrEqual(world.clock.now());
    await sweepLater(world);
    await expectPublished();
  });

  test("what is published already is not written again", async () => {
    await add();
    makeVariable(world, { defaultValue: (await held()) ?? "" });
    const { values, variables } = writes(world.variables);
    await sweep(world.sweeper({ variables }));
    expect(values).toEqual([]);
    await expectPublished();
  });

  test("a token that has ended is not written: the next grant is", async () => {
    await add();
    await world.edit(name, { accessExpires: world.clock.now() - 1 });
    await sweep(world.sweeper());
    expect(variable(world)).toEqual(VARIABLE);
    expect(await published()).toEqual(WISH);
    await world.edit(name, { refreshAt: world.clock.now() - 1 });
    await sweepLater(world);
    await expectPublished();
  });

  test("several variables hold it, and one that is missing keeps the others from nothing", async () => {
    makeVariable(world, { id: "cad-2" });
    await add(0, { variables: ["nowhere", VARIABLE.id, "cad-2"] });
    await sweep(world.sweeper());
    expect(variable(world)?.defaultValue).toBe(await held());
    expect(variable(world, "cad-2")?.defaultValue).toBe(await held());
    expect((await published())?.failure).toMatchObject({ code: "not_found", count: 1 });
  });

  test("a live access token that is imported is published, though no refresh works", async () => {
    await add(0, { nextAt: world.clock.now() + DAY });
    const { accessToken, accessExpires } = world.granted();
    const { clientId, clientSecret } = CLIENT;
    const refreshToken = "canary-refused-refresh-token";
    const tokens = { clientId, clientSecret, refreshToken, accessToken, accessExpires };
    await putTokens(name, tokens, await world.token(name), world.store, world.runtime);
    expect((await world.token(name)).document.scope).toBeUndefined();
    await sweepLater(world);
    expect((await world.token(name)).document).toMatchObject({ accessToken, failure: { permanent: true } });
    await expectPublished();
  });

  test("a variable that is missing does not hold up one that had a blip", async () => {
    await add(0, { variables: ["nowhere", VARIABLE.id] });
    let reads = 0;
    const variables = between(world.variables, {
      read: async (send) => (++reads === 2 ? { error: "timeout" } : send()),
    });
    await sweep(world.sweeper({ variables }));
    expect((await published())?.failure).toMatchObject({ code: "unavailable" });
    await sweepLater(world);
    expect(variable(world)?.defaultValue).toBe(await held());
    expect((await published())?.failure).toMatchObject({ code: "not_found", count: 1 });
  });

  test.each([undefined, CLIENT.scopes.join(" ")])(
    "with the scope %j the token named is asked, or is not",
    async (scope) => {
      await add(0, { via: "nobody" });
      await world.edit(name, { scope });
      await sweep(world.sweeper());
      expect((await published())?.failure?.code).toBe(scope === undefined ? "via_missing" : undefined);
      expect(variable(world)?.defaultValue === (await held())).toBe(scope !== undefined);
    },
  );

  test("another token writes where this one lacks the scope, and only there", async () => {
    const reading = { ...CLIENT, clientId: "reading", scopes: ["cjp:config_read"] };
    world.sandbox.authority.registerClient(reading);
    const via = `${name} writer`;
    await add(0, { via });
    await world.edit(name, {
      ...world.granted(0, reading),
      scope: "cjp:config_read",
      refreshAt: undefined,
    });
    await sweep(world.sweeper());
    expect((await published())?.failure?.code).toBe("via_missing");
    await world.add(via, { ...world.granted(), refreshAt: world.clock.now() + 9 * HOUR });
    await world.edit(name, { publish: { ...WISH, via, nextAt: world.clock.now() - 1 } });
    await sweepLater(world);
    expect(variable(world)?.defaultValue).toBe(await held());
  });
});

const FAULTY: [Fault, string, "publish.stuck" | "publish.failed", number][] = [
  ["variable-401", "unauthorized", "publish.stuck", 10 * MINUTE],
  ["variable-403", "forbidden", "publish.stuck", 10 * MINUTE],
  ["variable-404", "not_found", "publish.stuck", 10 * MINUTE],
  ["variable-412", "precondition_failed", "publish.failed", 30 * SECOND],
  ["variable-429", "rate_limited", "publish.failed", 30 * SECOND],
  ["variable-500", "unavailable", "publish.failed", 30 * SECOND],
  ["variable-html", "invalid_response", "publish.failed", 30 * SECOND],
  ["down", "unavailable", "publish.failed", 30 * SECOND],
];
describe("what the contact centre says is recorded, logged and backed off", () => {
  test.each(FAULTY)("%s: %s", async (fault, code, event, step) => {
    await add();
    world.sandbox.faults.add({ fault, times: 1 });
    const at = world.clock.now();
    await sweep(world.sweeper());
    expect((await published())?.failure).toEqual({ count: 1, code, since: at, at });
    expect(world.events(event)).toEqual([{ token: name, code, count: 1 }]);
    const wait = ((await published())?.nextAt ?? 0) - at;
    expect(wait / step).toBeGreaterThanOrEqual(0.8);
    expect(wait / step).toBeLessThanOrEqual(1.2);
    expect((await world.token(name)).document.failure).toBeUndefined();
    await world.sweepFor(15 * MINUTE);
    await expectPublished();
  });

  test("a pause that is asked for keeps the token from its other variables, too", async () => {
    await add(0, { variables: ["cad-0", VARIABLE.id, "cad-2"] });
    world.sandbox.faults.add({ fault: "variable-429" });
    const { asked, variables } = counted();
    await sweep(world.sweeper({ variables }));
    expect(asked()).toBe(1);
    expect((await published())?.failure?.code).toBe("rate_limited");
  });

  test("a pause that is asked for ends the publishing of this sweep", async () => {
    await add();
    const { publish = WISH } = (await world.token(name)).document;
    for (const other of range(5).map((index) => `${name}, no. ${index}`))
      await world.add(other, { ...world.granted(), refreshAt: world.clock.now() + HOUR, publish });
    world.sandbox.faults.add({ fault: "variable-429" });
    const { asked, variables } = counted();
    await sweep(world.sweeper({ variables, concurrency: 1 }));
    expect(asked()).toBe(1);
  });

  test.each(["../../people", "a?b", ""])("an organization typed as %j leads nowhere", async (orgId) => {
    await add();
    await world.edit(name, { orgId, accessToken: "canary-of-nobody" });
    const { asked, variables } = counted();
    await sweep(world.sweeper({ variables }));
    expect([asked(), (await published())?.failure?.code]).toEqual([0, "no_organization"]);
  });

  const UNFIT: [string, Partial<Variable>, string][] = [
    ["that is a number", { variableType: "Integer", defaultValue: "7" }, "not_a_string"],
  ];
  test.each(UNFIT)("a variable %s is left as it is", async (_, more, code) => {
    makeVariable(world, more);
    await add();
    const before = variable(world);
    await sweep(world.sweeper());
    expect((await published())?.failure?.code).toBe(code);
    expect(variable(world)).toEqual(before);
  });

  test("a token longer than 256 characters is never sent", async () => {
    await add();
    await world.edit(name, { accessToken: "canary".padEnd(257, "x"), orgId: world.granted().orgId });
    const { values, variables } = writes(world.variables);
    await sweep(world.sweeper({ variables }));
    expect((await published())?.failure?.code).toBe("too_long");
    expect(values).toEqual([]);
  });

  test("a day of refusals makes a handful of requests, and calls a person", async () => {
    await add();
    world.sandbox.faults.add({ fault: "variable-403" });
    const { asked, variables } = counted();
    await world.sweepFor(DAY, world.sweeper({ variables }), undefined, 5 * MINUTE);
    expect(asked()).toBeLessThanOrEqual(8);
    expect(world.events("publish.stuck")).toHaveLength(asked());
    expect(world.refreshes()).toBeLessThanOrEqual(3);
  });
});

describe("a race", () => {
  test("of two sweeps is won by one: it is written once", async () => {
    await add();
    const { values, variables } = writes(world.variables);
    await Promise.all(range(5).map(() => sweep(world.sweeper({ variables }))));
    expect(values).toEqual([await held()]);
    await sweepLater(world);
    await expectPublished();
  });

  test("with a refresh between reading and writing: the old token is not written", async () => {
    await add();
    const old = await held();
    const { values, variables } = writes(world.variables);
    const hooked = between(variables, {
      async read(send) {
        const answer = await send();
        if ((await held()) === old) await refresh(name, OPERATOR, world.refresher());
        return answer;
      },
    });
    await sweep(world.sweeper({ variables: hooked }));
    expect(values).not.toContain(old);
    await sweepLater(world);
    await expectPublished();
  });

  test("with a refresh while it is written: nobody else writes before that must be over", async () => {
    await add();
    const old = await held();
    const { values, variables } = writes(world.variables);
    const hooked = between(variables, {
      async write(send) {
        await refresh(name, OPERATOR, world.refresher());
        await sweep(world.sweeper({ variables }));
        expect(values).toEqual([]);
        return send();
      },
    });
    await sweep(world.sweeper({ variables: hooked }));
    expect(values).toEqual([old]);
    await sweepLater(world);
    await expectPublished();
  });

  test("of an old token that was held up beyond all measure: the newer one is published again", async () => {
    await add();
    const { values, variables } = writes(world.variables);
    let frozen = false;
    const hooked = between(variables, {
      async write(send) {
        if (frozen) return send();
        frozen = true;
        world.clock.advance(40 * SECOND);
        await refresh(name, OPERATOR, world.refresher());
        await sweep(world.sweeper({ variables }));
        expect(values).toEqual([await held()]);
        return send();
      },
    });
    await sweep(world.sweeper({ variables: hooked }));
    expect(variable(world)?.defaultValue).not.toBe(await held());
    await sweepLater(world);
    await expectPublished();
  });

  test("that a process frozen after its claim would lose: it does not write", async () => {
    await add();
    const { values, variables } = writes(world.variables);
    const freezing = intercepted(world.documents, async ({ fields }, perform) => {
      const done = await perform();
      if (fields?.publish) world.clock.advance(25 * SECOND);
      return done;
    });
    await sweep(world.sweeper({ variables, store: tokenStore(freezing, world.runtime.now) }));
    expect(values).toEqual([]);
    await sweepLater(world);
    await expectPublished();
  });

  test("of many sweeps and refreshes never brings an older token after a newer one", async () => {
    await add();
    const { values, variables } = writes(world.variables);
    const order: unknown[] = [await held()];
    for (let round = 0; round < 15; round++) {
      const sweeps = range(3).map(() => sweep(world.sweeper({ variables })));
      await Promise.all([...sweeps, refresh(name, OPERATOR, world.refresher())]);
      order.push(await held());
      world.clock.advance(20 * SECOND);
    }
    const ranks = values.map((value) => order.indexOf(value));
    expect(ranks).toEqual(ranks.toSorted((one, other) => one - other));
    expect(ranks).not.toContain(-1);
    await sweepLater(world);
    await expectPublished();
  });

  test("with a person who wishes for another variable: that one is written", async () => {
    makeVariable(world, { id: "cad-2" });
    await add();
    const hooked = between(world.variables, {
      async write(send) {
        const wish = (await published()) ?? WISH;
        await world.edit(name, { publish: { ...wish, variables: ["cad-2"] } });
        return send();
      },
    });
    await sweep(world.sweeper({ variables: hooked }));
    await sweepLater(world);
    expect(variable(world, "cad-2")?.defaultValue).toBe(await held());
  });

  test("with a person who wants it published no more: it stays so", async () => {
    await add();
    const hooked = between(world.variables, {
      async write(send) {
        await world.edit(name, { publish: undefined });
        return send();
      },
    });
    await sweep(world.sweeper({ variables: hooked }));
    expect(await published()).toBeUndefined();
  });
});

describe("refreshes come first", () => {
  test("a contact centre that hangs keeps no reader's refresh waiting, and ends the sweep soon", async () => {
    await add();
    let asked = false;
    const hooked = between(world.variables, {
      async read() {
        const other = `${name} other`;
        await world.add(other, world.granted(OLD));
        const sweeperOfOne = one;
        const outcome = await sweeperOfOne.limit(() => refresh(other, SWEEP, sweeperOfOne));
        expect(outcome).toEqual({ outcome: "refreshed" });
        asked = true;
        return { error: "timeout" };
      },
    });
    const one = world.sweeper({ variables: hooked, concurrency: 1 });
    await sweep(one);
    expect(asked).toBe(true);
    expect((await published())?.failure?.code).toBe("unavailable");
  });

  test("a contact centre that is slow does not keep the next sweep from its refreshes", async () => {
    await add();
    const { publish = WISH } = (await world.token(name)).document;
    const others = range(10).map((index) => `${name}, no. ${index}`);
    for (const other of others)
      await world.add(other, { ...world.granted(), refreshAt: world.clock.now() + HOUR, publish });
    let asked = 0;
    const slow = between(world.variables, {
      async read() {
        asked++;
        world.clock.advance(8 * SECOND);
        return { error: "timeout" };
      },
    });
    await sweep(world.sweeper({ variables: slow, concurrency: 1 }));
    expect(asked).toBe(3);
    await world.sweepFor(5 * MINUTE);
    for (const one of [name, ...others]) {
      const { publish } = (await world.token(one)).document;
      expect([one, publish]).toEqual([one, { ...WISH, publishedAt: expect.any(Number) }]);
    }
  });

  test("many variables of one token, all slow, do not keep the next sweep from its refreshes", async () => {
    const ids = range(10).map((index) => `cad-${index}`);
    for (const id of ids) makeVariable(world, { id });
    await add(0, { variables: ["nowhere", ...ids] });
    let asked = 0;
    const slow = between(world.variables, {
      read(send) {
        asked++;
        world.clock.advance(8 * SECOND);
        return send();
      },
    });
    await sweep(world.sweeper({ variables: slow }));
    expect(asked).toBe(3);
    expect((await published())?.failure?.code).toBe("unavailable");
    await world.sweepFor(2 * MINUTE);
    for (const id of ids) expect(variable(world, id)?.defaultValue).toBe(await held());
    expect((await published())?.failure?.code).toBe("not_found");
  });

  test("a sweep that does not get through them publishes nothing", async () => {
    await add(OLD);
    const { values, variables } = writes(world.variables);
    await sweep(world.sweeper({ variables, deadline: 0 }));
    expect(values).toEqual([]);
  });

  test("a store that fails while it publishes fails no sweep", async () => {
    await add();
    const documents = intercepted(world.documents, async ({ method, fields }, perform) => {
      if (method === "update" && fields?.publish) throw new StoreUnavailable("no answer in time");
      return perform();
    });
    const store = tokenStore(documents, world.runtime.now);
    expect(await sweep(world.sweeper({ store }))).toMatchObject({ failed: 0 });
    expect(world.events("store.unavailable")).toEqual([{ token: name }]);
    await sweepLater(world);
    await expectPublished();
  });

  test.each(["landed", "not performed"] as const)("a claim that timed out and %s", async (trouble) => {
    await add();
    const claimed = troubled(world.documents, trouble, ({ fields }) => fields?.publish !== undefined);
    await sweep(world.sweeper({ store: tokenStore(claimed, world.runtime.now) }));
    await sweepLater(world);
    await expectPublished();
  });
});

describe("killed while it publishes", () => {
  let world: World;
  afterEach(async () => {
    await world.close();
  });
  const NAME = "killed";

  async function prepare(age: number): Promise<void> {
    world = await openWorld();
    makeVariable(world);
    const refreshAt = world.clock.now() + (age === 0 ? 9 * HOUR : -1);
    const publish = { ...WISH, nextAt: world.clock.now() - 1 };
    await world.add(NAME, { ...world.granted(age), refreshAt, publish });
  }

  test.each([
    ["a sweep that publishes", 0],
    ["a sweep that refreshes and publishes", OLD],
  ])("%s: whatever its last step was, the next ones make it good", async (_, age) => {
    await prepare(age);
    const whole = mortalProcess(world);
    await sweep(world.sweeper(whole.parts));
    expect(whole.steps).toContain("the contact centre is asked");
    await world.close();
    for (const [title, kill] of kills(whole.steps)) {
      await prepare(age);
      const victim = mortalProcess(world, kill);
      expect(await victim.live(sweep(world.sweeper(victim.parts))), title).toBe(KILLED);
      await sweepLater(world);
      const { accessToken, publish } = (await world.token(NAME)).document;
      expect([title, variable(world)]).toEqual([title, { ...VARIABLE, defaultValue: accessToken }]);
      expect([title, publish]).toEqual([title, { ...WISH, publishedAt: expect.any(Number) }]);
      await world.close();
    }
    await prepare(age);
  });
});
