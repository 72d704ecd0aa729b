import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { type Answer, PASSPHRASE, SETTINGS, type Served, startServed } from "../support/served.ts";

/** `COMPAT=sample`: what Cisco's sample answers, word for word, for flows that test for it. */

let served: Served;

async function given(): Promise<Served> {
  served = await startServed({ sample: true });
  return served;
}

afterEach(() => served.close());

const HOUR = 3600;

function expectSample(answer: Answer, message: string | RegExp): void {
  const expected = typeof message === "string" ? message : expect.stringMatching(message);
  expect(answer.body).toEqual({ status: "500", message: expected });
  expect(answer.status).toBe(500);
  expect(answer.headers["access-control-allow-origin"]).toBe("*");
  expect(answer.headers["cache-control"]).toBe("no-store");
  expect(answer.headers["content-type"]).toMatch(/^application\/json/);
}

const withPassphrase = { headers: { "x-token-passphrase": PASSPHRASE } };

describe("lookup", () => {
  test("a live token: status and token", async () => {
    await given();
    const { accessToken } = await served.hold("flow", 11 * HOUR);
    const answer = await served.ask("/?name=flow");
    expect(answer.status).toBe(200);
    expect(answer.text).toBe(JSON.stringify({ status: "200", token: accessToken }));
    expect(answer.headers["access-control-allow-origin"]).toBe("*");
  });

  test("no name, before the passphrase is looked at", async () => {
    await given();
    expectSample(await served.ask("/"), "Missing Token Name");
    expectSample(await served.ask("/?name=", { headers: {} }), "Missing Token Name");
  });

  test("no passphrase", async () => {
    await given();
    expectSample(await served.ask("/?name=flow", { headers: {} }), "Missing Passphrase");
  });

  test("a wrong passphrase, whether the name is known or not", async () => {
    await given();
    await served.hold("flow", 11 * HOUR);
    const wrong = { headers: { "x-token-passphrase": "canary-wrong-passphrase" } };
    expectSample(await served.ask("/?name=flow", wrong), "Invalid Token Passphrase");
    expectSample(await served.ask("/?name=none", wrong), "Invalid Token Passphrase");
  });

  test.each(["none", "a%2Fb", "..", "__x__"])("an unknown or impossible name (%s)", async (name) => {
    await given();
    expectSample(await served.ask(`/?name=${name}`), "Access Token not found");
  });

  test("the store down", async () => {
    await given();
    served.outage.fail = () => new StoreUnavailable("down");
    expectSample(await served.settle(served.ask("/?name=flow")), "Access Token not found");
  });

  test("a token that only a person can help", async () => {
    await given();
    await served.documents.create("tokens", "new", { ...SETTINGS });
    await served.hold("revoked", 0);
    served.fault({ fault: "invalid-request" });
    expectSample(await served.ask("/?name=new"), "Refresh Token expired");
    expectSample(await served.settle(served.ask("/?name=revoked")), "Refresh Token expired");
  });

  test("Webex down and nothing held", async () => {
    await given();
    await served.hold("dead", 0);
    served.fault({ fault: "500" });
    expectSample(await served.settle(served.ask("/?name=dead")), "Token refresh failed");
  });

  test("a bug", async () => {
    await given();
    served.secrets.add("canary-in-an-error-message");
    served.outage.fail = () => new Error("canary-in-an-error-message");
    expectSample(await served.ask("/?name=flow"), "Token refresh failed");
  });

  test.each(["POST", "PUT", "DELETE", "PATCH"])("%s is taken for a GET", async (method) => {
    await given();
    await served.hold("flow", 11 * HOUR);
    expect((await served.ask("/?name=flow", { method })).status).toBe(200);
    expectSample(await served.ask("/?name=none", { method }), "Access Token not found");
  });

  test("OPTIONS answers the sample's preflight, without passphrase", async () => {
    await given();
    const answer = await served.ask("/?name=flow", {
      method: "OPTIONS",
      headers: { origin: "https://any.example" },
    });
    expect(answer.status).toBe(204);
    expect(answer.text).toBe("");
    expect(answer.headers).toMatchObject({
      "access-control-allow-origin": "*",
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": "Content-Type, Accept, x-token-passphrase",
    });
  });

  test("a held token is answered while Webex is down, in which the sample failed", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    served.fault({ fault: "down" });
    expect((await served.ask("/?name=flow")).body).toEqual({ status: "200", token: accessToken });
  });

  test("/health and the way to setup are as ever", async () => {
    await given();
    expect((await served.ask("/health", { headers: {} })).status).toBe(200);
    expect((await served.ask("/callback?code=x&state=y", { headers: {} })).status).toBe(307);
  });

  test("the log line has the code and a reference all the same", async () => {
    await given();
    await served.ask("/?name=none");
    expect(served.logs().at(-1)).toMatchObject({
      code: "not_found",
      token: "none",
      reference: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
  });
});

describe("setup", () => {
  test("/init and /callback answer in the sample's words", async () => {
    await given();
    const init = await served.setup("/init?name=flow", withPassphrase);
    expect([init.status, init.body]).toEqual([200, { status: "200", message: "Token document initialized" }]);
    expect(init.headers["access-control-allow-origin"]).toBe("*");
    await served.edit("flow", SETTINGS);
    const back = await served.setup(await served.plainConsent("flow"));
    expect([back.status, back.body]).toEqual([
      200,
      { status: "200", message: "Access & Refresh tokens created" },
    ]);
    expect((await served.ask("/?name=flow")).status).toBe(200);
  });

  test("/init without a name, without and with a wrong passphrase", async () => {
    await given();
    expectSample(await served.setup("/init", withPassphrase), "Missing Token Name");
    expectSample(await served.setup("/init?name=flow"), "Missing Passphrase");
    const wrong = { headers: { "x-token-passphrase": "canary-wrong-passphrase" } };
    expectSample(await served.setup("/init?name=flow", wrong), "Invalid Token Passphrase");
  });

  test("/init of a token that is set up leaves it as it is", async () => {
    await given();
    await served.hold("flow", HOUR);
    const before = await served.store.read("flow");
    const answer = await served.setup("/init?name=flow", withPassphrase);
    expectSample(answer, /^Failed to initialize token document, error: /);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test("/callback with the placeholder as state", async () => {
    await given();
    expectSample(await served.setup("/callback?code=x&state=set_state_here"), "Set state to your Token Name");
  });

  test("/callback with an error", async () => {
    await given();
    expectSample(
      await served.setup("/callback?error=access_denied&state=flow"),
      "An error occured: access_denied",
    );
  });

  test("/callback with an error and its description, of which the sample tells the error only", async () => {
    await given();
    const path = "/callback?error=access_denied&error_description=The+person+denied&state=flow";
    expectSample(await served.setup(path), "An error occured: access_denied");
  });

  test("/callback without a code", async () => {
    await given();
    expectSample(await served.setup("/callback?state=flow"), /^An error occured: /);
  });

  test.each(["/callback?code=x&state=none", "/callback?code=x&state=flow"])(
    "%s that cannot be exchanged: tokens were not created",
    async (path) => {
      await given();
      await served.documents.create("tokens", "flow", { ...SETTINGS });
      expectSample(await served.setup(path), /^Failed to create tokens, error: /);
    },
  );

  test("/callback with the store down: tokens were not created", async () => {
    await given();
    served.outage.fail = () => new StoreUnavailable("down");
    expectSample(await served.setup("/callback?code=x&state=flow"), /^Failed to create tokens/);
  });

  test("/init with the store down: the document was not initialized", async () => {
    await given();
    served.outage.fail = () => new StoreUnavailable("down");
    expectSample(
      await served.setup("/init?name=flow", withPassphrase),
      /^Failed to initialize token document/,
    );
  });

  test("a browser gets JSON too", async () => {
    await given();
    const browser = { headers: { accept: "text/html" } };
    expectSample(await served.setup("/callback?error=%3Cb%3E", browser), "An error occured: <b>");
  });

  test.each(["POST", "PUT"])("%s is taken for a GET by /init and /callback", async (method) => {
    await given();
    expect((await served.setup("/init?name=flow", { method, ...withPassphrase })).status).toBe(200);
    expectSample(await served.setup("/callback?error=x", { method }), "An error occured: x");
  });

  test("OPTIONS answers the sample's preflight", async () => {
    await given();
    const { status, headers } = await served.setup("/init?name=flow", { method: "OPTIONS" });
    expect(status).toBe(204);
    expect(headers["access-control-allow-methods"]).toBe("GET, POST");
  });
});
