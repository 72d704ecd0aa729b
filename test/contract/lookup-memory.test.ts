import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { OLD_PASSPHRASE, type Served, startServed } from "../support/served.ts";
import { expectProblem, FRESH, HOUR, rejecting, withHeaders } from "./lookups.ts";

/** The cache of a lookup instance, as its callers see it. */

/** A read that hangs ends after this, as that of the REST reader does, in ms. */
const HANGS = 2500;

let served: Served;
let storeReads: string[];
let health: "well" | "down" | "hangs";
const given = async () => {
  served = await startServed();
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

describe("the lookup cache", () => {
  test("serves a hundred reads in 30 s from one read of the store, and so in the next 30 s", async () => {
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

  test("reads the store once for a hundred cold reads at once", async () => {
    await given();
    await served.hold("flow", FRESH);
    const burst = () => Promise.all(Array.from({ length: 100 }, () => ask()));
    expect(
      await reads(async () => expect(new Set((await burst()).map((a) => a.status))).toEqual(new Set([200]))),
    ).toBe(1);
  });

  test("reads a slow store once for a hundred cold reads at once", async () => {
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

  test("has an entry for each name", async () => {
    await given();
    const [one, two] = [await served.hold("one", FRESH), await served.hold("two", FRESH)];
    const both = async () =>
      expect([await tokenOf("one"), await tokenOf("two")]).toEqual([one.accessToken, two.accessToken]);
    expect(await reads(both)).toBe(2);
    expect(await reads(both)).toBe(0);
  });

  test("gives the remaining life of a cached token, also in details and for HEAD", async () => {
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

  test("expires an entry at the token's refreshAt", async () => {
    await given();
    const { accessToken } = await served.hold("flow", 2 * HOUR + 5, { refreshAt: served.time.now() + 5000 });
    expect(await tokenOf()).toBe(accessToken);
    await served.time.advance(5001);
    expect(await tokenOf()).not.toBe(accessToken);
  });

  test("judges minTtl on the cached token, and asks for a refresh if that is too short", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    expect(await reads(() => served.ask(`/?name=flow&minTtl=${FRESH - 60}`))).toBe(0);
    expect((await served.ask(`/?name=flow&minTtl=${FRESH + 1}`)).body.token).not.toBe(accessToken);
  });

  test("answers no caller without the passphrase", async () => {
    await given();
    await served.hold("flow", FRESH);
    await ask();
    for (const headers of [{}, { "x-token-passphrase": "guess" }]) {
      const answer = await ask("flow", { headers });
      expectProblem(answer, 401, /passphrase/);
      // Some clients send Basic credentials only after this challenge.
      expect(answer.headers["www-authenticate"]).toBe('Basic realm="token service"');
    }
    expect((await ask("flow", { headers: { "x-token-passphrase": OLD_PASSPHRASE } })).status).toBe(200);
    expect(storeReads).toHaveLength(1);
  });
});

const withMethod = (method: string) => ({ ...withHeaders({}), method });

describe("a change in the store", () => {
  test("by hand is read after 30 s, not earlier", async () => {
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

  test("by a consent is read after 30 s", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    expect((await served.setup(await served.consent("flow"))).status).toBe(200);
    await served.time.advance(30_000);
    const token = await tokenOf();
    expect(token).not.toBe(accessToken);
    expect(token).toBe((await served.document("flow")).accessToken);
  });

  test("that removes a token or gives it a passphrase closes it after 30 s", async () => {
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

  test("reaches a caller that rejects the cached token at once", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await type("flow", { accessToken: "canary-token-by-hand" });
    expect(await tokenOf()).toBe(accessToken);
    expect((await ask("flow", rejecting(accessToken))).body.token).toBe("canary-token-by-hand");
    expect(served.asks.made).toBe(0);
  });

  test("does not give a caller that rejects a newer token the older cached one", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await type("flow", { accessToken: "canary-token-by-hand" });
    const answer = await ask("flow", rejecting("canary-token-by-hand"));
    expect(answer.body.token).not.toBe(accessToken);
    expect(answer.body.token).toBe((await served.document("flow")).accessToken);
    expect(served.refreshes()).toBe(1);
  });

  test("that one caller's rejection has read serves all callers", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await type("flow", { accessToken: "canary-token-by-hand" });
    await ask("flow", rejecting(accessToken));
    expect(await reads(async () => expect(await tokenOf()).toBe("canary-token-by-hand"))).toBe(0);
  });

  test("by a refresh of this instance serves all its callers at once", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    const renewed = (await ask("flow", rejecting(accessToken))).body.token;
    expect(renewed).not.toBe(accessToken);
    expect(await reads(async () => expect(await tokenOf()).toBe(renewed))).toBe(0);
  });

  test("by a consent ends a 409 at once: 409 is not cached", async () => {
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

  test("by a consent ends a 409 at once after Webex refused the refresh token", async () => {
    await given();
    await served.hold("flow", 0);
    served.fault({ fault: "invalid-request" });
    expectProblem(await served.settle(ask("flow")), 409, /Webex refuses to refresh/);
    served.sandbox.faults.clear();
    expect((await served.setup(await served.consent("flow"))).status).toBe(200);
    expect((await ask("flow")).status).toBe(200);
  });
});

describe("a name without a token", () => {
  test("is looked up once in 5 s, and found once it exists", async () => {
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

  test("is not cached for callers without the shared passphrase, so they cannot fill memory", async () => {
    await given();
    const stranger = { headers: { "x-token-passphrase": "guess" } };
    expect(await reads(() => ask("late", stranger))).toBe(1);
    await served.hold("late", FRESH);
    expect((await ask("late")).status).toBe(200);
  });

  test("is 401, not a cached 404, to a caller without the passphrase", async () => {
    await given();
    expect((await ask("late")).status).toBe(404);
    expectProblem(await ask("late", { headers: { "x-token-passphrase": "guess" } }), 401, /passphrase/);
  });

  test("is not looked up for a caller without any passphrase", async () => {
    await given();
    expect(await reads(() => ask("late", { headers: {} }))).toBe(0);
  });
});

describe("lookup while the store is down", () => {
  test("answers a cached live token for hours, and 503 once it has ended (row 17)", async () => {
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

  test("answers a cached token below its threshold without asking the refresher", async () => {
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

  test("answers a rejected token as unchanged: there is no other", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    health = "down";
    const answer = await ask("flow", rejecting(accessToken));
    expect(answer.status).toBe(200);
    expect(answer.headers["x-token-unchanged"]).toBe("true");
  });

  test("answers 503 for a token that is not cached, and 401 without the passphrase", async () => {
    await given();
    await served.hold("flow", FRESH);
    await served.hold("unread", FRESH);
    await ask();
    health = "down";
    await served.time.advance(HOUR * 1000);
    expectProblem(await served.settle(ask("unread")), 503, /store did not answer/);
    expectProblem(await ask("flow", { headers: { "x-token-passphrase": "guess" } }), 401, /passphrase/);
    expect((await ask("flow")).status).toBe(200);
  });

  test("tries the store once a second, not at each read", async () => {
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

  test("notices recovery within a second of reads", async () => {
    await given();
    await served.hold("flow", FRESH);
    await ask();
    health = "down";
    await served.time.advance(31_000);
    await ask();
    health = "well";
    await type("flow", { accessToken: "canary-token-by-hand" });
    await served.time.advance(1000);
    // This read starts the refetch and does not wait for it.
    expect((await ask()).status).toBe(200);
    expect(await tokenOf()).toBe("canary-token-by-hand");
  });

  test("notices recovery 10 s after a failed read, without reads in between", async () => {
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

  test("logs the token's name once, not at each read", async () => {
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

describe("lookup while the store hangs", () => {
  test("answers a cached live token within 1.6 s, and then at once", async () => {
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

  test("answers a cached token below its threshold within 1.6 s", async () => {
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

  test("reads the store once for a hundred readers of one token", async () => {
    await given();
    const { accessToken } = await served.hold("flow", FRESH);
    await ask();
    await served.time.advance(31_000);
    health = "hangs";
    const many = () => served.settle(Promise.all(Array.from({ length: 100 }, () => tokenOf())));
    expect(await reads(async () => expect(new Set(await many())).toEqual(new Set([accessToken])))).toBe(1);
  });

  test("answers 503 for a token that is not cached when the reader's wait ends", async () => {
    await given();
    await served.hold("flow", FRESH);
    health = "hangs";
    const started = served.time.now();
    expectProblem(await served.settle(ask()), 503, /store did not answer/);
    expect(served.time.now() - started).toBe(8000);
  });
});

describe("lookup while the refresher is down", () => {
  test("answers a due token from the cache, and reads the store in the background once a second", async () => {
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

  test("answers a token that a sweep refreshed a second later", async () => {
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
