import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { adopt, census, markCrossed } from "../../functions/core/census.ts";
import { parseDocument, type RawFields, type TokenDocument } from "../../functions/core/document.ts";
import type { Details, Event, Log } from "../../functions/core/log.ts";
import { needText, STATES, type State, stateOf } from "../../functions/core/state.ts";
import { inputsOf, type StoredToken, StoreUnavailable, type TokenStore } from "../../functions/core/store.ts";
import { DAY, decide, HOUR, MINUTE, SECOND, UNCHANGED_CODE } from "../../functions/core/time.ts";
import { runs } from "../support/property.ts";

const NOW = 1_800_000_000_000;
const FAILURE = { count: 1, code: "http_503", since: NOW, at: NOW, permanent: false, inputs: "hash" };
const WELL: TokenDocument = {
  accessToken: "made-up-access",
  refreshToken: "made-up-refresh",
  accessExpires: NOW + 11 * HOUR,
  lifetime: 43_200,
  refreshAt: NOW + 8 * HOUR,
};

describe("the census forecasts a refresh token's end at 14, 7, 3 and 1 days", () => {
  test.each<[string, number, number, number | undefined]>([
    ["well before", 16, 15, undefined],
    ["crossing 14", 15, 14, 14],
    ["between 14 and 7", 14, 13, undefined],
    ["crossing 7", 7.5, 6.5, 7],
    ["crossing 3", 3.1, 2.9, 3],
    ["crossing 1", 1.5, 0.5, 1],
    ["ended since", 1.5, -0.5, 1],
    ["in its last day", 0.9, 0.5, undefined],
    ["ended long ago", -1, -2, undefined],
    ["the census missed a week: the nearest mark only", 9, 2, 3],
    ["the census missed a month", 30, -5, 1],
  ])("%s: %d days left before, %d now", (_, before, now, mark) => {
    expect(markCrossed(NOW + now * DAY, NOW, NOW - (before - now) * DAY)).toBe(mark);
  });

  test.each([
    [20, undefined],
    [14, 14],
    [10, 14],
    [7, 7],
    [5, 7],
    [3, 3],
    [0.5, 1],
    [-3, 1],
  ])("at the nearest mark with %d days left at the first census", (left, mark) => {
    expect(markCrossed(NOW + left * DAY, NOW, undefined)).toBe(mark);
  });

  test("each mark at most once, and the last one always, whatever the times of the censuses", () => {
    const steps = fc.array(fc.integer({ min: 1, max: 5 * 24 * 60 }), { minLength: 40, maxLength: 60 });
    fc.assert(
      fc.property(steps, (minutes) => {
        const end = NOW + 30 * DAY;
        const crossed: number[] = [];
        let before = NOW;
        for (const step of [...minutes, 40 * 24 * 60]) {
          const now = before + step * MINUTE;
          const mark = markCrossed(end, now, before);
          if (mark !== undefined) crossed.push(mark);
          before = now;
        }
        expect(crossed).toEqual([...new Set(crossed)].sort((one, other) => other - one));
        expect(crossed.at(-1)).toBe(1);
      }),
      runs(100, 1000),
    );
  });
});

describe("the state of a token", () => {
  const lease = { id: "made-up", expires: NOW + 20 * SECOND };
  test.each<[State, string, TokenDocument]>([
    ["working", "it is well", WELL],
    ["ended", "it has ended and was not refreshed", { ...WELL, accessExpires: NOW - 1 }],
    ["working", "Webex returned the same token", { ...WELL, failure: { ...FAILURE, code: UNCHANGED_CODE } }],
    ["working", "a lease ran out", { ...WELL, lease: { id: "made-up", expires: NOW } }],
    ["refreshing", "a lease is held", { ...WELL, lease }],
    ["refreshing", "a lease is held after a failure", { ...WELL, lease, failure: FAILURE }],
    ["retrying", "the last try failed", { ...WELL, failure: FAILURE }],
    ["needs a person", "Webex refused", { ...WELL, failure: { ...FAILURE, permanent: true } }],
    [
      "needs a person",
      "though it is tried again",
      { ...WELL, lease, failure: { ...FAILURE, permanent: true } },
    ],
    ["static", "it is fixed and lives", { ...WELL, static: true }],
    ["static", "it can't be refreshed and lives", { accessToken: "made-up", accessExpires: NOW + HOUR }],
    ["ended", "it is fixed and ended", { ...WELL, static: true, accessExpires: NOW }],
    ["not authorized", "only its settings are there", { clientId: "made-up", clientSecret: "made-up" }],
    ["not authorized", "the document is empty", {}],
    ["not authorized", "it can't be refreshed and ended", { accessToken: "made-up", accessExpires: NOW }],
  ])("is %j where %s", (state, _, document) => {
    expect(stateOf({ document }, NOW)).toBe(state);
  });

  // `decide` ignores such a lease; census, list and page would say "refreshing" forever.
  test("ignores a lease from a clock far ahead", () => {
    const document = { ...WELL, refreshAt: NOW, lease: { id: "made-up", expires: NOW + DAY } };
    expect(decide({ document, inputs: "hash" }, { by: "sweep" }, NOW, HOUR)).toEqual({ act: "refresh" });
    expect(stateOf({ document }, NOW)).toBe("working");
  });
});

describe("the message for a token that needs a person", () => {
  const refused = (code: string): TokenDocument => ({ failure: { ...FAILURE, permanent: true, code } });
  test.each<[string, Parameters<typeof needText>[1], TokenDocument, RegExp]>([
    ["not authorized", "not_authorized", {}, /not authorized yet: run "npm run tokens -- authorize acme"/],
    ["a fixed token ended", "static_expired", {}, /has ended: run "npm run tokens -- import --static acme"/],
    [
      "Webex refused",
      "refused",
      { redirectUri: "https://made-up.example/callback", ...refused("invalid_grant") },
      /\(invalid_grant\): run ".* authorize acme"/,
    ],
    [
      "a Service App was refused",
      "refused",
      refused("invalid_grant"),
      /\(invalid_grant\): run ".* import acme"/,
    ],
    [
      "a setting is missing",
      "refused",
      refused("missing_clientSecret"),
      /has no clientSecret: run ".* add acme"/,
    ],
    [
      "a setting is no text",
      "refused",
      refused("mistyped_clientId"),
      /^clientId of token "acme".* add acme"/,
    ],
    ["an unknown code", "refused", {}, /\(refused\): run/],
  ])("has its name and the next step: %s", (_, need, document, text) => {
    const message = needText({ name: "acme", document, mistyped: [] }, need);
    expect(message).toMatch(text);
    expect(message).toContain('"acme"');
  });
});

function stored(fields: RawFields, name = "acme"): StoredToken {
  const snapshot = { id: name, fields, version: "1", readAt: NOW, writtenAt: NOW };
  const parsed = parseDocument(fields);
  return {
    name,
    ...parsed,
    unopened: {},
    inputs: inputsOf(fields),
    version: "1",
    ahead: 0,
    writtenAt: NOW,
    snapshot,
  };
}

/** The part of a token store that a census uses, with these tokens. */
function counting(pages: StoredToken[][], broken: { after: number }) {
  const events: [Event, Details | undefined][] = [];
  const log: Log = (event, details) => events.push([event, details]);
  const updates: Record<string, unknown>[] = [];
  const status = new Map<string, RawFields>();
  let now = NOW;
  const at = (id: string) => ({ id, version: "1", readAt: now, writtenAt: now });
  const store = {
    documents: {
      read: async (_: string, id: string) => {
        const fields = status.get(id);
        return fields && { ...at(id), fields };
      },
      create: async (_: string, id: string, fields: RawFields) => {
        status.set(id, fields);
        return "1";
      },
      update: async (_: string, id: string, fields: RawFields) => {
        status.set(id, { ...status.get(id), ...fields });
        return "1";
      },
    },
    update: async ({ name }: StoredToken, changes: object) => {
      updates.push({ name, ...changes });
      return "2";
    },
    async *pages() {
      for (const [index, page] of pages.entries()) {
        if (index >= broken.after) throw new StoreUnavailable("made-up outage");
        yield page;
      }
    },
  } as unknown as TokenStore;
  const runtime = { now: () => now, sleep: async () => {}, secret: () => "made-up" };
  return {
    counter: { store, runtime, log, threshold: 2 * HOUR },
    events,
    updates,
    turn: (ms: number) => {
      now += ms;
    },
  };
}

describe("a document without refreshAt", () => {
  test.each<[string, RawFields, boolean]>([
    ["of Cisco's sample is made known to the sweep", { ...WELL, refreshAt: undefined }, true],
    ["without a refresh token is left alone", { accessToken: "made-up", accessExpires: NOW + HOUR }, false],
    ["of a fixed token is left alone", { ...WELL, refreshAt: undefined, static: true }, false],
    ["and with one is left alone", { ...WELL }, false],
    // "numbers may be strings", but no store finds a string among `refreshAt ≤ now`: the sweep never sees it.
    ["and with one typed as a string is made known to the sweep", { ...WELL, refreshAt: String(NOW) }, true],
  ])("%s", async (_, fields, adopted) => {
    const { counter, updates } = counting([], { after: 0 });
    expect(await adopt(stored(fields), NOW, counter)).toBe(adopted);
    expect(updates).toHaveLength(adopted ? 1 : 0);
  });

  test("is due at once when it holds no live token", async () => {
    const { counter, updates } = counting([], { after: 0 });
    await adopt(stored({ ...WELL, refreshAt: undefined, accessExpires: NOW - 1 }), NOW, counter);
    expect(updates).toEqual([{ name: "acme", refreshAt: NOW }]);
  });

  test("is due by its remaining life otherwise", async () => {
    const { counter, updates } = counting([], { after: 0 });
    await adopt(stored({ ...WELL, refreshAt: undefined }), NOW, counter);
    expect(updates[0]?.refreshAt).toBeGreaterThan(NOW + 7 * HOUR);
    expect(updates[0]?.refreshAt).toBeLessThan(NOW + 9 * HOUR);
  });
});

describe("credentials changed by hand", () => {
  const failure = { ...FAILURE, permanent: true, inputs: "hash of the old ones" };

  test("after a failure are due at once", async () => {
    const { counter, updates } = counting([], { after: 0 });
    expect(await adopt(stored({ ...WELL, failure }), NOW, counter)).toBe(true);
    expect(updates).toEqual([{ name: "acme", refreshAt: NOW }]);
  });

  test("to the same values leave a failure to its backoff", async () => {
    const { counter } = counting([], { after: 0 });
    const same = { ...failure, inputs: inputsOf({ ...WELL }) };
    expect(await adopt(stored({ ...WELL, failure: same }), NOW, counter)).toBe(false);
  });
});

describe("the census", () => {
  const ending = (name: string) => stored({ ...WELL, refreshExpires: NOW + 6.5 * DAY }, name);
  const reported = (events: [Event, Details | undefined][]) =>
    events.filter(([event]) => event === "token.ending").map(([, details]) => details?.token);

  test("counts every token in one state", async () => {
    const { counter } = counting([[stored({ ...WELL }, "a"), stored({}, "b")], [ending("c")]], { after: 9 });
    const result = await census(counter);
    expect(result).toMatchObject({ tokens: 3, adopted: 0 });
    expect(Object.keys(result.states).sort()).toEqual([...STATES].sort());
    expect(result.states).toMatchObject({ working: 2, "not authorized": 1 });
  });

  test("reports an ending token once", async () => {
    const { counter, events, turn } = counting([[ending("a")]], { after: 9 });
    await census(counter);
    turn(HOUR);
    await census(counter);
    expect(reported(events)).toEqual(["a"]);
  });

  // "logs the runway of each refresh token at 14, 7, 3 and 1 days": the census is remembered before it is done. One
  // that breaks off, and is retried by the Scheduler, would not report the tokens it had not reached.
  test("that breaks off half-way reports the rest when it runs again", async () => {
    const broken = { after: 1 };
    const { counter, events, turn } = counting([[ending("a")], [ending("b")]], broken);
    await expect(census(counter)).rejects.toThrow(StoreUnavailable);
    broken.after = 9;
    turn(MINUTE);
    await census(counter);
    expect(reported(events)).toContain("b");
  });
});
