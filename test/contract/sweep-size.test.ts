import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import pLimit from "p-limit";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { globalVariables } from "../../functions/adapters/global-variables.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import type { EndpointAnswer, TokenEndpoint } from "../../functions/core/grant.ts";
import { makePauses } from "../../functions/core/pauses.ts";
import { type DocumentStore, type TokenStore, tokenStore } from "../../functions/core/store.ts";
import { type Sweeper, sweep } from "../../functions/core/sweep.ts";
import { DEFAULT_THRESHOLD, HOUR } from "../../functions/core/time.ts";
import { type Clock, fakeClock, runtimeOf } from "../support/clock.ts";
import { range } from "../support/world.ts";
import { intercepted } from "./troubled.ts";

/** What a sweep of more than two pages reads and holds. */

const PAGE = 500;
/** Two whole pages and a part. */
const DUE = 1100;

let clock: Clock;
let documents: DocumentStore;
beforeEach(() => {
  clock = fakeClock();
  documents = openSqlite(":memory:", clock.now);
});
afterEach(() => documents.close());

const numbered = (index: number) => `t${String(index).padStart(5, "0")}`;

/** Stores `due` tokens, the first the longest overdue, and `later` ones that are not due. */
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

/** An endpoint that answers at once, and counts its requests. */
function granting(answer: (count: number) => EndpointAnswer = granted) {
  let count = 0;
  const endpoint: TokenEndpoint = {
    exchange: () => Promise.reject(new Error("no code is exchanged")),
    issue: () => Promise.reject(new Error("there is no Service App")),
    refresh: async () => answer(++count),
  };
  return { endpoint, asked: () => count };
}
const granted = (count: number): EndpointAnswer => ({
  status: 200,
  body: JSON.stringify({ access_token: `new-${count}`, expires_in: 43_199 }),
});

/** Counts the documents read, by call, and the pages. */
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
    pauses: makePauses(clock.now),
    concurrency: 10,
    limit: pLimit(more.concurrency ?? 10),
    deadline: 540_000,
    ...more,
  };
}

const leftDue = () => documents.count({ collection: "tokens", field: "refreshAt", until: clock.now() });

describe("a sweep of 1,100 due tokens", () => {
  test("refreshes each once, and reads only the due documents", async () => {
    await stored(DUE);
    const { read, store } = counting();
    const { endpoint, asked } = granting();
    expect(await sweep(sweeperOf(store, endpoint))).toMatchObject({
      due: DUE,
      refreshed: DUE,
      failed: 0,
      deferred: 0,
      remaining: 0,
      overdueSeconds: 1,
    });
    expect(asked()).toBe(DUE);
    expect(await leftDue()).toBe(0);
    // Three pages of due tokens, and one of tokens to publish.
    expect(read).toEqual({ pages: 4, upTo: DUE, read: 0, list: 0, count: 0 });
  });

  test("holds two pages at most: it reads a page once the last but one is done", async () => {
    await stored(DUE);
    const { store } = counting();
    const { endpoint } = granting();
    let fetched = 0;
    let done = 0;
    let most = 0;
    const sizes: number[] = [];
    const due: TokenStore["due"] = async (...query) => {
      // This page is held beside the tokens that are not done yet.
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
    // The last page is of tokens to publish.
    expect(sizes).toEqual([500, 500, 100, 0]);
    expect(done).toBe(DUE);
    // The ten that are being refreshed belong to the page before.
    expect(most).toBeLessThanOrEqual(2 * PAGE + 10);
  });

  test("refreshes the longest overdue first", async () => {
    await stored(DUE);
    const order: string[] = [];
    const { store } = counting();
    const { endpoint } = granting();
    const update: TokenStore["update"] = (token, changes) => {
      if (changes.lease !== undefined) order.push(token.name);
      return store.update(token, changes);
    };
    await sweep(sweeperOf({ ...store, update }, endpoint, { concurrency: 1 }));
    expect(order).toEqual(range(DUE).map(numbered));
  });

  test("refreshes the others when every third refresh fails", async () => {
    await stored(DUE);
    const { store } = counting();
    const { endpoint } = granting((count) => (count % 3 === 0 ? { error: "network" } : granted(count)));
    expect(await sweep(sweeperOf(store, endpoint))).toMatchObject({
      due: DUE,
      refreshed: 734,
      failed: 366,
      remaining: 0,
    });
  });

  test("asks for each token once while another sweep runs (row 1)", async () => {
    await stored(DUE);
    const { endpoint, asked } = granting();
    const one = sweep(sweeperOf(counting().store, endpoint));
    const other = sweep(sweeperOf(counting().store, endpoint));
    const [first, second] = await Promise.all([one, other]);
    expect(first.refreshed + second.refreshed).toBe(DUE);
    expect(asked()).toBe(DUE);
  });

  test("reports what remains at its deadline, and the next sweep refreshes just that", async () => {
    await stored(1300);
    const { store, read } = counting();
    const { endpoint } = granting((count) => {
      clock.advance(400);
      return granted(count);
    });
    const first = await sweep(sweeperOf(store, endpoint, { deadline: 100_000 }));
    expect(first.refreshed).toBeGreaterThanOrEqual(200);
    expect(first.refreshed).toBeLessThanOrEqual(210);
    expect(first.remaining).toBe(1300 - first.refreshed);
    // Two pages at most were read and not used.
    expect(read.upTo).toBeLessThanOrEqual(first.refreshed + 2 * PAGE);
    const second = await sweep(sweeperOf(store, endpoint, { deadline: 1_000_000 }));
    expect(second).toMatchObject({
      due: 1300 - first.refreshed,
      refreshed: 1300 - first.refreshed,
      remaining: 0,
    });
  });
});

describe("a sweep of 50 due tokens among 2,000 others", () => {
  test("reads 50 documents, and finds them by an index", async () => {
    await stored(50, 2000);
    const { read, store } = counting();
    const { endpoint, asked } = granting();
    const prepared = vi.spyOn(DatabaseSync.prototype, "prepare");
    onTestFinished(() => prepared.mockRestore());
    const summary = await sweep(sweeperOf(store, endpoint));
    expect(summary).toMatchObject({ due: 50, refreshed: 50, remaining: 0 });
    expect(asked()).toBe(50);
    expect(read).toEqual({ pages: 2, upTo: 50, read: 0, list: 0, count: 0 });

    const queries = prepared.mock.calls.flatMap(([sql]) => (sql.includes("ORDER BY") ? [sql] : []));
    expect(queries).toHaveLength(2);
    const folder = mkdtempSync(path.join(tmpdir(), "sweep-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, "same-tables.db");
    await openSqlite(file, clock.now).close();
    const database = new DatabaseSync(file);
    for (const sql of queries) {
      const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all();
      expect(plan.map(({ detail }) => detail)).toEqual([
        expect.stringMatching(/^SEARCH documents USING INDEX documents_\w+ \(/),
      ]);
    }
    database.close();
  });

  test("reads nothing and asks for nothing when no token is due", async () => {
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
