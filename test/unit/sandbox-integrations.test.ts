import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Box, CLIENT, ORG, openBox } from "./sandbox-box.ts";

const VARIABLE = {
  id: "cad-1",
  name: "Webex_Token",
  active: true,
  agentEditable: false,
  agentViewable: true,
  reportable: false,
  variableType: "String",
  defaultValue: "empty",
  sensitive: true,
};
const PATH = `/organization/${ORG}/cad-variable/cad-1`;
const APPLICATION = "Y2lzY29zcGFyazovL3VzL0FQUExJQ0FUSU9O=";

let box: Box;
beforeEach(async () => {
  box = await openBox();
  const { authority } = box.sandbox;
  authority.putVariable(ORG, VARIABLE);
  authority.registerClient({ ...CLIENT, clientId: "reader", scopes: ["cjp:config_read"] });
  authority.registerClient({ ...CLIENT, clientId: "stranger", orgId: ORG.replace("1", "9") });
  authority.registerClient({ ...CLIENT, clientId: "manager", scopes: ["spark:applications_token"] });
  authority.registerClient({ ...CLIENT, clientId: "app", clientSecret: "s3cret-of-app" });
  authority.registerApplication({ applicationId: APPLICATION, clientId: "app", authorizedBy: [ORG] });
});
afterEach(() => box.close());

const tokenOf = (clientId: string) => box.sandbox.authority.issue(clientId).access_token;
const JSON_TYPE = { "content-type": "application/json" };

describe("a global variable", () => {
  const get = (token?: string, path = PATH) =>
    box.call(path, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
  const put = (body: unknown, token = tokenOf("C1"), path = PATH) =>
    box.call(path, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}`, ...JSON_TYPE },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  const ERROR = {
    trackingId: expect.any(String),
    error: { key: expect.any(String), message: [expect.any(String)] },
  };

  test("is read whole, and replaced whole: what is left out is gone", async () => {
    expect((await get(tokenOf("reader"))).body).toEqual(VARIABLE);
    const { sensitive: _, ...rest } = { ...VARIABLE, defaultValue: "new" };
    expect(await put(rest)).toMatchObject({ status: 200, body: rest });
    expect((await get(tokenOf("reader"))).body).toEqual(rest);
  });

  test.each<[string, number, () => Promise<unknown>]>([
    ["without a token", 401, () => get()],
    ["with an unknown token", 401, () => get("made-up")],
    ["with a token that has ended", 401, endedToken],
    ["from another organization", 403, () => get(tokenOf("stranger"))],
    ["without a scope of the contact centre", 403, () => get(tokenOf("manager"))],
    ["that is not there", 404, () => get(tokenOf("C1"), `${PATH}2`)],
    ["with a parameter", 400, () => get(tokenOf("C1"), `${PATH}?x=y`)],
    ["by writing with a scope for reading", 403, () => put(VARIABLE, tokenOf("reader"))],
    [
      "by writing one that is not there",
      404,
      () => put({ ...VARIABLE, id: "cad-2" }, tokenOf("C1"), PATH.replace("-1", "-2")),
    ],
    ["by another method", 405, () => box.call(PATH, { method: "PATCH", body: "{}" })],
  ])("is refused %s: %i", async (_, status, ask) => {
    expect(await ask()).toMatchObject({ status, body: ERROR });
  });
  function endedToken() {
    const token = tokenOf("C1");
    box.clock.advance(CLIENT.accessLifetime * 1000);
    return get(token);
  }

  const { name: _, ...nameless } = VARIABLE;
  test.each<[string, unknown, string]>([
    ["no JSON", "{", "body"],
    ["a list", [], "body"],
    ["a missing field", nameless, "name"],
    ["an unknown field", { ...VARIABLE, value: "x" }, "value"],
    ["another id", { ...VARIABLE, id: "cad-2" }, "id"],
    ["another type", { ...VARIABLE, variableType: "Integer" }, "variableType"],
    ["a type that is none", { ...VARIABLE, variableType: "Text" }, "variableType"],
    ["a value that is no text", { ...VARIABLE, defaultValue: 7 }, "defaultValue"],
    ["257 characters", { ...VARIABLE, defaultValue: "x".repeat(257) }, "defaultValue"],
    ["a flag that is text", { ...VARIABLE, active: "true" }, "active"],
    ["sensitive as text", { ...VARIABLE, sensitive: "true" }, "sensitive"],
  ])("is not replaced by %s", async (_, body, field) => {
    const answer = await put(body);
    expect(answer).toMatchObject({ status: 400, body: ERROR });
    expect(answer.body.error.message[0]).toMatch(new RegExp(`^${field}: `));
    expect((await get(tokenOf("C1"))).body).toEqual(VARIABLE);
  });

  test("of 256 characters is taken", async () => {
    expect((await put({ ...VARIABLE, defaultValue: "x".repeat(256) })).status).toBe(200);
  });

  test("fails as it is told: 429 has no body", async () => {
    box.sandbox.faults.add({ fault: "variable-429", times: 1 });
    expect(await get(tokenOf("C1"))).toMatchObject({ status: 429, text: "" });
    box.sandbox.faults.add({ fault: "variable-412", times: 1 });
    expect(await put(VARIABLE)).toMatchObject({ status: 412, body: ERROR });
    expect((await get(tokenOf("C1"))).status).toBe(200);
  });

  test("is listed by its token's owner, never by the token", async () => {
    const token = tokenOf("C1");
    await put({ ...VARIABLE, defaultValue: token });
    const listed = await box.control("GET", "/sandbox/variables");
    expect(listed.body.variables).toEqual([
      expect.objectContaining({
        orgId: ORG,
        id: "cad-1",
        characters: 106,
        token: { clientId: "C1", live: true },
      }),
    ]);
    expect(listed.text).not.toContain(token);
  });
});

describe("a Service App's token", () => {
  const WANTED = { clientId: "app", clientSecret: "s3cret-of-app", targetOrgId: ORG };
  const ask = (body: unknown, token = tokenOf("manager"), id = APPLICATION, method = "POST") =>
    box.call(`/v1/applications/${encodeURIComponent(id)}/token`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...JSON_TYPE },
      ...(method === "POST" && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });

  test("is given to a manager, and refreshed as any other", async () => {
    const { status, body } = await ask(WANTED);
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual([
      "access_token",
      "expires_in",
      "refresh_token",
      "refresh_token_expires_in",
      "token_type",
    ]);
    expect((await box.me(body.access_token)).status).toBe(200);
    const again = { grant_type: "refresh_token", client_id: "app", client_secret: "s3cret-of-app" };
    expect((await box.post({ ...again, refresh_token: body.refresh_token })).status).toBe(200);
  });

  test.each<[string, number, () => Promise<unknown>]>([
    ["with an unknown token", 401, () => ask(WANTED, "made-up")],
    ["without the scope", 403, () => ask(WANTED, tokenOf("C1"))],
    ["for an application that is none", 404, () => ask(WANTED, undefined, "another")],
    ["with a wrong secret", 401, () => ask({ ...WANTED, clientSecret: "wrong" })],
    ["with another client", 401, () => ask({ ...WANTED, clientId: "C1" })],
    [
      "for an organization that has not authorized it",
      403,
      () => ask({ ...WANTED, targetOrgId: "elsewhere" }),
    ],
    ["without an organization", 400, () => ask({ ...WANTED, targetOrgId: undefined })],
    ["with a field more", 400, () => ask({ ...WANTED, scope: "x" })],
    ["without JSON", 400, () => ask("x=y")],
    ["by GET", 405, () => ask("", undefined, undefined, "GET")],
  ])("is refused %s: %i", async (_, status, asked) => {
    expect(await asked()).toMatchObject({ status, body: { trackingId: expect.any(String) } });
    expect(box.sandbox.authority.counters().service_app).toMatchObject({
      received: 1,
      granted: 0,
      refused: 1,
    });
  });
});
