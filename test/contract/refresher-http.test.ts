import { afterEach, describe, expect, test } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";
import { StoreUnavailable } from "../../functions/core/store.ts";

import { CLIENT, LIFETIME, ORG, PASSPHRASE, type Served, START, startServed } from "../support/served.ts";

/**
 * `POST /`, `/census` and `/?name=` over real HTTP: design 2's rows for the refresher. That no body holds a token
 * or another secret is looked for in every answer (`served.close`).
 */

let served: Served;

async function given(): Promise<Served> {
  served = await startServed();
  return served;
}

afterEach(() => served.close());

const HOUR = 3600;
const due = { refreshAt: START - 60_000 };

describe("POST / sweeps", () => {
  test("nothing due: a summary of zeros", async () => {
    await given();
    await served.hold("fresh", 11 * HOUR);
    const answer = await served.refresher("/");
    expect(answer.status).toBe(200);
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(answer.body).toEqual({
      due: 0,
      refreshed: 0,
      failed: 0,
      deferred: 0,
      paused: 0,
      remaining: 0,
      overdueSeconds: 0,
      elapsedMs: expect.any(Number),
    });
  });

  test("refreshes what is due and says so", async () => {
    await given();
    for (const name of ["a", "b", "c"]) await served.hold(name, HOUR, due);
    await served.hold("d", 11 * HOUR);
    const { body } = await served.refresher("/");
    expect(body).toMatchObject({
      due: 3,
      refreshed: 3,
      failed: 0,
      deferred: 0,
      paused: 0,
      remaining: 0,
      overdueSeconds: 60,
    });
    expect(served.refreshes()).toBe(3);
    expect((await served.refresher("/")).body).toMatchObject({ refreshed: 0, paused: body.paused });
    expect(served.logs().filter(({ event }) => event === "sweep.done")).toHaveLength(2);
  });

  test("counts what failed and what was in another's hands", async () => {
    await given();
    await served.hold("good", HOUR, due);
    await served.hold("revoked", HOUR, { ...due, refreshToken: "canary-revoked-refresh-token" });
    await served.hold("bare", HOUR, { ...due, clientId: "" });
    await served.hold("leased", HOUR, { ...due, lease: { id: "other", expires: START + 20_000 } });
    const { status, body } = await served.refresher("/");
    expect(status).toBe(200);
    expect(body).toMatchObject({ due: 4, refreshed: 1, failed: 2, deferred: 1, remaining: 0 });
  });

  test("passes over the tokens of a client that Webex throttles, and sends at most a few requests", async () => {
    await given();
    for (let count = 0; count < 25; count++)
      await served.hold(`t${count}`, HOUR, { refreshAt: START - 60_000 - count });
    served.fault({ fault: "429", retryAfter: 60 });
    const { status, body } = await served.refresher("/");
    expect(status).toBe(200);
    expect(body.refreshed).toBe(0);
    expect(body).toMatchObject({ due: 25, remaining: 0 });
    expect(body.failed + body.paused).toBe(25);
    const asked = served.refreshes();
    expect(asked).toBeLessThanOrEqual(12);
    served.sandbox.faults.clear();
    expect((await served.refresher("/")).body).toMatchObject({ refreshed: 0, paused: body.paused });
    expect(served.refreshes()).toBe(asked);
  });

  test("two at once refresh a due token once", async () => {
    await given();
    for (let count = 0; count < 20; count++) await served.hold(`t${count}`, HOUR, due);
    const sweeps = await Promise.all([served.refresher("/"), served.refresher("/")]);
    expect(sweeps.reduce((sum, { body }) => sum + body.refreshed, 0)).toBe(20);
    expect(served.refreshes()).toBe(20);
  });

  test("with a query of something else it is a sweep still", async () => {
    await given();
    expect((await served.refresher("/?x=y")).body).toHaveProperty("due");
  });
});

describe("POST /census", () => {
  test("totals by state", async () => {
    await given();
    await served.hold("works", 11 * HOUR);
    await served.hold("sample", 11 * HOUR, { refreshAt: undefined });
    await served.hold("fixed", 11 * HOUR, { static: true, refreshToken: undefined });
    await served.documents.create("tokens", "new", { clientId: "", clientSecret: "", redirectUri: "" });
    const answer = await served.refresher("/census");
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      tokens: 4,
      adopted: 1,
      failed: 0,
      states: {
        working: 2,
        refreshing: 0,
        retrying: 0,
        "needs a person": 0,
        static: 1,
        ended: 0,
        "not authorized": 1,
      },
      elapsedMs: expect.any(Number),
    });
    expect((await served.document("sample")).refreshAt).toBeGreaterThan(START);
  });

  test("the store down is 503", async () => {
    await given();
    served.outage.fail = () => new StoreUnavailable("down");
    expect((await served.refresher("/census")).status).toBe(503);
  });
});

describe("POST /?name= sees to one token", () => {
  const outcome = async (query: string) => {
    const { status, body } = await served.refresher(`/?${query}`);
    expect(status).toBe(200);
    return body;
  };

  test("refreshed: says so, and the store has the token", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    expect(await outcome("name=flow")).toEqual({ outcome: "refreshed" });
    const document = await served.document("flow");
    expect(document.accessToken).not.toBe(accessToken);
    expect(document).toMatchObject({
      accessExpires: START + LIFETIME * 1000,
      lifetime: LIFETIME,
      orgId: ORG,
    });
    expect(document).not.toHaveProperty("lease");
  });

  test("fresh: nothing to do", async () => {
    await given();
    await served.hold("flow", 11 * HOUR);
    expect(await outcome("name=flow")).toEqual({ outcome: "fresh" });
    expect(served.refreshes()).toBe(0);
  });

  test("failed, then deferred until the next try", async () => {
    await given();
    await served.hold("flow", HOUR);
    served.fault({ fault: "500" });
    expect(await outcome("name=flow")).toEqual({ outcome: "failed", code: "http_500", permanent: false });
    const deferred = await outcome("name=flow");
    expect(deferred).toEqual({ outcome: "deferred", until: (await served.document("flow")).refreshAt });
    expect(deferred.until).toBeGreaterThan(START);
    expect(served.refreshes()).toBe(1);
  });

  test("failed for good", async () => {
    await given();
    await served.hold("flow", 0);
    served.fault({ fault: "invalid-request" });
    const failed = { outcome: "failed", code: "invalid_request", permanent: true };
    expect(await outcome("name=flow")).toEqual(failed);
    expect(await outcome("name=flow")).toEqual(failed);
    expect(served.refreshes()).toBe(1);
  });

  test("failed: not authorized, without asking Webex", async () => {
    await given();
    await served.documents.create("tokens", "new", { clientId: "C1" });
    expect(await outcome("name=new")).toEqual({ outcome: "failed", code: "not_authorized", permanent: true });
    expect(served.refreshes()).toBe(0);
  });

  test("held while its client is paused, after two of its tokens met a 429", async () => {
    await given();
    await served.hold("a", HOUR);
    await served.hold("b", HOUR);
    await served.hold("c", HOUR);
    served.fault({ fault: "429", retryAfter: 90, times: 2 });
    for (const name of ["a", "b"])
      expect(await outcome(`name=${name}`)).toMatchObject({ outcome: "failed", code: "rate_limited" });
    expect(await outcome("name=c")).toEqual({ outcome: "held", until: START + 90_000 });
    await served.time.advance(90_000);
    expect(await outcome("name=c")).toEqual({ outcome: "refreshed" });
  });

  test("leased by another", async () => {
    await given();
    await served.hold("flow", HOUR, { lease: { id: "other", expires: START + 20_000 } });
    expect(await outcome("name=flow")).toEqual({ outcome: "leased", until: START + 20_000 });
  });

  test("unchanged: Webex gave the same token again", async () => {
    await given();
    await served.hold("flow", HOUR, { accessExpires: START + LIFETIME * 1000 });
    served.fault({ fault: "same-token" });
    expect(await outcome(`name=flow&minTtl=${LIFETIME}`)).toEqual({ outcome: "fresh" });
    const { accessToken = "" } = await served.document("flow");
    expect(await outcome(`name=flow&ifToken=${sha256(String(accessToken))}`)).toEqual({
      outcome: "unchanged",
    });
  });

  test("missing", async () => {
    await given();
    expect(await outcome("name=none")).toEqual({ outcome: "missing" });
  });

  test("ifToken: refreshes only what still is the stored one", async () => {
    await given();
    const { accessToken } = await served.hold("flow", 11 * HOUR);
    expect(await outcome(`name=flow&ifToken=${sha256("another")}`)).toEqual({ outcome: "fresh" });
    expect(await outcome(`name=flow&ifToken=${sha256(String(accessToken))}`)).toEqual({
      outcome: "refreshed",
    });
    expect(await outcome(`name=flow&ifToken=${sha256(String(accessToken))}`)).toEqual({ outcome: "fresh" });
  });

  test("minTtl: refreshes where less is left", async () => {
    await given();
    await served.hold("flow", 5 * HOUR);
    expect(await outcome(`name=flow&minTtl=${5 * HOUR}`)).toEqual({ outcome: "fresh" });
    expect(await outcome(`name=flow&minTtl=${5 * HOUR + 1}`)).toEqual({ outcome: "refreshed" });
    expect(await outcome("name=flow&minTtl=999999")).toEqual({ outcome: "fresh" });
  });

  test("20 at once: one request to Webex", async () => {
    await given();
    await served.hold("flow", HOUR);
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcome("name=flow")));
    expect(served.refreshes()).toBe(1);
    expect(outcomes.filter(({ outcome }) => outcome === "refreshed")).toHaveLength(1);
    for (const { outcome } of outcomes) expect(["refreshed", "leased", "fresh"]).toContain(outcome);
  });

  test.each([
    "name=",
    "name=a%2Fb",
    "name=..",
    "name=__x__",
    `name=${"x".repeat(1501)}`,
    "name=a&name=b",
    "name=a&ifToken=x",
    `name=a&ifToken=${sha256("x").toUpperCase()}`,
    `name=a&ifToken=${sha256("x")}&ifToken=${sha256("x")}`,
    "name=a&minTtl=x",
    "name=a&minTtl=-1",
    "name=a&minTtl=1&minTtl=1",
  ])("%s is 400", async (query) => {
    await given();
    const { status, body } = await served.refresher(`/?${query}`);
    expect(status).toBe(400);
    expect(body).toEqual({ status: "400", message: expect.any(String), reference: expect.any(String) });
  });
});

describe("what it cannot do", () => {
  test.each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])("%s is 405", async (method) => {
    await given();
    await served.hold("flow", HOUR);
    for (const path of ["/", "/?name=flow", "/census"])
      expect((await served.refresher(path, { method })).status).toBe(405);
    expect(served.refreshes()).toBe(0);
  });

  test("another path is 404", async () => {
    await given();
    for (const path of ["/sweep", "/census/", "/health"])
      expect((await served.refresher(path)).status).toBe(404);
  });

  test.each(["/", "/census", "/?name=flow"])("POST %s with the store down is 503, not 500", async (path) => {
    await given();
    await served.hold("flow", HOUR, due);
    served.outage.fail = () => new StoreUnavailable("down");
    const answer = await served.refresher(path);
    expect(answer.status).toBe(503);
    expect(answer.body).toMatchObject({ status: "503", reference: expect.any(String) });
    expect(served.logs().at(-1)).toMatchObject({
      event: "store.unavailable",
      reference: answer.body.reference,
    });
  });

  test("a bug is a generic 500", async () => {
    await given();
    served.secrets.add("canary-in-an-error-message");
    served.outage.fail = () => new Error("canary-in-an-error-message");
    const { status, body } = await served.refresher("/");
    expect([status, body.message]).toEqual([500, "something went wrong here: please report the reference"]);
  });

  test("a diary that cannot be written does not undo a sweep", async () => {
    await given();
    await served.hold("flow", HOUR, due);
    served.outage.fail = ({ collection }) =>
      collection === "status" ? new StoreUnavailable("down") : undefined;
    const { status, body } = await served.refresher("/");
    expect([status, body.refreshed]).toEqual([200, 1]);
  });

  test("a token in no answer, whichever way it is asked for", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    await served.hold("other", HOUR, due);
    const token = String(accessToken);
    const options = { headers: { "x-token-passphrase": PASSPHRASE, "x-token-rejected": token } };
    for (const path of [
      "/?name=flow&details=true",
      "/?details=true",
      "/census",
      `/?name=flow&ifToken=${token}`,
    ]) {
      const { text } = await served.refresher(path, options);
      expect(text).not.toContain(token);
      expect(text).not.toContain(String((await served.document("flow")).accessToken));
    }
    expect(served.sandbox.authority.client(CLIENT.clientId)).toBeDefined();
  });
});
