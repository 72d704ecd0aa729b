import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import { type Running, stopAll } from "../support/processes.ts";
import {
  ageingDocument,
  ask,
  type Deployed,
  deploy,
  firestorePlace,
  newClient,
  sqlitePlace,
  startWebex,
  until,
  type Webex,
} from "./deployed.ts";

/** What the platform does when it takes an instance away: SIGTERM, and 10 s later SIGKILL. */

vi.setConfig({ testTimeout: 60_000 });
const emulator = inject("firestoreEmulator");
let webex: Webex;
const places: Deployed[] = [];
beforeAll(async () => {
  webex = await startWebex();
});
afterAll(async () => {
  await Promise.all(places.map(({ documents }) => documents.close()));
  await stopAll();
});

const STORES: [string, () => ReturnType<typeof sqlitePlace>][] = [["SQLite", sqlitePlace]];
if (emulator !== undefined) STORES.push(["Firestore", () => firestorePlace(emulator)]);

/** A store with that many tokens of one client, all due, and Webex answering each after so many ms. */
async function slow(open: () => ReturnType<typeof sqlitePlace>, count: number, delayMs: number) {
  const deployed = deploy(await open(), webex);
  places.push(deployed);
  const client = await webex.register(newClient("http://127.0.0.1:1/callback"));
  for (let index = 0; index < count; index++)
    await deployed.put(`t${index}`, await ageingDocument(webex, client));
  await webex.fault({ fault: "slow", delayMs, clientId: client.clientId });
  await webex.reset();
  return deployed;
}

/** SIGTERM, as the platform sends it; gives how the process ended. */
async function terminated({ pid, exited }: Running) {
  process.kill(pid, "SIGTERM");
  return exited;
}

test.each(STORES)(
  "a refresh in flight is finished and stored, then the process ends well: %s",
  async (_, open) => {
    const deployed = await slow(open, 1, 1500);
    const before = (await deployed.document("t0")).fields;
    const refresher = await deployed.refresher();
    const answer = ask(refresher, "/?name=t0", "POST");
    await until("a request to Webex", async () => (await webex.refreshes()) === 1);
    expect(await terminated(refresher)).toEqual({ code: 0, signal: null });
    expect((await answer).body).toEqual({ outcome: "refreshed" });
    const { fields } = await deployed.document("t0");
    expect(fields.accessToken).not.toBe(before.accessToken);
    expect(fields.lease).toBeUndefined();
  },
);

test.each(STORES)("a sweep begins no new refresh, and says what remains: %s", async (_, open) => {
  const deployed = await slow(open, 40, 800);
  const refresher = await deployed.refresher();
  const answer = ask(refresher, "/", "POST");
  await until("a sweep", async () => (await webex.refreshes()) > 0);
  expect(await terminated(refresher)).toEqual({ code: 0, signal: null });
  const { status, body } = await answer;
  expect(status).toBe(200);
  const asked = await webex.refreshes();
  // Ten at a time: those that were under way, and whoever was taken up before the signal arrived.
  expect(asked).toBeLessThanOrEqual(20);
  expect(body.refreshed).toBe(asked);
  expect(body.refreshed + body.deferred + body.remaining).toBe(40);
  expect(body.remaining).toBeGreaterThan(0);
  for (let index = 0; index < 40; index++)
    expect((await deployed.document(`t${index}`)).fields.lease, `lease of t${index}`).toBeUndefined();
});

test("lookup answers whoever waits, takes nobody else, and ends although connections are kept alive", async () => {
  const deployed = await slow(sqlitePlace, 1, 1500);
  const refresher = await deployed.refresher();
  const lookup = await deployed.lookup(refresher.url);
  await deployed.type("t0", { accessExpires: Date.now() - 1000 });
  expect((await ask(lookup, "/health")).status).toBe(200);
  const waiting = ask(lookup, "/?name=t0");
  await until("a request to Webex", async () => (await webex.refreshes()) === 1);
  const begun = performance.now();
  expect(await terminated(lookup)).toEqual({ code: 0, signal: null });
  expect(performance.now() - begun).toBeLessThan(8_000);
  expect((await waiting).status).toBe(200);
  await expect(ask(lookup, "/health")).rejects.toThrow();
});

test.each(["lookup", "refresher", "setup"] as const)(
  "%s, which nobody has asked yet, ends at once",
  async (name) => {
    const deployed = deploy(await sqlitePlace(), webex);
    places.push(deployed);
    const running = name === "lookup" ? await deployed.lookup("http://127.0.0.1:9") : await deployed[name]();
    const begun = performance.now();
    await terminated(running);
    expect(performance.now() - begun).toBeLessThan(3_000);
  },
);
