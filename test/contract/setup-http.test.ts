import { afterEach, describe, expect, test } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";
import { StoreUnavailable } from "../../functions/core/store.ts";

import {
  type Answer,
  type CallOptions,
  CLIENT,
  LIFETIME,
  OLD_PASSPHRASE,
  ORG,
  PASSPHRASE,
  SETTINGS,
  type Served,
  type ServedOptions,
  startServed,
} from "../support/served.ts";

/** `/init` and `/callback` over real HTTP: design 2's rows for setup. */

let served: Served;

async function given(options: ServedOptions = {}): Promise<Served> {
  served = await startServed(options);
  return served;
}

afterEach(() => served.close());

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const OTHER_ORG = "99999999-8888-7777-6666-555555555555";
const withPassphrase: CallOptions = { headers: { "x-token-passphrase": PASSPHRASE } };
const browser: CallOptions = { headers: { accept: "text/html,application/xhtml+xml,*/*;q=0.8" } };

function expectProblem(answer: Answer, status: number, message: RegExp): void {
  expect(answer.body).toEqual({
    status: String(status),
    message: expect.stringMatching(message),
    reference: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  expect(answer.status).toBe(status);
  expect(answer.headers["cache-control"]).toBe("no-store");
}

function expectPage(answer: Answer, status: number, text: RegExp): void {
  expect(answer.status).toBe(status);
  expect(answer.text).toMatch(text);
  expect(answer.headers["content-type"]).toBe("text/html; charset=utf-8");
  expect(answer.headers["referrer-policy"]).toBe("no-referrer");
  expect(answer.headers["cache-control"]).toBe("no-store");
  expect(answer.headers["x-content-type-options"]).toBe("nosniff");
  const policy = String(answer.headers["content-security-policy"]);
  expect(policy).toContain("default-src 'none'");
  for (const directive of ["base-uri", "form-action", "frame-ancestors"])
    expect(policy).toContain(`${directive} 'none'`);
  expect(policy).not.toMatch(/unsafe|\*|https?:|script-src/);
  expect(answer.text).not.toMatch(/<(script|img|iframe|link|a|form|svg)\b/i);
}

const exchanges = () => served.sandbox.authority.counters().authorization_code.received;
const fields = async (name: string) => (await served.store.read(name))?.snapshot.fields;

/** A document with client settings and no tokens, as after `/init` and a person's typing. */
const typed = (name: string, more = {}) => served.documents.create("tokens", name, { ...SETTINGS, ...more });

describe("/init", () => {
  test("creates a document with empty settings", async () => {
    await given();
    const answer = await served.setup("/init?name=flow", withPassphrase);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ status: "200", message: "Token document initialized" });
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(await fields("flow")).toEqual({ clientId: "", clientSecret: "", redirectUri: "" });
    expect(served.logs().at(-1)).toMatchObject({ event: "setup.initialized", token: "flow" });
  });

  test("takes POST, the other passphrase, and Basic credentials", async () => {
    await given();
    const old = { headers: { "x-token-passphrase": OLD_PASSPHRASE } };
    const basic = `Basic ${Buffer.from(`u:${PASSPHRASE}`).toString("base64")}`;
    expect((await served.setup("/init?name=a", { method: "POST", ...withPassphrase })).status).toBe(200);
    expect((await served.setup("/init?name=b", old)).status).toBe(200);
    expect((await served.setup("/init?name=c", { headers: { authorization: basic } })).status).toBe(200);
    for (const name of ["a", "b", "c"]) expect(await fields(name)).toBeDefined();
  });

  test("one still empty is 200 again and stays as it is", async () => {
    await given();
    await served.setup("/init?name=flow", withPassphrase);
    const before = await served.store.read("flow");
    expect((await served.setup("/init?name=flow", withPassphrase)).status).toBe(200);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test.each([
    ["a client id", { clientId: "C1", clientSecret: "", redirectUri: "" }],
    ["a secret only", { clientSecret: "canary-typed-secret" }],
    ["a field of a wrong kind", { clientId: 7 }],
    ["a refresh token alone", { refreshToken: "canary-typed-refresh" }],
    ["its own passphrase", { passphraseHash: sha256("x") }],
    ["scopes to ask for", { scopes: "cjp:config" }],
  ])("one that holds %s is 409 and untouched", async (_, document) => {
    await given();
    await served.documents.create("tokens", "flow", document);
    const before = await served.store.read("flow");
    expectProblem(await served.setup("/init?name=flow", withPassphrase), 409, /token "flow" exists already/);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test("a live token is 409 and untouched", async () => {
    await given();
    await served.hold("flow", 3600);
    const before = await served.store.read("flow");
    expectProblem(await served.setup("/init?name=flow", withPassphrase), 409, /exists already/);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test("ten at once for one name: all 200, one document", async () => {
    await given();
    const calls = Array.from({ length: 10 }, () => served.setup("/init?name=flow", withPassphrase));
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual(Array(10).fill(200));
  });

  test("without or with a wrong passphrase: 401, and nothing is created", async () => {
    await given();
    expectProblem(await served.setup("/init?name=flow"), 401, /no passphrase/);
    const wrong = { headers: { "x-token-passphrase": "canary-wrong-passphrase" } };
    served.secrets.add("canary-wrong-passphrase");
    expectProblem(await served.setup("/init?name=flow", wrong), 401, /passphrase/);
    expect(await fields("flow")).toBeUndefined();
  });

  test("a token's own passphrase does not open /init", async () => {
    await given();
    const own = "canary-passphrase-of-its-own";
    await served.documents.create("tokens", "own", { passphraseHash: sha256(own) });
    const answer = await served.setup("/init?name=own", { headers: { "x-token-passphrase": own } });
    expectProblem(answer, 401, /passphrase/);
  });

  test.each([
    ["/init", /no token name/],
    ["/init?name=", /no token name/],
    ["/init?name=a&name=b", /"name" is given 2 times/],
    ["/init?name=a%2Fb", /contains "\/"/],
    ["/init?name=..", /the name is "\.\."/],
    ["/init?name=__x__", /"__"/],
    [`/init?name=${"x".repeat(1501)}`, /1500 bytes/],
  ])("%s is 400", async (path, message) => {
    await given();
    expectProblem(await served.setup(path, withPassphrase), 400, message);
  });

  test.each(["PUT", "DELETE", "HEAD"])("%s is 405", async (method) => {
    await given();
    expect((await served.setup("/init?name=flow", { method, ...withPassphrase })).status).toBe(405);
    expect(await fields("flow")).toBeUndefined();
  });

  test("the store down is 503 with retry-after", async () => {
    await given();
    served.outage.fail = () => new StoreUnavailable("down");
    const answer = await served.setup("/init?name=flow", withPassphrase);
    expectProblem(answer, 503, /store did not answer/);
    expect(answer.headers).toHaveProperty("retry-after");
  });

  test("LEGACY_SETUP=off: 404, and nothing is created", async () => {
    await given({ legacy: false });
    expectProblem(await served.setup("/init?name=flow", withPassphrase), 404, /nothing here/);
    expect(await fields("flow")).toBeUndefined();
  });

  test.each(["/", "/health?name=x", "/init/", "/Callback", "/callback/x"])("%s is 404", async (path) => {
    await given();
    expectProblem(await served.setup(path, withPassphrase), 404, /nothing here/);
  });
});

describe("/callback with a state that was made here", () => {
  test("stores the tokens and tells a program so in JSON", async () => {
    await given();
    await typed("flow");
    const answer = await served.setup(await served.consent("flow"));
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ status: "200", message: "Access & Refresh tokens created" });
    expect(answer.headers["cache-control"]).toBe("no-store");
    const now = served.time.now();
    expect(await served.document("flow")).toMatchObject({
      ...SETTINGS,
      accessToken: expect.any(String),
      refreshToken: expect.any(String),
      accessExpires: now + LIFETIME * 1000,
      refreshExpires: now + CLIENT.refreshLifetime * 1000,
      lastRefresh: now,
      lifetime: LIFETIME,
      orgId: ORG,
      scope: CLIENT.scopes.join(" "),
      refreshAt: expect.any(Number),
    });
    expect((await served.ask("/?name=flow")).status).toBe(200);
    expect(served.logs().at(-1)).toMatchObject({ event: "setup.authorized", token: "flow" });
  });

  test("and a person in a browser on a small page", async () => {
    await given();
    await typed("<b>R&D'");
    const answer = await served.setup(await served.consent("<b>R&D'"), browser);
    expectPage(answer, 200, /Token &quot;&lt;b&gt;R&amp;D&#39;&quot; is authorized/);
  });

  test("without PKCE as well", async () => {
    await given();
    await typed("flow");
    expect((await served.setup(await served.consent("flow", { pkce: false }))).status).toBe(200);
  });

  test("clears what was wrong before, also where the token was refused for good", async () => {
    await given();
    await served.hold("flow", 0);
    served.fault({ fault: "unauthorized", times: 1 });
    expect((await served.settle(served.ask("/?name=flow"))).status).toBe(409);
    expect((await served.setup(await served.consent("flow"))).status).toBe(200);
    const document = await served.document("flow");
    expect(document).not.toHaveProperty("failure");
    expect(document).not.toHaveProperty("lease");
    expect((await served.ask("/?name=flow")).status).toBe(200);
  });

  test("works once: a replay is 400, asks nobody, and leaves the document alone", async () => {
    await given();
    await typed("flow");
    const back = await served.consent("flow");
    await served.setup(back);
    const before = await served.store.read("flow");
    expectProblem(await served.setup(back), 400, /was used before/);
    expectPage(await served.setup(back, browser), 400, /was used before/);
    expect(exchanges()).toBe(1);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test("ten at once: one wins, Webex is asked once", async () => {
    await given();
    await typed("flow");
    const back = await served.consent("flow");
    const answers = await Promise.all(Array.from({ length: 10 }, () => served.setup(back)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(9);
    expect(exchanges()).toBe(1);
  });

  test("is good for 15 minutes: code looks at the time, not the clean-up", async () => {
    await given();
    await typed("flow");
    const [late, inTime] = [await served.consent("flow"), await served.consent("flow")];
    await served.time.advance(15 * MINUTE);
    expectProblem(await served.setup(late), 400, /is too old/);
    expect(exchanges()).toBe(0);
    await served.time.advance(-1);
    // The sandbox's own code is older than its ten minutes by then: Webex is asked, and refuses.
    expectProblem(await served.setup(inTime), 409, /invalid_grant/);
    expect(exchanges()).toBe(1);
  });

  test("is used up before Webex is asked: a failed exchange does not give it back", async () => {
    await given();
    await typed("flow");
    const back = await served.consent("flow");
    served.fault({ fault: "500", times: 1 });
    expectProblem(await served.setup(back), 503, /Webex did not exchange.*"flow" \(http_500\)/);
    expectProblem(await served.setup(back), 400, /was used before/);
    expect(exchanges()).toBe(1);
  });

  test("is stored by its hash only", async () => {
    await given();
    await typed("flow");
    const back = await served.consent("flow");
    const state = new URLSearchParams(back.split("?")[1]).get("state") ?? "";
    expect(await served.documents.read("authorizations", state)).toBeUndefined();
    const stored = await served.documents.read("authorizations", sha256(state));
    expect(stored?.fields).toMatchObject({ name: "flow" });
    expect(JSON.stringify(stored)).not.toContain(state);
    // The hash, as whoever reads the store would know it, opens nothing.
    const answer = await served.setup(back.replace(state, sha256(state)));
    expectProblem(answer, 400, /was not made here/);
  });

  test("for a token that was removed meanwhile is 404", async () => {
    await given();
    await typed("flow");
    const back = await served.consent("flow");
    await served.store.remove("flow");
    expectProblem(await served.setup(back), 404, /there is no token "flow" any more/);
    expect(exchanges()).toBe(0);
  });

  test("for a token whose settings were emptied is 409 and names them", async () => {
    await given();
    await typed("flow");
    const back = await served.consent("flow");
    await served.edit("flow", { clientSecret: "" });
    expectProblem(await served.setup(back), 409, /"flow" can't be authorized: clientSecret missing/);
    expect(exchanges()).toBe(0);
  });

  test("a code that Webex refuses is 409 and the document stays", async () => {
    await given();
    await served.hold("flow", 3600);
    const back = await served.consent("flow");
    const before = await served.store.read("flow");
    served.secrets.add("canary-forged-code");
    const answer = await served.setup(back.replace(/code=[^&]+/, "code=canary-forged-code"));
    expectProblem(answer, 409, /Webex refused the authorization code for token "flow" \(invalid_grant\)/);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test("tokens of another organization are refused, and the document stays", async () => {
    await given();
    await served.hold("flow", 3600);
    served.sandbox.authority.registerClient({ ...CLIENT, orgId: OTHER_ORG });
    const back = await served.consent("flow");
    const before = await served.store.read("flow");
    const answer = await served.setup(back);
    expectProblem(answer, 409, /another organization than token "flow" did.*--new-org/);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test("unless the state was made with --new-org", async () => {
    await given();
    await served.hold("flow", 3600);
    served.sandbox.authority.registerClient({ ...CLIENT, orgId: OTHER_ORG });
    expect((await served.setup(await served.consent("flow", { newOrg: true }))).status).toBe(200);
    expect((await served.document("flow")).orgId).toBe(OTHER_ORG);
  });

  test("the store down is 503, and the state is still good afterwards", async () => {
    await given();
    await typed("flow");
    const back = await served.consent("flow");
    served.outage.fail = () => new StoreUnavailable("down");
    expectProblem(await served.setup(back), 503, /store did not answer/);
    served.outage.fail = () => undefined;
    expect((await served.setup(back)).status).toBe(200);
  });

  test("works with LEGACY_SETUP=off too", async () => {
    await given({ legacy: false });
    await typed("flow");
    expect((await served.setup(await served.consent("flow"))).status).toBe(200);
  });

  test("works by way of lookup's redirect: one base URL serves all", async () => {
    await given();
    await typed("flow");
    const sent = await served.ask(await served.consent("flow"), { headers: {} });
    const to = new URL(sent.headers.location ?? "nowhere:");
    expect((await served.setup(`${to.pathname}${to.search}`)).status).toBe(200);
  });
});

describe("/callback with the plain token name as state", () => {
  test("authorizes a token that never held one", async () => {
    await given();
    await typed("flow");
    expect((await served.setup(await served.plainConsent("flow"))).status).toBe(200);
    expect((await served.document("flow")).accessToken).toBeDefined();
  });

  test.each([
    ["was last written an hour ago", () => typed("flow"), HOUR],
    ["holds a live access token", () => served.hold("flow", 3600), 0],
    ["only waits for a refresh", () => served.hold("flow", 0), 0],
    ["had a blip", () => served.hold("flow", 0, { failure: blip(false) }), 0],
    ["does not exist", async () => undefined, 0],
  ])("is refused for a token that %s: 400, nobody is asked", async (_, make, later) => {
    await given();
    await make();
    const back = await served.plainConsent("flow");
    await served.time.advance(later);
    const before = await served.store.read("flow");
    expectProblem(await served.setup(back), 400, /was not made here, or its token needs no consent/);
    expect(exchanges()).toBe(0);
    expect(await served.store.read("flow")).toMatchObject(
      before === undefined ? {} : { version: before.version },
    );
  });

  test("authorizes one without a live access token whose refresh token has ended", async () => {
    await given();
    await served.hold("flow", 0, { refreshExpires: 1_750_000_000_000 });
    await served.time.advance(2 * HOUR);
    expect((await served.setup(await served.plainConsent("flow"))).status).toBe(200);
  });

  test("authorizes one without a live access token that was refused for good", async () => {
    await given();
    await served.hold("flow", 0);
    served.fault({ fault: "unauthorized", times: 1 });
    expect((await served.settle(served.ask("/?name=flow"))).status).toBe(409);
    expect((await served.setup(await served.plainConsent("flow"))).status).toBe(200);
  });

  test("that was refused for good but still lives is refused", async () => {
    await given();
    await served.hold("flow", 3600, { failure: blip(true) });
    expectProblem(await served.setup(await served.plainConsent("flow")), 400, /needs no consent/);
  });

  test("LEGACY_SETUP=off: refused", async () => {
    await given({ legacy: false });
    await typed("flow");
    expectProblem(await served.setup(await served.plainConsent("flow")), 400, /was not made here/);
    expect(exchanges()).toBe(0);
  });

  test.each([
    ["with a slash", "a/b"],
    ["of a slash", "/"],
    ["of two dots", ".."],
    ["between underscores", "__x__"],
    ["of 1501 bytes", "x".repeat(1501)],
    ["with a control character", "a\u0000b"],
    ["of a space", " "],
  ])("a state %s, which no token can be named, is 400, neither a bug nor an outage", async (_, state) => {
    await given();
    const answer = await served.setup(`/callback?code=x&state=${encodeURIComponent(state)}`);
    expectProblem(answer, 400, /./);
  });
});

const blip = (permanent: boolean) => ({
  count: 1,
  code: permanent ? "invalid_request" : "http_500",
  since: 1_749_999_000_000,
  at: 1_749_999_000_000,
  permanent,
  inputs: "of-before",
});

describe("what else comes back to /callback", () => {
  test("set_state_here gets the sample's hint", async () => {
    await given();
    expectProblem(await served.setup("/callback?code=x&state=set_state_here"), 400, /set_state_here/);
    expectPage(await served.setup("/callback?code=x&state=set_state_here", browser), 400, /set_state_here/);
  });

  test("error= is shown as text, with 400", async () => {
    await given();
    const path = "/callback?error=access_denied&error_description=The+person+denied&state=x";
    expectProblem(await served.setup(path), 400, /^access_denied: The person denied$/);
    expectPage(await served.setup(path, browser), 400, /access_denied: The person denied/i);
    expectProblem(await served.setup("/callback?error=server_error"), 400, /^server_error$/);
  });

  test.each([
    ["/callback", /no authorization code/i],
    ["/callback?state=x", /no authorization code/i],
    ["/callback?code=&state=x", /no authorization code/i],
    ["/callback?code=x", /no state/i],
    ["/callback?code=x&state=", /no state/i],
    ["/callback?code=x&code=y&state=z", /code\b.* is given 2 times/],
    ["/callback?code=x&state=y&state=z", /state\b.* is given 2 times/],
    ["/callback?code=x&state=canary-forged-state", /was not made here/],
  ])("%s is 400, as JSON and as a page, and asks nobody", async (path, message) => {
    await given();
    served.secrets.add("canary-forged-state");
    expectProblem(await served.setup(path), 400, message);
    expectPage(await served.setup(path, browser), 400, message);
    expect(exchanges()).toBe(0);
  });

  test.each(["POST", "PUT", "HEAD"])("%s is 405 and uses no state up", async (method) => {
    await given();
    await typed("flow");
    const back = await served.consent("flow");
    expect((await served.setup(back, { method })).status).toBe(405);
    expect((await served.setup(back)).status).toBe(200);
  });

  test("a bug is a generic page", async () => {
    await given();
    served.secrets.add("canary-in-an-error-message");
    served.outage.fail = () => new Error("canary-in-an-error-message");
    expectPage(await served.setup("/callback?code=x&state=y", browser), 500, /something went wrong here/i);
  });

  test("a page names the reference of its log line", async () => {
    await given();
    const { text } = await served.setup("/callback?code=x&state=y", browser);
    expect(text).toContain(`Reference: ${served.logs().at(-1)?.reference}`);
  });

  const HOSTILE = [
    "<script>alert(1)</script>",
    `"><img src=x onerror=alert(1)>`,
    "'-alert(1)-'",
    "</title><svg onload=alert(1)>",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "x\u2028<b>\u0000</b>",
    "<!--",
    "$%7B7*7%7D{{7*7}}",
    "a\r\nset-cookie: x=y",
  ];

  /** As much of it as a token can be named. */
  const nameable = (hostile: string) => hostile.replace(/[\r\n/]/g, "").replaceAll("\u0000", "");

  test.each(HOSTILE)("no parameter is answered unescaped: %j", async (hostile) => {
    await given();
    await typed(nameable(hostile));
    const value = encodeURIComponent(hostile);
    const paths = [
      `/callback?error=${value}`,
      `/callback?error=x&error_description=${value}`,
      `/callback?code=${value}&state=${value}`,
      `/callback?code=x&state=${value}&name=${value}`,
      `/callback?${value}=${value}`,
      `/callback?code=x&state=${encodeURIComponent(nameable(hostile))}`,
    ];
    for (const path of paths) {
      const answer = await served.setup(path, browser);
      expect(answer.headers["content-type"], path).toBe("text/html; charset=utf-8");
      expectPage(answer, answer.status, /<!doctype html>/);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.headers).not.toHaveProperty("set-cookie");
      if (/[<>"']/.test(hostile)) expect(answer.text).not.toContain(hostile);
      // Every tag is one of the page's own.
      const tags = answer.text.match(/<\/?[a-z0-9!]+/gi) ?? [];
      const own = ["!doctype", "html", "head", "meta", "title", "style", "body", "h1", "p"];
      for (const tag of tags) expect(own).toContain(tag.replace(/[</]/g, "").toLowerCase());
    }
  });
});
