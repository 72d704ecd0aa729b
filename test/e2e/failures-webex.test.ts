import { afterAll, beforeAll, expect, test } from "vitest";
import { readSweeps } from "../../functions/core/status.ts";
import { HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import type { FaultRequest } from "../../local/sandbox/faults.ts";
import { type Running, stopAll } from "../support/processes.ts";
import { ask, expectHeld, LIFETIME } from "./deployed.ts";
import {
  ageing,
  expectAll,
  lines,
  onEachStore,
  openScene,
  pass,
  read,
  readAnew,
  revoke,
  type Scene,
  sweep,
  warmUp,
} from "./failures.ts";

afterAll(stopAll);

onEachStore((open) => {
  let scene: Scene;
  let refresher: Running;
  let lookup: Running;
  beforeAll(async () => {
    scene = await openScene(open);
    refresher = await scene.refresher();
    lookup = await scene.lookup(refresher.url);
    await warmUp([refresher], [lookup]);
  }, 60_000);
  afterAll(() => scene?.close());

  const fields = async (name: string) => (await scene.document(name)).fields;
  const critical = (name: string) => lines([refresher, lookup], { severity: "CRITICAL", token: name });

  test.for(["omit", "null-fields"] as const)(
    "5. the reply omits or nulls a field: the old value stays (%s)",
    async (fault) => {
      const name = `bent by ${fault}`;
      const granted = { scope: "cjp:config_read", lifetime: 7_200, orgId: "the one of the first grant" };
      const before = await ageing(scene, name, granted);
      await scene.webex.fault({ fault, times: 1, clientId: before.clientId });
      expect((await sweep(refresher)).body).toMatchObject({ due: 1, refreshed: 1 });

      const { accessToken, accessExpires, lastRefresh, refreshAt, ...kept } = await fields(name);
      const { clientId, clientSecret, redirectUri, refreshToken, refreshExpires } = before;
      const settings = { clientId, clientSecret, redirectUri };
      expect(kept).toEqual({ ...settings, refreshToken, refreshExpires, ...granted });
      expect(accessToken).not.toBe(before.accessToken);
      expect(Number(accessExpires) - Number(lastRefresh)).toBe(7_200 * SECOND);
      expect(Number(refreshAt)).toBeGreaterThan(Date.now());

      const answer = await ask(lookup, `/?name=${encodeURIComponent(name)}&details=true`);
      expect(answer).toMatchObject({ status: 200, body: { token: accessToken, scope: "cjp:config_read" } });
      await pass(scene, name, 2 * HOUR);
      expect((await sweep(refresher)).body, "and it goes on from there").toMatchObject({
        due: 1,
        refreshed: 1,
      });
      expect(await fields(name)).toMatchObject({ refreshToken, lifetime: LIFETIME });
    },
  );

  const BLIPS: Record<string, Omit<FaultRequest, "clientId">> = {
    "429": { fault: "429", retryAfter: 0 },
    "500": { fault: "500" },
    resets: { fault: "down" },
    "HTML with 200": { fault: "html" },
    "HTML with 403": { fault: "html-403" },
    "HTML with 500": { fault: "html-500" },
  };

  type Before = Awaited<ReturnType<typeof ageing>>;
  /** The longest that a blip is backed off. */
  const STEP = 12 * MINUTE;

  test("6. a blip is taken for death: after an hour of each, all recover alone, and nothing was deleted", async () => {
    const befores = new Map<string, Before>();
    for (const [name, fault] of Object.entries(BLIPS)) {
      const before = await ageing(scene, name, { accessExpires: Date.now() + 1.9 * HOUR });
      befores.set(name, before);
      await scene.webex.fault({ ...fault, clientId: before.clientId });
    }
    const ofEach = (work: (name: string, before: Before) => Promise<void>) =>
      Promise.all([...befores].map(([name, before]) => work(name, before)));
    for (let tries = 1; tries <= HOUR / STEP; tries++) {
      await sweepAll();
      await ofEach(async (name, before) => {
        const { failure, ...after } = await fields(name);
        expect(failure, name).toMatchObject({ permanent: false, count: tries });
        expect(Object.keys(after).sort(), name).toEqual(Object.keys(before).sort());
        const { accessToken, refreshToken, clientSecret } = before;
        expect(after, name).toMatchObject({ accessToken, refreshToken, clientSecret });
        expectHeld(await read(lookup, name), accessToken);
        await pass(scene, name, STEP);
      });
    }

    await scene.webex.heal();
    await sweepAll();
    await ofEach(async (name, before) => {
      const { accessToken, failure } = await fields(name);
      expect(failure, name).toBeUndefined();
      expect(accessToken, name).not.toBe(before.accessToken);
      expect(await scene.webex.accepts(String(accessToken)), name).toBe(true);
      expect((await readAnew(lookup, name)).body.token).toBe(accessToken);
      expect(critical(name)).toEqual([]);
    });
  });

  /** A 429 ends a sweep; the next one, a minute later, goes on. */
  async function sweepAll(): Promise<void> {
    for (let left = 2; left > 0 && (await sweep(refresher)).body.remaining > 0; left--);
  }

  test("7. a dead token causes a storm: revoked, then 1,000 reads and a day of sweeps make a handful of requests and one alert, and the held token is served to its end", async () => {
    const name = "revoked";
    const { accessToken, clientId } = await ageing(scene, name);
    await revoke(scene, clientId);
    const reads = () => Array.from({ length: 250 }, () => read(lookup, name));
    for (let done = 0; done < 1_000; done += 250) expectAll(await Promise.all(reads()), 250, [accessToken]);
    expect(await scene.webex.refreshes()).toBe(1);

    for (let gone = 0, step = 30 * MINUTE; gone < 24 * HOUR; gone += step) {
      await sweep(refresher);
      if (gone < HOUR) expectAll([await readAnew(lookup, name)], 1, [accessToken]);
      else step = HOUR;
      await pass(scene, name, step);
    }
    expect(await scene.webex.refreshes()).toBeGreaterThanOrEqual(3);
    expect(await scene.webex.refreshes()).toBeLessThanOrEqual(5);
    expect(critical(name)).toMatchObject([{ event: "refresh.refused", token: name }]);
    expect(await readAnew(lookup, name)).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining("tokens -- authorize revoked") },
    });
    expect((await fields(name)).accessToken, "nothing was deleted").toBe(accessToken);
  });

  test("8. the sweep silently stops: reads refresh on their own, nothing says that there were sweeps, and the next one tells how long there were none", async () => {
    const began = Date.now();
    const { documents } = scene;
    await ageing(scene, "swept");
    expect((await sweep(refresher)).body).toMatchObject({ due: 1, refreshed: 1, overdueSeconds: 0 });
    const { last, sweeps } = await readSweeps(documents);
    expect(last).toBeGreaterThanOrEqual(began);
    expect(sweeps.at(-1)).toMatchObject({ due: 1, refreshed: 1, at: last });

    // Three hours go by without a sweep.
    const told = () => lines([refresher], { event: "sweep.done" }).length;
    const before = told();
    const stopped = { last: last - 3 * HOUR, sweeps: [] };
    const { version = "" } = (await documents.read("status", "sweeps")) ?? {};
    await documents.update("status", "sweeps", stopped, version);
    const refreshAt = Date.now() - 3 * HOUR;
    const wanted = await ageing(scene, "read by somebody", { refreshAt });
    await ageing(scene, "read by nobody", { refreshAt, accessExpires: refreshAt + HOUR });

    expect(await ask(lookup, "/health")).toMatchObject({ status: 200, body: { status: "200" } });
    const answer = await read(lookup, "read by somebody");
    expect(answer.status).toBe(200);
    expect(answer.body.token).not.toBe(wanted.accessToken);
    expect(await scene.webex.accepts(answer.body.token)).toBe(true);
    expect(await scene.webex.refreshes()).toBe(1);
    const census = await ask(refresher, "/census", "POST");
    expect(census).toMatchObject({ status: 200, body: { tokens: 3, adopted: 0 } });
    expect(await readSweeps(documents)).toEqual(stopped);
    expect((await fields("read by nobody")).refreshAt, "only a sweep would find it").toBe(refreshAt);

    // The alert is on the absence of this line.
    expect(told()).toBe(before);

    const resumed = await sweep(refresher);
    const overdue = Math.round((Date.now() - refreshAt) / SECOND);
    expect(resumed.body).toMatchObject({ due: 1, refreshed: 1, remaining: 0 });
    expect(Math.abs(resumed.body.overdueSeconds - overdue)).toBeLessThan(5);
    expect(told()).toBe(before + 1);
    const since = await readSweeps(documents);
    expect(since.last).toBeGreaterThanOrEqual(began);
    expect(since.sweeps).toMatchObject([{ due: 1, overdueSeconds: resumed.body.overdueSeconds }]);
  });
});
