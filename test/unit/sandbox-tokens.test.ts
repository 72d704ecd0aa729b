import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { TokenResponse } from "../../local/sandbox/grants.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { type Box, CALLBACK, CLIENT, CREDENTIALS, DEAD, ORG, openBox, TOKEN_SHAPE } from "./sandbox-box.ts";

let box: Box;
beforeEach(async () => {
  box = await openBox();
});
afterEach(() => box.close());

describe("exchanging a code", () => {
  test("answers with Webex's shape, for the scope that was allowed", async () => {
    const answer = await box.exchange(await box.consentedCode());
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.body).toEqual({
      access_token: expect.stringMatching(TOKEN_SHAPE),
      expires_in: 3600,
      refresh_token: expect.stringMatching(TOKEN_SHAPE),
      refresh_token_expires_in: 86_400,
      token_type: "Bearer",
      scope: "cjp:config_read",
    });
    expect(answer.body.access_token).toHaveLength(106);
    expect(answer.body.access_token.endsWith(`_${ORG}`)).toBe(true);
    expect(answer.body.access_token).not.toBe(answer.body.refresh_token);
  });

  test("a code is refused the second time, and its tokens live on", async () => {
    const code = await box.consentedCode();
    const first = await box.exchange(code);
    const second = await box.exchange(code);
    expect(second.status).toBe(400);
    expect(second.body).toMatchObject({ error: "invalid_grant", trackingID: expect.any(String) });
    expect((await box.me(first.body.access_token)).status).toBe(200);
    expect((await box.refresh(first.body.refresh_token)).status).toBe(200);
  });

  test("a code lives ten minutes", async () => {
    const [inTime, late] = [await box.consentedCode(), await box.consentedCode()];
    box.clock.advance(599_999);
    expect((await box.exchange(inTime)).status).toBe(200);
    box.clock.advance(1);
    expect((await box.exchange(late)).status).toBe(400);
  });

  test("a code is bound to its redirect URI, and a wrong try spends it", async () => {
    const code = await box.consentedCode();
    expect((await box.exchange(code, { redirect_uri: `${CALLBACK}?a=b` })).body.error).toBe("invalid_grant");
    expect((await box.exchange(code)).body.error).toBe("invalid_grant");
  });

  test("a code is bound to its client, whose chance another client cannot spoil", async () => {
    box.sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    const code = await box.consentedCode();
    expect((await box.exchange(code, { client_id: "C2" })).body.error).toBe("invalid_grant");
    expect((await box.exchange(code)).status).toBe(200);
  });

  test("with a challenge only its verifier is accepted; without one, none", async () => {
    const verifier = "v".repeat(43);
    const challenge = createHash("sha256").update(verifier).digest("base64url");
    const asked = { code_challenge: challenge, code_challenge_method: "S256" };
    expect((await box.exchange(await box.consentedCode(asked), { code_verifier: verifier })).status).toBe(
      200,
    );
    const wrong = await box.exchange(await box.consentedCode(asked), { code_verifier: "w".repeat(43) });
    const missing = await box.exchange(await box.consentedCode(asked));
    const unasked = await box.exchange(await box.consentedCode(), { code_verifier: verifier });
    const short = await box.exchange(await box.consentedCode(asked), { code_verifier: "v" });
    expect([wrong, missing, unasked].map(({ body }) => body.error)).toEqual(Array(3).fill("invalid_grant"));
    expect(short.body.error).toBe("invalid_request");
  });
});

describe("refreshing", () => {
  let held: TokenResponse;
  beforeEach(() => {
    held = box.sandbox.authority.issue("C1");
  });

  test("answers with a new access token and the same refresh token, whose clock runs on", async () => {
    box.clock.advance(60_500);
    const { status, body } = await box.refresh(held.refresh_token);
    expect(status).toBe(200);
    expect(body.refresh_token).toBe(held.refresh_token);
    expect(body.access_token).not.toBe(held.access_token);
    expect(body).toMatchObject({ expires_in: 3600, refresh_token_expires_in: 86_339, scope: held.scope });
  });

  test("leaves the previous access token alive until its own end", async () => {
    box.clock.advance(1000);
    const { body } = await box.refresh(held.refresh_token);
    box.clock.advance(3_598_999);
    expect((await box.me(held.access_token)).status).toBe(200);
    box.clock.advance(1);
    expect((await box.me(held.access_token)).status).toBe(401);
    expect((await box.me(body.access_token)).status).toBe(200);
  });

  test("an expired, revoked, unknown or someone else's refresh token is refused in Webex's words", async () => {
    box.sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    const foreign = box.sandbox.authority.issue("C2").refresh_token;
    const answers = [
      await box.refresh("nonsense"),
      await box.refresh(foreign),
      await box.refresh(held.access_token),
    ];
    box.clock.advance(86_400_000);
    answers.push(await box.refresh(held.refresh_token));
    const revoked = box.sandbox.authority.issue("C1").refresh_token;
    await box.control("POST", "/sandbox/revoke", {});
    answers.push(await box.refresh(revoked));
    for (const { status, body } of answers) {
      expect(status).toBe(400);
      expect(body).toEqual(DEAD);
    }
  });

  test("JSON is accepted as well", async () => {
    const body = JSON.stringify({
      grant_type: "refresh_token",
      ...CREDENTIALS,
      refresh_token: held.refresh_token,
    });
    const headers = { "content-type": "application/json" };
    expect((await box.call("/v1/access_token", { method: "POST", headers, body })).status).toBe(200);
  });

  test("a restart forgets no client, token or counter", async () => {
    await box.refresh(held.refresh_token);
    await box.restart();
    expect((await box.refresh(held.refresh_token)).status).toBe(200);
    expect(box.sandbox.authority.counters().refresh_token.granted).toBe(2);
  });

  test("two sandboxes may share a file", async () => {
    const other = createSandbox({ file: box.file, clock: box.clock.now });
    expect(other.authority.holder(held.access_token)?.live).toBe(true);
    await other.close();
  });
});

describe("people/me", () => {
  test("tells a live access token's holder, in Webex's ids", async () => {
    const { status, body } = await box.me(box.sandbox.authority.issue("C1").access_token);
    expect(status).toBe(200);
    expect(Buffer.from(body.orgId, "base64url").toString()).toBe(`ciscospark://us/ORGANIZATION/${ORG}`);
    expect(Object.keys(body)).toEqual(["id", "displayName", "orgId"]);
  });

  test("refuses a missing, foreign, expired or revoked token, and a refresh token", async () => {
    const tokens = box.sandbox.authority.issue("C1");
    const revoked = box.sandbox.authority.issue("C1").access_token;
    box.sandbox.authority.revoke({ refreshTokens: false, accessTokens: true });
    const expired = box.sandbox.authority.issue("C1").access_token;
    box.clock.advance(3_600_000);
    const answers = [
      await box.call("/v1/people/me"),
      await box.me("x"),
      await box.me(tokens.refresh_token),
      await box.me(revoked),
    ];
    for (const { status, body } of [...answers, await box.me(expired)]) {
      expect(status).toBe(401);
      expect(body.trackingId).toMatch(/^ROUTER_/);
      expect(body.errors).toEqual([{ description: body.message }]);
    }
  });
});
