import { afterAll, beforeAll, expect, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import { type Running, stopAll } from "../support/processes.ts";
import { ask, consent, LIFETIME, until } from "./deployed.ts";
import {
  ageing,
  endLease,
  expectAll,
  lines,
  onEachStore,
  openScene,
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

const LOOKUPS = 5;
const READS = 50;

onEachStore((open) => {
  let scene: Scene;
  let lookups: Running[];
  let refreshers: Running[];
  /** Its way to Webex can be held. */
  let late: Running;
  let setup: Running;
  beforeAll(async () => {
    scene = await openScene(open);
    [late, setup, ...refreshers] = await Promise.all([
      scene.late(),
      scene.setup(),
      scene.refresher(),
      scene.refresher(),
    ]);
    const start = (_: unknown, index: number) => scene.lookup(refresher(index).url);
    lookups = await Promise.all(Array.from({ length: LOOKUPS }, start));
    await warmUp([late, ...refreshers], lookups);
  }, 60_000);
  afterAll(() => scene?.close());

  const refresher = (index: number) => refreshers[index % refreshers.length] as Running;
  const lookup = (index = 0) => lookups[index] as Running;
  const fields = async (name: string) => (await scene.document(name)).fields;

  /** All lookups read at once. */
  const herd = (name: string, how = read) => {
    const each = (running: Running) => Array.from({ length: READS }, () => how(running, name));
    return Promise.all(lookups.flatMap(each));
  };

  test("1. several processes redeem the same refresh token: 5 lookups with 50 reads each and a sweep at the threshold make one request to Webex, and every read gets 200", async () => {
    const name = "wanted by all";
    const { webex } = scene;
    const { clientId, accessToken } = await ageing(scene, name, {
      accessExpires: Date.now() + 2 * HOUR - 1,
    });
    await webex.fault({ fault: "slow", delayMs: 500, times: 1, clientId });
    const [swept, answers] = await Promise.all([sweep(refresher(1)), herd(name)]);

    const { accessToken: renewed } = await fields(name);
    expect(renewed).not.toBe(accessToken);
    expect(await webex.refreshes()).toBe(1);
    expectAll(answers, LOOKUPS * READS, [accessToken, renewed]);
    expect(swept).toMatchObject({ status: 200, body: { failed: 0, remaining: 0 } });
    expectAll(await herd(name, readAnew), LOOKUPS * READS, [renewed]);
    expect(await webex.refreshes()).toBe(1);
  });

  test("1. several processes redeem the same refresh token: where the one that asks Webex is killed, the others ask once more when its lease is over, and every read gets 200", async () => {
    const name = "wanted by all, killed";
    const { webex, way } = scene;
    const victim = await scene.late();
    const { accessToken } = await ageing(scene, name);
    const { outcome } = await refreshUpToAnswer(scene, victim, name);
    const [swept, answers] = await Promise.all([sweep(refresher(0)), herd(name)]);
    expect(swept.body).toMatchObject({ due: 1, refreshed: 0, deferred: 1, failed: 0 });
    expectAll(answers, LOOKUPS * READS, [accessToken]);

    await victim.kill();
    expect(await outcome).toBe("cut off");
    way.cut();
    expectAll(await herd(name), LOOKUPS * READS, [accessToken]);
    expect(await webex.refreshes()).toBe(1);

    await endLease(scene, name);
    const [, others] = await Promise.all([sweep(refresher(0)), herd(name)]);
    const { accessToken: renewed } = await fields(name);
    expect(await webex.accepts(String(renewed))).toBe(true);
    expectAll(others, LOOKUPS * READS, [accessToken, renewed]);
    expectAll(await herd(name, readAnew), LOOKUPS * READS, [renewed]);
    expect(await webex.refreshes(), "one more, for the one that was lost").toBe(2);
  });

  test("1. several processes redeem the same refresh token: where the store freezes before the answer is written, Webex is asked once, and every read gets 200", async () => {
    const name = "wanted by all, frozen";
    const { webex, store } = scene;
    const { accessToken } = await ageing(scene, name, { refreshAt: Date.now() + HOUR });
    expectAll(await herd(name), LOOKUPS * READS, [accessToken]);
    await scene.type(name, { refreshAt: Date.now() - 1 });
    const { outcome } = await refreshUpToWrite(scene, late, name);
    expectAll(await herd(name, readAnew), LOOKUPS * READS, [accessToken]);
    store.thaw();

    expect(await outcome).toEqual({ outcome: "refreshed" });
    expect(await webex.refreshes()).toBe(1);
    const { accessToken: renewed } = await fields(name);
    expect(renewed).not.toBe(accessToken);
    await until("the store to be there again for all", async () => {
      const answers = await Promise.all(lookups.map((running) => readAnew(running, name)));
      return answers.every(({ body }) => body.token === renewed);
    });
    expect(await webex.refreshes()).toBe(1);
  });

  const discarded = (name: string) => lines([late], { event: "refresh.discarded", token: name });

  test("2. the lock is shorter than the work: an answer that comes when another has refreshed is thrown away", async () => {
    const name = "late, overtaken";
    await ageing(scene, name);
    const { outcome } = await refreshUpToAnswer(scene, late, name);
    await endLease(scene, name);
    expect(await refreshOne(refresher(0), name)).toEqual({ outcome: "refreshed" });
    const newer = await scene.document(name);
    scene.way.resume();

    expect(await outcome).toEqual({ outcome: "discarded" });
    await until("the log line", async () => discarded(name).length === 1);
    expect(await scene.document(name)).toMatchObject({ version: newer.version, fields: newer.fields });
    expect((await read(lookup(), name)).body.token).toBe(newer.fields.accessToken);
    expect(await scene.webex.accepts(String(newer.fields.accessToken))).toBe(true);
  });

  test("2. the lock is shorter than the work: an answer that comes while another is refreshing leaves that one its lease", async () => {
    const name = "late, being overtaken";
    const { webex } = scene;
    const { clientId } = await ageing(scene, name);
    const { outcome } = await refreshUpToAnswer(scene, late, name);
    await endLease(scene, name);
    await webex.fault({ fault: "slow", delayMs: 500, times: 1, clientId });
    const other = refreshOne(refresher(0), name);
    await until("the second request", async () => (await webex.refreshes()) === 2);
    const { lease } = await fields(name);
    scene.way.resume();
    expect(await outcome).toEqual({ outcome: "refreshed" });
    expect(await fields(name)).toMatchObject({ lease });

    expect(await other).toEqual({ outcome: "refreshed" });
    const after = await fields(name);
    expect(after).not.toHaveProperty("lease");
    expect(await webex.accepts(String(after.accessToken))).toBe(true);
  });

  test("2. the lock is shorter than the work: an answer with a new refresh token wins over the refusal that it caused", async () => {
    const name = "late, rotated";
    const { clientId, refreshToken } = await ageing(scene, name);
    await scene.webex.fault({ fault: "rotate", times: 1, clientId });
    const { outcome } = await refreshUpToAnswer(scene, late, name);
    await endLease(scene, name);
    expect(await refreshOne(refresher(0), name)).toMatchObject({ outcome: "failed", permanent: true });
    scene.way.resume();

    expect(await outcome).toEqual({ outcome: "refreshed" });
    const after = await fields(name);
    expect(after.refreshToken).not.toBe(refreshToken);
    expect(after).not.toHaveProperty("failure");
    expect(await scene.webex.accepts(String(after.accessToken))).toBe(true);
  });

  test("2. the lock is shorter than the work: an answer that comes when nobody has taken over is as good as any", async () => {
    const name = "late, alone";
    const { accessToken } = await ageing(scene, name);
    const { outcome } = await refreshUpToAnswer(scene, late, name);
    await endLease(scene, name);
    scene.way.resume();
    expect(await outcome).toEqual({ outcome: "refreshed" });
    const after = await fields(name);
    expect(after.accessToken).not.toBe(accessToken);
    expect(after).not.toHaveProperty("lease");
    expect(await scene.webex.accepts(String(after.accessToken))).toBe(true);
  });

  test("2. the lock is shorter than the work: an answer that waited for a frozen store is not written over what was written before it", async () => {
    const name = "late, frozen";
    const { clientId } = await ageing(scene, name);
    const { outcome } = await refreshUpToWrite(scene, late, name);
    const newer = {
      accessToken: (await scene.webex.issue(clientId)).access_token,
      accessExpires: Date.now() + LIFETIME * SECOND,
      refreshAt: Date.now() + HOUR,
    };
    await scene.store.overtake(name, { ...newer, lease: undefined });
    scene.store.thaw();
    expect(await outcome).toEqual({ outcome: "discarded" });
    await until("the log line", async () => discarded(name).length === 1);
    expect(await fields(name)).toMatchObject(newer);
    expect((await read(lookup(), name)).body.token).toBe(newer.accessToken);
  });

  /** A token whose client comes back to our own setup. */
  const consentable = (name: string) =>
    ageing(scene, name, { redirectUri: `${setup.url}/callback`, scopes: "cjp:config_read" });
  /** A person consents; the way back to setup is not gone yet. */
  const consented = async (name: string): Promise<URL> => {
    const store = tokenStore(scene.documents, runtime.now);
    const token = await store.read(name);
    if (token === undefined) throw new Error("it was just made");
    const options = { webexUrl: scene.webex.url, pkce: true, newOrg: false };
    return consent(await startAuthorization(token, options, { store, runtime }));
  };
  const callback = (back: URL) => ask(back.origin, `${back.pathname}${back.search}`);

  test.for([
    ["its answer comes late", []],
    ["it is refused late", ["invalid-request"]],
  ] as const)(
    "9. a slow refresh overwrites a new consent: the consent's tokens survive where %s",
    async ([how, faults]) => {
      const name = `consent, ${how}`;
      const { clientId, refreshToken } = await consentable(name);
      for (const fault of faults) await scene.webex.fault({ fault, times: 1, clientId });
      const { outcome } = await refreshUpToAnswer(scene, late, name);
      expect(await callback(await consented(name))).toMatchObject({ status: 200 });
      const { version, fields: consents } = await scene.document(name);
      expect(consents.refreshToken).not.toBe(refreshToken);
      scene.way.resume();

      expect(await outcome).toMatchObject({ outcome: faults.length > 0 ? "failed" : "discarded" });
      expect(await scene.document(name)).toMatchObject({ version, fields: consents });
      expect((await read(lookup(), name)).body.token).toBe(consents.accessToken);
      expect(lines([late], { severity: "CRITICAL", token: name })).toEqual([]);
    },
  );

  test("9. a slow refresh overwrites a new consent: the consent's tokens survive where both wait for a frozen store", async () => {
    const name = "consent, frozen";
    const { refreshToken } = await consentable(name);
    const back = await consented(name);
    const { outcome } = await refreshUpToWrite(scene, late, name);
    const coming = callback(back);
    await until("setup's write", () => scene.store.isWaiting(setup));
    scene.store.thaw();

    expect(await coming).toMatchObject({ status: 200 });
    expect(await outcome).toMatchObject({ outcome: expect.stringMatching(/^(refreshed|discarded)$/) });
    const after = await fields(name);
    expect(after.refreshToken).not.toBe(refreshToken);
    expect(after).not.toHaveProperty("lease");
    expect(await scene.webex.accepts(String(after.accessToken))).toBe(true);
    expect((await read(lookup(), name)).body.token).toBe(after.accessToken);
  });

  test("9. a slow refresh overwrites a new consent: the consent's tokens survive where the refresher was killed, and another sweeps", async () => {
    const name = "consent, killed";
    await consentable(name);
    const victim = await scene.late();
    const { outcome } = await refreshUpToWrite(scene, victim, name);
    await victim.kill();
    expect(await outcome).toBe("cut off");
    scene.store.thaw();
    expect(await callback(await consented(name))).toMatchObject({ status: 200 });
    const { version, fields: consents } = await scene.document(name);
    expect((await sweep(refresher(0))).body).toMatchObject({ due: 0 });
    expect(await scene.document(name)).toMatchObject({ version, fields: consents });
    expect((await read(lookup(), name)).body.token).toBe(consents.accessToken);
  });
});
