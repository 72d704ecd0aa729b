import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { LIFETIME, type Served, startServed } from "../support/served.ts";
import { FRESH, rejecting, withHeaders } from "./lookups.ts";

/** What a caller is given who says that an API rejected its token. */

let served: Served;
const given = async () => {
  served = await startServed();
};
afterEach(() => served.close());

describe("x-token-rejected", () => {
  test("the stored token: a refresh is asked for, and the new token answered", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    const answer = await served.ask("/?name=flow", rejecting(accessToken));
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe((await served.document("flow")).accessToken);
    expect(answer.body.token).not.toBe(accessToken);
    expect(answer.headers).not.toHaveProperty("x-token-unchanged");
    expect(served.refreshes()).toBe(1);
  });

  test("with the word Bearer before it, as an API was given it, counts the same", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    const rejected = withHeaders({ "x-token-rejected": `Bearer ${accessToken}` });
    expect((await served.ask("/?name=flow", rejected)).body.token).not.toBe(accessToken);
  });

  test("a token that was replaced meanwhile: the new one at once, without a refresh", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    const rejected = withHeaders({ "x-token-rejected": "canary-token-of-before" });
    served.secrets.add("canary-token-of-before");
    const answer = await served.ask("/?name=flow", rejected);
    expect(answer.body.token).toBe(accessToken);
    expect(answer.headers).not.toHaveProperty("x-token-unchanged");
    expect(served.asks.made).toBe(0);
  });

  test("Webex returns the same token: 200 with x-token-unchanged", async () => {
    await given();
    const { accessToken } = await served.hold("flow", LIFETIME);
    served.fault({ fault: "same-token" });
    const answer = await served.ask("/?name=flow", rejecting(accessToken));
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(accessToken);
    expect(answer.headers["x-token-unchanged"]).toBe("true");
  });

  test("a loop of refusals does not become a loop of refreshes", async () => {
    await given();
    await served.hold("flow", FRESH);
    for (let count = 0; count < 10; count++) {
      const { accessToken = "" } = await served.document("flow");
      const answer = await served.ask("/?name=flow", rejecting(accessToken));
      expect(answer.status).toBe(200);
      expect(answer.headers["x-token-unchanged"]).toBe(count === 0 ? undefined : "true");
    }
    expect(served.refreshes()).toBe(1);
  });

  test("the refresher is down: the held token, 200, unchanged", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await served.stopRefresher();
    const answer = await served.ask("/?name=flow", rejecting(accessToken));
    expect(answer.status).toBe(200);
    expect(answer.headers["x-token-unchanged"]).toBe("true");
  });

  test("in the query it counts for nothing", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await served.ask(`/?name=flow&x-token-rejected=${accessToken}`);
    expect(served.asks.made).toBe(0);
  });

  test("is asked for although somebody else did not want to wait for another token", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await served.hold("dead", 0);
    served.fault({ fault: "hang", times: 1 });
    expect((await served.settle(served.ask("/?name=dead&wait=0"))).status).toBe(503);
    const answer = await served.settle(served.ask("/?name=flow", rejecting(accessToken)));
    expect(answer.body.token).not.toBe(accessToken);
  });
});

describe("a stranger", () => {
  test("whose reads of the store fail keeps no rejected token from being replaced (row 22)", async () => {
    served = await startServed();
    const { accessToken = "" } = await served.hold("flow", FRESH);
    expect((await served.ask("/?name=flow")).status).toBe(200);
    served.outage.fail = ({ id }) => (id === "flow" ? undefined : new StoreUnavailable("it is slow"));
    for (let count = 0; count < 5; count++) {
      const wrong = { headers: { "x-token-passphrase": "canary-of-a-stranger" } };
      expect((await served.ask(`/?name=unknown-${count}&wait=0`, wrong)).status).toBe(503);
    }
    const answer = await served.ask("/?name=flow", rejecting(accessToken));
    expect(answer.status).toBe(200);
    expect(answer.body.token).not.toBe(accessToken);
    expect(served.refreshes()).toBe(1);
  });
});
