import { afterAll, beforeAll, expect, test } from "vitest";
import type { Lease } from "../../functions/core/document.ts";
import { HOUR, LEASE_TIME, MINUTE, SECOND } from "../../functions/core/time.ts";
import { type Running, stopAll } from "../support/processes.ts";
import { ask, expectHeld, until } from "./deployed.ts";
import {
  ageing,
  endLease,
  lines,
  onEachStore,
  openScene,
  pass,
  read,
  readAnew,
  refreshOne,
  refreshUpToAnswer,
  refreshUpToWrite,
  type Scene,
  sweep,
  warmUp,
} from "./failures.ts";

afterAll(stopAll);

onEachStore((open) => {
  let scene: Scene;
  let refresher: Running;
  let lookup: Running;
  /** Its way to Webex can be held. The next one is started as soon as one was killed. */
  let late: Running;
  /** Every refresher that there was. */
  let all: Running[];
  beforeAll(async () => {
    scene = await openScene(open);
    [refresher, late] = await Promise.all([scene.refresher(), scene.late()]);
    lookup = await scene.lookup(refresher.url);
    all = [refresher, late];
    await warmUp(all, [lookup]);
  }, 60_000);
  afterAll(() => scene?.close());

  const fields = async (name: string) => (await scene.document(name)).fields;
  const critical = (name: string) => lines(all, { severity: "CRITICAL", token: name });

  /** SIGKILL, with which all is lost that was on its way; then another in its place, and all is well. */
  async function killAndStartAgain(): Promise<void> {
    await late.kill();
    scene.store.thaw();
    scene.way.cut();
    late = await scene.late();
    all.push(late);
  }

  /** It was refreshed, and Webex takes what is served now. */
  async function expectRenewed(name: string, before: { accessToken: string }): Promise<void> {
    const { accessToken, failure, lease } = await fields(name);
    expect({ failure, lease }).toEqual({ failure: undefined, lease: undefined });
    expect(accessToken).not.toBe(before.accessToken);
    expect(await scene.webex.accepts(String(accessToken))).toBe(true);
    await until("it to be served", async () => (await readAnew(lookup, name)).body.token === accessToken);
  }

  test("3. the answer is lost after Webex processed the request: the held token is served, and the next try recovers", async () => {
    const name = "lost";
    const before = await ageing(scene, name);
    await scene.webex.fault({ fault: "lost", times: 1, clientId: before.clientId });
    expectHeld(await read(lookup, name), before.accessToken);
    const { accessToken, refreshToken, failure } = await fields(name);
    expect({ accessToken, refreshToken }).toEqual({
      accessToken: before.accessToken,
      refreshToken: before.refreshToken,
    });
    expect(failure).toMatchObject({ code: "network", permanent: false });

    await pass(scene, name, MINUTE);
    expect((await sweep(refresher)).body).toMatchObject({ due: 1, refreshed: 1 });
    await expectRenewed(name, before);
    expect(await scene.webex.refreshes()).toBe(2);
    expect(critical(name)).toEqual([]);
  });

  test("3. the answer is lost after Webex processed the request: who holds nothing is told when to come again, and gets a token then", async () => {
    const name = "lost, ended";
    const before = await ageing(scene, name, { accessExpires: Date.now() - MINUTE });
    await scene.webex.fault({ fault: "lost", times: 1, clientId: before.clientId });
    const answer = await read(lookup, name);
    expect(answer.status).toBe(503);
    const wait = Number(answer.headers.get("retry-after"));
    expect(wait).toBeGreaterThan(0);
    await pass(scene, name, wait * SECOND);
    const { body } = await read(lookup, name);
    expect(await scene.webex.accepts(body.token)).toBe(true);
    await expectRenewed(name, before);
  });

  test.for([
    ["cut off", async () => scene.way.cut()],
    ["killed", killAndStartAgain],
  ] as const)(
    "3. the answer is lost after Webex processed the request: with a refresh token that rotates, a refresher that is %s says so, CRITICAL and once, and the held token is served",
    async ([how, lose]) => {
      const name = `rotated, ${how}`;
      const before = await ageing(scene, name);
      await scene.webex.fault({ fault: "rotate", times: 1, clientId: before.clientId });
      const { outcome } = await refreshUpToAnswer(scene, late, name);
      await lose();
      await outcome;
      expect(critical(name)).toEqual([]);
      if ((await fields(name)).lease !== undefined) await endLease(scene, name);
      else await pass(scene, name, MINUTE);

      expect((await sweep(refresher)).body).toMatchObject({ due: 1, failed: 1 });
      await until("the alert", async () => critical(name).length > 0);
      expectHeld(await read(lookup, name), before.accessToken);
      expect(await scene.webex.accepts(before.accessToken)).toBe(true);
      await pass(scene, name, 15 * MINUTE);
      expect((await sweep(refresher)).body).toMatchObject({ due: 1, failed: 1 });

      await scene.type(name, { accessExpires: Date.now() - 1 });
      expect(await readAnew(lookup, name)).toMatchObject({
        status: 409,
        body: { message: expect.stringContaining(`tokens -- authorize ${name}`) },
      });
      expect(critical(name)).toMatchObject([{ event: "refresh.refused", token: name }]);
    },
  );

  /** How far a refresh can come: what is under way when each of these returns is never done. */
  const STAGES = {
    async "while it takes the lease"(name: string) {
      scene.store.freeze();
      const outcome = refreshOne(late, name);
      await until("the lease being written", () => scene.store.isWaiting(late));
      return { outcome };
    },
    async "before Webex hears of it"(name: string) {
      scene.way.hang();
      const outcome = refreshOne(late, name);
      await until("the request", async () => scene.way.held().requests > 0);
      return { outcome };
    },
    "while the answer is on its way": (name: string) => refreshUpToAnswer(scene, late, name),
    "before the answer is written": (name: string) => refreshUpToWrite(scene, late, name),
  };

  test.for(Object.entries(STAGES))(
    "4. killed, or the store is down, between Webex's answer and the write: killed %s, and nothing is lost",
    async ([stage, upTo]) => {
      const name = `killed ${stage}`;
      const before = await ageing(scene, name);
      const { outcome } = await upTo(name);
      await killAndStartAgain();
      expect(await outcome).toBe("cut off");
      const { lease, ...left } = await fields(name);
      expect(left).toEqual(before);

      if (lease !== undefined) {
        expect((lease as Lease).expires).toBeLessThanOrEqual(Date.now() + LEASE_TIME);
        expectHeld(await read(lookup, name), before.accessToken);
        expect((await sweep(late)).body).toMatchObject({ due: 1, refreshed: 0, deferred: 1 });
        await endLease(scene, name);
      }
      expect((await sweep(late)).body).toMatchObject({ due: 1, refreshed: 1 });
      await expectRenewed(name, before);
      expect(critical(name)).toEqual([]);
    },
  );

  test("4. killed, or the store is down, between Webex's answer and the write: killed when it was written, but before anybody was told, and it counts", async () => {
    const name = "killed when it was written";
    const before = await ageing(scene, name);
    const { outcome } = await refreshUpToAnswer(scene, late, name);
    scene.store.muffle();
    scene.way.resume();
    await until("the write", async () => (await fields(name)).lease === undefined);
    await killAndStartAgain();
    await outcome;
    await expectRenewed(name, before);
    expect((await sweep(late)).body).toMatchObject({ due: 0 });
    expect(await scene.webex.refreshes()).toBe(1);
  });

  test("4. killed, or the store is down, between Webex's answer and the write: a store that is down just then is waited for, and Webex is not asked again", async () => {
    const name = "store frozen";
    const before = await ageing(scene, name, { refreshAt: Date.now() + HOUR });
    expectHeld(await read(lookup, name), before.accessToken);
    await scene.type(name, { refreshAt: Date.now() - 1 });
    const { outcome } = await refreshUpToAnswer(scene, late, name);
    scene.store.takeDown();
    scene.way.resume();
    expectHeld(await readAnew(lookup, name), before.accessToken);
    const other = () => ask(late, "/?name=nobody", "POST");
    await until("the process to fail at writing", async () => (await other()).status === 503);
    scene.store.thaw();
    expect(await outcome).toEqual({ outcome: "refreshed" });
    await expectRenewed(name, before);
    expect(await scene.webex.refreshes()).toBe(1);
  });
});
