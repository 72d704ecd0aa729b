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
import { CLIENT, OLD, ORG, openWorld, range, SWEEP, type World } from "../support/world.ts";
import { KILLED, kills, mortalProcess } from "./crash.ts";
import { between, makeVariable, sweepLater, VARIABLE, variable, WISH, writes } from "./publishing.ts";
import { intercepted, troubled } from "./troubled.ts";

const FOREIGN = "99999999-8888-7777-6666-555555555555";
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

/** Adds a token of this age that is due to be published. */
async function add(age = 0, wish: Partial<Publish> = {}): Promise<void> {
  const refreshAt = age === 0 ? world.clock.now() + 9 * HOUR : world.clock.now() - 1;
  const publish = { ...WISH, nextAt: world.clock.now() - 1, ...wish };
  const scope = CLIENT.scopes.join(" ");
  await world.add(name, { ...world.granted(age), refreshAt, scope, publish });
}
const held = async () => (await world.token(name)).document.accessToken;
const published = async () => (await world.token(name)).document.publish;
/** The contact centre's variables, with a count of the reads. */
function counted() {
  let count = 0;
  const read = (send: () => Promise<EndpointAnswer>) => {
    count++;
    return send();
  };
  return { asked: () => count, variables: between(world.variables, { read }) };
}
/** The variable has the held token, and nothing is left to publish. */
async function expectPublished(): Promise<void> {
  expect(variable(world)).toEqual({ ...VARIABLE, defaultValue: await held() });
  expect(await published()).toEqual({ ...WISH, publishedAt: expect.any(Number) });
}

describe("publishing", () => {
  test("follows a refresh in the same sweep, and changes only the variable's value", async () => {
    await add(OLD, { nextAt: world.clock.now() + DAY });
    const before = await held();
    await sweep(world.sweeper());
    expect(await held()).not.toBe(before);
    await expectPublished();
    expect(world.events("publish.done")).toEqual([{ token: name, variables: 1 }]);
  });

  test("happens only in sweeps: a reader's refresh marks the token as due to be published", async () => {
    await add(OLD, { nextAt: world.clock.now() + DAY });
    await refresh(name, { by: "reader" }, world.refresher());
    expect(variable(world)).toEqual(VARIABLE);
    expect((await published())?.nextAt).toBeLessThanOrEqual(world.clock.now());
    await sweepLater(world);
    await expectPublished();
  });

  test("does not write a value that the variable already has", async () => {
    await add();
    makeVariable(world, { defaultValue: (await held()) ?? "" });
    const { values, variables } = writes(world.variables);
    await sweep(world.sweeper({ variables }));
    expect(values).toEqual([]);
    await expectPublished();
  });

  test("skips a token that has ended, and writes the next grant", async () => {
    await add();
    await world.edit(name, { accessExpires: world.clock.now() - 1 });
    await sweep(world.sweeper());
    expect(variable(world)).toEqual(VARIABLE);
    expect(await published()).toEqual(WISH);
    await world.edit(name, { refreshAt: world.clock.now() - 1 });
    await sweepLater(world);
    await expectPublished();
  });

  test("writes all variables of a token when one of them is missing", async () => {
    makeVariable(world, { id: "cad-2" });
    await add(0, { variables: ["nowhere", VARIABLE.id, "cad-2"] });
    await sweep(world.sweeper());
    expect(variable(world)?.defaultValue).toBe(await held());
    expect(variable(world, "cad-2")?.defaultValue).toBe(await held());
    expect((await published())?.failure).toMatchObject({ code: "not_found", count: 1 });
  });

  test("writes an imported live access token whose refresh fails", async () => {
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

  test("retries a variable that failed once although another one is missing", async () => {
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
    "uses the token named by via only without the scope: own scope %j",
    async (scope) => {
      await add(0, { via: "nobody" });
      await world.edit(name, { scope });
      await sweep(world.sweeper());
      expect((await published())?.failure?.code).toBe(scope === undefined ? "via_missing" : undefined);
      expect(variable(world)?.defaultValue === (await held())).toBe(scope !== undefined);
    },
  );

  test("writes with another token when this one lacks the scope", async () => {
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
describe("a publication that fails is recorded, logged and backed off", () => {
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

  test("after a 429, without the token's other variables", async () => {
    await add(0, { variables: ["cad-0", VARIABLE.id, "cad-2"] });
    world.sandbox.faults.add({ fault: "variable-429" });
    const { asked, variables } = counted();
    await sweep(world.sweeper({ variables }));
    expect(asked()).toBe(1);
    expect((await published())?.failure?.code).toBe("rate_limited");
  });

  test("two tokens of a client that meet a 429 pause that client's publishing, and no other client's (row 19)", async () => {
    await add();
    const { publish = WISH } = (await world.token(name)).document;
    const due = { refreshAt: world.clock.now() + HOUR, publish };
    for (const other of range(5).map((index) => `${name}, no. ${index}`))
      await world.add(other, { ...world.granted(), ...due });
    const healthy = `${name}, of another client`;
    const client = { ...CLIENT, clientId: "C2" };
    world.sandbox.authority.registerClient(client);
    await world.add(healthy, { ...world.granted(0, client), scope: CLIENT.scopes.join(" "), ...due });
    world.sandbox.faults.add({ fault: "variable-429", times: 2 });
    await sweep(world.sweeper({ concurrency: 1 }));
    const { document } = await world.token(healthy);
    expect(document.publish?.publishedAt).toBeDefined();
    expect(world.events("publish.done")).toHaveLength(1);
  });

  test("no token is carried to another organization by the token that writes for it (row 37)", async () => {
    const via = `${name} abroad`;
    const abroad = world.sandbox.authority.issue("C1").access_token.replace(ORG, FOREIGN);
    await world.add(via, { ...world.granted(), accessToken: abroad, orgId: FOREIGN, static: true });
    await add(0, { via });
    await world.edit(name, { scope: "cjp:config_read" });
    const { asked, variables } = counted();
    await sweep(world.sweeper({ variables }));
    expect([asked(), (await published())?.failure?.code]).toEqual([0, "foreign_organization"]);
    expect(world.events("publish.stuck")).toMatchObject([{ token: name, code: "foreign_organization" }]);
  });

  test.each(["../../people", "a?b", ""])("without a request for the organization %j", async (orgId) => {
    await add();
    await world.edit(name, { orgId, accessToken: "canary-of-nobody" });
    const { asked, variables } = counted();
    await sweep(world.sweeper({ variables }));
    expect([asked(), (await published())?.failure?.code]).toEqual([0, "no_organization"]);
  });

  const UNFIT: [string, Partial<Variable>, string][] = [
    ["that is a number", { variableType: "Integer", defaultValue: "7" }, "not_a_string"],
  ];
  test.each(UNFIT)("with a variable %s, which is not changed", async (_, more, code) => {
    makeVariable(world, more);
    await add();
    const before = variable(world);
    await sweep(world.sweeper());
    expect((await published())?.failure?.code).toBe(code);
    expect(variable(world)).toEqual(before);
  });

  test("with a token longer than 256 characters, which is not sent", async () => {
    await add();
    await world.edit(name, { accessToken: "canary".padEnd(257, "x"), orgId: world.granted().orgId });
    const { values, variables } = writes(world.variables);
    await sweep(world.sweeper({ variables }));
    expect((await published())?.failure?.code).toBe("too_long");
    expect(values).toEqual([]);
  });

  test("with eight requests at most in a day of refusals, each logged for the operator", async () => {
    await add();
    world.sandbox.faults.add({ fault: "variable-403" });
    const { asked, variables } = counted();
    await world.sweepFor(DAY, world.sweeper({ variables }), undefined, 5 * MINUTE);
    expect(asked()).toBeLessThanOrEqual(8);
    expect(world.events("publish.stuck")).toHaveLength(asked());
    expect(world.refreshes()).toBeLessThanOrEqual(3);
  });
});

describe("publishing in a race", () => {
  test("of five sweeps writes once", async () => {
    await add();
    const { values, variables } = writes(world.variables);
    await Promise.all(range(5).map(() => sweep(world.sweeper({ variables }))));
    expect(values).toEqual([await held()]);
    await sweepLater(world);
    await expectPublished();
  });

  test("with a refresh between read and write does not write the old token", async () => {
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

  test("with a refresh during the write lets no other sweep write meanwhile", async () => {
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

  test("with a write of an old token that is delayed past its lease writes the newer one again", async () => {
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

  test("does not write in a process that was frozen after its claim", async () => {
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

  test("of sweeps and refreshes never writes an older token after a newer one", async () => {
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

  test("with an edit that names another variable writes that one", async () => {
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

  test("with an edit that ends publishing stays ended", async () => {
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

describe("refreshes come before publishing", () => {
  test("a reader's refresh does not wait for a contact centre that hangs", async () => {
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

  test("a slow contact centre does not delay the next sweep", async () => {
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

  test("many slow variables of one token do not delay the next sweep", async () => {
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

  test("a sweep that does not finish its refreshes publishes nothing", async () => {
    await add(OLD);
    const { values, variables } = writes(world.variables);
    await sweep(world.sweeper({ variables, deadline: 0 }));
    expect(values).toEqual([]);
  });

  test("a sweep succeeds when the store fails during publishing", async () => {
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

  test.each(["landed", "not performed"] as const)(
    "a claim whose write timed out and %s is made up for by the next sweep",
    async (trouble) => {
      await add();
      const claimed = troubled(world.documents, trouble, ({ fields }) => fields?.publish !== undefined);
      await sweep(world.sweeper({ store: tokenStore(claimed, world.runtime.now) }));
      await sweepLater(world);
      await expectPublished();
    },
  );
});

describe("a process killed while it publishes (row 4)", () => {
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
  ])("at each step of %s: the next sweeps publish the token", async (_, age) => {
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
