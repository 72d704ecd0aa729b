import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { type Served, START, startServed } from "../support/served.ts";
import { expectProblem, FRESH } from "./lookups.ts";

/** Lookup without a live token: callers wait, or get 409 where a person must act. */

let served: Served;
const given = async () => {
  served = await startServed();
};
afterEach(() => served.close());

describe("a token that has ended", () => {
  test("is refreshed while the caller waits", async () => {
    await given();
    const { accessToken } = await served.hold("dead", 0);
    const answer = await served.ask("/?name=dead");
    expect(answer.status).toBe(200);
    expect(answer.body.token).not.toBe(accessToken);
  });

  test("is refreshed once for 100 readers at once, all of which get 200 (row 1)", async () => {
    await given();
    await served.hold("dead", 0);
    const reads = Promise.all(Array.from({ length: 100 }, () => served.ask("/?name=dead")));
    const answers = await served.settle(reads);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect([served.asks.made, served.refreshes()]).toEqual([1, 1]);
  });

  test.each([1, 3])(
    "is served after %i reads of the store fail during the wait (row 27)",
    async (failures) => {
      await given();
      const { accessToken } = await served.hold("flow", FRESH);
      let left = failures;
      served.outage.fail = ({ method }) =>
        method === "read" && left-- > 0 ? new StoreUnavailable("it is down") : undefined;
      const answer = await served.settle(served.ask("/?name=flow&wait=20"));
      expect([answer.status, answer.body.token]).toEqual([200, accessToken]);
    },
  );

  test("includes one with less than a second left", async () => {
    await given();
    const { accessToken } = await served.hold("dead", 0.9);
    expect((await served.ask("/?name=dead")).body.token).not.toBe(accessToken);
  });

  test.each([
    ["", 8000],
    ["&wait=0", 0],
    ["&wait=3", 3000],
    ["&wait=20", 20_000],
  ])("is 503 with retry-after while Webex hangs: query %j waits %i ms", async (query, most) => {
    await given();
    await served.hold("dead", 0);
    served.fault({ fault: "hang" });
    const answer = await served.settle(served.ask(`/?name=dead${query}`));
    expectProblem(answer, 503, /token "dead" has ended and there is no new one yet.*try again/);
    expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    const waited = served.time.now() - START;
    expect(waited).toBeLessThanOrEqual(most);
    expect(waited).toBeGreaterThanOrEqual(most - 1000);
  });

  test("is 503 at once with wait=0, while its refresh goes on for the next read", async () => {
    await given();
    await served.hold("dead", 0);
    served.fault({ fault: "slow", delayMs: 150, times: 1 });
    expect((await served.ask("/?name=dead&wait=0")).status).toBe(503);
    await expect.poll(async () => (await served.ask("/?name=dead&wait=0")).status).toBe(200);
    expect(served.refreshes()).toBe(1);
  });

  test.each(["21", "9999", "-1", "1.5", "abc", "", "1s"])("is 400 with wait=%s", async (wait) => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask(`/?name=flow&wait=${wait}`), 400, /"wait" must be.*from 0 to 20/);
  });

  test("is 400 with a repeated wait", async () => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=flow&wait=1&wait=1"), 400, /"wait" is given 2 times/);
  });

  test.each(["down", "html", "html-403", "500"] as const)(
    "is 503 with retry-after when Webex answers %s, without a second request within 30 s (row 6)",
    async (fault) => {
      await given();
      await served.hold("dead", 0);
      served.fault({ fault });
      const answer = await served.settle(served.ask("/?name=dead"));
      expectProblem(answer, 503, /token "dead" has ended.*the last refresh failed \(\w+\); try again/);
      const retryAfter = Number(answer.headers["retry-after"]);
      expect(retryAfter).toBeGreaterThan(0);
      expect(retryAfter).toBeLessThanOrEqual(40);
      expect((await served.settle(served.ask("/?name=dead"))).status).toBe(503);
      expect(served.refreshes()).toBe(1);
      served.sandbox.faults.clear();
      await served.time.advance(retryAfter * 1000);
      expect((await served.settle(served.ask("/?name=dead"))).status).toBe(200);
    },
  );

  test("is 503 after a 429 and not asked for before its Retry-After, while others are (rows 6 and 19)", async () => {
    await given();
    await served.hold("dead", 0);
    await served.hold("other", 0);
    served.fault({ fault: "429", retryAfter: 120 });
    const answer = await served.settle(served.ask("/?name=dead"));
    expectProblem(answer, 503, /the last refresh failed \(rate_limited\)/);
    served.sandbox.faults.clear();
    await served.time.advance(60_000);
    const other = await served.settle(served.ask("/?name=other"));
    expect(other.status).toBe(200);
    const { "retry-after": retryAfter } = (await served.settle(served.ask("/?name=dead"))).headers;
    expect(Number(retryAfter)).toBeGreaterThan(30);
    expect(served.refreshes()).toBe(2);
    await served.time.advance(65_000);
    expect((await served.settle(served.ask("/?name=dead"))).status).toBe(200);
  });

  test("is waited for without an ask while another process refreshes it", async () => {
    await given();
    await served.hold("dead", 0, { lease: { id: "other", expires: START + 20_000 } });
    const read = served.ask("/?name=dead");
    const granted = served.sandbox.authority.issue("C-served");
    served.secrets.add(granted.access_token);
    // The reader waits: it sleeps until its next read of the store.
    await eventuallyTrue(() => served.time.next() < Number.POSITIVE_INFINITY);
    const fields = { accessToken: granted.access_token, accessExpires: START + 60_000, lease: undefined };
    await served.edit("dead", fields);
    const answer = await served.settle(read);
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(granted.access_token);
    expect(served.refreshes()).toBe(0);
  });

  test("under the lease of a dead process is refreshed within the wait", async () => {
    await given();
    await served.hold("dead", 0, { lease: { id: "other", expires: START + 5000 } });
    expect((await served.settle(served.ask("/?name=dead"))).status).toBe(200);
    expect(served.refreshes()).toBe(1);
  });
});

describe("lookup answers 409", () => {
  test("for a token without authorization, and names the command that authorizes it", async () => {
    await given();
    const none = { accessToken: undefined, refreshToken: undefined, accessExpires: undefined };
    await served.hold("new", 0, { ...none, refreshExpires: undefined, refreshAt: undefined });
    const answer = await served.ask("/?name=new");
    expectProblem(answer, 409, /token "new" is not authorized yet.*tokens -- authorize new/);
    expect(answer.headers).not.toHaveProperty("retry-after");
    expect(served.asks.made).toBe(0);
  });

  test("for an emptied setting, and names the field", async () => {
    await given();
    await served.hold("bare", 0, { clientSecret: "" });
    const answer = await served.settle(served.ask("/?name=bare"));
    expectProblem(answer, 409, /token "bare" has no clientSecret.*tokens -- add bare/);
    expect(served.refreshes()).toBe(0);
    expect((await served.ask("/?name=bare")).status).toBe(409);
  });

  test("for a setting of the wrong type, and names the field", async () => {
    await given();
    await served.hold("odd", 0, { clientId: 4711 });
    expectProblem(await served.settle(served.ask("/?name=odd")), 409, /clientId of token "odd" is no text/);
  });

  test.each([
    ["invalid-request", "invalid_request"],
    ["webex-400", "http_400"],
    ["unauthorized", "http_401"],
  ] as const)(
    "for a refresh token that Webex refuses (%s) after one request, and names code and command (row 7)",
    async (fault, code) => {
      await given();
      await served.hold("dead", 0);
      served.fault({ fault });
      for (let count = 0; count < 5; count++) {
        const answer = await served.settle(served.ask("/?name=dead"));
        expectProblem(
          answer,
          409,
          new RegExp(`Webex refuses.*"dead" \\(${code}\\).*tokens -- authorize dead`),
        );
      }
      expect(served.refreshes()).toBe(1);
      expect(served.logs().filter(({ event }) => event === "refresh.refused")).toHaveLength(1);
    },
  );

  test("for a wrong secret until it is corrected, and then tries at once (row 16)", async () => {
    await given();
    await served.hold("dead", 0, { clientSecret: "canary-mistyped-secret" });
    expectProblem(await served.settle(served.ask("/?name=dead")), 409, /invalid_client/);
    const { clientSecret } = served.sandbox.authority.client("C-served") ?? {};
    await served.edit("dead", { clientSecret });
    expect((await served.settle(served.ask("/?name=dead"))).status).toBe(200);
  });

  test("for a static access token that has ended", async () => {
    await given();
    await served.hold("fixed", 0, { static: true, refreshToken: undefined, refreshAt: undefined });
    expectProblem(await served.ask("/?name=fixed"), 409, /fixed access token "fixed" has ended.*--static/);
  });
});
