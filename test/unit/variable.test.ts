import { describe, expect, test } from "vitest";
import { toPublish } from "../../functions/core/changes.ts";
import { parseDocument } from "../../functions/core/document.ts";
import type { EndpointAnswer } from "../../functions/core/grant.ts";
import { PUBLISH_TIME } from "../../functions/core/time.ts";
import { isLasting, judgeVariable } from "../../functions/core/variable.ts";

const NOW = Date.UTC(2026, 0, 5, 8);
const VARIABLE = { id: "cad-1", name: "Token", variableType: "String", defaultValue: "x", sensitive: true };
const answer = (status: number, body: unknown = "", retryAfter?: string): EndpointAnswer => ({
  status,
  body: typeof body === "string" ? body : JSON.stringify(body),
  ...(retryAfter !== undefined && { retryAfter }),
});
const judged = (given: EndpointAnswer) => judgeVariable(given, "cad-1", NOW);

describe("an answer of the contact centre", () => {
  test("that holds the variable keeps every field of it, known here or not", () => {
    const whole = { ...VARIABLE, links: [{ rel: "self" }], version: 7, description: null };
    expect(judged(answer(200, whole))).toEqual({ variable: whole });
  });

  test("may write the id in capitals", () => {
    expect(judged(answer(200, { ...VARIABLE, id: "CAD-1" })).trouble).toBeUndefined();
  });

  test.each(["String", "STRING", "string"])("may call its type %s", (variableType) => {
    expect(judged(answer(200, { ...VARIABLE, variableType })).trouble).toBeUndefined();
  });

  test.each<[string, EndpointAnswer, string, boolean]>([
    ["a timeout", { error: "timeout" }, "unavailable", false],
    ["a reset", { error: "network" }, "unavailable", false],
    ["400", answer(400, { trackingId: "x", error: { key: "400", message: ["no"] } }), "bad_request", true],
    ["401", answer(401), "unauthorized", true],
    ["403", answer(403), "forbidden", true],
    ["404", answer(404), "not_found", true],
    ["412", answer(412), "precondition_failed", false],
    ["429 without a body", answer(429), "rate_limited", false],
    ["500", answer(500), "unavailable", false],
    ["503 in HTML", answer(503, "<html></html>"), "unavailable", false],
    ["a redirect", answer(302), "invalid_response", false],
    ["201", answer(201, VARIABLE), "invalid_response", false],
    ["204", answer(204), "invalid_response", false],
    ["HTML with 200", answer(200, "<html></html>"), "invalid_response", false],
    ["nothing", answer(200), "invalid_response", false],
    ["null", answer(200, "null"), "invalid_response", false],
    ["a list", answer(200, [VARIABLE]), "invalid_response", false],
    ["another variable", answer(200, { ...VARIABLE, id: "cad-2" }), "invalid_response", false],
    ["one without a type", answer(200, { ...VARIABLE, variableType: undefined }), "invalid_response", false],
    ["one whose type is a number", answer(200, { ...VARIABLE, variableType: 1 }), "invalid_response", false],
    ["an integer", answer(200, { ...VARIABLE, variableType: "Integer" }), "not_a_string", true],
    ["a date", answer(200, { ...VARIABLE, variableType: "DateTime" }), "not_a_string", true],
  ])("%s is told as a code", (_, given, code, lasting) => {
    expect(judged(given)).toEqual({ trouble: { code } });
    expect(isLasting(code)).toBe(lasting);
  });

  test("says how long to wait, where it does", () => {
    expect(judged(answer(429, "", "7"))).toEqual({ trouble: { code: "rate_limited", retryAfter: 7000 } });
    expect(judged(answer(429, "", "86400")).trouble?.retryAfter).toBe(600_000);
    expect(judged(answer(429, "", "soon"))).toEqual({ trouble: { code: "rate_limited" } });
  });

  test.each(["toString", "constructor", "__proto__", "anything"])("the code %s lasts not", (code) => {
    expect(isLasting(code)).toBe(false);
  });
});

describe("what a document says of publishing", () => {
  const WISH = { variables: ["cad-1"], region: "us1" };
  const parse = (publish: unknown) => parseDocument({ publish });

  test.each([
    [WISH, WISH],
    [
      { ...WISH, via: " other " },
      { ...WISH, via: "other" },
    ],
    [{ ...WISH, via: "" }, WISH],
    [
      { variables: [" cad-1 ", "\u200bcad-2\n"], region: "'us1' " },
      { ...WISH, variables: ["cad-1", "cad-2"] },
    ],
    [
      { ...WISH, nextAt: "7", publishedAt: new Date(8) },
      { ...WISH, nextAt: 7, publishedAt: 8 },
    ],
    [{ ...WISH, nextAt: "soon", failure: "bad" }, WISH],
    [
      { ...WISH, failure: { count: 1, code: "forbidden", since: 1, at: 2, more: true } },
      { ...WISH, failure: { count: 1, code: "forbidden", since: 1, at: 2 } },
    ],
  ])("%j is read", (typed, read) => {
    expect(parse(typed)).toEqual({ document: { publish: read }, mistyped: [] });
  });

  test.each([
    "us1",
    7,
    {},
    { variables: ["cad-1"] },
    { region: "us1" },
    { variables: "cad-1", region: "us1" },
    { variables: [7], region: "us1" },
    { variables: ["../../people"], region: "us1" },
    { variables: [".."], region: "us1" },
    { variables: ["a?b"], region: "us1" },
    { variables: ["cad-1"], region: "us1.evil.example/" },
    { variables: ["cad-1"], region: "US1" },
  ])("%j is of a wrong kind", (typed) => {
    expect(parse(typed)).toEqual({ document: {}, mistyped: ["publish"] });
  });

  test.each([
    ["Y2lz-_=", "org-1", "manager", true],
    ["../x", "org-1", "manager", false],
    ["app", "a/b", "manager", false],
    ["app", "org-1", "a/b", false],
    ["app", "org-1", "", false],
    [7, "org-1", "manager", false],
  ])("a Service App %j in %j with manager %j is read: %j", (applicationId, targetOrg, manager, good) => {
    const serviceApp = { applicationId, targetOrg, manager };
    const { document, mistyped } = parseDocument({ serviceApp });
    expect(mistyped).toEqual(good ? [] : ["serviceApp"]);
    expect(document.serviceApp).toEqual(good ? serviceApp : undefined);
  });

  test.each<[string, number | undefined, number]>([
    ["nothing is due", undefined, NOW],
    ["it is overdue", NOW - 1, NOW],
    ["it is backed off", NOW + PUBLISH_TIME + 1, NOW],
    ["it comes soon, and may be under way", NOW + PUBLISH_TIME, NOW + PUBLISH_TIME],
    ["it comes soon", NOW + 1, NOW + 1],
  ])("with another token, where %s", (_, nextAt, expected) => {
    const publish = { variables: ["cad-1"], region: "us1" as const, ...(nextAt !== undefined && { nextAt }) };
    expect(toPublish({ publish }, NOW)).toEqual({ publish: { ...publish, nextAt: expected } });
  });

  test("a token without the wish has nothing to publish", () => {
    expect(toPublish({ accessToken: "a" }, NOW)).toEqual({});
  });
});
