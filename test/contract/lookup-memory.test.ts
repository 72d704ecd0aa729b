import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { OLD_PASSPHRASE, type Served, type ServedOptions, startServed } from "../support/served.ts";
import { expectProblem, FRESH, HOUR, rejecting, withHeaders } from "./lookups.ts";

/** What an instance remembers of the store, as its callers see it. */

/** A read that hangs ends after this, as that of the REST reader does, in ms. */
const HANGS = 2500;

let served: Served;
let storeReads: string[];
let health: "well" | "down" | "hangs";
const given = async (options: ServedOptions = {}) => {
  served = await startServed(options);
  storeReads = [];
  health = "well";
  const { documents, runtime } = served;
  const read = documents.read.bind(documents);
  documents.read = async (collection, id) => {
    if (collection === "tokens") storeReads.push(id);
    if (health === "hangs") await runtime.sleep(HANGS);
    if (health !== "well") throw new StoreUnavailable("it is down");
    return read(collection, id);
  };
};
afterEach(() => served.close());

/** How often the store was read for what is done. */
async function reads(work: () => Promise<unknown>): Promise<number> {
  const before = storeReads.length;
  await work();
  return storeReads.length - before;
}

const ask = (name = "flow", options?: Parameters<Served["ask"]>[1]) => served.ask(`/?name=${name}`, options);
const tokenOf = async (name?: string) => (await ask(name)).body.token;
/** A person types into the console. */
async function type(name: string, fields: Record<string, unknown>): Promise<void> {
  const found = await served.store.documents.read("tokens", name);
  const written = await served.documents.update("tokens", name, fields, found?.version ?? "");
  expect(written).toBeDefined();
}

describe("in steady state", () => {
  test("a hundred reads in 30 s read the store once, and so does the next half minute", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    const half = async () => {
      for (let count = 0; count < 100; count++) {
        expect(await tokenOf()).toBe(accessToken);
        await served.time.advance(300);
      }
    };
    expect(await reads(half)).toBe(1);
    expect(await reads(half)).toBe(1);
  });

  test("a hundred cold reads at once read the store once", async () => {
    await given();
    await served.hold("flow", FRESH);
    const burst = () => Promise.all(Array.from({ length: 100 }, () => ask()));
    expect(
      await reads(async () => expect(new Set((await burst()).map((a) => a.status))).toEqual(new Set([200]))),
    ).toBe(1);
  });

  test("a hundred cold reads at once share one read of a store that is slow", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    const { documents, runtime } = served;
    const read = documents.read.bind(documents);
    documents.read = async (collection, id) => {
      const found = await read(collection, id);
      await runtime.sleep(500);
      return found;
    };
    const answers = await served.settle(Promise.all(Array.from({ length: 100 }, () => ask())));
    expect(new Set(answers.map(({ body }) => body.token))).toEqual(new Set([accessToken]));
    expect(storeReads).toHaveLength(1);
  });

  test("each name has a memory of its own", async () => {
    await given();
    const [one, two] = [await served.hold("one", FRESH), await served.hold("two", FRESH)];
    const both = async () =>
      expect([await tokenOf("one"), await tokenOf("two")]).toEqual([one.accessToken, two.accessToken]);
    expect(await reads(both)).toBe(2);
    expect(await reads(both)).toBe(0);
  });

  test("what is told of a token from memory is of now: its life, its details, its HEAD", async () => {
    await given();
    await served.hold("flow", FRESH, { refreshAt: undefined });
    await ask();
    await served.time.advance(10_000);
    const answer = await served.ask("/?name=flow&details=true");
    expect(answer.headers["x-token-expires-in"]).toBe(String(FRESH - 10));
    expect(answer.body).toMatchObject({ expiresIn: FRESH - 10 });
    expect((await served.ask("/?name=flow", withMethod("HEAD"))).status).toBe(200);
    expect(storeReads).toHaveLength(1);
  });

  test("memory ends where the token's own refreshAt comes: the refresh is not slept through", async () => {
    await given();
    const { accessToken } = await served.hold("flow", 2 * HOUR + 5, { refreshAt: served.time.now() + 5000 });
    expect(await tokenOf()).toBe(accessToken);
    await served.time.advance(5001);
    expect(await tokenOf()).not.toBe(accessToken);
  });

  test("minTtl is judged on what is remembered, and what it can't meet is asked for", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    expect(await reads(() => served.ask(`/?name=flow&minTtl=${FRESH - 60}`))).toBe(0);
    expect((await served.ask(`/?name=flow&minTtl=${FRESH + 1}`)).body.token).not.toBe(accessToken);
  });

  test("a passphrase is asked for whatever is remembered", async () => {
    await given();
    await served.hold("flow", FRESH);
    await ask();
    for (const headers of [{}, { "x-token-passphrase": "guess" }]) {
      const answer = await ask("flow", { headers });
      expectProblem(answer, 401, /passphrase/);
      // Some clients send Basic credentials only when they are told that these are taken.
      expect(answer.headers["www-authenticate"]).toBe('Basic realm="token service"');
    }
    expect((await ask("flow", { headers: { "x-token-passphrase": OLD_PASSPHRASE } })).status).toBe(200);
    expect(storeReads).toHaveLength(1);
  });
});

const withMethod = (method: string) => ({ ...withHeaders({}), method });

describe("what changes in the store", () => {
  test("an edit is seen after 30 s at most, and not read before", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await served.time.advance(1000);
    await type("flow", { accessToken: "canary-token-by-hand" });
    await served.time.advance(28_999);
    expect(await tokenOf()).toBe(accessToken);
    await served.time.advance(1);
    expect(await tokenOf()).toBe("canary-token-by-hand");
  });

  test("a consent is seen after 30 s at most", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    expect((await served.setup(await served.consent("flow"))).status).toBe(200);
    await served.time.advance(30_000);
    const token = await tokenOf();
    expect(token).not.toBe(accessToken);
    expect(token).toBe((await served.document("flow")).accessToken);
  });

  test("a token that was removed is gone after 30 s at most, one that got its own passphrase closed", async () => {
    await given();
    await served.hold("gone", FRESH);
    await served.hold("closed", FRESH);
    await Promise.all([ask("gone"), ask("closed")]);
    await served.documents.remove("tokens", "gone");
    await type("closed", { passphraseHash: "0".repeat(64) });
    await served.time.advance(30_000);
    expectProblem(await ask("gone"), 404, /there is no token "gone"/);
    expectProblem(await ask("closed"), 401, /does not open this token/);
  });

  test("x-token-rejected bypasses memory: who comes with the old token has the new one at once", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await type("flow", { accessToken: "canary-token-by-hand" });
    expect(await tokenOf()).toBe(accessToken);
    expect((await ask("flow", rejecting(accessToken))).body.token).toBe("canary-token-by-hand");
    expect(served.asks.made).toBe(0);
  });

  test("who rejects a newer token than the one in memory is not given that older one", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await type("flow", { accessToken: "canary-token-by-hand" });
    const answer = await ask("flow", rejecting("canary-token-by-hand"));
    expect(answer.body.token).not.toBe(accessToken);
    expect(answer.body.token).toBe((await served.document("flow")).accessToken);
    expect(served.refreshes()).toBe(1);
  });

  test("what the bypass has read is there for everybody", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await type("flow", { accessToken: "canary-token-by-hand" });
    await ask("flow", rejecting(accessToken));
    expect(await reads(async () => expect(await tokenOf()).toBe("canary-token-by-hand"))).toBe(0);
  });

  test("a refresh that this instance asked for is seen by all its readers at once", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    const renewed = (await ask("flow", rejecting(accessToken))).body.token;
    expect(renewed).not.toBe(accessToken);
    expect(await reads(async () => expect(await tokenOf()).toBe(renewed))).toBe(0);
  });

  test("409 is never answered from memory: after the consent the token is there at once", async () => {
    await given();
    await served.hold("new", FRESH, {
      accessToken: undefined,
      refreshToken: undefined,
      accessExpires: undefined,
    });
    for (let count = 0; count < 3; count++) expectProblem(await ask("new"), 409, /authorize/);
    expect((await served.setup(await served.consent("new"))).status).toBe(200);
    expect((await ask("new")).body.token).toBe((await served.document("new")).accessToken);
  });

  test("nor where Webex had refused the refresh token, and the held token had ended", async () => {
    await given();
    await served.hold("flow", 0);
    served.fault({ fault: "invalid-request" });
    expectProblem(await served.settle(ask("flow")), 409, /Webex refuses to refresh/);
    served.sandbox.faults.clear();
    expect((await served.setup(await served.consent("flow"))).status).toBe(200);
    expect((await ask("flow")).status).toBe(200);
  });
});

describe("a name that is not there", () => {
  test("is looked for once in 5 s, and found when it was made", async () => {
    await given();
    const again = async () => {
      for (let count = 0; count < 20; count++)
        expectProblem(await ask("late"), 404, /there is no token "late"/);
    };
    expect(await reads(again)).toBe(1);
    await served.hold("late", FRESH);
    await served.time.advance(4999);
    expect((await ask("late")).status).toBe(404);
    await served.time.advance(1);
    expect((await ask("late")).status).toBe(200);
  });

  test("is not remembered for who has shown no shared passphrase: strangers do not fill memory", async () => {
    await given();
    const stranger = { headers: { "x-token-passphrase": "guess" } };
    expect(await reads(() => ask("late", stranger))).toBe(1);
    await served.hold("late", FRESH);
    expect((await ask("late")).status).toBe(200);
  });

  test("is no 404 to a stranger although somebody with the passphrase was told so just now", async () => {
    await given();
    expect((await ask("late")).status).toBe(404);
    expectProblem(await ask("late", { headers: { "x-token-passphrase": "guess" } }), 401, /passphrase/);
  });

  test("whoever gives no passphrase does not reach the store", async () => {
    await given();
    expect(await reads(() => ask("late", { headers: {} }))).toBe(0);
  });
});

describe("while the store is down", () => {
  test("a token with life left is answered whatever its age, and 503 once it has ended", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    health = "down";
    for (let hour = 0; hour < 10; hour++) {
      await served.time.advance(HOUR * 1000);
      expect(await tokenOf(), `after ${hour + 1} hours`).toBe(accessToken);
    }
    await served.time.advance(HOUR * 1000 - 1000);
    expect((await ask()).headers["x-token-expires-in"]).toBe("1");
    await served.time.advance(1);
    const ended = await served.settle(ask());
    expectProblem(ended, 503, /store did not answer/);
    expect(Number(ended.headers["retry-after"])).toBeGreaterThan(0);
  });

  test("a token below its threshold is answered, and the refresher is left alone", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    await served.stopRefresher();
    await ask();
    const { made } = served.asks;
    health = "down";
    await served.time.advance(60_000);
    for (let count = 0; count < 10; count++) expect(await tokenOf()).toBe(accessToken);
    expect(served.asks.made).toBe(made);
  });

  test("a rejected token is answered as unchanged: there is no other to be had", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    health = "down";
    const answer = await ask("flow", rejecting(accessToken));
    expect(answer.status).toBe(200);
    expect(answer.headers["x-token-unchanged"]).toBe("true");
  });

  test("a token that is not in memory is 503, and one that is needs its passphrase", async () => {
    await given();
    await served.hold("flow", FRESH);
    await served.hold("unread", FRESH);
    await ask();
    health = "down";
    await served.time.advance(HOUR * 1000);
    expectProblem(await ask("unread"), 503, /store did not answer/);
    expectProblem(await ask("flow", { headers: { "x-token-passphrase": "guess" } }), 401, /passphrase/);
    expect((await ask("flow")).status).toBe(200);
  });

  test("it is tried once a second, not at each read", async () => {
    await given();
    await served.hold("flow", FRESH);
    await ask();
    health = "down";
    await served.time.advance(31_000);
    await ask();
    const busy = async () => {
      for (let count = 0; count < 100; count++) {
        expect((await ask()).status).toBe(200);
        await served.time.advance(90);
      }
    };
    const tries = await reads(busy);
    expect(tries).toBeGreaterThanOrEqual(8);
    expect(tries).toBeLessThanOrEqual(11);
  });

  test("recovery is noticed within a second of reads: the next one has what is in the store", async () => {
    await given();
    await served.hold("flow", FRESH);
    await ask();
    health = "down";
    await served.time.advance(31_000);
    await ask();
    health = "well";
    await type("flow", { accessToken: "canary-token-by-hand" });
    await served.time.advance(1000);
    // This one finds out, and does not wait for it.
    expect((await ask()).status).toBe(200);
    expect(await tokenOf()).toBe("canary-token-by-hand");
  });

  test("recovery is noticed without a single read while it was down for long", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    health = "down";
    await served.time.advance(31_000);
    expect(await tokenOf()).toBe(accessToken);
    health = "well";
    await type("flow", { accessToken: "canary-token-by-hand" });
    await served.time.advance(10_000);
    expect(await tokenOf()).toBe("canary-token-by-hand");
  });

  test("it is logged by name and without a secret, not at every read", async () => {
    await given();
    await served.hold("flow", FRESH);
    await ask();
    health = "down";
    await served.time.advance(31_000);
    for (let count = 0; count < 20; count++) await ask();
    const lines = served.logs().filter(({ event }) => event === "store.unavailable");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ token: "flow" });
  });
});

describe("while the store hangs", () => {
  test("a live token is answered inside 2 s, and then at once", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await served.time.advance(31_000);
    health = "hangs";
    const started = served.time.now();
    expect((await served.settle(ask())).body.token).toBe(accessToken);
    expect(served.time.now() - started).toBeLessThanOrEqual(1600);
    const again = served.time.now();
    for (let count = 0; count < 20; count++) expect(await tokenOf()).toBe(accessToken);
    expect(served.time.now()).toBe(again);
  });

  test("a token below its threshold is answered inside 2 s, too", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    await served.stopRefresher();
    await ask();
    await served.time.advance(31_000);
    health = "hangs";
    const started = served.time.now();
    expect((await served.settle(ask())).body.token).toBe(accessToken);
    expect(served.time.now() - started).toBeLessThanOrEqual(1600);
  });

  test("so it is in real time", async () => {
    await given({ realTime: true });
    const { accessToken } = await served.hold("flow", FRESH, { refreshAt: Date.now() - 1 });
    expect(await tokenOf()).toBe(accessToken);
    health = "hangs";
    const started = performance.now();
    expect(await tokenOf()).toBe(accessToken);
    expect(performance.now() - started).toBeLessThan(1900);
    const again = performance.now();
    for (let count = 0; count < 10; count++) expect(await tokenOf()).toBe(accessToken);
    expect(performance.now() - again).toBeLessThan(300);
  });

  test("a hundred readers of one token wait for one read of it", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await served.time.advance(31_000);
    health = "hangs";
    const many = () => served.settle(Promise.all(Array.from({ length: 100 }, () => tokenOf())));
    expect(await reads(async () => expect(new Set(await many())).toEqual(new Set([accessToken])))).toBe(1);
  });

  test("a token that is not in memory is 503 as soon as the store is given up", async () => {
    await given();
    await served.hold("flow", FRESH);
    health = "hangs";
    const started = served.time.now();
    expectProblem(await served.settle(ask()), 503, /store did not answer/);
    expect(served.time.now() - started).toBe(HANGS);
  });
});

describe("while the refresher is down", () => {
  test("a due token is answered from memory, and the store is read beside its readers once a second", async () => {
    await given();
    const { accessToken } = await served.hold("flow", HOUR);
    await served.stopRefresher();
    expect(await tokenOf()).toBe(accessToken);
    const second = async () => {
      for (let count = 0; count < 10; count++) {
        expect(await tokenOf()).toBe(accessToken);
        await served.time.advance(100);
      }
    };
    await second();
    expect(await reads(second)).toBe(1);
  });

  test("a token that a sweep refreshed meanwhile is answered a second later", async () => {
    await given();
    await served.hold("flow", HOUR);
    await served.stopRefresher();
    await tokenOf();
    await type("flow", {
      accessToken: "canary-newer-token",
      refreshAt: served.time.now() + 10 * HOUR * 1000,
    });
    await served.time.advance(1000);
    await tokenOf();
    expect(await tokenOf()).toBe("canary-newer-token");
  });
});
