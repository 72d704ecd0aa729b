import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ASKED, type Box, CALLBACK, CLIENT, openBox, target } from "./sandbox-box.ts";

let box: Box;
beforeEach(async () => {
  box = await openBox();
});
afterEach(() => box.close());

describe("consent", () => {
  test("a person who allows sends the browser back with a code and the very state", async () => {
    const page = await box.authorize();
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    const answer = await box.decide(page.text, "allow");
    expect(answer.status).toBe(303);
    const to = target(answer);
    expect(to.origin + to.pathname).toBe(CALLBACK);
    expect(to.searchParams.get("state")).toBe("s t&1");
    expect((await box.exchange(to.searchParams.get("code") ?? "")).status).toBe(200);
  });

  test("a person who denies sends the browser back with access_denied and no code", async () => {
    const to = target(await box.decide((await box.authorize()).text, "deny"));
    expect(to.searchParams.get("error")).toBe("access_denied");
    expect(to.searchParams.get("state")).toBe("s t&1");
    expect(to.searchParams.has("code")).toBe(false);
  });

  test("an answer counts once, and ten minutes at most", async () => {
    const page = await box.authorize();
    expect((await box.decide(page.text, "allow")).status).toBe(303);
    expect((await box.decide(page.text, "allow")).status).toBe(400);
    const late = await box.authorize();
    box.clock.advance(600_000);
    expect((await box.decide(late.text, "allow")).status).toBe(400);
  });

  test("a redirect URI's own query stays", async () => {
    const page = await box.authorize({ redirect_uri: `${CALLBACK}?a=b` });
    expect((await box.decide(page.text, "allow")).headers.get("location")).toMatch(/callback\?a=b&code=/);
  });

  test.each([
    ["an unknown client", { client_id: "C2" }],
    ["a longer redirect URI", { redirect_uri: `${CALLBACK}/` }],
    ["a redirect URI in other case", { redirect_uri: CALLBACK.toUpperCase() }],
    ["an empty redirect URI", { redirect_uri: "" }],
  ])("%s is a 400 page without redirect", async (_, more) => {
    const answer = await box.authorize(more);
    expect(answer.status).toBe(400);
    expect(answer.headers.get("location")).toBeNull();
    expect(answer.headers.get("content-type")).toContain("text/html");
  });

  test("a repeated redirect URI is a 400 page without redirect", async () => {
    const twice = `${new URLSearchParams(ASKED)}&redirect_uri=${encodeURIComponent(CALLBACK)}`;
    expect((await box.call(`/v1/authorize?${twice}`)).status).toBe(400);
  });

  test.each([
    ["a scope that is not the client's", { scope: "cjp:config_read spark:all" }, "invalid_scope"],
    ["no scope", { scope: "" }, "invalid_request"],
    ["two spaces between scopes", { scope: "cjp:config_read  cjp:config_write" }, "invalid_scope"],
    ["another response type", { response_type: "token" }, "unsupported_response_type"],
    ["an unknown parameter", { prompt: "none" }, "invalid_request"],
    ["a challenge without a method", { code_challenge: "x".repeat(43) }, "invalid_request"],
    [
      "a plain challenge",
      { code_challenge: "x".repeat(43), code_challenge_method: "plain" },
      "invalid_request",
    ],
    ["a short challenge", { code_challenge: "x", code_challenge_method: "S256" }, "invalid_request"],
    ["a method without a challenge", { code_challenge_method: "S256" }, "invalid_request"],
  ])("%s goes back as an error", async (_, more, error) => {
    const answer = await box.authorize(more);
    expect(answer.status).toBe(303);
    expect(target(answer).searchParams.get("error")).toBe(error);
    expect(target(answer).searchParams.get("error_description")).toBeTruthy();
    expect(target(answer).searchParams.get("state")).toBe("s t&1");
  });

  test("a missing state goes back as an error", async () => {
    const { state: _, ...stateless } = ASKED;
    const to = target(await box.call(`/v1/authorize?${new URLSearchParams(stateless)}`));
    expect(to.searchParams.get("error")).toBe("invalid_request");
  });

  test("a client that must use PKCE may not leave it out", async () => {
    box.sandbox.authority.registerClient({ ...CLIENT, requirePkce: true });
    expect(target(await box.authorize()).searchParams.get("error")).toBe("invalid_request");
  });

  test("markup in a client id is shown as text", async () => {
    box.sandbox.authority.registerClient({ ...CLIENT, clientId: `"><script>'&` });
    const page = await box.authorize({ client_id: `"><script>'&` });
    expect(page.status).toBe(200);
    expect(page.text).not.toContain("<script");
    expect(page.text).toContain("&#34;&#62;&#60;script&#62;&#39;&#38;");
  });
});
