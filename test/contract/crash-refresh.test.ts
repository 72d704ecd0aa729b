import { afterEach, describe, expect, test } from "vitest";
import { census } from "../../functions/core/census.ts";
import type { TokenDocument } from "../../functions/core/document.ts";
import { type Outcome, refresh } from "../../functions/core/refresh.ts";
import type { DocumentStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { HOUR, LEASE_TIME } from "../../functions/core/time.ts";
import { OLD, openWorld, READER, SWEEP, type World } from "../support/world.ts";
import { consent } from "./authorizations.ts";
import { KILLED, type Kill, kills, type Mortal, mortalProcess } from "./crash.ts";
import { expectHonestAnswer, isAccepted } from "./crash-reader.ts";
import { isClaim, isSave, type Trouble, troubled } from "./troubled.ts";

const NAME = "t";

interface Scenario {
  title: string;
  /** ms since the held token was granted. */
  age?: number;
  /** A further fault. */
  trouble?: (world: World) => void;
  /** The store as the killed process sees it. */
  documents?: (world: World) => DocumentStore;
  run?: (world: World, victim: Mortal) => Promise<unknown>;
  /** The expected outcome. */
  expected: (crash: Crash) => Promise<void>;
}

/** The world after a refresher was killed. */
interface Crash {
  world: World;
  before: TokenDocument;
  after: TokenDocument;
  /** Requests that it sent to Webex. */
  asked: number;
  /** Whether the grant was stored. */
  stored: boolean;
}

const rotates = (world: World) => world.sandbox.faults.add({ fault: "rotate", times: 1 });
const refuses = (world: World) => void world.sandbox.authority.revoke({ clientId: "C1" });
const timesOut = (trouble: Trouble, match: typeof isSave) => (world: World) =>
  troubled(world.documents, trouble, match);

const SCENARIOS: Scenario[] = [
  { title: "a plain refresh", expected: recovered },
  { title: "a refresh of a token that has ended", age: 13 * HOUR, expected: recovered },
  { title: "a refresh with a rotating refresh token", trouble: rotates, expected: recoveredOrAlerted },
  {
    title: "a sweep",
    run: (world, victim) => sweep(world.sweeper(victim.parts)),
    expected: recovered,
  },
  { title: "a refused refresh", trouble: refuses, expected: alerted },
  {
    title: "a refused refresh of a token that has ended",
    age: 13 * HOUR,
    trouble: refuses,
    expected: alerted,
  },
  ...(["landed", "not performed"] as const).flatMap((trouble): Scenario[] => [
    {
      title: `a refresh whose claim times out and ${trouble}`,
      documents: timesOut(trouble, isClaim),
      expected: recovered,
    },
    {
      title: `a refresh whose save times out and ${trouble}`,
      documents: timesOut(trouble, isSave),
      expected: recovered,
    },
    {
      title: `a refresh with a rotating refresh token whose save times out and ${trouble}`,
      trouble: rotates,
      documents: timesOut(trouble, isSave),
      expected: recoveredOrAlerted,
    },
  ]),
];

/** Puts a token of that age into the store. Gives its document. */
async function prepare({ age = OLD, trouble }: Scenario, world: World): Promise<TokenDocument> {
  const document = world.granted();
  await world.add(NAME, document);
  world.clock.advance(age);
  trouble?.(world);
  return document;
}

function begin({ documents, run }: Scenario, world: World, kill?: Kill) {
  const victim = mortalProcess(world, kill, documents?.(world));
  const work = run?.(world, victim) ?? refresh(NAME, READER, world.refresher(victim.parts));
  return { victim, work };
}

/** The steps of a run that is not killed. */
async function stepsOf(scenario: Scenario): Promise<string[]> {
  const world = await openWorld();
  await prepare(scenario, world);
  const { victim, work } = begin(scenario, world);
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
    await prepare(scenario, world);
    const { victim, work } = begin(scenario, world);
    await work;
    expect(victim.steps).toEqual(steps);
    expect(steps).toContain("Webex is asked");
  });

  test.each(kills(steps))(
    "killed %s, keeps a token and leaves it locked for a lease at most (rows 3 and 4)",
    async (_, kill) => {
      world = await openWorld();
      const before = await prepare(scenario, world);
      const { victim, work } = begin(scenario, world, kill);
      expect(await victim.live(work)).toBe(KILLED);

      await expectHonestAnswer(NAME, world);
      const after = (await world.token(NAME)).document;
      const stored = after.accessToken !== before.accessToken;
      await scenario.expected({ world, before, after, asked: world.refreshes(), stored });
    },
  );
});

/** The outcome of the next refresher, at once or after the dead one's lease. */
async function comesNext({ world, after, asked, stored }: Crash): Promise<Outcome> {
  const atOnce = await refresh(NAME, SWEEP, world.refresher());
  const leased = atOnce.outcome === "leased";
  // The next refresher must assume that Webex is still being asked.
  if (asked > 0 && !stored && after.failure === undefined) expect(leased).toBe(true);
  if (!leased) return atOnce;
  expect(atOnce.until).toBeLessThanOrEqual(world.clock.now() + LEASE_TIME);
  world.clock.advance(LEASE_TIME);
  await expectHonestAnswer(NAME, world);
  return refresh(NAME, SWEEP, world.refresher());
}

/** There is no lease, nothing is due, and Webex got at most one request more than needed. */
async function expectSettled(world: World): Promise<TokenDocument> {
  expect(world.refreshes()).toBeLessThanOrEqual(2);
  expect(await world.store.countDue(world.clock.now())).toBe(0);
  const { document } = await world.token(NAME);
  expect(document.lease).toBeUndefined();
  return document;
}

/** The tokens are stored, or the next refresher gets them, without an alert. */
async function recovered(crash: Crash): Promise<void> {
  const { world, before, after, asked, stored } = crash;
  expect(isAccepted(after, world)).toBe(true);
  expect(await comesNext(crash)).toEqual({ outcome: stored ? "fresh" : "refreshed" });
  expect(world.refreshes()).toBe(stored ? asked : asked + 1);
  expect(world.critical()).toEqual([]);
  const document = await expectSettled(world);
  expect(document.accessToken).not.toBe(before.accessToken);
  expect(document.failure).toBeUndefined();
  expect(isAccepted(document, world)).toBe(true);
  const { status, headers } = await expectHonestAnswer(NAME, world);
  expect(status).toBe(200);
  expect(Number(headers?.["x-token-expires-in"]) * 1000).toBeGreaterThan(11 * HOUR);
}

/** The one way to lose a refresh token: Webex replaced it and the answer was not stored. Then an alert says so. */
async function recoveredOrAlerted(crash: Crash): Promise<void> {
  const { world, before, after, asked, stored } = crash;
  if (asked === 0 || stored) return recovered(crash);
  expect(isAccepted(after, world)).toBe(false);
  expect(await comesNext(crash)).toMatchObject({ outcome: "failed", permanent: true });
  expect(world.events("refresh.refused")).toHaveLength(1);
  expect(world.critical()).toHaveLength(1);
  await expectSettled(world);
  const held = await expectHonestAnswer(NAME, world);
  expect(held).toMatchObject({ status: 200, body: { token: before.accessToken } });
  world.clock.advance(HOUR);
  await sweep(world.sweeper());
  expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: 409 });
  await consent(world, NAME);
  expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: 200 });
}

/** An alert within a day, by the next tries or by the census. */
async function expectAlert(world: World): Promise<void> {
  for (let tries = 0; tries < 4 && world.critical().length === 0; tries++) {
    const { refreshAt = 0 } = (await world.token(NAME)).document;
    world.clock.advance(refreshAt - world.clock.now());
    await sweep(world.sweeper());
  }
  if (world.critical().length === 0) await census(world.refresher());
  expect(world.critical()).toHaveLength(1);
}

/** A refusal changes no token, is recorded once, and raises an alert. */
async function alerted(crash: Crash): Promise<void> {
  const { world, before, after, asked } = crash;
  const recorded = after.failure !== undefined;
  const outcome = await comesNext(crash);
  expect(outcome).toMatchObject(recorded ? { outcome: "fresh" } : { outcome: "failed", permanent: true });
  expect(world.refreshes()).toBe(recorded ? asked : asked + 1);
  const document = await expectSettled(world);
  expect(document).toMatchObject({
    accessToken: before.accessToken,
    refreshToken: before.refreshToken,
    failure: { count: 1, permanent: true },
  });
  const lives = world.live(before.accessToken);
  expect(await expectHonestAnswer(NAME, world)).toMatchObject({ status: lives ? 200 : 409 });
  await expectAlert(world);
}
