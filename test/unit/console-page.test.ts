import { describe, expect, test } from "vitest";
import { STATES } from "../../functions/core/state.ts";
import { DAY, HOUR, MINUTE } from "../../functions/core/time.ts";
import { type Code, isLasting } from "../../functions/core/variable.ts";
import { byUrgency, endsSoon, FEW, matching, spanInView, totalsOf } from "../../local/console/page/order.ts";
import {
  lifeText,
  publishedText,
  publishRemedy,
  resultText,
  runwayText,
  stateText,
  sweepsText,
  visible,
  worstParts,
} from "../../local/console/page/words.ts";
import type { Row } from "../../local/console/row.ts";
import { addressOf, snippetsFor } from "../../local/snippets.ts";

/** The texts and the order of the console page, and its snippets. */

const NOW = Date.UTC(2026, 0, 5, 12);
const row = (more: Partial<Row> = {}): Row => ({
  name: "sales",
  state: "working",
  lifetime: 12 * HOUR,
  threshold: 2 * HOUR,
  accessExpires: NOW + 10 * HOUR,
  refreshes: true,
  refreshAt: NOW + 7 * HOUR,
  refreshExpires: NOW + 60 * DAY,
  lastRefresh: NOW - 2 * HOUR,
  ...more,
});
const names = (rows: Row[]) => rows.map(({ name }) => name);

test("the console lists tokens that need a person first, then those that soon will, then by end of life", () => {
  const rows = [
    row({ name: "late", accessExpires: NOW + 11 * HOUR }),
    row({ name: "early" }),
    row({ name: "soon", refreshExpires: NOW + 13 * DAY }),
    row({ name: "retries", state: "retrying" }),
    row({ name: "new", state: "not authorized" }),
    row({ name: "ended", state: "ended" }),
    row({ name: "refused", state: "needs a person" }),
  ];
  expect(names(byUrgency(rows, NOW))).toEqual([
    "refused",
    "ended",
    "new",
    "retries",
    "soon",
    "early",
    "late",
  ]);
  expect(names(byUrgency([row({ name: "b" }), row({ name: "a" })], NOW))).toEqual(["a", "b"]);
});

test("the console's search finds rows in which each word occurs", () => {
  const failure = { code: "http_500", count: 1, permanent: false, since: NOW, at: NOW };
  const rows = [
    row({ name: "Sales", cluster: "PF84" }),
    row({ name: "support", state: "retrying", failure }),
  ];
  expect(names(matching(rows, "sal pf84"))).toEqual(["Sales"]);
  expect(names(matching(rows, "HTTP_500"))).toEqual(["support"]);
  expect(names(matching(rows, "sales retrying"))).toEqual([]);
  expect(matching(rows, "  ")).toHaveLength(2);
});

test("the console's totals count the tokens of each state", () => {
  const rows = STATES.flatMap((state, index) => Array.from({ length: index + 1 }, () => row({ state })));
  expect([...totalsOf(rows)]).toEqual(STATES.map((state, index) => [state, index + 1]));
});

describe("the console renders the rows in view and a few around them", () => {
  test.each([
    [FEW, 0, { from: 0, to: FEW }],
    [5000, 0, { from: 0, to: 26 }],
    [5000, 60_000, { from: 988, to: 1026 }],
    [5000, 300_000, { from: 4976, to: 5000 }],
    [5000, -300, { from: 0, to: 24 }],
    [0, 0, { from: 0, to: 0 }],
  ])("%d rows, scrolled by %d px", (count, top, span) => {
    expect(spanInView(count, top, 800, 60)).toEqual(span);
  });
});

test("the console writes life, runway, result and state of a token in words", () => {
  expect(lifeText(row(), NOW)).toBe("10h left");
  expect(lifeText(row({ accessExpires: NOW - 5 * MINUTE }), NOW)).toBe("ended 5m ago");
  expect(runwayText(row(), NOW)).toBe("60 days");
  expect(runwayText(row({ refreshExpires: NOW + 30 * HOUR }), NOW)).toBe("1d 6h");
  expect(runwayText({ ...row(), refreshes: false }, NOW)).toBe("none");
  const failure = { code: "timeout", count: 2, permanent: false, since: NOW - HOUR, at: NOW - MINUTE };
  expect(resultText(row({ failure }), NOW)).toBe("failed (timeout) 2 times, 1m ago");
  expect(stateText(row({ state: "retrying", failure }), NOW)).toMatch(/^retrying since \d/);
  const end = new Date(NOW + 40 * DAY);
  expect(stateText(row({ state: "static", accessExpires: end.getTime() }), NOW)).toMatch(
    new RegExp(`^static until .*\\b${end.getDate()}\\b`),
  );
  expect(visible("a\u202eb\u0007c\u2028")).toBe("a\ufffdb\ufffdc\ufffd");
});

test("the console shows a failed publication, and the search finds it", () => {
  const wish = { variables: ["v"], region: "us1" } as const;
  expect(publishedText({ ...wish, nextAt: NOW }, NOW)).toBe("by the next sweep");
  expect(publishedText({ ...wish, publishedAt: NOW - MINUTE }, NOW)).toBe("1m ago");
  const failure = { code: "forbidden", count: 2, since: NOW - HOUR, at: NOW - MINUTE };
  const failed = { ...wish, failure, publishedAt: NOW - DAY, nextAt: NOW + HOUR };
  expect(publishedText(failed, NOW)).toBe("failed (forbidden) 2 times, 1m ago; the next try in 1h");
  expect(worstParts(row({ publish: failed }), NOW)).toEqual(["not published (forbidden)", "2 times, 1m ago"]);
  expect(worstParts(row({ publish: failed, failure: { ...failure, permanent: true } }), NOW)[0]).toBe(
    "failed (forbidden)",
  );
  expect(names(matching([row({ publish: failed }), row({ name: "other" })], "forbidden"))).toEqual(["sales"]);
});

test("the console gives a remedy for each lasting publication failure, and none for a transient one", () => {
  const wish = { variables: ["v"], region: "us1", via: "admin" } as const;
  const remedy = (code: string) =>
    publishRemedy({ ...wish, failure: { code, count: 1, since: NOW, at: NOW } });
  const remedied: Record<Code, boolean> = {
    too_long: true,
    not_a_string: true,
    unauthorized: true,
    forbidden: true,
    not_found: true,
    bad_request: true,
    via_missing: true,
    no_organization: true,
    foreign_organization: true,
    via_ended: true,
    precondition_failed: false,
    rate_limited: false,
    unavailable: false,
    invalid_response: false,
  };
  const codes = Object.keys(remedied) as Code[];
  expect(Object.fromEntries(codes.map((code) => [code, remedy(code) !== undefined]))).toEqual(remedied);
  expect(codes.filter((code) => isLasting(code) && !remedied[code])).toEqual([]);
  expect(remedy("via_missing")).toContain('"admin"');
  expect(publishRemedy(wish)).toBeUndefined();
});

test("the console does not warn of a refresh token's end where a Service App's manager issues new ones", () => {
  const soon = { refreshExpires: NOW + DAY };
  expect(endsSoon(row(soon), NOW)).toBe(true);
  expect(endsSoon(row({ ...soon, manager: "admin" }), NOW)).toBe(false);
  const { refreshExpires: _, ...without } = row({ manager: "admin" });
  expect(runwayText(without, NOW)).toBe("none needed");
});

test("the console says when sweeps are missing", () => {
  expect(sweepsText({ last: 0, list: [] }, NOW)).toMatchObject({ well: false });
  expect(sweepsText({ last: NOW - MINUTE, list: [] }, NOW)).toEqual({
    text: "Last sweep 1m ago.",
    well: true,
  });
  expect(sweepsText({ last: NOW - HOUR, list: [] }, NOW)).toEqual({
    text: "Last sweep 1h ago: does the service run?",
    well: false,
  });
});

describe("the console's snippets", () => {
  const HOSTILE = `a'b"c$(touch x)\`d\`!&e`;

  test("contain the exact token name, also with quotes and $", () => {
    const url = new URL(addressOf({ lookup: "https://lookup.test", name: HOSTILE }));
    expect(url.searchParams.get("name")).toBe(HOSTILE);
  });

  test("exist for each kind of caller, and contain no passphrase", () => {
    const snippets = snippetsFor({
      lookup: "https://lookup.test",
      name: "sales",
      passphrase: "$TOKEN_PASSPHRASE",
    });
    expect(snippets.map(({ id }) => id)).toEqual([
      "curl",
      "flow-designer",
      "connect-http",
      "connect-node",
      "jds",
    ]);
    for (const { title, about, parts } of snippets) {
      expect(title.length * about.length * parts.length).toBeGreaterThan(0);
      expect(JSON.stringify(parts)).toContain("https://lookup.test");
    }
  });
});
