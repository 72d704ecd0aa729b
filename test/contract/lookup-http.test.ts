import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { sha256 } from "../../functions/core/time.ts";
import {
  type Answer,
  LIFETIME,
  OLD_PASSPHRASE,
  ORG,
  PASSPHRASE,
  type Served,
  type ServedOptions,
  START,
  startServed,
} from "../support/served.ts";

/** `GET /?name=` over real HTTP: each row of design 2's tables for lookup. */

let served: Served;

async function given(options: ServedOptions = {}): Promise<Served> {
  served = await startServed(options);
  return served;
}

afterEach(() => served.close());

const HOUR = 3600;
const FRESH = 11 * HOUR;
/** An error as design 2 has it, and nothing else in its body. */
function expectProblem(answer: Answer, status: number, message: RegExp): void {
  expect(answer.body).toEqual({
    status: String(status),
    message: expect.stringMatching(message),
    reference: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  expect(answer.status).toBe(status);
  expect(answer.headers["cache-control"]).toBe("no-store");
  expect(answer.headers["content-type"]).toBe("application/json; charset=utf-8");
}

const withHeaders = (headers: Record<string, string | string[]>) => ({
  headers: { "x-token-passphrase": PASSPHRASE, ...headers },
});
const rejecting = (accessToken: unknown) => withHeaders({ "x-token-rejected": String(accessToken) });
const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });

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

describe("passphrase", () => {
  test("both live passphrases open a token, in the header or as the password of Basic credentials", async () => {
    await given();
    await served.hold("flow", FRESH);
    for (const passphrase of [PASSPHRASE, OLD_PASSPHRASE]) {
      const ways = [
        { "x-token-passphrase": passphrase },
        { "x-token-passphrase": ` ${passphrase} ` },
        basic(`flow:${passphrase}`),
        basic(`:${passphrase}`),
      ];
      for (const headers of ways)
        expect((await served.ask("/?name=flow", { headers })).status, JSON.stringify(headers)).toBe(200);
    }
  });

  test("a password with a colon in it is taken whole", async () => {
    await given();
    await served.hold("own", FRESH, { passphraseHash: sha256("canary:with:colons") });
    served.secrets.add("canary:with:colons");
    expect((await served.ask("/?name=own", { headers: basic("user:canary:with:colons") })).status).toBe(200);
  });

  test.each<[string, Record<string, string>]>([
    ["none", {}],
    ["an empty one", { "x-token-passphrase": "" }],
    ["Basic credentials without a password", basic("user:")],
    ["Basic credentials that are no base64", { authorization: "Basic %%%" }],
    ["a bearer token in its place", { authorization: `Bearer ${PASSPHRASE}` }],
  ])("%s is 401 and says how to send it", async (_, headers) => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=flow", { headers }), 401, /no passphrase.*x-token-passphrase/);
    expect(served.logs().at(-1)).toMatchObject({ event: "request.unauthorized", token: "flow" });
  });

  test.each<[string, Record<string, string | string[]>]>([
    ["a wrong one", { "x-token-passphrase": "canary-wrong-passphrase" }],
    ["one that only begins right", { "x-token-passphrase": PASSPHRASE.slice(0, -1) }],
    ["one that goes on", { "x-token-passphrase": `${PASSPHRASE}x` }],
    ["both at once", { "x-token-passphrase": [PASSPHRASE, OLD_PASSPHRASE] }],
    ["a wrong password", basic("user:canary-wrong-passphrase")],
    ["the passphrase as the user", basic(`${PASSPHRASE}:canary-wrong-passphrase`)],
  ])("%s is 401", async (_, headers) => {
    await given();
    served.secrets.add("canary-wrong-passphrase");
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=flow", { headers }), 401, /passphrase/);
  });

  test("in the query it counts for nothing", async () => {
    await given();
    await served.hold("flow", FRESH);
    const path = `/?name=flow&x-token-passphrase=${PASSPHRASE}&passphrase=${PASSPHRASE}`;
    expectProblem(await served.ask(path, { headers: {} }), 401, /no passphrase/);
  });

  test("a token with its own passphrase accepts only that", async () => {
    await given();
    const own = "canary-passphrase-of-its-own";
    served.secrets.add(own);
    await served.hold("own", FRESH, { passphraseHash: sha256(own) });
    await served.hold("other", FRESH);
    const opened = (name: string, passphrase: string) =>
      served.ask(`/?name=${name}`, { headers: { "x-token-passphrase": passphrase } });
    expect((await opened("own", own)).status).toBe(200);
    expectProblem(await opened("own", PASSPHRASE), 401, /does not open this token/);
    expectProblem(await opened("own", OLD_PASSPHRASE), 401, /does not open this token/);
    expectProblem(await opened("other", own), 401, /does not open this token/);
  });

  test("a passphraseHash that is no hash opens to nobody", async () => {
    await given();
    await served.hold("own", FRESH, { passphraseHash: "zz" });
    expectProblem(await served.ask("/?name=own"), 401, /passphrase/);
  });

  test("an unknown name is 404 with a shared passphrase and cannot be told from a wrong passphrase without", async () => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=none"), 404, /there is no token "none"/);
    const wrong = { headers: { "x-token-passphrase": "canary-wrong-passphrase" } };
    const unknown = await served.ask("/?name=none", wrong);
    const known = await served.ask("/?name=flow", wrong);
    expectProblem(unknown, 401, /passphrase/);
    expect({ ...unknown.body, reference: "" }).toEqual({ ...known.body, reference: "" });
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

describe("names", () => {
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

describe("methods and CORS", () => {
  test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("%s is 405", async (method) => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(
      await served.ask("/?name=flow", { method }),
      405,
      new RegExp(`takes GET, HEAD, not ${method}`),
    );
  });

  test("without CORS_ORIGINS no answer has a CORS header", async () => {
    await given();
    await served.hold("flow", FRESH);
    for (const method of ["GET", "OPTIONS"]) {
      const answer = await served.ask("/?name=flow", {
        method,
        ...withHeaders({ origin: "https://desk.example" }),
      });
      expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  });

  test("a listed origin may ask, and see the answer and the headers", async () => {
    await given({ corsOrigins: ["https://desk.example", "https://other.example"] });
    await served.hold("flow", FRESH);
    const origin = "https://desk.example";
    const preflight = await served.ask("/?name=flow", { method: "OPTIONS", headers: { origin } });
    expect(preflight.status).toBe(204);
    expect(preflight.text).toBe("");
    expect(preflight.headers).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, HEAD",
      "access-control-allow-headers": expect.stringContaining("x-token-passphrase"),
      "cache-control": "no-store",
      vary: "origin",
    });
    for (const path of ["/?name=flow", "/?name=none"]) {
      const { headers } = await served.ask(path, withHeaders({ origin }));
      expect(headers).toMatchObject({ "access-control-allow-origin": origin, vary: "origin" });
      expect(headers["access-control-expose-headers"]).toContain("x-token-expires-in");
    }
  });

  test.each(["https://evil.example", "https://desk.example.evil.example", "http://desk.example", "null"])(
    "the origin %s that is not listed gets no permission",
    async (origin) => {
      await given({ corsOrigins: ["https://desk.example"] });
      await served.hold("flow", FRESH);
      for (const method of ["GET", "OPTIONS"]) {
        const { headers } = await served.ask("/?name=flow", { method, ...withHeaders({ origin }) });
        expect(headers).not.toHaveProperty("access-control-allow-origin");
        expect(headers.vary).toBe("origin");
      }
    },
  );
});

describe("other paths", () => {
  test("/health answers without passphrase", async () => {
    await given();
    const answer = await served.ask("/health", { headers: {} });
    expect(answer.status).toBe(200);
    expect(answer.headers["cache-control"]).toBe("no-store");
  });

  test("/health answers while the store is down, and never asks it", async () => {
    await given();
    let asked = 0;
    served.outage.fail = () => {
      asked++;
      return new StoreUnavailable("down");
    };
    expect((await served.ask("/health", { headers: {} })).status).toBe(200);
    expect(asked).toBe(0);
  });

  test.each(["/init?name=a%26b", "/callback?code=c%2Bd&state=s%3D%3D%20t", "/callback"])(
    "%s goes on to setup with its query",
    async (path) => {
      await given();
      const answer = await served.ask(path, { headers: {} });
      expect(answer.status).toBe(307);
      const to = new URL(answer.headers.location ?? "nowhere:");
      const from = new URL(path, served.bases.lookup);
      expect(to.origin).toBe(served.bases.setup);
      expect(to.pathname).toBe(from.pathname);
      expect([...to.searchParams]).toEqual([...from.searchParams]);
      expect(answer.headers["cache-control"]).toBe("no-store");
    },
  );

  test("/init by POST goes on as a POST", async () => {
    await given();
    expect((await served.ask("/init?name=x", { method: "POST", headers: {} })).status).toBe(307);
  });

  test("without SETUP_URL they are not found", async () => {
    await given({ withoutSetupUrl: true });
    expectProblem(await served.ask("/init?name=x"), 404, /setup/);
    expectProblem(await served.ask("/callback?code=x&state=y"), 404, /setup/);
  });
});

describe("the reference", () => {
  const trace = "0123456789abcdef0123456789abcdef";

  test.each<[string, Record<string, string>]>([
    ["x-cloud-trace-context", { "x-cloud-trace-context": `${trace}/123;o=1` }],
    ["x-cloud-trace-context without a span", { "x-cloud-trace-context": trace }],
    ["traceparent", { traceparent: `00-${trace}-0123456789abcdef-01` }],
  ])("is Cloud's trace id of %s, in the answer and in the log line", async (_, headers) => {
    await given();
    const answer = await served.ask("/?name=none", withHeaders(headers));
    expect(answer.body.reference).toBe(trace);
    expect(served.logs().at(-1)).toMatchObject({ reference: trace, code: "not_found", token: "none" });
  });

  test.each([{ "x-cloud-trace-context": "<script>" }, { traceparent: "00-short-x-01" }, {}])(
    "is random otherwise (%j), and in the log line too",
    async (headers) => {
      await given();
      const one = await served.ask("/?name=none", withHeaders(headers));
      const other = await served.ask("/?name=none", withHeaders(headers));
      expectProblem(one, 404, /none/);
      expect(one.body.reference).not.toBe(other.body.reference);
      expect(served.logs().map(({ reference }) => reference)).toEqual([
        one.body.reference,
        other.body.reference,
      ]);
    },
  );

  test("every error of lookup is logged with it", async () => {
    await given();
    await served.hold("dead", 0, { refreshToken: undefined });
    const paths = ["/", "/?name=none", "/?name=dead", "/?name=dead&wait=x"];
    for (const path of paths) {
      const { body } = await served.ask(path);
      expect(served.logs().at(-1)?.reference, path).toBe(body.reference);
    }
  });

  test("the caller in the log line is the last of x-forwarded-for, which the platform writes", async () => {
    await given();
    await served.ask("/?name=none", withHeaders({ "x-forwarded-for": "1.2.3.4, 5.6.7.8" }));
    expect(served.logs().at(-1)?.caller).toBe("5.6.7.8");
  });
});

describe("a bug", () => {
  test("is a generic 500, and its message is in no log line", async () => {
    await given();
    served.secrets.add("canary-in-an-error-message");
    served.outage.fail = () => new TypeError("canary-in-an-error-message");
    const answer = await served.ask("/?name=flow");
    expectProblem(answer, 500, /^something went wrong here: please report the reference$/);
    expect(served.logs().at(-1)).toMatchObject({
      severity: "CRITICAL",
      event: "bug",
      reference: answer.body.reference,
      where: expect.stringMatching(/^TypeError at /),
    });
  });

  test("whose message has lines like a stack's is in no log line either", async () => {
    await given();
    served.secrets.add("canary-in-an-error-message");
    served.outage.fail = () => new Error("first\n    at canary-in-an-error-message (x:1:1)");
    expectProblem(await served.ask("/?name=flow"), 500, /something went wrong here/);
  });

  test("that throws something that is no Error is a generic 500 too", async () => {
    await given();
    served.outage.fail = () => "canary-in-an-error-message" as unknown as Error;
    served.secrets.add("canary-in-an-error-message");
    expectProblem(await served.ask("/?name=flow"), 500, /something went wrong here/);
  });
});

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

describe("nothing valid is held", () => {
  test("refreshed while the caller waits", async () => {
    await given();
    const { accessToken } = await served.hold("dead", 0);
    const answer = await served.ask("/?name=dead");
    expect(answer.status).toBe(200);
    expect(answer.body.token).not.toBe(accessToken);
  });

  test("100 reads at once: one request to Webex, 200 for all", async () => {
    await given();
    await served.hold("dead", 0);
    const reads = Promise.all(Array.from({ length: 100 }, () => served.ask("/?name=dead")));
    const answers = await served.settle(reads);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect([served.asks.made, served.refreshes()]).toEqual([1, 1]);
  });

  test("less than a second of life is no life", async () => {
    await given();
    const { accessToken } = await served.hold("dead", 0.9);
    expect((await served.ask("/?name=dead")).body.token).not.toBe(accessToken);
  });

  test.each([
    ["", 8000],
    ["&wait=0", 0],
    ["&wait=3", 3000],
    ["&wait=20", 20_000],
  ])("Webex hanging, asked with %j: 503 with retry-after after %i ms at most", async (query, most) => {
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

  test("wait=0 gives up at once, but the refresh goes on and the next read has its token", async () => {
    await given();
    await served.hold("dead", 0);
    served.fault({ fault: "slow", delayMs: 150, times: 1 });
    expect((await served.ask("/?name=dead&wait=0")).status).toBe(503);
    await expect.poll(async () => (await served.ask("/?name=dead&wait=0")).status).toBe(200);
    expect(served.refreshes()).toBe(1);
  });

  test.each(["21", "9999", "-1", "1.5", "abc", "", "1s"])("wait=%s is 400", async (wait) => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask(`/?name=flow&wait=${wait}`), 400, /"wait" must be.*from 0 to 20/);
  });

  test("a repeated wait is 400", async () => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=flow&wait=1&wait=1"), 400, /"wait" is given 2 times/);
  });

  test.each(["down", "html", "html-403", "500"] as const)(
    "Webex answers %s: 503 with retry-after, and no second request within 30 s",
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

  test("Webex answers 429: 503, and nobody asks before its Retry-After, for any token", async () => {
    await given();
    await served.hold("dead", 0);
    await served.hold("other", 0);
    served.fault({ fault: "429", retryAfter: 120 });
    const answer = await served.settle(served.ask("/?name=dead"));
    expectProblem(answer, 503, /the last refresh failed \(rate_limited\)/);
    served.sandbox.faults.clear();
    await served.time.advance(60_000);
    const other = await served.settle(served.ask("/?name=other"));
    expect(other.status).toBe(503);
    const { "retry-after": retryAfter } = (await served.settle(served.ask("/?name=dead"))).headers;
    expect(Number(retryAfter)).toBeGreaterThan(30);
    expect(served.refreshes()).toBe(1);
    await served.time.advance(65_000);
    expect((await served.settle(served.ask("/?name=dead"))).status).toBe(200);
  });

  test("someone else is refreshing: waits for their token without asking", async () => {
    await given();
    await served.hold("dead", 0, { lease: { id: "other", expires: START + 20_000 } });
    const read = served.ask("/?name=dead");
    const granted = served.sandbox.authority.issue("C-served");
    served.secrets.add(granted.access_token);
    setTimeout(async () => {
      const token = await served.store.read("dead");
      const fields = { accessToken: granted.access_token, accessExpires: START + 60_000, lease: undefined };
      await served.store.update("dead", fields, token?.version ?? "");
    }, 20);
    const answer = await served.settle(read);
    expect(answer.status).toBe(200);
    expect(answer.body.token).toBe(granted.access_token);
    expect(served.refreshes()).toBe(0);
  });

  test("a lease whose holder died: taken over within the wait", async () => {
    await given();
    await served.hold("dead", 0, { lease: { id: "other", expires: START + 5000 } });
    expect((await served.settle(served.ask("/?name=dead"))).status).toBe(200);
    expect(served.refreshes()).toBe(1);
  });
});

describe("409: only a person can help", () => {
  test("not authorized yet: names the token and how to authorize", async () => {
    await given();
    const none = { accessToken: undefined, refreshToken: undefined, accessExpires: undefined };
    await served.hold("new", 0, { ...none, refreshExpires: undefined, refreshAt: undefined });
    const answer = await served.ask("/?name=new");
    expectProblem(answer, 409, /token "new" is not authorized yet.*tokens -- authorize new/);
    expect(answer.headers).not.toHaveProperty("retry-after");
    expect(served.asks.made).toBe(0);
  });

  test("settings emptied by hand: names the field", async () => {
    await given();
    await served.hold("bare", 0, { clientSecret: "" });
    const answer = await served.settle(served.ask("/?name=bare"));
    expectProblem(answer, 409, /token "bare" has no clientSecret.*tokens -- add bare/);
    expect(served.refreshes()).toBe(0);
    expect((await served.ask("/?name=bare")).status).toBe(409);
  });

  test("a setting of a wrong kind: names the field", async () => {
    await given();
    await served.hold("odd", 0, { clientId: 4711 });
    expectProblem(await served.settle(served.ask("/?name=odd")), 409, /clientId of token "odd" is no text/);
  });

  test.each([
    ["invalid-request", "invalid_request"],
    ["webex-400", "http_400"],
    ["unauthorized", "http_401"],
  ] as const)("refused by Webex (%s): names the code and how to authorize, once", async (fault, code) => {
    await given();
    await served.hold("dead", 0);
    served.fault({ fault });
    for (let count = 0; count < 5; count++) {
      const answer = await served.settle(served.ask("/?name=dead"));
      expectProblem(answer, 409, new RegExp(`Webex refuses.*"dead" \\(${code}\\).*tokens -- authorize dead`));
    }
    expect(served.refreshes()).toBe(1);
    expect(served.logs().filter(({ event }) => event === "refresh.refused")).toHaveLength(1);
  });

  test("a secret that was mended is tried at once", async () => {
    await given();
    await served.hold("dead", 0, { clientSecret: "canary-mistyped-secret" });
    expectProblem(await served.settle(served.ask("/?name=dead")), 409, /invalid_client/);
    const token = await served.store.read("dead");
    const { clientSecret } = served.sandbox.authority.client("C-served") ?? {};
    await served.store.update("dead", { clientSecret }, token?.version ?? "");
    expect((await served.settle(served.ask("/?name=dead"))).status).toBe(200);
  });

  test("a fixed access token that ended", async () => {
    await given();
    await served.hold("fixed", 0, { static: true, refreshToken: undefined, refreshAt: undefined });
    expectProblem(await served.ask("/?name=fixed"), 409, /fixed access token "fixed" has ended.*--static/);
  });
});
