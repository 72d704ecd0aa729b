import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { finishAuthorization } from "../../functions/core/authorization.ts";
import type { TokenDocument } from "../../functions/core/document.ts";
import { refresh as refreshToken } from "../../functions/core/refresh.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { HOUR, LEASE_TIME, SECOND } from "../../functions/core/time.ts";
import { add } from "../../local/commands/add.ts";
import { adopt } from "../../local/commands/adopt.ts";
import { authorize } from "../../local/commands/authorize.ts";
import { importToken } from "../../local/commands/import.ts";
import { refresh } from "../../local/commands/refresh.ts";
import { remove } from "../../local/commands/remove.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { CLIENT, OLD, openWorld, SETTINGS, SWEEP, type World } from "../support/world.ts";
import { authorizer } from "./authorizations.ts";
import { KILLED, kills, mortalProcess } from "./crash.ts";
import { allowed, type Line, runCommand } from "./crash-operator.ts";
import { expectHonestAnswer, isAccepted } from "./crash-reader.ts";

const NAME = "t";
const ADOPTED = ["t", "t2", "t3"];
const NEW_SECRET = "canary-other-secret-of-C1";

interface Scenario {
  title: string;
  /** Puts into the world what exists before. Gives the command line of both runs. */
  prepare: (world: World) => Promise<Line>;
  /** The tokens that it changes. */
  names?: string[];
  /** Fields that change together or not at all. */
  together: (keyof TokenDocument)[];
  /** Expects what a second run completes. */
  complete: (world: World) => Promise<void>;
}

const SCENARIOS: Scenario[] = [
  {
    title: "add, of a new token",
    prepare: async () => ({
      register: add,
      args: ["add", NAME, "--client-id", CLIENT.clientId, "--scope", "cjp:config_read"],
      typed: { "client secret": CLIENT.clientSecret },
    }),
    together: ["clientId", "clientSecret", "redirectUri", "scopes"],
    async complete(world) {
      expect((await world.token(NAME)).document).toEqual({ ...SETTINGS, scopes: "cjp:config_read" });
    },
  },
  {
    title: "add, of a new client secret",
    async prepare(world) {
      await withTokenHeld(world);
      world.sandbox.authority.registerClient({ ...CLIENT, clientSecret: NEW_SECRET });
      await refreshToken(NAME, SWEEP, world.refresher());
      return { register: add, args: ["add", NAME, "--replace"], typed: { "client secret": NEW_SECRET } };
    },
    together: ["clientSecret", "failure", "refreshAt"],
    async complete(world) {
      expect(await sweep(world.sweeper())).toMatchObject({ refreshed: 1 });
      await expectWorking(world);
    },
  },
  {
    title: "import, of a new token",
    prepare: async (world) => importing(world, CLIENT.clientSecret),
    together: ["clientId", "clientSecret", "refreshToken", "refreshAt"],
    complete: expectWorking,
  },
  {
    title: "import, over a token that Webex refuses",
    async prepare(world) {
      await withTokenHeld(world);
      world.sandbox.authority.revoke();
      await refreshToken(NAME, SWEEP, world.refresher());
      world.sandbox.authority.registerClient({ ...CLIENT, clientSecret: NEW_SECRET });
      return importing(world, NEW_SECRET);
    },
    together: ["clientSecret", "refreshToken", "failure", "refreshAt"],
    complete: expectWorking,
  },
  {
    title: "import, of a static access token over a refreshed one",
    async prepare(world) {
      await withTokenHeld(world);
      const { access_token } = world.sandbox.authority.issue(CLIENT.clientId);
      return {
        register: importToken,
        args: ["import", NAME, "--static", "--expires", "11h"],
        typed: { "access token": access_token },
      };
    },
    together: ["accessToken", "accessExpires", "static", "refreshToken", "refreshAt", "lifetime"],
    async complete(world) {
      const { document } = await world.token(NAME);
      expect(document).toMatchObject({ ...SETTINGS, static: true });
      expect(await world.store.countDue(world.clock.now() + 24 * HOUR)).toBe(0);
      expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: 200 });
    },
  },
  {
    title: "authorize, with other scopes than before",
    async prepare(world) {
      await withTokenHeld(world);
      const args = ["authorize", NAME, "--no-wait", "--scope", "cjp:config_read"];
      return { register: authorize, args };
    },
    together: ["scopes"],
    async complete(world) {
      expect((await world.token(NAME)).document.scopes).toBe("cjp:config_read");
      expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: 200 });
    },
  },
  {
    title: "authorize, with the address pasted",
    async prepare(world) {
      await withTokenHeld(world);
      return { register: authorize, args: ["authorize", NAME, "--paste"] };
    },
    together: ["accessToken", "refreshToken", "refreshAt", "lastRefresh"],
    complete: expectWorking,
  },
  {
    title: "refresh",
    async prepare(world) {
      await withTokenHeld(world);
      return { register: refresh, args: ["refresh", NAME] };
    },
    together: ["accessToken", "refreshAt", "lastRefresh"],
    complete: expectWorking,
  },
  {
    title: "remove",
    async prepare(world) {
      await withTokenHeld(world);
      return { register: remove, args: ["remove", NAME] };
    },
    together: ["clientId", "accessToken", "refreshToken", "refreshAt"],
    async complete(world) {
      expect(await world.store.read(NAME)).toBeUndefined();
      expect(await world.store.countDue(world.clock.now())).toBe(0);
    },
  },
  {
    title: "adopt",
    async prepare(world) {
      for (const name of ADOPTED) {
        const { refreshAt, ...asTheSampleWroteIt } = world.granted();
        await world.add(name, asTheSampleWroteIt);
      }
      return { register: adopt, args: ["adopt"] };
    },
    names: ADOPTED,
    together: ["refreshAt"],
    async complete(world) {
      expect(await world.store.countDue(world.clock.now() + 12 * HOUR)).toBe(3);
    },
  },
];

/** A token with an hour left. */
async function withTokenHeld(world: World): Promise<void> {
  await world.add(NAME, world.granted());
  world.clock.advance(OLD);
}

function importing({ sandbox }: World, clientSecret: string): Line {
  const { refresh_token } = sandbox.authority.issue(CLIENT.clientId);
  return {
    register: importToken,
    args: ["import", NAME, "--client-id", CLIENT.clientId],
    typed: { "client secret": clientSecret, "refresh token": refresh_token },
  };
}

async function expectWorking(world: World): Promise<void> {
  const { document } = await world.token(NAME);
  expect(document).not.toHaveProperty("lease");
  expect(document).not.toHaveProperty("failure");
  expect(isAccepted(document, world)).toBe(true);
  const { status, headers } = await expectHonestAnswer(NAME, world);
  expect(status).toBe(200);
  expect(Number(headers?.["x-token-expires-in"]) * 1000).toBeGreaterThan(11 * HOUR);
  expect(await world.store.countDue(world.clock.now())).toBe(0);
}

const documentOf = async (name: string, world: World): Promise<TokenDocument> =>
  (await world.store.read(name))?.document ?? {};

const requests = (world: World) => world.refreshes() + world.exchanges();

/** Runs a command to its end. Gives its steps. */
const whole = (line: Line, world: World) =>
  runCommand(line, world, undefined, async (process, work) => {
    await work;
    return process.steps;
  });

async function stepsOf({ prepare }: Scenario): Promise<string[]> {
  const world = await openWorld();
  const steps = await whole(await prepare(world), world);
  await world.close();
  return steps;
}

const COUNTED = await Promise.all(
  SCENARIOS.map(async (scenario) => [scenario.title, scenario, await stepsOf(scenario)] as const),
);

let world: World;
afterEach(async () => {
  await world.close();
});

describe.each(COUNTED)("%s", (_, scenario, steps) => {
  const { prepare, names = [NAME], together, complete } = scenario;

  test("takes the counted steps", async () => {
    world = await openWorld();
    expect(await whole(await prepare(world), world)).toEqual(steps);
    await complete(world);
  });

  test.each(kills(steps))(
    "killed %s, changes a whole step or nothing, and a second run completes it (row 4)",
    async (_, kill) => {
      world = await openWorld();
      const line = await prepare(world);
      const before = await Promise.all(names.map((name) => documentOf(name, world)));
      const asked = requests(world);
      const end = await runCommand(line, world, kill, (process, work) => process.live(work));
      expect(end).toBe(KILLED);

      const after = await Promise.all(names.map((name) => documentOf(name, world)));
      const removed = after[0]?.clientId === undefined;
      for (const [index, name] of names.entries()) {
        const [then, now] = [before[index] ?? {}, after[index] ?? {}];
        const changed = together.filter((field) => !isDeepStrictEqual(then[field], now[field]));
        expect([[], together]).toContainEqual(changed);
        const { status } = await expectHonestAnswer(name, world);
        if (world.live(then.accessToken)) expect(status).toBe(removed ? 404 : 200);
      }

      // Only refresh waits for the dead process's lease; a write of credentials drops it.
      if (line.register === refresh && after[0]?.lease !== undefined) world.clock.advance(LEASE_TIME);
      const again = whole(line, world);
      if (line.register === remove && removed)
        await expect(again).rejects.toThrow(`there is no token "${NAME}"`);
      else await again;
      const needed = steps.filter((what) => what === "Webex is asked").length;
      expect(requests(world) - asked).toBeLessThanOrEqual(2 * needed);
      await complete(world);
    },
  );
});

describe("a command that waits", () => {
  beforeEach(async () => {
    world = await openWorld();
    await withTokenHeld(world);
  });
  /** The commands sleep in real time: 50 s of the world's clock pass in each second of it. */
  function passTime(): void {
    const passing = setInterval(() => world.clock.advance(SECOND), 20);
    onTestFinished(() => clearInterval(passing));
  }

  test("for the lease of a killed refresher refreshes as soon as that ends", async () => {
    const lease = { id: "the dead one's", expires: world.clock.now() + 5 * SECOND };
    await world.edit(NAME, { lease });
    passTime();
    await whole({ register: refresh, args: ["refresh", NAME] }, world);
    expect(world.clock.now()).toBeGreaterThanOrEqual(lease.expires);
    expect(world.refreshes()).toBe(1);
    await expectWorking(world);
  });

  test("for a consent reports the tokens although setup was killed before it wrote its result", async () => {
    const line = { register: authorize, args: ["authorize", NAME] };
    await runCommand(line, world, undefined, async (_, work, printed) => {
      await eventuallyTrue(() => printed.length > 0);
      const { searchParams } = new URL(allowed(printed[0] ?? "", world));
      const callback = { code: searchParams.get("code") ?? "", state: searchParams.get("state") ?? "" };
      const setup = mortalProcess(world, { step: 5, when: "before" });
      await setup.live(finishAuthorization(callback, authorizer(world, setup.parts)));
      expect(setup.steps.at(-1)).toBe("the result is written");
      passTime();
      await expectWorking(world);
      const said = await work.then(
        () => printed.at(-1),
        (error: Error) => error.message,
      );
      // There are tokens: it must not say that none came.
      expect(said).toMatch(/is authorized|tokens -- show/);
    });
  });
});
