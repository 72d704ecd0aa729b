import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TokenResponse } from "../../local/sandbox/grants.ts";
import { type Box, DEAD, openBox, TOKEN_SHAPE } from "./sandbox-box.ts";

let box: Box;
beforeEach(async () => {
  box = await openBox();
});
afterEach(() => box.close());

describe("faults", () => {
  let held: TokenResponse;
  beforeEach(() => {
    held = box.sandbox.authority.issue("C1");
  });
  const again = () => box.refresh(held.refresh_token);

  test.each([
    ["429", "7"],
    ["429-none", null],
    ["429-zero", "0"],
    ["429-rand", "rand(30),add(30)"],
    ["429-empty", "7"],
  ] as const)("%s answers 429 with Retry-After %s", async (fault, retryAfter) => {
    box.sandbox.faults.add({ fault });
    const { status, headers, text, body } = await again();
    expect([status, headers.get("retry-after")]).toEqual([429, retryAfter]);
    if (fault === "429-empty") expect(text).toBe("");
    else expect(body.trackingId).toMatch(/^ROUTER_/);
  });

  test("429 takes a Retry-After as it is given", async () => {
    box.sandbox.faults.add({ fault: "429", times: 1, retryAfter: 0 });
    box.sandbox.faults.add({ fault: "429", retryAfter: "Wed, 21 Oct 2026 07:28:00 GMT" });
    expect((await again()).headers.get("retry-after")).toBe("0");
    expect((await again()).headers.get("retry-after")).toBe("Wed, 21 Oct 2026 07:28:00 GMT");
  });

  test.each([
    ["html", 200],
    ["html-403", 403],
    ["html-500", 500],
  ] as const)("%s answers %i with a page", async (fault, status) => {
    box.sandbox.faults.add({ fault });
    const answer = await again();
    expect(answer.status).toBe(status);
    expect(answer.headers.get("content-type")).toContain("text/html");
  });

  test.each([
    ["500", 500],
    ["webex-400", 400],
    ["unauthorized", 401],
  ] as const)("%s answers %i in Webex's general shape", async (fault, status) => {
    box.sandbox.faults.add({ fault });
    const answer = await again();
    expect(answer.status).toBe(status);
    expect(answer.body.errors).toEqual([{ description: answer.body.message }]);
  });

  test("invalid-request refuses a good refresh token, and leaves exchanges alone", async () => {
    box.sandbox.faults.add({ fault: "invalid-request" });
    const { status, body } = await again();
    expect([status, body]).toEqual([400, DEAD]);
    expect((await box.exchange(await box.consentedCode())).status).toBe(200);
    box.sandbox.faults.clear();
    expect((await again()).status).toBe(200);
  });

  test("redirect points to a path of the same host that knows nothing", async () => {
    box.sandbox.faults.add({ fault: "redirect" });
    const answer = await again();
    expect(answer.status).toBe(302);
    const to = answer.headers.get("location") ?? "";
    expect(to).toMatch(/^\/v1\//);
    expect((await box.call(to, { method: "POST" })).status).toBe(404);
  });

  test("same-token answers with the same access token and its remaining life, a new one once it is dead", async () => {
    box.sandbox.faults.add({ fault: "same-token" });
    box.clock.advance(600_500);
    expect((await again()).body).toMatchObject({ access_token: held.access_token, expires_in: 2999 });
    box.clock.advance(3_000_000);
    const { body } = await again();
    expect(body.access_token).not.toBe(held.access_token);
    expect(body.expires_in).toBe(3600);
  });

  test("rotate answers with a new refresh token, and the old one dies", async () => {
    box.sandbox.faults.add({ fault: "rotate", times: 1 });
    const { body } = await again();
    expect(body.refresh_token).not.toBe(held.refresh_token);
    expect((await again()).body).toEqual(DEAD);
    expect((await box.refresh(body.refresh_token)).body.refresh_token).toBe(body.refresh_token);
    expect((await box.me(held.access_token)).status).toBe(200);
  });

  test("omit, null-fields, strings and empty-token bend the answer to a granted request", async () => {
    for (const fault of ["omit", "null-fields", "strings", "empty-token"] as const) {
      box.sandbox.faults.add({ fault, times: 1 });
    }
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push((await again()).body);
    const access_token = expect.stringMatching(TOKEN_SHAPE);
    const none = { expires_in: null, refresh_token: null, refresh_token_expires_in: null, scope: null };
    expect(answers).toEqual([
      { access_token, token_type: "Bearer" },
      { access_token, token_type: "Bearer", ...none },
      { ...held, access_token, expires_in: "3600", refresh_token_expires_in: "86400" },
      { ...held, access_token: "" },
    ]);
    expect(box.sandbox.authority.counters().refresh_token.granted).toBe(4);
  });
});
