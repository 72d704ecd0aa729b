import { afterEach, describe, expect, test } from "vitest";
import { type Callback, finishAuthorization } from "../../functions/core/authorization.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { OLD, openWorld, SETTINGS, type World } from "../support/world.ts";
import { authorizer, consented, plainConsent, problem, SCOPES } from "./authorizations.ts";
import { KILLED, type Kill, kills, mortalProcess } from "./crash.ts";
import { expectHonestAnswer, isAccepted } from "./crash-reader.ts";
import { isSave, type Trouble, troubled } from "./troubled.ts";

const NAME = "t";

interface Scenario {
  title: string;
  /** The token holds an older grant with a live access token. */
  older?: true;
  /** The state is the plain name, which can be used again. */
  plain?: true;
  /** How the write of the tokens fails. */
  trouble?: Trouble;
}

const SCENARIOS: Scenario[] = [
  { title: "a first consent" },
  { title: "a second consent, over a live token", older: true },
  { title: "a first consent by the token's plain name", plain: true },
  { title: "a second consent whose write times out and landed", older: true, trouble: "landed" },
  {
    title: "a second consent whose write times out and not performed",
    older: true,
    trouble: "not performed",
  },
];

/** A person has just consented. */
async function prepare({ older, plain }: Scenario, world: World): Promise<Callback> {
  await world.add(NAME, older ? world.granted() : { ...SETTINGS, scopes: SCOPES });
  if (older) world.clock.advance(OLD);
  return plain ? plainConsent(world, NAME) : consented(world, NAME);
}

function begin({ trouble }: Scenario, callback: Callback, world: World, kill?: Kill) {
  const documents = trouble && troubled(world.documents, trouble, isSave);
  const victim = mortalProcess(world, kill, documents);
  return { victim, work: finishAuthorization(callback, authorizer(world, victim.parts)) };
}

async function stepsOf(scenario: Scenario): Promise<string[]> {
  const world = await openWorld();
  const { victim, work } = begin(scenario, await prepare(scenario, world), world);
  await work;
  await world.close();
  return victim.steps;
}

const COUNTED = await Promise.all(
  SCENARIOS.map(async (scenario) => [scenario.title, scenario, await stepsOf(scenario)] as const),
);

let world: World;
afterEach(async () => {
  await world.close();
});

describe.each(COUNTED)("%s", (_, scenario, steps) => {
  test("takes the counted steps", async () => {
    world = await openWorld();
    const { victim, work } = begin(scenario, await prepare(scenario, world), world);
    await work;
    expect(victim.steps).toEqual(steps);
    expect(steps).toContain("Webex is asked");
  });

  test.each(kills(steps))(
    "killed %s, stores all tokens or none, and a new consent works (row 4)",
    async (_, kill) => {
      world = await openWorld();
      const callback = await prepare(scenario, world);
      const before = (await world.token(NAME)).document;
      const { victim, work } = begin(scenario, callback, world, kill);
      expect(await victim.live(work)).toBe(KILLED);

      const { document: after } = await world.token(NAME);
      const stored = after.accessToken !== before.accessToken;
      // All old, or all new.
      if (!stored) expect(after).toEqual(before);
      const served = scenario.older || stored ? 200 : 409;
      expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: served });
      expect(isAccepted(after, world)).toBe(served === 200);

      await expectSameAddress(scenario, callback, stored, world);
      await expectNewAddress(scenario, world);
    },
  );
});

/** The browser opens the same address again: it works while its state is unused, and never changes stored tokens. */
async function expectSameAddress(
  { plain }: Scenario,
  callback: Callback,
  stored: boolean,
  world: World,
): Promise<void> {
  const asked = world.exchanges();
  const state = await world.documents.read("authorizations", sha256(callback.state));
  const used = plain ? asked > 0 : state?.fields.usedAt !== undefined;
  const { version } = await world.token(NAME);
  const again = finishAuthorization(callback, authorizer(world));
  if (!used) {
    expect(await again).toBe(NAME);
    return;
  }
  const codeIsAsked = plain && !stored;
  expect(await problem(again)).toBe(codeIsAsked ? "code_refused" : "state_refused");
  expect(world.exchanges()).toBe(codeIsAsked ? asked + 1 : asked);
  expect((await world.token(NAME)).version).toBe(version);
}

/** A new consent stores live tokens, which the sweep refreshes. */
async function expectNewAddress({ plain }: Scenario, world: World): Promise<void> {
  const asked = world.exchanges();
  const before = (await world.token(NAME)).document.accessToken;
  const byName = plain && before === undefined;
  const callback = await (byName ? plainConsent(world, NAME) : consented(world, NAME));
  expect(await finishAuthorization(callback, authorizer(world))).toBe(NAME);
  expect(world.exchanges()).toBe(asked + 1);
  const { document } = await world.token(NAME);
  expect(document.accessToken).not.toBe(before);
  expect(document.refreshAt).toBeGreaterThan(world.clock.now());
  expect(isAccepted(document, world)).toBe(true);
  const reply = await expectHonestAnswer(NAME, world);
  expect(reply).toMatchObject({ status: 200, body: { token: document.accessToken } });
}
