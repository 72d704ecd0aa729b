import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Box, CREDENTIALS, openBox } from "./sandbox-box.ts";

let box: Box;
beforeEach(async () => {
  box = await openBox();
});
afterEach(() => box.close());

describe("a token request is refused", () => {
  const good = () => {
    const { refresh_token } = box.sandbox.authority.issue("C1");
    return new URLSearchParams({ grant_type: "refresh_token", ...CREDENTIALS, refresh_token }).toString();
  };
  const send = (body: string, type = "application/x-www-form-urlencoded", more: RequestInit = {}) =>
    box.call("/v1/access_token", {
      ...more,
      method: "POST",
      headers: { "content-type": type, ...more.headers },
      body,
    });

  test.each<[string, (body: string) => string, number, string]>([
    ["without a grant type", (body) => body.replace("grant_type=refresh_token&", ""), 400, "invalid_request"],
    [
      "for another grant type",
      (body) => body.replace("=refresh_token", "=password"),
      400,
      "unsupported_grant_type",
    ],
    ["without a secret", (body) => body.replace(/client_secret=[^&]*&/, ""), 400, "invalid_request"],
    [
      "with an empty secret",
      (body) => body.replace(/client_secret=[^&]*/, "client_secret="),
      400,
      "invalid_request",
    ],
    [
      "with a wrong secret",
      (body) => body.replace(/client_secret=[^&]*/, "client_secret=x"),
      401,
      "invalid_client",
    ],
    ["from an unknown client", (body) => body.replace("client_id=C1", "client_id=C9"), 401, "invalid_client"],
    ["with an unknown parameter", (body) => `${body}&scope=x`, 400, "invalid_request"],
    ["with a repeated parameter", (body) => `${body}&client_id=C1`, 400, "invalid_request"],
    ["with a name twice encoded differently", (body) => `${body}&client%5Fid=C1`, 400, "invalid_request"],
    ["with a broken percent sign", (body) => `${body}%zz`, 400, "invalid_request"],
    ["with an empty body", () => "", 400, "invalid_request"],
    ["with a body too large", (body) => `${body}&x=${"x".repeat(70_000)}`, 400, "invalid_request"],
  ])("%s", async (_, change, status, error) => {
    const answer = await send(change(good()));
    expect(answer.status).toBe(status);
    expect(answer.body).toEqual({
      error,
      error_description: expect.any(String),
      trackingID: expect.any(String),
    });
  });

  test.each([
    "text/plain",
    "multipart/form-data",
    "application/x-www-form-urlencoded; charset=latin1",
    "application/json",
  ])("with a form sent as %s", async (type) =>
    expect((await send(good(), type)).body.error).toBe("invalid_request"),
  );

  test("with credentials in a header too, or with a query, or by GET", async () => {
    const headers = { authorization: "Basic eDp5" };
    expect((await send(good(), undefined, { headers })).body.error).toBe("invalid_request");
    const query = await box.call(`/v1/access_token?x=1`, {
      method: "POST",
      body: new URLSearchParams(good()),
    });
    expect(query.body.error).toBe("invalid_request");
    expect((await box.call("/v1/access_token")).body.error).toBe("invalid_request");
  });

  test("with JSON that repeats a name, nests, or is no object", async () => {
    const refresh_token = box.sandbox.authority.issue("C1").refresh_token;
    const whole = JSON.stringify({ grant_type: "refresh_token", ...CREDENTIALS, refresh_token });
    expect((await send(whole, "application/json")).status).toBe(200);
    for (const body of [
      whole.replace("{", '{"client_id":"C1",'),
      whole.replace('"C1"', "1"),
      "[]",
      "null",
      "{",
      "{}",
    ]) {
      expect((await send(body, "application/json")).body.error).toBe("invalid_request");
    }
  });

  test("and the whole one is granted", async () => {
    expect((await send(good(), "application/x-www-form-urlencoded; charset=UTF-8")).status).toBe(200);
  });
});
