import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { LIFETIME, type Served, type ServedOptions, START, startServed } from "../support/served.ts";
import { expectProblem, FRESH, HOUR } from "./lookups.ts";

/** A token that still lives, when its refresh is asked for, and what happens to that. */

let served: Served;
const given = async (options: ServedOptions = {}) => {
  served = await startServed(options);
};
afterEach(() => served.close());

describe("the store", () => {
  const down = () => new StoreUnavailable("it is down");

  test("down: 503 with retry-after, not 500", async () => {
    await given();
    await served.hold("flow", FRESH);
    served.outage.fail = down;
    const answer = await served.ask("/?name=flow");
    expectProblem(answer, 503, /store did not answer/);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    expect(served.logs().at(-1)).toMatchObject({ event: "store.unavailable", severity: "ERROR" });
  });

  test("down: whoever gave no passphrase is still told 401", async () => {
    await given();
    served.outage.fail = down;
    expectProblem(await served.ask("/?name=flow", { headers: {} }), 401, /passphrase/);
  });

  test("down at the second read: the held token is answered", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    let reads = 0;
    served.outage.fail = ({ collection, method }) =>
      collection === "tokens" && method === "read" && ++reads > 1 ? down() : undefined;
    const answer = await served.settle(served.ask("/?name=flow"));
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(accessToken);
    expect(reads).toBeGreaterThan(1);
  });

  test("down for the refresher alone: the held token is answered", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    let reads = 0;
    served.outage.fail = ({ method }) => (method === "read" && ++reads === 1 ? undefined : down());
    expect((await served.settle(served.ask("/?name=flow"))).body.token).toBe(accessToken);
  });
});

describe("a token below its threshold", () => {
  test("100 reads at once: one ask, one request to Webex, 200 for all, the new token for whoever asked", async () => {
    await given();
    const held = await served.hold("flow", HOUR);
    const first = served.ask("/?name=flow");
    const answers = await Promise.all(Array.from({ length: 99 }, () => served.ask("/?name=flow")));
    const { accessToken } = await served.document("flow");
    expect((await first).body.token).toBe(accessToken);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    // Who comes while the lease is written has the held one at once.
    for (const { body } of answers) expect([held.accessToken, accessToken]).toContain(body.token);
    expect(served.asks.made).toBe(1);
    expect(served.refreshes()).toBe(1);
  });

  test("100 reads at once while Webex hangs: one ask, the held token for all", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "hang" });
    const reads = Promise.all(Array.from({ length: 100 }, () => served.ask("/?name=flow")));
    const answers = await served.settle(reads);
    expect(new Set(answers.map(({ body }) => body.token))).toEqual(new Set([accessToken]));
    expect(served.time.now() - START).toBeLessThanOrEqual(1600);
    expect([served.asks.made, served.refreshes()]).toEqual([1, 1]);
  });

  test("a token of a one-hour integration is served from half its life on", async () => {
    await given();
    const { accessToken } = await served.hold("short", 1801, { lifetime: HOUR, refreshAt: START + 1 });
    expect((await served.ask("/?name=short")).body.token).toBe(accessToken);
    expect(served.asks.made).toBe(0);
    await served.time.advance(2000);
    expect((await served.ask("/?name=short")).body.token).not.toBe(accessToken);
  });

  test("someone else's lease: the held token at once, and nobody is asked", async () => {
    await given();
    const lease = { id: "other", expires: START + 20_000 };
    const { accessToken } = await served.hold("flow", HOUR, { lease });
    expect((await served.ask("/?name=flow")).body.token).toBe(accessToken);
    expect(served.asks.made).toBe(0);
  });

  test("not due yet, since a try failed: the held token at once, and nobody is asked", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "500" });
    for (let count = 0; count < 5; count++)
      expect((await served.ask("/?name=flow")).body.token).toBe(accessToken);
    expect([served.asks.made, served.refreshes()]).toEqual([1, 1]);
    served.sandbox.faults.clear();
    await served.time.advance(60_000);
    expect((await served.ask("/?name=flow")).body.token).not.toBe(accessToken);
  });
});

describe("while Webex is not well, a token with an hour left is answered with 200", () => {
  test.each([
    "down",
    "429",
    "429-none",
    "429-zero",
    "429-rand",
    "429-empty",
    "html",
    "html-403",
    "html-500",
    "500",
    "invalid-request",
    "webex-400",
    "unauthorized",
    "empty-token",
    "redirect",
    "lost",
  ] as const)("%s", async (fault) => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault });
    const answer = await served.ask("/?name=flow");
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(accessToken);
    expect(served.time.now()).toBe(START);
    expect((await served.document("flow")).refreshToken).toBeDefined();
  });

  test.each(["omit", "null-fields", "strings", "rotate"] as const)(
    "%s: refreshed all the same",
    async (fault) => {
      await given();
      const { accessToken, refreshToken, refreshExpires } = await served.hold("flow", HOUR);
      served.fault({ fault });
      const answer = await served.ask("/?name=flow");
      expect(answer.body.token).not.toBe(accessToken);
      expect(answer.headers["x-token-expires-in"]).toBe(String(LIFETIME));
      const after = await served.document("flow");
      if (fault === "omit" || fault === "null-fields")
        expect(after).toMatchObject({ refreshToken, refreshExpires });
      if (fault === "rotate") expect(after.refreshToken).not.toBe(refreshToken);
    },
  );

  test("hanging: inside 2 s of real time, and the next ones at once", async () => {
    await given({ realTime: true });
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "hang" });
    const started = performance.now();
    const answer = await served.ask("/?name=flow");
    const first = performance.now() - started;
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(accessToken);
    expect(first).toBeGreaterThan(1000);
    expect(first).toBeLessThan(2000);
    const again = performance.now();
    for (let count = 0; count < 5; count++) expect((await served.ask("/?name=flow")).status).toBe(200);
    expect(performance.now() - again).toBeLessThan(500);
    expect(served.refreshes()).toBe(1);
  });

  test("answering slowly: the new token, where it comes before the deadline", async () => {
    await given({ realTime: true });
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "slow", delayMs: 300 });
    expect((await served.ask("/?name=flow")).body.token).not.toBe(accessToken);
  });
});

describe("the refresher down", () => {
  test("a live token is answered at once, with one failed ask in 10 s", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    await served.hold("other", HOUR);
    await served.stopRefresher();
    for (let second = 0; second < 10; second++) {
      expect((await served.ask("/?name=flow")).body.token).toBe(accessToken);
      expect((await served.ask("/?name=other")).status).toBe(200);
      await served.time.advance(999);
    }
    expect(served.asks.made).toBe(1);
    await served.time.advance(10);
    expect((await served.ask("/?name=flow")).status).toBe(200);
    expect(served.asks.made).toBe(2);
    expect(served.logs().filter(({ event }) => event === "lookup.refresher_failed")).toHaveLength(2);
  });

  test("a dead token is 503 with retry-after after the wait", async () => {
    await given();
    await served.hold("dead", 0);
    await served.stopRefresher();
    const answer = await served.settle(served.ask("/?name=dead"));
    expectProblem(answer, 503, /token "dead" has ended/);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    expect(served.asks.made).toBeLessThanOrEqual(10);
  });
});
