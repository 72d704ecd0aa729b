import { afterEach, describe, expect, test } from "vitest";
import { LIFETIME, ORG, type Served, startServed } from "../support/served.ts";
import { expectProblem, FRESH, HOUR } from "./lookups.ts";

/** `GET /?name=` over real HTTP: what a request may say, row by row of design 2's tables for lookup. */

let served: Served;
const given = async () => {
  served = await startServed();
};
afterEach(() => served.close());

describe("a token with life left", () => {
  test("is answered as the original sample does: status and token, nothing else", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    const answer = await served.ask("/?name=flow");
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(JSON.stringify({ status: "200", token: accessToken }));
    expect(answer.headers["x-token-expires-in"]).toBe(String(FRESH));
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(answer.headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(answer.headers).not.toHaveProperty("x-token-unchanged");
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
    expect(served.asks.made).toBe(0);
  });

  test("details=true adds what is known of it", async () => {
    await given();
    const { accessToken, scope } = await served.hold("flow", FRESH);
    const answer = await served.ask("/?name=flow&details=true");
    expect(answer.body).toEqual({
      status: "200",
      token: accessToken,
      expiresIn: FRESH,
      orgId: ORG,
      cluster: "PF84",
      scope,
    });
  });

  test("any other path is taken as /", async () => {
    await given();
    await served.hold("flow", FRESH);
    for (const path of ["/token?name=flow", "//?name=flow", "/a/b/c?name=flow", "/healthz?name=flow"])
      expect((await served.ask(path)).status, path).toBe(200);
  });

  test("HEAD gives the headers of GET and no body", async () => {
    await given();
    await served.hold("flow", FRESH);
    const { headers: get } = await served.ask("/?name=flow");
    const head = await served.ask("/?name=flow", { method: "HEAD" });
    expect(head.status).toBe(200);
    expect(head.text).toBe("");
    expect(head.headers["x-token-expires-in"]).toBe(String(FRESH));
    expect(head.headers["content-length"]).toBe(get["content-length"]);
    const missing = await served.ask("/?name=none", { method: "HEAD" });
    expect([missing.status, missing.text]).toEqual([404, ""]);
  });

  test("a document of the original sample is served as it is", async () => {
    await given();
    const { accessToken } = await served.hold("sample", FRESH, {
      lifetime: undefined,
      refreshAt: undefined,
      orgId: undefined,
      scope: undefined,
    });
    const answer = await served.ask("/?name=sample&details=true");
    expect(answer.body).toEqual({
      status: "200",
      token: accessToken,
      expiresIn: FRESH,
      orgId: ORG,
      cluster: "PF84",
    });
  });

  test("the name is trimmed, percent-decoded and as long as Firestore allows", async () => {
    await given();
    for (const name of ["größe & more", "a+b", "x".repeat(1500), "_x_", "...", "日本"]) {
      await served.hold(name, FRESH);
      const path = `/?name=%20${encodeURIComponent(name)}%20`;
      expect((await served.ask(path)).status, name.slice(0, 20)).toBe(200);
    }
  });
});

describe("minTtl", () => {
  test("met: the held token, and nobody is asked", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    expect((await served.ask(`/?name=flow&minTtl=${FRESH}`)).body.token).toBe(accessToken);
    expect((await served.ask("/?name=flow&minTtl=0")).body.token).toBe(accessToken);
    expect(served.asks.made).toBe(0);
  });

  test("not met: a refreshed token", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    const answer = await served.ask(`/?name=flow&minTtl=${FRESH + 1}`);
    expect(answer.status).toBe(200);
    expect(answer.body.token).not.toBe(accessToken);
    expect(answer.body.token).toBe((await served.document("flow")).accessToken);
    expect(answer.headers["x-token-expires-in"]).toBe(String(LIFETIME));
    expect(served.refreshes()).toBe(1);
  });

  test("what the refresher is asked for, it gets: minTtl travels with the ask", async () => {
    await given();
    await served.hold("flow", 5 * HOUR);
    expect((await served.ask(`/?name=flow&minTtl=${6 * HOUR}`)).headers["x-token-expires-in"]).toBe(
      String(LIFETIME),
    );
  });

  test.each([
    ["more than a fresh token has", "100000"],
    ["a day over the longest lifetime", "7862400"],
  ])("that cannot be met (%s): the held token, 200, and no request to Webex", async (_, minTtl) => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    const answer = await served.ask(`/?name=flow&minTtl=${minTtl}`);
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(accessToken);
    expect(served.refreshes()).toBe(0);
  });

  test("that Webex will not meet just now: the held token, 200", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "500" });
    const answer = await served.ask(`/?name=flow&minTtl=${2 * HOUR}`);
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(accessToken);
    expect(answer.headers["x-token-expires-in"]).toBe(String(HOUR));
  });

  test.each(["", "abc", "-1", "1.5", "1e3", "0x10", "%2010", "1000000000000"])(
    "%j is 400",
    async (minTtl) => {
      await given();
      await served.hold("flow", FRESH);
      expectProblem(await served.ask(`/?name=flow&minTtl=${minTtl}`), 400, /"minTtl" must be a whole number/);
    },
  );

  test("twice is 400", async () => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=flow&minTtl=1&minTtl=1"), 400, /"minTtl" is given 2 times/);
  });
});

describe("names", () => {
  test("a token whose name ends in a blank is found by its exact name, and not instead of the trimmed one (row 34)", async () => {
    await given();
    const exact = await served.hold("prod ", FRESH);
    expect((await served.ask("/?name=prod%20")).body.token).toBe(exact.accessToken);
    expectProblem(await served.ask("/?name=prod"), 404, /no token "prod"/);
    const trimmed = await served.hold("prod", FRESH);
    await served.time.advance(5000);
    expect((await served.ask("/?name=prod")).body.token).toBe(trimmed.accessToken);
    expect((await served.ask("/?name=prod%20")).body.token).toBe(exact.accessToken);
    expect((await served.ask("/?name=%20prod%20")).body.token).toBe(trimmed.accessToken);
  });

  test.each([
    ["no name", "/", /no token name/],
    ["an empty name", "/?name=", /no token name/],
    ["a blank name", "/?name=%20%09", /no token name/],
    ["a repeated name", "/?name=flow&name=flow", /"name" is given 2 times/],
    ["a name with a slash", "/?name=a%2Fb", /contains "\/"/],
    ["one dot", "/?name=.", /the name is "\."/],
    ["two dots", "/?name=..", /the name is "\.\."/],
    ["underscores around it", "/?name=__x__", /"__"/],
    ["1501 bytes", `/?name=${"x".repeat(1501)}`, /1500 bytes/],
    ["751 characters of two bytes", `/?name=${"%C3%BC".repeat(751)}`, /1500 bytes/],
    ["a control character", "/?name=a%00b", /control character/],
  ])("%s is 400", async (_, path, message) => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask(path), 400, message);
    expect(served.logs().at(-1)).toMatchObject({ event: "request.refused" });
  });
});
