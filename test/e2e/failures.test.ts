import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import type { RawFields, TokenDocument } from "../../functions/core/document.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { HOUR, LEASE_TIME, SECOND } from "../../functions/core/time.ts";
import { type Running, stopAll } from "../support/processes.ts";
import { ask, consent, expectHeld, LIFETIME, until } from "./deployed.ts";
import {
  endLease,
  expectAll,
  isWriting,
  lines,
  openScene,
  read,
  readAgain,
  refreshOne,
  refreshUpToAnswer,
  refreshUpToWrite,
  type Scene,
  sweep,
} from "./failures.ts";

/**
 * Rows of the list of failures that need processes, on SQLite: its reads have no time limit, so every answer is the same
 * however slow the machine is.
 */

afterAll(stopAll);

const LOOKUPS = 5;
const READS = 50;

let scene: Scene;
let refreshers: Running[];
let lookups: Running[];
let setup: Running;
/** A refresher whose way to Webex can be held. `killLate` replaces it. */
let late: Running;
/** Every refresher of this file, running or killed. */
const all: Running[] = [];
beforeAll(async () => {
  scene = await openScene();
  [late, setup, ...refreshers] = await Promise.all([
    scene.late(),
    scene.setup(),
    scene.refresher(),
    scene.refresher(),
  ]);
  all.push(late, ...refreshers);
  const start = (_: unknown, index: number) => scene.lookup(refresher(index).url);
  lookups = await Promise.all(Array.from({ length: LOOKUPS }, start));
});
afterAll(() => scene?.close());

const refresher = (index = 0) => refreshers[index % refreshers.length] as Running;
const lookup = () => lookups[0] as Running;
const fields = async (name: string) => (await scene.document(name)).fields as TokenDocument;
const critical = (name: string) => lines(all, { severity: "CRITICAL", token: name });

/** A due token of a new client with an hour of life; `more` replaces fields. The test's end removes it. */
async function ageing(name: string, more: RawFields = {}) {
  onTestFinished(async () => {
    scene.thaw();
    scene.way.resume();
    scene.webex.faults.clear();
    await scene.documents.remove("tokens", name);
  });
  const document = scene.webex.due(scene.webex.client(), HOUR, more);
  await scene.put(name, document);
  const before = scene.webex.refreshes();
  return { ...document, refreshes: () => scene.webex.refreshes() - before };
}

/** SIGKILL, which loses what was on its way, and a new process in its place. */
async function killLate(): Promise<void> {
  await late.kill();
  scene.thaw();
  scene.way.cut();
  late = await scene.late();
  all.push(late);
}

/** All lookups read at once. */
const herd = (name: string, how = read) =>
  Promise.all(lookups.flatMap((running) => Array.from({ length: READS }, () => how(running, name))));

/** The new access token, once it is stored and the lease has ended. */
async function renewed(name: string, before: { accessToken: string }): Promise<string> {
  await until("the refresh", async () => {
    const { accessToken, lease } = await fields(name);
    return accessToken !== before.accessToken && lease === undefined;
  });
  const { accessToken = "", failure } = await fields(name);
  expect([failure, scene.webex.accepts(accessToken)]).toEqual([undefined, true]);
  return accessToken;
}

test("asks Webex once for 5 lookups with 50 reads each and a sweep at the threshold (row 1)", async () => {
  const name = "wanted by all";
  const before = await ageing(name, { accessExpires: Date.now() + 2 * HOUR - 1 });
  scene.webex.faults.add({ fault: "slow", delayMs: 500, times: 1, clientId: before.clientId });
  const [swept, answers] = await Promise.all([sweep(refresher(1)), herd(name)]);

  const token = await renewed(name, before);
  expectAll(answers, LOOKUPS * READS, [before.accessToken, token]);
  expect(swept).toMatchObject({ status: 200, body: { failed: 0, remaining: 0 } });
  expectAll(await herd(name, readAgain), LOOKUPS * READS, [token]);
  expect(before.refreshes()).toBe(1);
});

test("asks Webex once more after the lease of a killed refresher, and answers every read with 200 (rows 1 and 4)", async () => {
  const name = "wanted by all, killed";
  const before = await ageing(name);
  const { outcome } = await refreshUpToAnswer(scene, late, name);
  const [swept, answers] = await Promise.all([sweep(refresher()), herd(name)]);
  expect(swept.body).toMatchObject({ due: 1, refreshed: 0, deferred: 1, failed: 0 });
  expectAll(answers, LOOKUPS * READS, [before.accessToken]);

  await killLate();
  expect(await outcome).toBe("cut off");
  expectHeld(await read(lookup(), name), before.accessToken);
  expect(before.refreshes()).toBe(1);

  await endLease(scene, name);
  const [, others] = await Promise.all([sweep(refresher()), herd(name)]);
  const token = await renewed(name, before);
  expectAll(others, LOOKUPS * READS, [before.accessToken, token]);
  expect(before.refreshes(), "one more, for the one that was lost").toBe(2);
});

test("asks Webex once and answers every read with 200 while the store is frozen before the write (row 1)", async () => {
  const name = "wanted by all, frozen";
  const before = await ageing(name);
  const { outcome } = await refreshUpToWrite(scene, late, name);
  expectAll(await herd(name, readAgain), LOOKUPS * READS, [before.accessToken]);
  scene.thaw();

  expect(await outcome).toEqual({ outcome: "refreshed" });
  const token = await renewed(name, before);
  expectAll([await readAgain(lookup(), name)], 1, [token]);
  expect(before.refreshes()).toBe(1);
});

const discarded = (name: string) => lines([late], { event: "refresh.discarded", token: name });

test("discards an answer that comes after its lease ran out and another process refreshed (row 2)", async () => {
  const name = "late, overtaken";
  await ageing(name);
  const { outcome } = await refreshUpToAnswer(scene, late, name);
  await endLease(scene, name);
  expect(await refreshOne(refresher(), name)).toEqual({ outcome: "refreshed" });
  const newer = await scene.document(name);
  scene.way.resume();

  expect(await outcome).toEqual({ outcome: "discarded" });
  await until("the log line", async () => discarded(name).length === 1);
  expect(await scene.document(name)).toMatchObject({ version: newer.version, fields: newer.fields });
  expectAll([await read(lookup(), name)], 1, [newer.fields.accessToken]);
  expect(scene.webex.accepts(newer.fields.accessToken)).toBe(true);
});

test("stores a late answer with a new refresh token over the refusal that this rotation caused (row 2)", async () => {
  const name = "late, rotated";
  const { clientId, refreshToken, ...before } = await ageing(name);
  scene.webex.faults.add({ fault: "rotate", times: 1, clientId });
  const { outcome } = await refreshUpToAnswer(scene, late, name);
  await endLease(scene, name);
  expect(await refreshOne(refresher(), name)).toMatchObject({ outcome: "failed", permanent: true });
  scene.way.resume();

  expect(await outcome).toEqual({ outcome: "refreshed" });
  await renewed(name, before);
  expect((await fields(name)).refreshToken).not.toBe(refreshToken);
});

test("does not write an answer that waited for a frozen store over a newer token (row 2)", async () => {
  const name = "late, frozen";
  const { clientId } = await ageing(name);
  const { outcome } = await refreshUpToWrite(scene, late, name);
  const newer = {
    accessToken: scene.webex.issue(clientId).access_token,
    accessExpires: Date.now() + LIFETIME * SECOND,
    refreshAt: Date.now() + HOUR,
  };
  scene.overtake(name, { ...newer, lease: undefined });
  scene.thaw();
  expect(await outcome).toEqual({ outcome: "discarded" });
  await until("the log line", async () => discarded(name).length === 1);
  expect(await fields(name)).toMatchObject(newer);
  expectAll([await read(lookup(), name)], 1, [newer.accessToken]);
});

test("alerts once and serves the held token when a kill loses a rotated refresh token (row 3)", async () => {
  const name = "rotated";
  const before = await ageing(name);
  scene.webex.faults.add({ fault: "rotate", times: 1, clientId: before.clientId });
  const { outcome } = await refreshUpToAnswer(scene, late, name);
  await killLate();
  expect(await outcome).toBe("cut off");
  expect(critical(name)).toEqual([]);
  await endLease(scene, name);

  expect((await sweep(refresher())).body).toMatchObject({ due: 1, failed: 1 });
  await until("the alert", async () => critical(name).length > 0);
  expectHeld(await read(lookup(), name), before.accessToken);
  expect(scene.webex.accepts(before.accessToken)).toBe(true);
  await scene.type(name, { refreshAt: Date.now() - 1 });
  expect((await sweep(refresher())).body).toMatchObject({ due: 1, failed: 1 });

  await scene.type(name, { accessExpires: Date.now() - 1 });
  expect(await readAgain(lookup(), name)).toMatchObject({
    status: 409,
    body: { message: expect.stringContaining(`tokens -- authorize ${name}`) },
  });
  expect(critical(name)).toMatchObject([{ event: "refresh.refused", token: name }]);
});

test("loses no token when a refresher is killed between Webex's answer and the write (row 4)", async () => {
  const name = "killed";
  const { refreshes, ...before } = await ageing(name);
  const { outcome } = await refreshUpToWrite(scene, late, name);
  await killLate();
  expect(await outcome).toBe("cut off");
  const { lease, ...left } = await fields(name);
  expect(left).toEqual(before);
  expect(lease?.expires).toBeLessThanOrEqual(Date.now() + LEASE_TIME);
  expectHeld(await read(lookup(), name), before.accessToken);
  expect((await sweep(late)).body).toMatchObject({ due: 1, refreshed: 0, deferred: 1 });

  await endLease(scene, name);
  expect((await sweep(late)).body).toMatchObject({ due: 1, refreshed: 1 });
  const token = await renewed(name, before);
  expectAll([await readAgain(lookup(), name)], 1, [token]);
  expect(refreshes()).toBe(2);
  expect(critical(name)).toEqual([]);
});

/** A token whose consent comes back to this file's setup function. */
const consentable = (name: string) => {
  const redirectUri = `${setup.url}/callback`;
  const client = scene.webex.client({ redirectUris: [redirectUri] });
  const { clientId, clientSecret } = client;
  const { access_token: accessToken, refresh_token: refreshToken } = scene.webex.issue(clientId);
  const settings = { clientId, clientSecret, redirectUri, scopes: "cjp:config_read" };
  return ageing(name, { ...settings, accessToken, refreshToken });
};
/** Consents as a person does; gives the callback that is still to be opened. */
const consented = async (name: string): Promise<URL> => {
  const store = tokenStore(scene.documents, runtime.now);
  const token = await store.read(name);
  if (token === undefined) throw new Error(`no token ${name}`);
  const options = { webexUrl: scene.webex.url, pkce: true, newOrg: false };
  return consent(await startAuthorization(token, options, { store, runtime }));
};
const callback = (back: URL) => ask(back.origin, `${back.pathname}${back.search}`);

test("keeps the tokens of a consent that came before a slow refresh was answered (row 9)", async () => {
  const name = "consent";
  const { refreshToken } = await consentable(name);
  const { outcome } = await refreshUpToAnswer(scene, late, name);
  expect(await callback(await consented(name))).toMatchObject({ status: 200 });
  const { version, fields: consents } = await scene.document(name);
  expect(consents.refreshToken).not.toBe(refreshToken);
  scene.way.resume();

  expect(await outcome).toMatchObject({ outcome: "discarded" });
  expect(await scene.document(name)).toMatchObject({ version, fields: consents });
  expectAll([await read(lookup(), name)], 1, [consents.accessToken]);
  expect(critical(name)).toEqual([]);
});

test("keeps the tokens of a consent when it and a refresh wait for a frozen store together (row 9)", async () => {
  const name = "consent, frozen";
  const before = await consentable(name);
  const back = await consented(name);
  const { outcome } = await refreshUpToWrite(scene, late, name);
  const coming = callback(back);
  await until("setup's write", () => isWriting(setup));
  scene.thaw();

  expect(await coming).toMatchObject({ status: 200 });
  expect(await outcome).toMatchObject({ outcome: expect.stringMatching(/^(refreshed|discarded)$/) });
  const token = await renewed(name, before);
  expect((await fields(name)).refreshToken).not.toBe(before.refreshToken);
  expectAll([await read(lookup(), name)], 1, [token]);
});
