import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { LIFETIME, type Served, START, startServed } from "../support/served.ts";
import { expectProblem, FRESH, HOUR } from "./lookups.ts";

/** How lookup asks for a refresh of a live token, and what it answers meanwhile. */

let served: Served;
const given = async () => {
  served = await startServed();
};
afterEach(() => served.close());

describe("lookup with the store", () => {
  const down = () => new StoreUnavailable("it is down");

  test("down answers 503 with retry-after", async () => {
    await given();
    await served.hold("flow", FRESH);
    served.outage.fail = down;
    const answer = await served.settle(served.ask("/?name=flow"));
    expectProblem(answer, 503, /store did not answer/);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    expect(served.logs().at(-1)).toMatchObject({ event: "store.unavailable", severity: "ERROR" });
  });

  test("down still answers 401 to a caller without a passphrase", async () => {
    await given();
    served.outage.fail = down;
    expectProblem(await served.ask("/?name=flow", { headers: {} }), 401, /passphrase/);
  });

  test("down at the second read answers the held token", async () => {
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

  test("down for the refresher alone answers the held token", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    let reads = 0;
    served.outage.fail = ({ method }) => (method === "read" && ++reads === 1 ? undefined : down());
    expect((await served.settle(served.ask("/?name=flow"))).body.token).toBe(accessToken);
  });
});

describe("a token below its threshold", () => {
  test("is refreshed once when 100 readers ask at once; all get 200, and the first gets the new token (row 1)", async () => {
    await given();
    const held = await served.hold("flow", HOUR);
    const first = served.ask("/?name=flow");
    const answers = await Promise.all(Array.from({ length: 99 }, () => served.ask("/?name=flow")));
    const { accessToken } = await served.document("flow");
    expect((await first).body.token).toBe(accessToken);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    // Readers that come while the lease is written get the held token.
    for (const { body } of answers) expect([held.accessToken, accessToken]).toContain(body.token);
    expect(served.asks.made).toBe(1);
    expect(served.refreshes()).toBe(1);
  });

  test("is answered to 100 readers at once after one ask while Webex hangs", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "hang" });
    const reads = Promise.all(Array.from({ length: 100 }, () => served.ask("/?name=flow")));
    const answers = await served.settle(reads);
    expect(new Set(answers.map(({ body }) => body.token))).toEqual(new Set([accessToken]));
    expect(served.time.now() - START).toBeLessThanOrEqual(1600);
    expect([served.asks.made, served.refreshes()]).toEqual([1, 1]);
  });

  test("with a lifetime of one hour is refreshed from half its life on", async () => {
    await given();
    const { accessToken } = await served.hold("short", 1801, { lifetime: HOUR, refreshAt: START + 1 });
    expect((await served.ask("/?name=short")).body.token).toBe(accessToken);
    expect(served.asks.made).toBe(0);
    await served.time.advance(2000);
    expect((await served.ask("/?name=short")).body.token).not.toBe(accessToken);
  });

  test("under another process's lease is answered at once, without an ask", async () => {
    await given();
    const lease = { id: "other", expires: START + 20_000 };
    const { accessToken } = await served.hold("flow", HOUR, { lease });
    expect((await served.ask("/?name=flow")).body.token).toBe(accessToken);
    expect(served.asks.made).toBe(0);
  });

  test("whose last refresh failed is answered at once, without an ask, until it is due", async () => {
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

describe("lookup answers a token with an hour left with 200 when Webex fails with (row 6)", () => {
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
    "%s: and refreshes it (rows 5 and 14)",
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

  test("hang: the first read within 1.6 s, the next ones at once", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "hang" });
    const answer = await served.settle(served.ask("/?name=flow"));
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(accessToken);
    const waited = served.time.now() - START;
    expect(waited).toBeGreaterThan(1000);
    expect(waited).toBeLessThanOrEqual(1600);
    // The clock stands still: an answer that waits would not come.
    for (let count = 0; count < 5; count++) expect((await served.ask("/?name=flow")).status).toBe(200);
    expect(served.refreshes()).toBe(1);
  });

  test("slow: the new token, if it arrives before the read's limit", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "slow", delayMs: 30 });
    expect((await served.ask("/?name=flow")).body.token).not.toBe(accessToken);
  });
});

describe("lookup with the refresher down", () => {
  test("answers a live token at once, with one failed ask for each name in 10 s (row 18)", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    await served.hold("other", HOUR);
    await served.stopRefresher();
    for (let second = 0; second < 10; second++) {
      expect((await served.ask("/?name=flow")).body.token).toBe(accessToken);
      expect((await served.ask("/?name=other")).status).toBe(200);
      await served.time.advance(999);
    }
    expect(served.asks.made).toBe(2);
    await served.time.advance(10);
    expect((await served.ask("/?name=flow")).status).toBe(200);
    expect(served.asks.made).toBe(3);
    expect(served.logs().filter(({ event }) => event === "lookup.refresher_failed")).toHaveLength(3);
  });

  test("answers 503 with retry-after for a token that has ended", async () => {
    await given();
    await served.hold("dead", 0);
    await served.stopRefresher();
    const answer = await served.settle(served.ask("/?name=dead"));
    expectProblem(answer, 503, /token "dead" has ended/);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    expect(served.asks.made).toBeLessThanOrEqual(10);
  });
});
