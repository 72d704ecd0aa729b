import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { RawFields } from "../../functions/core/document.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import type { Client } from "../../local/sandbox/authority.ts";
import type { FaultRequest } from "../../local/sandbox/faults.ts";
import { type Running, stopAll, temporaryFolder } from "../support/processes.ts";
import { ask, type Deployed, LIFETIME, PASSPHRASE, type Place, until } from "./deployed.ts";
import { type MovableClock, movableClock } from "./movable-clock.ts";
import {
  type Authority,
  deployWith,
  onEachStore,
  openAuthority,
  pass,
  read,
  sweep,
  timeOf,
} from "./outages.ts";

afterAll(stopAll);

/** Time passes here as a test wants it, for Webex too. */
onEachStore((open, emulator) => {
  let webex: Authority;
  let place: Place;
  let clock: MovableClock;
  let time: Awaited<ReturnType<typeof timeOf>>;
  let deployed: Deployed;
  let refresher: Running;
  let lookup: Running;
  beforeAll(async () => {
    clock = movableClock(await temporaryFolder());
    webex = await openAuthority(clock.now);
    place = await open();
    time = await timeOf(emulator);
    deployed = deployWith(place, webex, clock.env);
    refresher = await deployed.refresher();
    lookup = await deployed.lookup(refresher.url, time.env);
  });
  afterEach(async () => {
    clock.reset();
    webex.faults.clear();
    for (const { id } of await place.documents.list("tokens", 500))
      await place.documents.remove("tokens", id);
  });
  afterAll(async () => {
    await Promise.all([refresher, lookup].map((running) => running?.stop()));
    await place?.documents.close();
    await webex?.close();
    time?.close();
  });

  interface Oddity {
    client?: Partial<Client>;
    fault?: FaultRequest["fault"];
    /** ms that the token has left at first. */
    left: number;
    more?: RawFields;
    /** Refreshes in an hour that are no loop. */
    most: number;
  }
  const ODDITIES: Record<string, Oddity> = {
    "lifetimes of an hour": { client: { accessLifetime: 3_600 }, left: 20 * MINUTE, most: 5 },
    "lifetimes of ten minutes": { client: { accessLifetime: 600 }, left: 4 * MINUTE, most: 12 },
    "the same token again": { fault: "same-token", left: 100 * MINUTE, most: 10 },
    "missing expiry": { fault: "omit", left: HOUR, most: 1 },
    "missing expiry, and never known": { fault: "omit", left: HOUR, more: { lifetime: undefined }, most: 1 },
    "null for an expiry": { fault: "null-fields", left: HOUR, most: 1 },
    // Whoever did not read them would hold on to what the document says, and to a dead token.
    "numbers as strings": {
      client: { accessLifetime: 1_800 },
      fault: "strings",
      left: 10 * MINUTE,
      more: { lifetime: LIFETIME },
      most: 7,
    },
  };

  test("14. lifetimes shorter than the threshold; same token again; missing expiry; numbers as strings", async () => {
    const clients = new Map<string, string>();
    for (const [name, { client: settings, fault, left, more }] of Object.entries(ODDITIES)) {
      const client = webex.client(settings);
      clients.set(name, client.clientId);
      if (fault !== undefined) webex.faults.add({ fault, clientId: client.clientId });
      await deployed.put(name, withoutUndefined({ ...webex.due(client, left), ...more }));
    }
    // The emulator is slow.
    const minutes = emulator === undefined ? 60 : 20;
    for (let minute = 0; minute < minutes; minute += 5) {
      for (let again = 0; again < 2; again++) {
        await sweep(refresher);
        const answers = await Promise.all([...clients.keys()].map((name) => read(lookup, name)));
        for (const { status, body } of answers)
          expect([status, webex.accepts(body.token)]).toEqual([200, true]);
        await rejected("the same token again");
      }
      await pass(5 * MINUTE, clock, place);
    }
    const tooMany = [...clients].filter(([name, id]) => webex.granted(id) > (ODDITIES[name]?.most ?? 0));
    expect(
      tooMany.map(([name, id]) => `${name}: ${webex.granted(id)}`),
      "loops",
    ).toEqual([]);
    const never = [...clients].filter(([, id]) => webex.granted(id) === 0);
    expect(never, "what was not refreshed at all shows nothing").toEqual([]);
  }, 60_000);

  /** A flow whose API refused the token that it got, for whatever reason. */
  async function rejected(name: string): Promise<void> {
    const token = String((await deployed.document(name)).fields.accessToken);
    const headers = { "x-token-passphrase": PASSPHRASE, "x-token-rejected": token };
    const answer = await fetch(`${lookup.url}/?name=${encodeURIComponent(name)}`, { headers });
    expect([answer.status, answer.headers.get("x-token-unchanged")]).toEqual([200, "true"]);
  }

  test("15. the refresh token ends while its access token still lives (14-day and 90-day lifetimes)", async () => {
    const client = webex.client({
      accessLifetime: (14 * DAY) / SECOND,
      refreshLifetime: (90 * DAY) / SECOND,
    });
    await deployed.put("long", { ...webex.due(client, 14 * DAY), refreshAt: 0 });
    const used: number[] = [];
    const forecast: [number, number][] = [];
    let day = 0;
    for (const next of [...DAYS, 103.5]) {
      await pass((next - day) * DAY, clock, place);
      day = next;
      const before = webex.refreshes();
      await sweep(refresher);
      if (webex.refreshes() > before) used.push(day);
      for (const days of await forecastNow()) forecast.push([day, days]);
      const { status, body } = await read(lookup, "long", "&wait=0");
      if (DAYS.includes(day)) expect([day, status, webex.accepts(body.token)]).toEqual([day, 200, true]);
      else expect(status).toBe(409);
    }
    expect(used).toEqual([0, 14, 28, 42, 56, 70, 84.25, 89.25, 103.5]);
    expect(forecast).toEqual([
      [76.25, 14],
      [83.25, 7],
      [87.25, 3],
      [89.25, 1],
    ]);
  }, 60_000);

  /** The days that a census says are left, for each token that is about to end. */
  async function forecastNow(): Promise<number[]> {
    const before = refresher.output().length;
    await ask(refresher, "/census", "POST");
    const said = () =>
      refresher
        .output()
        .slice(before)
        .map((line) => JSON.parse(line));
    await until("the census in the log", async () => said().some(({ event }) => event === "census.done"));
    return said().flatMap(({ event, days }) => (event === "token.ending" ? [days] : []));
  }
});

/** Days after the consent that are looked at; the refresh token ends with the 90th, the last access token with the 103rd. */
const DAYS = [
  0,
  14,
  28,
  42,
  56,
  70,
  ...Array.from({ length: 17 }, (_, index) => 75.25 + index),
  97.25,
  102.75,
];

const withoutUndefined = (fields: RawFields) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
