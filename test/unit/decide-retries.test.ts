import { describe, expect, test } from "vitest";
import type { TokenDocument } from "../../functions/core/document.ts";
import { type Ask, DAY, HOUR, MINUTE, SECOND, UNCHANGED_CODE } from "../../functions/core/time.ts";
import {
  failed,
  judge,
  NOW,
  OPERATOR,
  READER,
  REJECTED,
  refusal,
  SWEEP,
  WELL,
  withLife,
  without,
} from "./time-documents.ts";

describe("a forced ask does not wait for the schedule", () => {
  const LATER = NOW + 8 * HOUR;
  test.each<[string, TokenDocument, Ask]>([
    ["the token has ended", withLife(0, { refreshAt: LATER }), READER],
    ["less than a second is left", withLife(SECOND - 1, { refreshAt: LATER }), READER],
    ["an API refused the token", withLife(11 * HOUR, { refreshAt: LATER }), REJECTED],
    [
      "less is left than is needed",
      withLife(3 * HOUR, { refreshAt: LATER }),
      { by: "reader", minTtl: 10_801 },
    ],
    ["no access token was ever held", without("accessToken", { ...WELL, refreshAt: LATER }), READER],
  ])("when %s", (_, document, ask) => {
    expect(judge(document, ask)).toEqual({ act: "refresh" });
  });

  test("it is not one when just enough is left", () => {
    expect(judge(withLife(3 * HOUR), { by: "reader", minTtl: 10_800 })).toEqual({ act: "answer" });
  });

  test("it is not one when nothing special is needed", () => {
    expect(judge(withLife(3 * HOUR), { by: "reader", minTtl: 0 })).toEqual({ act: "answer" });
  });
});

describe("a forced ask still waits 30 s after a try", () => {
  const kinds: [string, (more: TokenDocument) => TokenDocument, Ask][] = [
    ["expired", (more) => withLife(0, more), READER],
    ["rejected", (more) => withLife(11 * HOUR, more), REJECTED],
    ["below minTtl", (more) => withLife(3 * HOUR, more), { by: "reader", minTtl: 4 * 3600 }],
  ];
  test.each(kinds)("%s, after a good refresh", (_, document, ask) => {
    const at = NOW - 29 * SECOND;
    expect(judge(document({ lastRefresh: at }), ask)).toEqual({
      act: "wait",
      until: at + 30 * SECOND,
      leased: false,
    });
    expect(judge(document({ lastRefresh: NOW - 30 * SECOND }), ask)).toEqual({ act: "refresh" });
  });

  test.each(kinds)("%s, after a transient failure, however far its backoff has grown", (_, document, ask) => {
    const at = NOW - 29 * SECOND;
    const late = { lastRefresh: NOW - DAY, refreshAt: NOW + 9 * MINUTE };
    expect(judge(document({ ...late, failure: failed({ at, count: 9 }) }), ask)).toEqual({
      act: "wait",
      until: at + 30 * SECOND,
      leased: false,
    });
    const older = { ...late, failure: failed({ at: NOW - 30 * SECOND, count: 9 }) };
    expect(judge(document(older), ask)).toEqual({ act: "refresh" });
  });

  test.each([
    [1, 1],
    [2, 2],
    [3, 4],
    [4, 8],
    [5, 10],
    [50, 10],
  ])("%i times the same token came back: %i min", (count, minutes) => {
    const document = (age: number) =>
      withLife(11 * HOUR, {
        lastRefresh: NOW - age,
        failure: failed({ code: UNCHANGED_CODE, count, at: NOW - age }),
      });
    expect(judge(document(minutes * MINUTE - 1), REJECTED)).toEqual({
      act: "wait",
      until: NOW + 1,
      leased: false,
    });
    expect(judge(document(minutes * MINUTE), REJECTED)).toEqual({ act: "refresh" });
  });

  test.each<[string, TokenDocument]>([
    ["lastRefresh", { lastRefresh: NOW + DAY }],
    ["failure.at", { failure: failed({ at: NOW + DAY }) }],
  ])("an instant written by a clock far ahead (%s) holds nothing back", (_, more) => {
    expect(judge(withLife(0, more))).toEqual({ act: "refresh" });
  });
});

describe("a token whose refresh was refused for good", () => {
  const refused = (life: number, more: TokenDocument = {}) =>
    withLife(life, { refreshAt: NOW + HOUR, failure: refusal({ at: NOW - HOUR }), ...more });

  test("is not asked for again by readers: the held one serves while it lives", () => {
    expect(judge(refused(HOUR))).toEqual({ act: "wait", until: NOW + HOUR, leased: false });
    expect(judge(refused(HOUR), REJECTED)).toEqual({ act: "wait", until: NOW + HOUR, leased: false });
    expect(judge(refused(HOUR), { by: "reader", minTtl: 7200 }).act).toBe("wait");
  });

  test("needs a person once nothing is held", () => {
    expect(judge(refused(0))).toEqual({ act: "refuse", need: "refused" });
    expect(judge(refused(0), REJECTED)).toEqual({ act: "refuse", need: "refused" });
  });

  test("is tried again when its long backoff is over", () => {
    expect(judge(refused(0, { refreshAt: NOW }), SWEEP)).toEqual({ act: "refresh" });
    expect(judge(refused(0, { refreshAt: NOW }), READER)).toEqual({ act: "refresh" });
  });

  test("is tried at once when its credentials were changed", () => {
    const fixed = { failure: refusal({ inputs: "hash of the wrong secret", at: NOW - SECOND }) };
    expect(judge(refused(0, fixed))).toEqual({ act: "refresh" });
    expect(judge(refused(HOUR, fixed))).toEqual({ act: "refresh" });
    expect(judge(refused(0, { ...fixed, refreshAt: NOW }), SWEEP)).toEqual({ act: "refresh" });
  });

  test("is tried at once for an operator", () => {
    expect(judge(refused(0), OPERATOR)).toEqual({ act: "refresh" });
    expect(judge(refused(HOUR), OPERATOR)).toEqual({ act: "refresh" });
  });
});

describe("changed credentials are due at once", () => {
  test.each<[string, Ask, number]>([
    ["for a reader with nothing held", READER, 0],
    ["for a reader below the threshold", READER, HOUR],
    ["for a rejected token", REJECTED, 11 * HOUR],
  ])("%s, after a transient failure a second ago", (_, ask, life) => {
    const failure = failed({ inputs: "hash of the old credentials", at: NOW - SECOND });
    expect(judge(withLife(life, { refreshAt: NOW + HOUR, failure }), ask)).toEqual({ act: "refresh" });
  });

  test("but not while somebody holds the lease", () => {
    const failure = refusal({ inputs: "hash of the old credentials" });
    const document = withLife(0, { failure, lease: { id: "l", expires: NOW + SECOND } });
    expect(judge(document)).toEqual({ act: "wait", until: NOW + SECOND, leased: true });
  });
});
