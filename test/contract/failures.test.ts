import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, expect, onTestFinished, test } from "vitest";
import type { RawFields } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { readSweeps } from "../../functions/core/status.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import type { Client } from "../../local/sandbox/client.ts";
import type { FaultRequest } from "../../local/sandbox/faults.ts";
import { type Answer, CLIENT, LIFETIME, SETTINGS, type Served, startServed } from "../support/served.ts";
import { rejecting } from "./lookups.ts";

/** The rows of the list of failures that need no second process: all three functions over HTTP, with a driven clock. */

let served: Served;
afterEach(() => served.close());

const DUE = HOUR / SECOND;
const read = (name: string, more = "", options = {}) => served.ask(`/?name=${name}${more}`, options);
const sweep = async () => (await served.refresher("/")).body;
const critical = () => served.logs().filter(({ severity }) => severity === "CRITICAL");
const live = (token: unknown) => served.sandbox.authority.holder(String(token))?.live === true;

function expectLive({ status, body }: Answer): void {
  expect([status, live(body.token)]).toEqual([200, true]);
}

test("serves the held token and recovers at the next try when Webex's answer is lost (row 3)", async () => {
  served = await startServed();
  const { accessToken, refreshToken } = await served.hold("t", DUE);
  served.fault({ fault: "lost", times: 1 });
  expect((await read("t")).body.token).toBe(accessToken);
  const failure = { code: "network", permanent: false };
  expect(await served.document("t")).toMatchObject({ accessToken, refreshToken, failure });

  await served.time.advance(MINUTE);
  expect(await sweep()).toMatchObject({ due: 1, refreshed: 1 });
  expect((await served.document("t")).failure).toBeUndefined();
  expect((await read("t", "", rejecting(accessToken))).body.token).not.toBe(accessToken);
  expect(served.refreshes()).toBe(2);
  expect(critical()).toEqual([]);
});

test("answers 503 with a Retry-After that helps when Webex's answer is lost and nothing is held (row 3)", async () => {
  served = await startServed();
  await served.hold("t", 0);
  served.fault({ fault: "lost", times: 1 });
  const answer = await served.settle(read("t"));
  expect(answer.status).toBe(503);
  await served.time.advance(Number(answer.headers["retry-after"]) * SECOND);
  expectLive(await served.settle(read("t")));
});

test.each(["omit", "null-fields"] as const)(
  "keeps the stored scope, lifetime and refresh token when the reply lacks them: %s (row 5)",
  async (fault) => {
    served = await startServed();
    const granted = { scope: "cjp:config_read", lifetime: 7_200, orgId: "the one of the first grant" };
    const before = await served.hold("t", DUE, granted);
    served.fault({ fault, times: 1 });
    expect(await sweep()).toMatchObject({ due: 1, refreshed: 1 });

    const { accessToken, accessExpires, lastRefresh, refreshAt, ...kept } = await served.document("t");
    const { refreshToken, refreshExpires } = before;
    expect(kept).toEqual({ ...SETTINGS, ...granted, refreshToken, refreshExpires });
    expect(accessToken).not.toBe(before.accessToken);
    expect(Number(accessExpires) - Number(lastRefresh)).toBe(7_200 * SECOND);
    expect(refreshAt).toBeGreaterThan(served.time.now());
    const { body } = await read("t", "&details=true");
    expect(body).toMatchObject({ token: accessToken, scope: "cjp:config_read" });

    await served.time.advance(2 * HOUR);
    expect(await sweep()).toMatchObject({ due: 1, refreshed: 1 });
    expect(await served.document("t")).toMatchObject({ refreshToken, lifetime: LIFETIME });
  },
);

const BLIPS: Omit<FaultRequest, "clientId">[] = [
  { fault: "429", retryAfter: 0 },
  { fault: "500" },
  { fault: "down" },
  { fault: "html" },
  { fault: "html-403" },
  { fault: "html-500" },
];
test.each(BLIPS)(
  "recovers alone after an hour of $fault and deletes nothing meanwhile (row 6)",
  async (fault) => {
    served = await startServed();
    const before = await served.hold("t", 1.9 * DUE);
    served.fault(fault);
    for (let tries = 1; tries <= 5; tries++) {
      expect((await read("t")).body.token).toBe(before.accessToken);
      const { failure, ...after } = await served.document("t");
      expect(failure).toMatchObject({ permanent: false, count: tries });
      const { accessToken, refreshToken, clientSecret } = before;
      expect(after).toMatchObject({ accessToken, refreshToken, clientSecret });
      expect(Object.keys(after).toSorted()).toEqual(Object.keys(before).toSorted());
      await served.time.advance(12 * MINUTE);
    }
    served.sandbox.faults.clear();
    expect(await sweep()).toMatchObject({ refreshed: 1, remaining: 0 });
    const { accessToken, failure } = await served.document("t");
    expect([failure, live(accessToken)]).toEqual([undefined, true]);
    expect((await read("t", "", rejecting(before.accessToken))).body.token).toBe(accessToken);
    expect(critical()).toEqual([]);
  },
);

test("asks Webex at most 40 times and alerts once in 200 reads and a day of sweeps of a revoked token (row 7)", async () => {
  served = await startServed();
  const { accessToken } = await served.hold("t", DUE);
  served.sandbox.authority.revoke({ clientId: CLIENT.clientId });
  for (let done = 0; done < 200; done += 50) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => read("t")));
    expect(answers.filter(({ body }) => body.token === accessToken)).toHaveLength(50);
  }
  expect(served.refreshes()).toBe(1);

  for (let minutes = 0; minutes < 24 * 60; minutes += 10) {
    await sweep();
    if (minutes < 60) expect((await read("t")).body.token).toBe(accessToken);
    await served.time.advance(10 * MINUTE);
  }
  expect(served.refreshes()).toBeGreaterThanOrEqual(3);
  expect(served.refreshes()).toBeLessThanOrEqual(40);
  expect(critical()).toMatchObject([{ event: "refresh.refused", token: "t" }]);
  expect(await served.settle(read("t"))).toMatchObject({
    status: 409,
    body: { message: expect.stringContaining("tokens -- authorize t") },
  });
  expect((await served.document("t")).accessToken, "nothing is deleted").toBe(accessToken);
});

test("reports no sweep while none runs, and the first one after three hours reports how long it was overdue (row 8)", async () => {
  served = await startServed();
  await served.hold("swept", DUE);
  await sweep();
  const stopped = await readSweeps(served.documents);
  expect(stopped).toMatchObject({ last: served.time.now(), sweeps: [{ due: 1, refreshed: 1 }] });
  const reported = () => served.logs().filter(({ event }) => event === "sweep.done").length;
  const before = reported();

  const refreshAt = served.time.now();
  await served.hold("read", DUE + 3 * DUE, { refreshAt });
  await served.hold("unread", DUE, { refreshAt });
  await served.time.advance(3 * HOUR);
  expect(await served.ask("/health")).toMatchObject({ status: 200, body: { status: "200" } });
  expectLive(await read("read"));
  expect(served.refreshes(), "a read refreshes without a sweep").toBe(2);
  expect((await served.refresher("/census")).body).toMatchObject({ tokens: 3, adopted: 0 });
  expect(await readSweeps(served.documents)).toEqual(stopped);
  // The alert is on the absence of this line.
  expect(reported()).toBe(before);

  expect(await sweep()).toMatchObject({ due: 1, refreshed: 1, remaining: 0, overdueSeconds: 3 * 3_600 });
  expect(reported()).toBe(before + 1);
  expect((await readSweeps(served.documents)).last).toBe(served.time.now());
});

const FORGED: [string, Record<string, string>][] = [
  ["with a state that was never issued", { code: "canary-made-up-code", state: "canary-made-up-state" }],
  ["with the name of a working token as state", { code: "canary-made-up-code", state: "t" }],
  ["with the hash of a state", { code: "canary-made-up-code", state: sha256("canary-made-up-state") }],
  ["without a state", { code: "canary-made-up-code" }],
  ["without a code", { state: "t" }],
  ["with an error and a token's name", { error: "access_denied", state: "t" }],
];
test("refuses forged, replayed, expired and foreign callbacks and leaves the document unchanged (row 10)", async () => {
  served = await startServed();
  await served.hold("t", 6 * DUE);
  const callback = (query: Record<string, string>) => served.setup(`/callback?${new URLSearchParams(query)}`);
  const exchanges = () => served.sandbox.authority.counters().authorization_code.received;
  const expectRefused = async (what: string, asked: number, come: () => Promise<Answer>) => {
    const [before, made] = [await served.documents.read("tokens", "t"), exchanges()];
    const { status } = await come();
    expect([what, [400, 404, 409].includes(status)]).toEqual([what, true]);
    expect([what, exchanges() - made]).toEqual([what, asked]);
    const after = await served.documents.read("tokens", "t");
    expect([after?.version, after?.fields]).toEqual([before?.version, before?.fields]);
  };
  for (const [what, query] of FORGED) await expectRefused(what, 0, () => callback(query));

  const late = await served.consent("t");
  await served.time.advance(15 * MINUTE);
  await expectRefused("expired", 0, () => served.setup(late));

  const good = await served.consent("t");
  const codes = exchanges();
  const statuses = await Promise.all(
    Array.from({ length: 10 }, async () => (await served.setup(good)).status),
  );
  expect(statuses.toSorted()).toEqual([200, ...Array(9).fill(400)]);
  expect(exchanges() - codes).toBe(1);
  await expectRefused("replayed", 0, () => served.setup(good));

  const [one, other] = [await served.consent("t"), await served.consent("t")].map((back) =>
    Object.fromEntries(new URL(back, "http://x").searchParams),
  );
  await expectRefused("of another browser", 1, () => callback({ ...one, code: other?.code ?? "" }));
  served.sandbox.authority.registerClient({ ...CLIENT, orgId: "99999999-2222-3333-4444-555555555555" });
  const foreign = await served.consent("t");
  await expectRefused("of another organization", 1, () => served.setup(foreign));
});

test("refreshes 40 tokens once each, at most ten at a time, and spreads their next tries after an outage (row 11)", async () => {
  served = await startServed();
  const names = Array.from({ length: 40 }, (_, index) => `herd-${index}`);
  const held = await served.hold(names[0] ?? "", DUE);
  for (const name of names.slice(1)) await served.documents.create("tokens", name, held);
  const nextTries = async () => {
    const documents = await Promise.all(names.map((name) => served.document(name)));
    return documents.map(({ refreshAt }) => Number(refreshAt)).toSorted((a, b) => a - b);
  };
  const most = mostAtWebex();

  served.fault({ fault: "500" });
  expect(await sweep()).toMatchObject({ due: 40, failed: 40, remaining: 0 });
  const again = await nextTries();
  expect(again[0]).toBeGreaterThan(served.time.now() + 10 * SECOND);
  expect(Number(again.at(-1)) - Number(again[0])).toBeGreaterThan(9 * SECOND);
  for (const name of names) expect((await read(name)).body.token).toBe(held.accessToken);
  expect(served.refreshes(), "readers cause no further request").toBe(40);

  served.sandbox.faults.clear();
  await served.time.advance(MINUTE);
  const crowd = names.flatMap((name) => [read(name), read(name)]);
  const sweeps = await Promise.all([sweep(), sweep()]);
  for (const answer of await Promise.all(crowd)) expectLive(answer);
  for (const body of sweeps) expect(body).toMatchObject({ failed: 0, remaining: 0 });
  expect(served.refreshes()).toBe(80);
  expect(most()).toBeLessThanOrEqual(10);
  const next = await nextTries();
  expect(Number(next.at(-1)) - Number(next[0])).toBeGreaterThan(20 * MINUTE);
  const inOneMinute = next.map((from) => next.filter((at) => at >= from && at < from + MINUTE).length);
  expect(Math.max(...inOneMinute)).toBeLessThan(8);
});

/** How many requests were at Webex's token endpoint at the same time, at most. */
function mostAtWebex(): () => number {
  let [underWay, most] = [0, 0];
  const count = (message: unknown) => {
    const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
    if (request.url !== "/v1/access_token") return;
    most = Math.max(most, ++underWay);
    response.once("close", () => underWay--);
  };
  subscribe("http.server.request.start", count);
  onTestFinished(() => void unsubscribe("http.server.request.start", count));
  return () => most;
}

interface Oddity {
  client?: Partial<Client>;
  fault?: FaultRequest["fault"];
  /** ms of life at the start. */
  left: number;
  more?: RawFields;
  /** Refreshes in an hour that are no loop. */
  most: number;
}
const ODDITIES: Record<string, Oddity> = {
  "an-hour": { client: { accessLifetime: 3_600 }, left: 20 * MINUTE, most: 5 },
  "ten-minutes": { client: { accessLifetime: 600 }, left: 4 * MINUTE, most: 12 },
  "same-token": { fault: "same-token", left: 100 * MINUTE, most: 10 },
  "missing-expiry": { fault: "omit", left: HOUR, most: 1 },
  "missing-expiry-and-lifetime": { fault: "omit", left: HOUR, more: { lifetime: undefined }, most: 1 },
  "null-expiry": { fault: "null-fields", left: HOUR, most: 1 },
  // Ignoring such numbers would leave the stored lifetime, and a dead token would be served.
  strings: {
    client: { accessLifetime: 1_800 },
    fault: "strings",
    left: 10 * MINUTE,
    more: { lifetime: LIFETIME },
    most: 7,
  },
};
test("refreshes without a loop: short lifetimes, the same token again, missing expiry, numbers as strings (row 14)", async () => {
  served = await startServed();
  const entries = Object.entries(ODDITIES).map(([name, oddity]) => {
    const client = { ...CLIENT, clientId: `C-${name}`, ...oddity.client };
    served.sandbox.authority.registerClient(client);
    if (oddity.fault !== undefined) served.fault({ fault: oddity.fault, clientId: client.clientId });
    return { name, client, oddity, age: client.accessLifetime * SECOND - oddity.left };
  });
  const oldest = Math.max(...entries.map(({ age }) => age));
  const began = served.time.now();
  for (const { name, client, age, oddity } of entries.toSorted((a, b) => b.age - a.age)) {
    await served.time.advance(began + oldest - age - served.time.now());
    const { clientId, clientSecret } = client;
    const { access_token: accessToken, refresh_token: refreshToken } =
      served.sandbox.authority.issue(clientId);
    const lastRefresh = served.time.now();
    const instants = {
      lastRefresh,
      accessExpires: lastRefresh + client.accessLifetime * SECOND,
      refreshAt: 0,
    };
    const granted = { accessToken, refreshToken, lifetime: client.accessLifetime, ...instants };
    await served.documents.create("tokens", name, {
      ...SETTINGS,
      clientId,
      clientSecret,
      ...granted,
      ...oddity.more,
    });
  }
  await served.time.advance(began + oldest - served.time.now());

  for (let minute = 0; minute < 60; minute += 5) {
    for (let again = 0; again < 2; again++) {
      await sweep();
      for (const { name } of entries) expectLive(await read(name));
      const { accessToken } = await served.document("same-token");
      expect((await read("same-token", "", rejecting(accessToken))).headers["x-token-unchanged"]).toBe(
        "true",
      );
    }
    await served.time.advance(5 * MINUTE);
  }
  const granted = entries.map(({ name, client, oddity }) => {
    const { length } = served.events.filter(
      ({ kind, clientId }) => kind === "refresh" && clientId === client.clientId,
    );
    return [name, length >= 1 && length <= oddity.most ? "no loop" : length];
  });
  expect(granted).toEqual(entries.map(({ name }) => [name, "no loop"]));
});

/** Days after the consent: the refresh token ends with the 90th, the last access token with the 103rd. */
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
test("uses a refresh token once more a day before its end and forecasts it at 14, 7, 3 and 1 days (row 15)", async () => {
  served = await startServed();
  const [lifetime, refreshLifetime] = [14 * DAY, 90 * DAY].map((ms) => ms / SECOND) as [number, number];
  served.sandbox.authority.registerClient({ ...CLIENT, accessLifetime: lifetime, refreshLifetime });
  const start = served.time.now();
  await served.hold("t", lifetime, { lifetime, refreshExpires: start + 90 * DAY, refreshAt: 0 });
  const used: number[] = [];
  const forecast: [number, number][] = [];
  for (const day of [...DAYS, 103.5]) {
    await served.time.advance(start + day * DAY - served.time.now());
    const [before, lines] = [served.refreshes(), served.logs().length];
    await sweep();
    if (served.refreshes() > before) used.push(day);
    await served.refresher("/census");
    for (const { event, days } of served.logs().slice(lines))
      if (event === "token.ending") forecast.push([day, days]);
    const answer = await read("t", "&wait=0");
    if (DAYS.includes(day)) expectLive(answer);
    else expect(answer.status).toBe(409);
  }
  // The last use is on day 89.25; the two tries after it are refused, before and after the end of the access token.
  expect(used).toEqual([0, 14, 28, 42, 56, 70, 82.25, 89.25, 102.75, 103.5]);
  expect(forecast).toEqual([
    [76.25, 14],
    [83.25, 7],
    [87.25, 3],
    [89.25, 1],
  ]);
});

/** A wrong secret, refused for the fourth time: the next try is a day away. */
async function refusedFourTimes(left: number): Promise<void> {
  served = await startServed();
  await served.hold("t", left, { clientSecret: "canary-wrong-client-secret" });
  for (let count = 1; count <= 4; count++) {
    expect((await served.document("t")).failure?.count ?? 0).toBe(count - 1);
    await served.edit("t", { refreshAt: 0 });
    await sweep();
  }
  await read("t", "&wait=0");
  await sweep();
  expect(served.refreshes(), "no further try before a person acts").toBe(4);
}

test.each([
  ["a read of an ended token", 0, async () => expectLive(await served.settle(read("t")))],
  [
    "an ask while the old token still serves",
    DUE,
    async () => expect((await served.refresher("/?name=t")).body).toEqual({ outcome: "refreshed" }),
  ],
  [
    "a census and its sweep while no caller reads",
    DUE,
    async () => {
      expect((await served.refresher("/census")).body).toMatchObject({ adopted: 1 });
      expect(await sweep()).toMatchObject({ due: 1, refreshed: 1 });
    },
  ],
])(
  "tries at once after the operator corrects a secret that was backed off for a day: %s (row 16)",
  async (_, left, next) => {
    await refusedFourTimes(left);
    await served.edit("t", { clientSecret: CLIENT.clientSecret });
    await next();
    expect(served.refreshes()).toBe(5);
    expect((await served.document("t")).failure).toBeUndefined();
  },
);
