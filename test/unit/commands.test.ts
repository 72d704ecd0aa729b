import { describe, expect, test } from "vitest";
import { parseDocument, type RawFields } from "../../functions/core/document.ts";
import { nearest } from "../../functions/core/nearest.ts";
import { inputsOf, type StoredToken } from "../../functions/core/store.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { callbackIn } from "../../local/actions/consent.ts";
import { durationText, fromNow, parseDuration, parseInstant } from "../../local/commands/durations.ts";
import { explain } from "../../local/commands/errors.ts";
import { outcomeText } from "../../local/commands/refresh.ts";
import { parseSecrets } from "../../local/commands/secrets.ts";
import { renewed } from "../../local/commands/stored.ts";
import { viewOf } from "../../local/commands/view.ts";
import { firestoreObstacle } from "../../local/deployment.ts";

const NOW = 1_750_000_000_000;
const FIELDS = ["clientSecret", "refreshToken", "accessToken"] as const;

function stored(fields: RawFields): StoredToken {
  const snapshot = { id: "sales", fields, version: "1", readAt: NOW, writtenAt: NOW };
  const shared = { version: "1", unopened: {}, ahead: 0, writtenAt: NOW, snapshot };
  return { name: "sales", ...parseDocument(fields), inputs: inputsOf(fields), ...shared };
}

describe("durations", () => {
  test.each([
    [0, "0s"],
    [999, "0s"],
    [59 * SECOND, "59s"],
    [HOUR, "1h"],
    [HOUR - SECOND, "59m 59s"],
    [2 * DAY + 4 * HOUR + MINUTE, "2d 4h"],
  ])("%d ms are told as %s", (ms, text) => expect(durationText(ms)).toBe(text));

  test("an instant is told from now", () => {
    expect(fromNow(NOW + 5 * MINUTE, NOW)).toBe("in 5m");
    expect(fromNow(NOW - 5 * MINUTE, NOW)).toBe("5m ago");
    expect(fromNow(NOW + 10, NOW)).toBe("now");
  });

  test.each([
    ["30s", 30 * SECOND],
    [" 5m ", 5 * MINUTE],
    ["12h", 12 * HOUR],
    ["14d", 14 * DAY],
    ["0s", undefined],
    ["5", undefined],
    ["-5m", undefined],
    ["1.5h", undefined],
  ])("%j is a duration of %s", (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each([
    ["12h", NOW + 12 * HOUR],
    ["2026-12-31", Date.UTC(2026, 11, 31)],
    ["2026-12-31T18:00Z", Date.UTC(2026, 11, 31, 18)],
    ["2026-12-31T18:00", Date.UTC(2026, 11, 31, 18)],
    ["2026-12-31T18:00:00+02:00", Date.UTC(2026, 11, 31, 16)],
    ["2026-13-31", undefined],
    ["31.12.2026", undefined],
    ["tomorrow", undefined],
  ])("%j is the instant %s", (text, instant) => expect(parseInstant(text, NOW)).toBe(instant));
});

describe("secrets on standard input", () => {
  test("a line is the one that was asked for, an object names them; blanks are absent", () => {
    expect(parseSecrets("abc", FIELDS, "refreshToken")).toEqual({ refreshToken: "abc" });
    const text = '{"clientSecret":" abc\\n","refreshToken":"def","accessToken":" "}';
    expect(parseSecrets(text, FIELDS, "refreshToken")).toEqual({ clientSecret: "abc", refreshToken: "def" });
  });

  test.each([
    ["canary two words"],
    ["canary\nanother"],
    ['{"clientSecret":"canary"'],
    ['{"clientSecret":42,"refreshToken":"canary"}'],
    ['{"canary":"x"}'],
    ['{"accessToken":"canary"}'],
  ])("%j is refused, and not repeated", (text) => {
    const parse = () => parseSecrets(text, ["clientSecret", "refreshToken"], "clientSecret");
    expect(parse).toThrow(/^(?!.*canary)/);
  });
});

describe("names", () => {
  test.each([
    ["slaes", "sales"],
    ["SALES", "sales"],
    ["sale", "sales"],
    ["support-eu", "support-us"],
    ["marketing", undefined],
    ["", undefined],
  ])("%j most likely means %s", (typed, meant) =>
    expect(nearest(typed, ["support-us", "sales", "x"])).toBe(meant),
  );
});

describe("the pasted address", () => {
  test("gives code and state", () => {
    expect(callbackIn("http://127.0.0.1:9/callback?code=a%2Bb&state=s", "sales")).toEqual({
      code: "a+b",
      state: "s",
    });
  });

  test.each([
    ["hello", /no address/],
    ["http://127.0.0.1:9/callback", /no code and state/],
    ["http://127.0.0.1:9/callback?code=a&state=", /no code and state/],
    ["http://127.0.0.1:9/callback?error=access_denied&state=s", /access_denied/],
  ])("%s is refused", (pasted, why) => expect(() => callbackIn(pasted, "sales")).toThrow(why));
});

test("a writer of credentials clears what was wrong, and has a refresh token refreshed at once", () => {
  expect(renewed(true, NOW)).toEqual({ failure: undefined, lease: undefined, refreshAt: NOW });
  expect(renewed(false, NOW)).toEqual({ failure: undefined, lease: undefined });
});

test("the view for programs holds instants and no secret", () => {
  const accessToken = `${"c".repeat(64)}_PF84_11111111-2222-3333-4444-555555555555`;
  const secrets = { clientSecret: "canary-secret", refreshToken: "canary-refresh", accessToken };
  const view = viewOf(stored({ ...secrets, accessExpires: NOW + HOUR, refreshAt: 9e15 }), NOW);
  expect(view).toMatchObject({
    name: "sales",
    state: "working",
    expiresIn: 3600,
    accessExpires: new Date(NOW + HOUR).toISOString(),
    refreshAt: null,
    refreshExpires: null,
    failure: null,
    cluster: "PF84",
  });
  expect(JSON.stringify(view)).not.toMatch(/canary|cccc/);
});

describe("outcomes", () => {
  const told = (outcome: Parameters<typeof outcomeText>[0]["outcome"]) =>
    outcomeText({ outcome, token: stored({ accessToken: "a", accessExpires: NOW + HOUR }) }, { runtime });
  const runtime = { now: () => NOW, sleep: async () => {}, secret: () => "" };

  test("refreshed and unchanged are well, all else is not", () => {
    expect(told({ outcome: "refreshed" })).toMatchObject({ well: true, text: expect.stringContaining("1h") });
    expect(told({ outcome: "unchanged" }).well).toBe(true);
    for (const outcome of ["fresh", "discarded", "unsaved", "missing"] as const)
      expect(told({ outcome }).well).toBe(false);
  });

  test("a refusal says what a person does about it, a blip that the service goes on", () => {
    const missing = told({ outcome: "failed", code: "not_authorized", permanent: true });
    expect(missing.text).toContain("npm run tokens -- authorize sales");
    expect(told({ outcome: "failed", code: "timeout", permanent: false }).text).toContain("tried again");
  });
});

test("an error that nobody expected is told without its text", () => {
  expect(explain(new Error("canary"))).toEqual({
    sentence: expect.not.stringMatching("canary"),
    exitCode: 1,
  });
});

describe("what Firestore refuses", () => {
  const told = (said: string) =>
    firestoreObstacle(
      `can't read Firestore of project made-up: ${said}; is "gcloud auth application-default login" done?`,
      { project: "made-up", database: "(default)" },
    )?.message;

  test.each([
    ["7 PERMISSION_DENIED: Missing or insufficient permissions.", /^you may not .*"Cloud Datastore User"/],
    [
      "7 PERMISSION_DENIED: Cloud Firestore API has not been used in project made-up before or it is disabled.",
      /turned off.*gcloud services enable firestore.googleapis.com --project made-up/,
    ],
    ["7 PERMISSION_DENIED: The API requires a quota project.", /set-quota-project made-up/],
    [
      "5 NOT_FOUND: The database (default) does not exist for project made-up",
      /no Firestore database "\(default\)"/,
    ],
    ["16 UNAUTHENTICATED: Getting metadata from plugin failed: invalid_grant", /good no more: run/],
    ["14 UNAVAILABLE: No connection established", /did not answer/],
    ["Could not load the default credentials. Browse to", /^there are no Google credentials here/],
  ])("%s is told in one sentence with the remedy", (said, words) => expect(told(said)).toMatch(words));

  test("and what is not known stays as it was said", () => {
    expect(told("Firestore did not answer in 5000 ms")).toBeUndefined();
  });
});
