import fc from "fast-check";
import { expect, test } from "vitest";
import type { RawFields, TokenDocument } from "../../functions/core/document.ts";
import type { EndpointAnswer } from "../../functions/core/grant.ts";
import { sha256 } from "../../functions/core/hash.ts";
import type { Event } from "../../functions/core/log.ts";
import { makeLookup } from "../../functions/core/lookup.ts";
import { makePauses } from "../../functions/core/pauses.ts";
import { type Refresher, refresh } from "../../functions/core/refresh.ts";
import { Problem, problemReply, type Reply } from "../../functions/core/reply.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { type DocumentStore, StoreUnavailable, tokenReader, tokenStore } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { runs } from "../support/property.ts";

/**
 * One lookup instance over a model of the store, the refresher and Webex, through any history. Its clock may differ from
 * the store's. Each answer is compared with the store's documents and the instance's reads.
 */

const START = 1_800_000_000_000;
const NAMES = ["a", "b"] as const;
type Name = (typeof NAMES)[number];
/** The caller's passphrase; the last never opens a token. */
const CALLERS = ["shared", "own", "other", "wrong"] as const;
type Caller = (typeof CALLERS)[number];

/** How long a cached document is fresh, in ms. */
const FRESH = 30 * SECOND;
/** How long a store that did not answer counts as unavailable. */
const AWAY = 10 * SECOND;
/** A token with less life than this counts as ended (`SHORTEST_LIFE` in time.ts). */
const LEAST = SECOND;
/** A hanging read ends after this, as in the REST reader. */
const HANGS = 2.5 * SECOND;

type Health = "well" | "slow" | "down" | "hangs";
type Edit = "remove" | "own" | "other" | "shared" | "spent" | "due" | "revoked" | "static" | "secret";

type Step =
  | { do: "pass"; ms: number }
  | { do: "read"; name: Name; caller: Caller; rejected: "nothing" | "current" | "older"; query: string }
  | { do: "sweep" }
  | { do: "consent"; name: Name; lifetime: number }
  | { do: "edit"; name: Name; edit: Edit }
  | { do: "store" | "refresher"; health: Health }
  | { do: "webex"; answers: "well" | "fails" | "refuses" | "the same" };

const name = fc.constantFrom(...NAMES);
const health = fc.constantFrom<Health>("well", "well", "slow", "down", "hangs");
/** Seconds that an access token lives. */
const lifetime = fc.constantFrom(5, 40, 600, 3600, 43_199, 43_199);
const span = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 2 * SECOND }) },
  { weight: 8, arbitrary: fc.integer({ min: 2 * SECOND, max: 40 * SECOND }) },
  { weight: 1, arbitrary: fc.integer({ min: 40 * SECOND, max: 20 * MINUTE }) },
  { weight: 1, arbitrary: fc.integer({ min: 20 * MINUTE, max: 13 * HOUR }) },
);
const step = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 14, arbitrary: span.map((ms) => ({ do: "pass", ms })) },
  {
    weight: 16,
    arbitrary: fc.record({
      do: fc.constant("read" as const),
      name,
      caller: fc.constantFrom(...Array<Caller>(8).fill("shared"), "own", ...CALLERS),
      rejected: fc.constantFrom("nothing", "nothing", "nothing", "current", "older"),
      query: fc.constantFrom("", "", "&wait=0", "&wait=20", "&minTtl=30", "&minTtl=600&wait=1"),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: "sweep" as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("consent" as const), name, lifetime }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("edit" as const),
      name,
      edit: fc.constantFrom<Edit[]>(
        ...(["remove", "own", "other", "shared", "spent", "due", "revoked", "static", "secret"] as const),
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("store" as const), health }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("refresher" as const), health }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("webex" as const),
      answers: fc.constantFrom("well", "well", "fails", "refuses", "the same"),
    }),
  },
);
const history = fc.record({
  /** ms by which the instance's clock is ahead of the store's. */
  skew: fc.constantFrom(0, 0, -90 * SECOND, 90 * SECOND),
  lifetimes: fc.tuple(lifetime, lifetime),
  steps: fc.array(step, { minLength: 1, maxLength: 60, size: "max" }),
});
type History = typeof history extends fc.Arbitrary<infer T> ? T : never;

/** The world's clock: sleeps end in order, each at its own time. */
function makeTime() {
  let now = START;
  let sleepers: { at: number; wake: () => void }[] = [];
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const sleep = (ms: number) =>
    new Promise<void>((wake) => sleepers.push({ at: now + Math.max(1, ms), wake }));
  return {
    now: () => now,
    sleep,
    async pass(ms: number) {
      const until = now + ms;
      await turn();
      for (;;) {
        const next = Math.min(...sleepers.map(({ at }) => at));
        if (next > until) break;
        now = next;
        const ended = sleepers.filter(({ at }) => at === next);
        sleepers = sleepers.filter(({ at }) => at !== next);
        for (const { wake } of ended) wake();
        await turn();
      }
      now = until;
    },
  };
}

/** What stood in the store from `from` until `until`, in ms. `document` is absent where nothing did. */
interface Version {
  from: number;
  until: number;
  document: TokenDocument | undefined;
}

/** A read of the store by the instance. `until`: Infinity while it is under way. */
interface StoreRead {
  name: string;
  from: number;
  until: number;
  /** What it saw; `undefined`: it failed. */
  saw: Version | undefined;
}

interface Answered {
  name: Name;
  caller: Caller;
  from: number;
  until: number;
  status: number;
  token: string | undefined;
  /** Since when the store had been well when it was answered; NaN: it was not. */
  wellSince: number;
}

function makeWorld({ skew, lifetimes }: Pick<History, "skew" | "lifetimes">) {
  const time = makeTime();
  const state = {
    store: "well" as Health,
    refresher: "well" as Health,
    webex: "well" as (Step & { do: "webex" })["answers"],
  };
  /** Since when the store is well; NaN while it is not. */
  let wellSince = START - HOUR;
  let made = 0;
  const versions = new Map<string, Version[]>();
  const storeReads: StoreRead[] = [];
  /** When a read failed, or took so long that a held token was answered instead. */
  const misses: number[] = [];
  const historyOf = (id: string) => versions.get(id) ?? [];
  const current = (id: string) => historyOf(id).at(-1);
  const write = (id: string, document: TokenDocument | undefined) => {
    const last = current(id);
    if (last !== undefined) last.until = time.now();
    const version = { from: time.now(), until: Number.POSITIVE_INFINITY, document };
    versions.set(id, [...historyOf(id), version]);
  };
  const snapshot = (id: string, version: Version | undefined) =>
    version?.document && {
      id,
      fields: { ...version.document } as RawFields,
      version: String(historyOf(id).indexOf(version)),
      readAt: time.now(),
      writtenAt: version.from,
    };

  /** A call that ends as the store's health wants it; `work` is done as it begins. */
  const call = async <T>(work: () => T): Promise<T> => {
    const { store } = state;
    if (store === "hangs" || store === "down") {
      await time.sleep(store === "hangs" ? HANGS : 5);
      throw new StoreUnavailable("no answer");
    }
    const result = work();
    await time.sleep(store === "slow" ? 900 + (storeReads.length % 4) * 500 : 5);
    return result;
  };
  const documents: Pick<DocumentStore, "read" | "update"> = {
    read: (_, id) =>
      call(() => current(id)).then((version) => (version === undefined ? undefined : snapshot(id, version))),
    update: (_, id, fields, held) =>
      call(() => {
        const version = current(id);
        const found = snapshot(id, version);
        if (found?.version !== held) return undefined;
        const entries = Object.entries({ ...version?.document, ...fields });
        write(id, Object.fromEntries(entries.filter(([, value]) => value !== undefined)));
        return String(historyOf(id).length - 1);
      }),
  };
  const watched: Pick<DocumentStore, "read"> = {
    async read(_, id) {
      const read: StoreRead = {
        name: id,
        from: time.now(),
        until: Number.POSITIVE_INFINITY,
        saw: undefined,
      };
      storeReads.push(read);
      try {
        const saw = await call(() => current(id));
        read.saw = saw;
        return snapshot(id, saw);
      } catch (error) {
        misses.push(time.now());
        throw error;
      } finally {
        read.until = time.now();
      }
    },
  };

  const secret = () => `secret ${++made}`;
  const runtimeOf = (ahead: number): Runtime => ({
    now: () => time.now() + ahead,
    sleep: time.sleep,
    secret,
  });
  const granted = (seconds: number): EndpointAnswer => ({
    status: 200,
    body: JSON.stringify({
      access_token: `token ${++made}`,
      expires_in: seconds,
      refresh_token: "r",
      refresh_token_expires_in: 5_000_000,
    }),
  });
  const endpoint = {
    exchange: () => Promise.reject(new Error("no code is exchanged")),
    issue: () => Promise.reject(new Error("there is no Service App")),
    async refresh(): Promise<EndpointAnswer> {
      await time.sleep(100);
      if (state.webex === "fails") return { status: 503, body: "" };
      if (state.webex === "refuses")
        return { status: 400, body: '{"error":"invalid_grant","error_description":""}' };
      return granted(lifetimes[0]);
    },
  };
  const refresher: Refresher = {
    store: tokenStore(documents as DocumentStore, time.now),
    endpoint,
    runtime: runtimeOf(0),
    log: () => {},
    threshold: DEFAULT_THRESHOLD,
    pauses: makePauses(time.now),
  };
  const sameToken = { ...refresher };
  const refreshed = (id: string, ask: Parameters<typeof refresh>[1]) => {
    if (state.webex !== "the same") return refresh(id, ask, refresher);
    const accessToken = current(id)?.document?.accessToken;
    const body = JSON.stringify({ access_token: accessToken, expires_in: 1 });
    const refreshSame = async () => ({ status: 200, body });
    return refresh(id, ask, { ...sameToken, endpoint: { ...endpoint, refresh: refreshSame } });
  };

  const runtime = runtimeOf(skew);
  const lookup = makeLookup({
    reader: tokenReader(watched, runtime.now),
    async askRefresher(id, ask) {
      const { refresher: is } = state;
      if (is === "down") throw new Error("down");
      await time.sleep(is === "hangs" ? 25 * SECOND : is === "slow" ? 2 * SECOND : 5);
      if (is === "hangs") throw new Error("hung");
      return refreshed(id, ask);
    },
    passphrases: { live: async () => ["shared"] },
    runtime,
    log: (event: Event, details) => {
      // The event of a reader that waited for the store without an answer.
      if (event === "store.unavailable" && details?.reason !== undefined) misses.push(time.now());
    },
    threshold: DEFAULT_THRESHOLD,
  });

  const document = (seconds: number): TokenDocument => ({
    clientId: "c",
    clientSecret: "s",
    refreshToken: "r",
    accessToken: `token ${++made}`,
    accessExpires: time.now() + seconds * SECOND,
    refreshExpires: time.now() + 5_000_000 * SECOND,
    lastRefresh: time.now(),
    lifetime: seconds,
    refreshAt: time.now() + seconds * (SECOND * 0.4),
  });
  NAMES.forEach((id, index) => {
    write(id, document(lifetimes[index] ?? 3600));
  });

  const answers: Answered[] = [];
  const underWay = new Set<Promise<unknown>>();

  const read = async ({ name: id, caller, rejected, query }: Step & { do: "read" }) => {
    const from = time.now();
    const tokens = historyOf(id).map(({ document }) => document?.accessToken);
    const refused = rejected === "current" ? tokens.at(-1) : rejected === "older" ? tokens[0] : undefined;
    const request = {
      method: "GET",
      path: "/",
      query: new URLSearchParams(`name=${id}${query}`),
      headers: {
        "x-token-passphrase": caller,
        ...(refused !== undefined && { "x-token-rejected": refused }),
      },
      caller: "",
    };
    const { status, body } = await Promise.try(lookup, request).catch(replyOf);
    const { token } = body as { token?: string };
    answers.push({ name: id, caller, from, until: time.now(), status, token, wellSince });
  };

  const edited = (id: string, edit: Edit) => {
    const { passphraseHash: _, ...open } = current(id)?.document ?? document(3600);
    const { accessToken: _token, accessExpires: _expires, ...spent } = open;
    const failure = {
      count: 1,
      code: "invalid_grant",
      since: time.now(),
      at: time.now(),
      permanent: true,
      inputs: sha256(JSON.stringify([open.clientId ?? null, open.clientSecret ?? null, "r"])),
    };
    const changed: Record<Edit, TokenDocument | undefined> = {
      remove: undefined,
      own: { ...open, passphraseHash: sha256("own") },
      other: { ...open, passphraseHash: sha256("other") },
      shared: open,
      spent,
      due: { ...open, refreshAt: time.now() - 1 },
      revoked: { ...open, failure, refreshAt: time.now() + 10 * MINUTE },
      static: { ...open, static: true },
      secret: { ...open, clientSecret: `secret ${++made}`, refreshAt: time.now() },
    };
    write(id, changed[edit]);
  };

  const start = (work: Promise<unknown>) => {
    const ended = work.finally(() => underWay.delete(ended));
    ended.catch(() => "a sweep that the store did not answer");
    underWay.add(ended);
  };
  return {
    time,
    answers,
    underWay,
    historyOf,
    storeReads,
    misses,
    async take(taken: Step) {
      switch (taken.do) {
        case "pass":
          return time.pass(taken.ms);
        case "read":
          return start(read(taken));
        case "sweep":
          for (const id of NAMES) start(refreshed(id, { by: "sweep" }));
          return;
        case "consent":
          return write(taken.name, { ...document(taken.lifetime) });
        case "edit":
          return edited(taken.name, taken.edit);
        case "store":
          state.store = taken.health;
          wellSince = taken.health === "well" ? time.now() : Number.NaN;
          return;
        case "refresher":
          state.refresher = taken.health;
          return;
        case "webex":
          state.webex = taken.answers;
      }
    },
  };
}
type World = ReturnType<typeof makeWorld>;

/** Turns an expected error into its reply, as the HTTP layer does. */
function replyOf(error: unknown): Reply {
  if (error instanceof Problem) return problemReply(error, "");
  if (error instanceof StoreUnavailable) return { status: 503, body: {} };
  throw error;
}

const opens = ({ document }: Version, caller: Caller) =>
  document?.passphraseHash === undefined ? caller === "shared" : document.passphraseHash === sha256(caller);
const livesAt = ({ document }: Version, now: number) =>
  document?.accessToken !== undefined && (document.accessExpires ?? 0) >= now + LEAST;

/**
 * The versions that the instance could know during an answer: the cached one and those read meanwhile, also versions
 * without a document.
 */
function inMind({ storeReads }: World, { name: id, from, until }: Answered): Version[] {
  const ended = storeReads.filter(
    (read) => read.name === id && read.saw !== undefined && read.until <= until,
  );
  const held = ended.findLast((read) => read.until < from);
  const meanwhile = ended.filter((read) => read.until >= from);
  return [held, ...meanwhile].flatMap((read) => read?.saw ?? []);
}

/** Whether the cache may be older than 30 s: see the rule of the second test. */
function wasAway({ storeReads, misses }: World, { from, until }: Answered): boolean {
  return misses.some(
    (miss) =>
      miss >= from - AWAY &&
      miss <= until &&
      !storeReads.some((read) => read.saw !== undefined && read.until > miss && read.until < from),
  );
}

/** A rule for each answer. */
type Rule = (answer: Answered, world: World) => void;

async function live({ skew, lifetimes, steps }: History): Promise<World> {
  const world = makeWorld({ skew, lifetimes });
  for (const taken of steps) await world.take(taken);
  // All pending work ends: a wait after 20 s at most, an ask after 25 s, a lease after 30 s.
  await world.time.pass(MINUTE);
  expect(world.underWay.size, "requests that never end").toBe(0);
  return world;
}

/** fast-check prints the seed and the path of the smallest history that breaks a rule. */
const holds = (rule: Rule) =>
  fc.assert(
    fc.asyncProperty(history, async (given) => {
      const world = await live(given);
      for (const answer of world.answers) rule(answer, world);
    }),
    runs(120, 1000),
  );

test("lookup answers only live tokens, and none to a wrong passphrase", () =>
  holds(({ name: id, caller, until, status, token }, world) => {
    if (status !== 200) return;
    expect(caller).not.toBe("wrong");
    const same = world.historyOf(id).filter(({ document }) => document?.accessToken === token);
    expect(same.some((version) => (version.document?.accessExpires ?? 0) > until)).toBe(true);
    expect(same.some((version) => opens(version, caller))).toBe(true);
  }));

/**
 * The exact rule. A *miss* is a read of the store that failed, or one that was given up after a second. What stood in
 * the store only before the last 30 s is answered if there was a miss in the 10 s before the request or while it was
 * served, and since that miss no read of the store had succeeded when the request came; never else.
 */
test("lookup answers no token that was replaced more than 30 s before, while the store answers", () =>
  holds((answer, world) => {
    const { name: id, caller, from, status, token } = answer;
    if (status !== 200) return;
    const recent = world
      .historyOf(id)
      .filter(({ document, until }) => document?.accessToken === token && until > from - FRESH);
    if (recent.some((version) => opens(version, caller))) return;
    expect(wasAway(world, answer), "the store was away").toBe(true);
  }));

test("lookup answers a cached live token to an entitled caller within 1.6 s, whatever is down (rows 17 and 18)", () =>
  holds((answer, world) => {
    const { caller, from, until, status } = answer;
    const known = inMind(world, answer);
    const had = (now: number) => known.every((version) => livesAt(version, now) && opens(version, caller));
    if (known.length === 0 || known[0]?.document === undefined) return;
    const before = inMind(world, { ...answer, until: from - 1 });
    if (had(until)) expect(status).toBe(200);
    if (before.length > 0 && had(from + 1600 + LEAST)) expect(until - from).toBeLessThanOrEqual(1600);
  }));

test("lookup answers a live token to an entitled caller while the store works", () =>
  holds((answer, world) => {
    if (!(answer.wellSince <= answer.from - FRESH)) return;
    const { name: id, caller, from, until, status } = answer;
    const recent = world
      .historyOf(id)
      .filter((version) => version.until > from - FRESH && version.from < until);
    if (recent.every((version) => livesAt(version, until) && opens(version, caller)))
      expect(status).toBe(200);
  }));
