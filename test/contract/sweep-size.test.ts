import pLimit from "p-limit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { globalVariables } from "../../functions/adapters/global-variables.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import type { EndpointAnswer, TokenEndpoint } from "../../functions/core/grant.ts";
import { type DocumentStore, type TokenStore, tokenStore } from "../../functions/core/store.ts";
import { type Sweeper, sweep } from "../../functions/core/sweep.ts";
import { DEFAULT_THRESHOLD, HOUR } from "../../functions/core/time.ts";
import { type Clock, fakeClock, runtimeOf } from "../support/clock.ts";
import { range } from "../support/world.ts";
import { intercepted } from "./troubled.ts";

/** A sweep of thousands: what it reads, what it holds, and what it costs. */

const PAGE = 500;

let clock: Clock;
let documents: DocumentStore;
beforeEach(() => {
  clock = fakeClock();
  documents = openSqlite(":memory:", clock.now);
});
afterEach(() => documents.close());

const numbered = (index: number) => `t${String(index).padStart(5, "0")}`;

/** Tokens that are due, the first the longest; `later`: so many more that are not. */
async function stored(due: number, later = 0): Promise<void> {
  const fields = {
    clientId: "c",
    clientSecret: "s",
    refreshToken: "r",
    accessToken: "old",
    lifetime: 43_199,
  };
  for (const index of range(due + later)) {
    const refreshAt = index < due ? clock.now() - due + index : clock.now() + HOUR + index;
    await documents.create("tokens", numbered(index), { ...fields, refreshAt });
  }
}

/** An endpoint that grants at once; who was refreshed, in that order. */
function granting(answer: (count: number) => EndpointAnswer = granted) {
  let count = 0;
  const endpoint: TokenEndpoint = {
    exchange: () => Promise.reject(new Error("nobody exchanges")),
    issue: () => Promise.reject(new Error("nobody has a Service App")),
    refresh: async () => answer(++count),
  };
  return { endpoint, asked: () => count };
}
const granted = (count: number): EndpointAnswer => ({
  status: 200,
  body: JSON.stringify({ access_token: `new-${count}`, expires_in: 43_199 }),
});

/** Counts the documents that come out of the store, by the call that brought them, and the pages asked for. */
function counting() {
  const read = { pages: 0, upTo: 0, read: 0, list: 0, count: 0 };
  const hooked = intercepted(documents, async ({ method, collection }, perform) => {
    const found: unknown = await perform();
    if (method === "upTo") read.pages++;
    if (collection === "tokens" && method in read)
      read[method as keyof typeof read] += Array.isArray(found) ? found.length : 1;
    return found as Awaited<ReturnType<typeof perform>>;
  });
  return { read, store: tokenStore(hooked, clock.now) };
}

function sweeperOf(store: TokenStore, endpoint: TokenEndpoint, more: Partial<Sweeper> = {}): Sweeper {
  return {
    store,
    endpoint,
    variables: globalVariables("http://127.0.0.1:9"),
    runtime: runtimeOf(clock),
    log: () => {},
    threshold: DEFAULT_THRESHOLD,
    hold: { until: 0 },
    concurrency: 10,
    limit: pLimit(more.concurrency ?? 10),
    deadline: 540_000,
    ...more,
  };
}

const leftDue = () => documents.count({ collection: "tokens", field: "refreshAt", until: clock.now() });

describe("3,000 tokens are due: one sweep", () => {
  test("refreshes each once, and reads as many documents as are due", async () => {
    await stored(3000);
    const { read, store } = counting();
    const { endpoint, asked } = granting();
    expect(await sweep(sweeperOf(store, endpoint))).toMatchObject({
      due: 3000,
      refreshed: 3000,
      failed: 0,
      deferred: 0,
      remaining: 0,
      overdueSeconds: 3,
    });
    expect(asked()).toBe(3000);
    expect(await leftDue()).toBe(0);
    // One of them is of what is to be published.
    expect(read).toEqual({ pages: 8, upTo: 3000, read: 0, list: 0, count: 0 });
  });

  test("holds no more than two pages of tokens, and never asks for one while the last but one is not done", async () => {
    await stored(3000);
    const { store } = counting();
    const { endpoint } = granting();
    let fetched = 0;
    let done = 0;
    let most = 0;
    const sizes: number[] = [];
    const due: TokenStore["due"] = async (...query) => {
      // What this page brings is held beside whatever is not done yet.
      most = Math.max(most, fetched - done + PAGE);
      const page = await store.due(...query);
      fetched += page.length;
      sizes.push(page.length);
      return page;
    };
    const refreshed: TokenEndpoint["refresh"] = async (...request) => {
      const answer = await endpoint.refresh(...request);
      done++;
      return answer;
    };
    await sweep(sweeperOf({ ...store, due }, { ...endpoint, refresh: refreshed }));
    // The last one is of what is to be published.
    expect(sizes).toEqual([500, 500, 500, 500, 500, 500, 0, 0]);
    expect(done).toBe(3000);
    // Those that are just being refreshed (10) belong to the page before.
    expect(most).toBeLessThanOrEqual(2 * PAGE + 10);
  });

  test("takes the longest overdue first", async () => {
    await stored(1200);
    const order: string[] = [];
    const { store } = counting();
    const { endpoint } = granting();
    const update: TokenStore["update"] = (token, changes) => {
      if (changes.lease !== undefined) order.push(token.name);
      return store.update(token, changes);
    };
    await sweep(sweeperOf({ ...store, update }, endpoint, { concurrency: 1 }));
    expect(order).toEqual(range(1200).map(numbered));
  });

  test("that fail in the store or at Webex keep none of the others from their turn", async () => {
    await stored(1500);
    const { store } = counting();
    const { endpoint } = granting((count) => (count % 3 === 0 ? { error: "network" } : granted(count)));
    expect(await sweep(sweeperOf(store, endpoint))).toMatchObject({
      due: 1500,
      refreshed: 1000,
      failed: 500,
      remaining: 0,
    });
  });

  test("refreshed by two sweeps at once are asked for once", async () => {
    await stored(1500);
    const { endpoint, asked } = granting();
    const one = sweep(sweeperOf(counting().store, endpoint));
    const other = sweep(sweeperOf(counting().store, endpoint));
    const [first, second] = await Promise.all([one, other]);
    expect(first.refreshed + second.refreshed).toBe(1500);
    expect(asked()).toBe(1500);
  });

  test("that ends at its deadline says what remains, and the next goes on with just that", async () => {
    await stored(3000);
    const { store, read } = counting();
    const { endpoint } = granting((count) => {
      clock.advance(100);
      return granted(count);
    });
    const first = await sweep(sweeperOf(store, endpoint, { deadline: 100_000 }));
    expect(first.refreshed).toBeGreaterThanOrEqual(800);
    expect(first.refreshed).toBeLessThanOrEqual(810);
    expect(first.remaining).toBe(3000 - first.refreshed);
    // What was fetched and not taken up is two pages at most.
    expect(read.upTo).toBeLessThanOrEqual(first.refreshed + 2 * PAGE);
    const second = await sweep(sweeperOf(store, endpoint));
    expect(second).toMatchObject({
      due: 3000 - first.refreshed,
      refreshed: 3000 - first.refreshed,
      remaining: 0,
    });
  });
});

describe("50 tokens are due of many", () => {
  async function cost(later: number) {
    await stored(50, later);
    const { read, store } = counting();
    const { endpoint, asked } = granting();
    // The plan of the query once more, and the best of three: the first one warms whatever is cold.
    const timed = async () => {
      const started = performance.now();
      await store.due(clock.now(), PAGE);
      return performance.now() - started;
    };
    const query = Math.min(await timed(), await timed(), await timed());
    Object.assign(read, { pages: 0, upTo: 0 });
    const summary = await sweep(sweeperOf(store, endpoint));
    return { read, asked: asked(), query, summary };
  }

  test("20,000 stored: 50 documents are read, and it takes no longer than with 50 stored", async () => {
    const few = await cost(0);
    await documents.close();
    documents = openSqlite(":memory:", clock.now);
    const many = await cost(19_950);
    expect(many.summary).toMatchObject({ due: 50, refreshed: 50, remaining: 0 });
    expect(many.asked).toBe(50);
    expect(many.read).toEqual({ pages: 2, upTo: 50, read: 0, list: 0, count: 0 });
    expect(many.read).toEqual(few.read);
    // Reading all of them takes some hundred times as long.
    expect(many.query).toBeLessThan(few.query * 10 + 2);
  });

  test("nothing due: nothing is read, and nobody asked", async () => {
    await stored(0, 2000);
    const { read, store } = counting();
    const { endpoint, asked } = granting();
    expect(await sweep(sweeperOf(store, endpoint))).toMatchObject({
      due: 0,
      remaining: 0,
      overdueSeconds: 0,
    });
    expect(read).toEqual({ pages: 2, upTo: 0, read: 0, list: 0, count: 0 });
    expect(asked()).toBe(0);
  });
});
