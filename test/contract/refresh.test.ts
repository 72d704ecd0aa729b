import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { runtime as realRuntime } from "../../functions/adapters/runtime.ts";
import {
  type Authorizer,
  type Callback,
  finishAuthorization,
  startAuthorization,
} from "../../functions/core/authorization.ts";
import { census } from "../../functions/core/census.ts";
import type { RawFields } from "../../functions/core/document.ts";
import type { TokenEndpoint } from "../../functions/core/grant.ts";
import { EVENTS } from "../../functions/core/log.ts";
import { type Outcome, refresh } from "../../functions/core/refresh.ts";
import { Problem } from "../../functions/core/reply.ts";
import { readSweeps } from "../../functions/core/status.ts";
import { type DocumentStore, StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { type AskByHash, DAY, HOUR, MINUTE, SECOND, sha256 } from "../../functions/core/time.ts";
import type { Fault } from "../../local/sandbox/faults.ts";
import { freshProject } from "../support/emulator.ts";
import {
  CLIENT,
  escorted,
  intercepted,
  isClaim,
  isSave,
  ORG,
  openWorld,
  SETTINGS,
  troubled,
  type World,
} from "../support/world.ts";

const READER: AskByHash = { by: "reader" };
const SWEEP: AskByHash = { by: "sweep" };
/** Of 43,199 s: an hour is left, below the threshold. */
const OLD = 11 * HOUR;
const OTHER_ORG = "99999999-8888-7777-6666-555555555555";
const never = () => new Promise<never>(() => {});
const range = (length: number) => Array.from({ length }, (_, index) => index);

let world: World;
afterEach(async () => {
  await world.close();
});

const live = (accessToken: string | undefined) => world.sandbox.authority.holder(accessToken ?? "")?.live;
const critical = () => world.logged.filter(({ event }) => EVENTS[event] === "CRITICAL");
const unhurried = (endpoint: TokenEndpoint): TokenEndpoint => ({
  ...endpoint,
  refresh: (request) => endpoint.refresh(request, false),
});

/** Sweeps once a minute for so long, as the Scheduler does. */
async function sweepFor(
  ms: number,
  sweeper = world.sweeper(),
  each: () => unknown = () => {},
): Promise<void> {
  for (const end = world.clock.now() + ms; world.clock.now() < end; world.clock.advance(MINUTE)) {
    await sweep(sweeper);
    await each();
  }
}

/** A person who opens the address and allows. */
async function allow(address: string | URL): Promise<Callback> {
  const page = await (await fetch(address)).text();
  const request = /name="request" value="([^"]+)"/.exec(page)?.[1];
  if (request === undefined) throw new Error(`no consent was asked for: ${page}`);
  const body = new URLSearchParams({ request, decision: "allow" });
  const answer = await fetch(`${world.url}/authorize/decision`, { method: "POST", body, redirect: "manual" });
  const query = new URL(answer.headers.get("location") ?? "nowhere:").searchParams;
  return { code: query.get("code") ?? "", state: query.get("state") ?? "" };
}

const authorizer = (more: Partial<Authorizer> = {}): Authorizer => ({
  ...world.refresher(),
  plainStates: true,
  ...more,
});

/** What comes back from a consent for this token, by an address that was made for it. */
async function consented(name: string, { newOrg = false, pkce = true } = {}): Promise<Callback> {
  const options = { webexUrl: world.url, pkce, newOrg };
  return allow(await startAuthorization(await world.token(name), options, world));
}

const consent = async (name: string) => finishAuthorization(await consented(name), authorizer());

const emulator = inject("firestoreEmulator");
const STORES = [
  { store: "SQLite", skipped: false, firestore: false },
  {
    store: emulator === undefined ? "Firestore (SKIPPED: no emulator)" : "Firestore",
    skipped: emulator === undefined,
    firestore: true,
  },
];

for (const { store, skipped, firestore } of STORES) {
  describe.skipIf(skipped)(`on ${store}`, () => {
    let shared: DocumentStore | undefined;
    beforeAll(() => {
      if (!firestore) return;
      process.env.FIRESTORE_EMULATOR_HOST = emulator;
      shared = openFirestore({ project: freshProject(), database: "(default)" });
    });
    afterAll(async () => {
      await shared?.close();
    });
    let name = "";
    let count = 0;
    beforeEach(async () => {
      name = `token ${++count}`;
      if (shared === undefined) {
        world = await openWorld();
      } else {
        const documents = intercepted(shared, (_, perform) => perform());
        documents.close = async () => {};
        world = await openWorld({
          documents,
          clock: { now: Date.now, advance: () => {} },
          runtime: realRuntime,
        });
      }
      await world.add(name, world.granted(OLD));
    });

    describe("a refresh", () => {
      test("replaces the tokens, drops the lease, and schedules the next ahead of every reader", async () => {
        const before = await world.token(name);
        expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
        const { document } = await world.token(name);
        expect(document.accessToken).not.toBe(before.document.accessToken);
        expect(live(document.accessToken)).toBe(true);
        expect(document).toMatchObject({
          refreshToken: before.document.refreshToken,
          lifetime: 43_199,
          orgId: ORG,
        });
        expect(document.scope).toBe(CLIENT.scopes.join(" "));
        const left = (document.accessExpires ?? 0) - (document.refreshAt ?? 0);
        expect(left).toBeGreaterThanOrEqual(2.5 * HOUR);
        expect(left).toBeLessThanOrEqual(3 * HOUR);
        expect(document.lease).toBeUndefined();
        expect(document.failure).toBeUndefined();
        expect(world.events("refresh.done")).toEqual([{ token: name, count: undefined, lifetime: 43_199 }]);
      });

      test("fifty at once, each in a process of its own, send one request", async () => {
        const outcomes = await Promise.all(range(50).map(() => refresh(name, READER, world.refresher())));
        const kinds = outcomes.map(({ outcome }) => outcome);
        expect(kinds.filter((kind) => kind === "refreshed")).toHaveLength(1);
        expect(kinds.filter((kind) => kind === "leased" || kind === "fresh")).toHaveLength(49);
        expect(world.refreshes()).toBe(1);
      });

      test("whose answer comes after a consent is discarded: the consent's tokens survive", async () => {
        let granted: string | undefined;
        const after = async () => {
          await consent(name);
          granted = (await world.token(name)).document.refreshToken;
        };
        const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
        expect(await refresh(name, READER, refresher)).toEqual({ outcome: "discarded" });
        const { document } = await world.token(name);
        expect(document.refreshToken).toBe(granted);
        expect(live(document.accessToken)).toBe(true);
        expect(document.lease).toBeUndefined();
        expect(world.events("refresh.discarded")).toHaveLength(1);
      });

      test("that is refused after a consent came leaves the consent's tokens without a failure", async () => {
        world.sandbox.authority.revoke({ clientId: "C1" });
        const after = async () => void (await consent(name));
        const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
        await refresh(name, READER, refresher);
        const { document } = await world.token(name);
        expect(document.failure).toBeUndefined();
        expect(live(document.accessToken)).toBe(true);
        expect(world.events("refresh.refused")).toEqual([]);
      });

      test("is applied again where another field was edited meanwhile", async () => {
        let edits = 0;
        const hooked = intercepted(world.documents, async (call, perform) => {
          // Twice: the second edit comes between the re-reading and the second write.
          if (isSave(call) && edits++ < 2) await world.edit(name, { scopes: `edit ${edits}` });
          return perform();
        });
        const refresher = world.refresher({ store: tokenStore(hooked, world.runtime.now) });
        expect(await refresh(name, READER, refresher)).toEqual({ outcome: "refreshed" });
        const { document } = await world.token(name);
        expect(document.scopes).toBe("edit 2");
        expect(live(document.accessToken)).toBe(true);
        expect(document.lease).toBeUndefined();
        expect(world.refreshes()).toBe(1);
      });

      test("is discarded where a new secret came in between: the lease goes, the next ask tries at once", async () => {
        const { accessToken } = (await world.token(name)).document;
        const after = async () => {
          world.sandbox.authority.registerClient({ ...CLIENT, clientSecret: "a-new-secret" });
          await world.edit(name, { clientSecret: "a-new-secret" });
        };
        const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
        expect(await refresh(name, READER, refresher)).toEqual({ outcome: "discarded" });
        const { document } = await world.token(name);
        expect(document).toMatchObject({ accessToken, clientSecret: "a-new-secret" });
        expect(document.lease).toBeUndefined();
        expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
      });

      test("refused with the old secret while a new one was typed leaves no failure behind", async () => {
        await world.edit(name, { clientSecret: "wrong" });
        const after = () => world.edit(name, { clientSecret: CLIENT.clientSecret });
        await refresh(name, READER, world.refresher({ endpoint: escorted(world.endpoint, { after }) }));
        const { document } = await world.token(name);
        expect(document.failure).toBeUndefined();
        expect(document.lease).toBeUndefined();
        expect(world.events("refresh.refused")).toEqual([]);
        expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
      });

      test("of a token that was removed meanwhile is discarded, and does not bring it back", async () => {
        const after = async () => void (await world.store.remove(name));
        const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
        expect(await refresh(name, READER, refresher)).toEqual({ outcome: "discarded" });
        expect(await world.store.read(name)).toBeUndefined();
        expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "missing" });
      });

      describe.each(["landed", "not performed"] as const)("with a write that timed out and %s", (trouble) => {
        test("as it claimed the lease: it knows its lease again, and Webex is asked once", async () => {
          const hooked = troubled(world.documents, trouble, isClaim);
          const refresher = world.refresher({ store: tokenStore(hooked, world.runtime.now) });
          expect(await refresh(name, READER, refresher)).toEqual({ outcome: "refreshed" });
          const { document } = await world.token(name);
          expect(live(document.accessToken)).toBe(true);
          expect(document.lease).toBeUndefined();
          expect(world.refreshes()).toBe(1);
        });

        test("as it stored the tokens: they are there, and Webex is asked once", async () => {
          const hooked = troubled(world.documents, trouble, isSave);
          const refresher = world.refresher({ store: tokenStore(hooked, world.runtime.now) });
          expect(await refresh(name, READER, refresher)).toEqual({ outcome: "refreshed" });
          const { document } = await world.token(name);
          expect(live(document.accessToken)).toBe(true);
          expect(document.lease).toBeUndefined();
          expect(world.refreshes()).toBe(1);
          expect(critical()).toEqual([]);
        });

        test("as it stored a refusal: a person is told", async () => {
          world.sandbox.authority.revoke({ clientId: "C1" });
          const hooked = troubled(world.documents, trouble, isSave);
          const refresher = world.refresher({ store: tokenStore(hooked, world.runtime.now) });
          expect(await refresh(name, READER, refresher)).toMatchObject({
            outcome: "failed",
            permanent: true,
          });
          expect((await world.token(name)).document.failure).toMatchObject({ count: 1, permanent: true });
          expect(world.events("refresh.refused")).toHaveLength(1);
        });
      });
    });

    describe("a state", () => {
      test("serves once, however many bring it at once", async () => {
        const callback = await consented(name);
        const ends = await Promise.allSettled(
          range(10).map(() => finishAuthorization(callback, authorizer())),
        );
        expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
        for (const end of ends)
          if (end.status === "rejected") expect(end.reason).toMatchObject({ code: "state_refused" });
        expect(world.exchanges()).toBe(1);
        expect(live((await world.token(name)).document.accessToken)).toBe(true);
      });

      test.each([
        "no-such-state",
        "a/b",
        "a/b/c",
        "..",
        "__x__",
        "/",
        " ",
        "\u0000",
        "\ud800",
        "x".repeat(2000),
      ])("that nobody made (%j) is refused, and Webex is not asked", async (state) => {
        const ended = finishAuthorization({ code: "c", state }, authorizer());
        await expect(ended).rejects.toMatchObject({ name: "Problem", code: "state_refused" });
        expect(world.exchanges()).toBe(0);
      });
    });
  });
}

describe("a refresh", () => {
  beforeEach(async () => {
    world = await openWorld();
    await world.add("t", world.granted(OLD));
  });

  /** A store that answers until `down` is set. */
  function interruptible() {
    const state = { down: false };
    const hooked = intercepted(world.documents, (_, perform) => {
      if (state.down) throw new StoreUnavailable("down");
      return perform();
    });
    return { state, store: tokenStore(hooked, world.runtime.now) };
  }

  test("finds the store down as it saves, tries until its lease runs out, says so, and recovers next time", async () => {
    const { state, store } = interruptible();
    const after = async () => {
      state.down = true;
    };
    const started = world.clock.now();
    const refresher = world.refresher({ store, endpoint: escorted(world.endpoint, { after }) });
    expect(await refresh("t", READER, refresher)).toEqual({ outcome: "unsaved" });
    expect(world.clock.now() - started).toBeGreaterThanOrEqual(29 * SECOND);
    expect(world.clock.now() - started).toBeLessThanOrEqual(30 * SECOND);
    expect(world.events("refresh.unsaved")).toEqual([{ token: "t", count: undefined }]);
    expect(critical()).toHaveLength(1);
    expect(live((await world.token("t")).document.accessToken)).toBe(true);
    world.clock.advance(SECOND);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    expect(live((await world.token("t")).document.accessToken)).toBe(true);
  });

  test("finds the store down as it saves, and saves when it is back before the lease ends", async () => {
    const { state, store } = interruptible();
    const started = world.clock.now();
    const runtime = {
      ...world.runtime,
      sleep: async (ms: number) => {
        await world.runtime.sleep(ms);
        state.down = world.clock.now() < started + 20 * SECOND;
      },
    };
    const after = async () => {
      state.down = true;
    };
    const refresher = world.refresher({ store, runtime, endpoint: escorted(world.endpoint, { after }) });
    expect(await refresh("t", READER, refresher)).toEqual({ outcome: "refreshed" });
    expect(world.refreshes()).toBe(1);
    expect(live((await world.token("t")).document.accessToken)).toBe(true);
    expect(critical()).toEqual([]);
  });

  test("that can't claim because the store is down says so, and does not ask Webex", async () => {
    const store = tokenStore(troubled(world.documents, "not performed", isClaim, 1000), world.runtime.now);
    const ended = refresh("t", READER, world.refresher({ store }));
    await expect(ended).rejects.toThrow(StoreUnavailable);
    expect(world.refreshes()).toBe(0);
  });

  test("that was killed leaves a lease that ends after 30 s, and not before", async () => {
    let asked = () => {};
    const reached = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const before = async () => {
      asked();
      await never();
    };
    void refresh("t", READER, world.refresher({ endpoint: escorted(world.endpoint, { before }) }));
    await reached;
    const until = world.clock.now() + 30 * SECOND;
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "leased", until });
    world.clock.advance(30 * SECOND - 1);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "leased", until });
    world.clock.advance(1);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    expect(world.refreshes()).toBe(1);
  });

  test("killed at any await leaves the held token, and is made good once its lease is over", async () => {
    for (const when of ["before", "after"] as const) {
      let kills = 0;
      for (let last = false; !last; kills++) {
        const name = `${when} ${kills}`;
        await world.add(name, world.granted(OLD));
        let step = 0;
        let died = () => {};
        const dead = new Promise<"killed">((resolve) => {
          died = () => resolve("killed");
        });
        const mortal = async <T>(perform: () => Promise<T>): Promise<T> => {
          if (step++ !== kills) return perform();
          if (when === "after") await perform();
          died();
          return never();
        };
        const { endpoint } = world;
        const refresher = world.refresher({
          store: tokenStore(
            intercepted(world.documents, (_, perform) => mortal(perform)),
            world.runtime.now,
          ),
          endpoint: { ...endpoint, refresh: (request) => mortal(() => endpoint.refresh(request, false)) },
        });
        const end = await Promise.race([dead, refresh(name, SWEEP, refresher)]);
        last = end !== "killed";

        expect(live((await world.token(name)).document.accessToken)).toBe(true);
        world.clock.advance(30 * SECOND);
        await sweep(world.sweeper());
        const { document } = await world.token(name);
        expect(live(document.accessToken)).toBe(true);
        expect(document.accessExpires).toBeGreaterThan(world.clock.now() + 11 * HOUR);
        expect(document.lease).toBeUndefined();
        expect(document.failure).toBeUndefined();
      }
      // Read, claim, Webex, save: there were that many ways to die.
      expect(kills).toBe(5);
    }
  });

  test("whose lease ran out before Webex answered gives way to the one that came after it", async () => {
    let winner: string | undefined;
    const after = async () => {
      world.clock.advance(31 * SECOND);
      expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
      winner = (await world.token("t")).document.accessToken;
    };
    const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
    expect(await refresh("t", READER, refresher)).toEqual({ outcome: "discarded" });
    expect((await world.token("t")).document.accessToken).toBe(winner);
  });

  test("whose lease ran out while another one is asking Webex does not write over its lease", async () => {
    const slow = async () => {
      world.clock.advance(31 * SECOND);
      let outcome: Outcome | undefined;
      const before = async () => {
        outcome = await late;
      };
      const second = refresh(
        "t",
        READER,
        world.refresher({ endpoint: escorted(world.endpoint, { before }) }),
      );
      overtaken = second.then((end) => [outcome, end]);
      while (!(await leasedAnew())) await world.runtime.sleep(0);
    };
    const first = (await world.token("t")).version;
    const leasedAnew = async () => {
      const { document, version } = await world.token("t");
      return version !== first && (document.lease?.expires ?? 0) > world.clock.now();
    };
    let overtaken: Promise<unknown> = never();
    const late = refresh(
      "t",
      READER,
      world.refresher({ endpoint: escorted(world.endpoint, { after: slow }) }),
    );
    await late;
    expect(await overtaken).toEqual([{ outcome: "discarded" }, { outcome: "refreshed" }]);
    expect(live((await world.token("t")).document.accessToken)).toBe(true);
  });

  test("whose lease ran out, but after which nobody came, is stored: nothing newer is overwritten", async () => {
    const after = async () => world.clock.advance(31 * SECOND);
    const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
    expect(await refresh("t", READER, refresher)).toEqual({ outcome: "refreshed" });
    const { document } = await world.token("t");
    // Life counts from the start of the request.
    expect(document.accessExpires).toBe(world.clock.now() - 31 * SECOND + 43_199 * SECOND);
  });

  test("whose answer was lost after Webex processed it recovers at the next try", async () => {
    const before = await world.token("t");
    world.sandbox.faults.add({ fault: "lost", times: 1 });
    expect(await refresh("t", READER, world.refresher())).toEqual({
      outcome: "failed",
      code: "network",
      permanent: false,
    });
    expect((await world.token("t")).document).toMatchObject({
      accessToken: before.document.accessToken,
      refreshToken: before.document.refreshToken,
      failure: { count: 1, code: "network", permanent: false },
    });
    world.clock.advance(MINUTE);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    const { document } = await world.token("t");
    expect(live(document.accessToken)).toBe(true);
    expect(document.failure).toBeUndefined();
    expect(critical()).toEqual([]);
  });

  test("by the sweep, whose answer was lost, asks once more by itself; for a reader it does not", async () => {
    world.sandbox.faults.add({ fault: "lost", times: 1 });
    expect(await refresh("t", SWEEP, world.refresher())).toEqual({ outcome: "refreshed" });
    expect(world.refreshes()).toBe(2);
  });

  test("that lost a rotated refresh token says so, CRITICAL and once, and the held token stays", async () => {
    const { accessToken } = (await world.token("t")).document;
    world.sandbox.faults.add({ fault: "rotate", times: 1 });
    const endpoint: TokenEndpoint = {
      ...world.endpoint,
      refresh: async (request) => {
        await world.endpoint.refresh(request, false);
        return { error: "network" };
      },
    };
    expect(await refresh("t", READER, world.refresher({ endpoint }))).toMatchObject({ permanent: false });
    world.clock.advance(MINUTE);
    const refused: Outcome = { outcome: "failed", code: "invalid_request", permanent: true };
    expect(await refresh("t", READER, world.refresher())).toEqual(refused);
    expect(world.events("refresh.refused")).toEqual([
      { token: "t", count: 1, code: "invalid_request", permanent: true },
    ]);
    expect(EVENTS["refresh.refused"]).toBe("CRITICAL");
    const { document } = await world.token("t");
    expect(document.accessToken).toBe(accessToken);
    expect(live(accessToken)).toBe(true);
    expect(await refresh("t", READER, world.refresher())).toMatchObject({ outcome: "deferred" });
    expect(critical()).toHaveLength(1);
  });

  test("that brings a new refresh token stores it, and goes on with it", async () => {
    const { refreshToken } = (await world.token("t")).document;
    world.sandbox.faults.add({ fault: "rotate", times: 1 });
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    expect((await world.token("t")).document.refreshToken).not.toBe(refreshToken);
    world.clock.advance(10 * HOUR);
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
  });

  test.each(["omit", "null-fields"] as const)("keeps what the answer left out (%s)", async (fault) => {
    await world.edit("t", { scope: "granted once", lifetime: 7200 });
    const { document: before } = await world.token("t");
    world.sandbox.faults.add({ fault });
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    const { document } = await world.token("t");
    const { refreshToken, refreshExpires } = before;
    expect(document).toMatchObject({ refreshToken, refreshExpires, scope: "granted once", lifetime: 7200 });
    expect(document.accessExpires).toBe(world.clock.now() + 2 * HOUR);
    expect(live(document.accessToken)).toBe(true);
  });

  test("reads numbers that come as strings", async () => {
    world.sandbox.faults.add({ fault: "strings" });
    await refresh("t", READER, world.refresher());
    const { document } = await world.token("t");
    expect(document.accessExpires).toBe(world.clock.now() + 43_199 * SECOND);
    expect(document.refreshExpires).toBe(world.clock.now() + CLIENT.refreshLifetime * SECOND);
    expect(document.lifetime).toBe(43_199);
  });

  const BLIPS: Fault[] = [
    ...(["429", "429-none", "429-zero", "429-rand", "429-empty"] as const),
    ...(["500", "html", "html-403", "html-500", "redirect", "empty-token", "down", "lost"] as const),
  ];
  test.each(BLIPS)(
    "takes an hour of %s for a blip: nothing is deleted, and it recovers alone",
    async (fault) => {
      const { document: before } = await world.token("t");
      await world.edit("t", { accessExpires: world.clock.now() + 3 * HOUR });
      world.sandbox.faults.add({ fault, seconds: 3600 });
      const sweeper = world.sweeper({ endpoint: unhurried(world.endpoint) });
      await sweepFor(HOUR, sweeper);
      const { document } = await world.token("t");
      expect(document).toMatchObject({ accessToken: before.accessToken, refreshToken: before.refreshToken });
      expect(document.failure).toMatchObject({ permanent: false });
      expect(world.refreshes()).toBeLessThanOrEqual(13);
      await sweepFor(13 * MINUTE, sweeper);
      const { document: after } = await world.token("t");
      expect(after.accessToken).not.toBe(before.accessToken);
      expect(live(after.accessToken)).toBe(true);
      expect(after.failure).toBeUndefined();
      expect(critical()).toEqual([]);
    },
  );

  test("of a revoked token asks a handful of times in a day of sweeps and reads, and alerts once", async () => {
    const { accessToken } = (await world.token("t")).document;
    world.sandbox.authority.revoke();
    const sweeper = world.sweeper();
    await sweepFor(DAY, sweeper, () => refresh("t", READER, sweeper));
    expect(world.refreshes()).toBeGreaterThanOrEqual(3);
    expect(world.refreshes()).toBeLessThanOrEqual(5);
    expect(world.events("refresh.refused")).toHaveLength(1);
    expect(critical()).toHaveLength(1);
    expect((await world.token("t")).document).toMatchObject({ accessToken, failure: { permanent: true } });
  });

  test("with a secret that was mended after a long backoff is tried by the next ask, at once", async () => {
    await world.edit("t", { clientSecret: "wrong" });
    await sweepFor(4 * HOUR);
    expect((await world.token("t")).document.failure?.count).toBeGreaterThanOrEqual(3);
    const asked = world.refreshes();
    await refresh("t", READER, world.refresher());
    expect(world.refreshes()).toBe(asked);
    await world.edit("t", { clientSecret: CLIENT.clientSecret });
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    expect((await world.token("t")).document.failure).toBeUndefined();
  });

  test("with a secret that was changed for another wrong one is a new refusal, and told anew", async () => {
    await world.edit("t", { clientSecret: "wrong" });
    await refresh("t", READER, world.refresher());
    await world.edit("t", { clientSecret: "wrong too" });
    await refresh("t", READER, world.refresher());
    expect((await world.token("t")).document.failure).toMatchObject({ count: 1 });
    expect(world.events("refresh.refused")).toHaveLength(2);
  });

  test("that is answered with the same token again does not loop", async () => {
    world.sandbox.faults.add({ fault: "same-token" });
    const { access_token, refresh_token } = world.sandbox.authority.issue("C1");
    const accessExpires = world.clock.now() + 43_199 * SECOND;
    await world.edit("t", { accessToken: access_token, refreshToken: refresh_token, accessExpires });
    expect(await refresh("t", SWEEP, world.refresher())).toEqual({ outcome: "unchanged" });
    const { document } = await world.token("t");
    expect(document.refreshAt).toBeGreaterThan(world.clock.now() + 8 * HOUR);
    // Into the last hours, where it is due and below the threshold, with readers that come every minute.
    await sweepFor(DAY, world.sweeper(), async () => {
      await refresh("t", READER, world.refresher());
      expect(live((await world.token("t")).document.accessToken)).toBe(true);
    });
    expect(world.refreshes()).toBeLessThanOrEqual(60);
    expect(critical()).toEqual([]);
  });

  test("that is answered with the same token, and not how long it lives, adds nothing to its life", async () => {
    const { accessToken, accessExpires } = (await world.token("t")).document;
    const body = JSON.stringify({ access_token: accessToken, token_type: "Bearer" });
    const endpoint: TokenEndpoint = { ...world.endpoint, refresh: async () => ({ status: 200, body }) };
    expect(await refresh("t", READER, world.refresher({ endpoint }))).toEqual({ outcome: "unchanged" });
    expect((await world.token("t")).document).toMatchObject({ accessToken, accessExpires });
  });

  test("of a rejected token that Webex returns again is tried more and more rarely", async () => {
    world.sandbox.faults.add({ fault: "same-token" });
    await refresh("t", READER, world.refresher());
    const { accessToken, accessExpires } = (await world.token("t")).document;
    const start = world.refreshes();
    const ask: AskByHash = { by: "reader", ifToken: sha256(accessToken ?? "") };
    for (const _ of range(6 * 60)) {
      world.clock.advance(10 * SECOND);
      await refresh("t", ask, world.refresher());
    }
    expect((await world.token("t")).document).toMatchObject({ accessToken, accessExpires });
    expect(world.refreshes() - start).toBeGreaterThanOrEqual(5);
    expect(world.refreshes() - start).toBeLessThanOrEqual(9);
  });

  test.each([
    ["clientId", undefined, "missing_clientId"],
    ["clientId", "  ", "missing_clientId"],
    ["clientSecret", undefined, "missing_clientSecret"],
    ["clientSecret", 12, "mistyped_clientSecret"],
  ])(
    "without %s (%j) is a permanent failure that names it, and Webex is not asked",
    async (field, value, code) => {
      await world.edit("t", { [field]: value });
      const { document: before } = await world.token("t");
      expect(await refresh("t", SWEEP, world.refresher())).toEqual({
        outcome: "failed",
        code,
        permanent: true,
      });
      expect(world.refreshes()).toBe(0);
      const { document } = await world.token("t");
      expect(document.failure).toMatchObject({ code, permanent: true, count: 1 });
      expect(document.accessToken).toBe(before.accessToken);
      expect(world.events("refresh.refused")).toHaveLength(1);
      await sweepFor(HOUR);
      expect(world.events("refresh.refused")).toHaveLength(1);
      await world.edit("t", { [field]: SETTINGS[field as "clientId"] });
      expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
    },
  );

  test("held back by a 429 asks nobody for anything until its Retry-After is over", async () => {
    await world.add("u", world.granted(OLD));
    world.sandbox.faults.add({ fault: "429", retryAfter: 120, times: 1 });
    const refresher = world.refresher();
    expect(await refresh("t", READER, refresher)).toMatchObject({ outcome: "failed", code: "rate_limited" });
    const until = world.clock.now() + 120 * SECOND;
    expect(await refresh("u", READER, refresher)).toEqual({ outcome: "deferred", until });
    world.clock.advance(120 * SECOND - 1);
    expect(await refresh("u", READER, refresher)).toEqual({ outcome: "deferred", until });
    expect(world.refreshes()).toBe(1);
    world.clock.advance(1);
    expect(await refresh("u", READER, refresher)).toEqual({ outcome: "refreshed" });
    expect(await refresh("t", SWEEP, refresher)).toEqual({ outcome: "refreshed" });
  });

  test("obeys a Retry-After for ten minutes at most", async () => {
    world.sandbox.faults.add({ fault: "429", retryAfter: 86_400, times: 1 });
    const refresher = world.refresher();
    await refresh("t", READER, refresher);
    world.clock.advance(10 * MINUTE);
    expect(await refresh("t", SWEEP, refresher)).toEqual({ outcome: "refreshed" });
  });

  test("keeps the longer of two holds: a 429 without Retry-After does not end that of another", async () => {
    await world.add("u", world.granted(OLD));
    world.sandbox.faults.add({ fault: "429", retryAfter: 120, times: 1 });
    world.sandbox.faults.add({ fault: "429-none", times: 1 });
    const refresher = world.refresher();
    const both = Promise.withResolvers<void>();
    let asking = 0;
    const before = async () => {
      if (++asking === 2) both.resolve();
      await both.promise;
    };
    const endpoint = escorted(world.endpoint, { before });
    await Promise.all(["t", "u"].map((name) => refresh(name, READER, { ...refresher, endpoint })));
    expect(world.refreshes()).toBe(2);
    expect(refresher.hold.until).toBe(world.clock.now() + 120 * SECOND);
  });

  test("by machines whose clocks are two minutes apart: one asks, and what it stores is by the store's clock", async () => {
    const machine = (off: number) => {
      const now = () => world.clock.now() + off;
      return world.refresher({ runtime: { ...world.runtime, now }, store: tokenStore(world.documents, now) });
    };
    const machines = [machine(-MINUTE), machine(MINUTE), machine(0)];
    const outcomes = await Promise.all(machines.map((one) => refresh("t", READER, one)));
    expect(outcomes.map(({ outcome }) => outcome).toSorted()).toEqual(["leased", "leased", "refreshed"]);
    expect(world.refreshes()).toBe(1);
    const { document } = await world.token("t");
    expect(document.accessExpires).toBe(world.clock.now() + 43_199 * SECOND);
    for (const one of machines) expect(await refresh("t", READER, one)).toEqual({ outcome: "fresh" });
  });

  test("after the clock was set back an hour is not held back by a lease or a failure from the future", async () => {
    const lease = { id: "from the future", expires: world.clock.now() + HOUR };
    await world.edit("t", { lease });
    expect(await refresh("t", READER, world.refresher())).toEqual({ outcome: "refreshed" });
  });
});

describe("a sweep", () => {
  beforeEach(async () => {
    world = await openWorld();
  });

  const add = (name: string, more: RawFields = {}) => world.add(name, { ...world.granted(OLD), ...more });
  const addMany = (count: number) => Promise.all(range(count).map((index) => add(`t${index}`)));

  test("refreshes what is due, counts it, and logs and returns the same numbers", async () => {
    const now = world.clock.now();
    world.sandbox.authority.registerClient({ ...CLIENT, clientId: "C2" });
    await addMany(3);
    await add("longest due", { refreshAt: now - 90 * SECOND });
    await add("refused", { ...world.granted(OLD, { ...CLIENT, clientId: "C2" }) });
    world.sandbox.authority.revoke({ clientId: "C2" });
    await add("in another's hands", { lease: { id: "another", expires: now + 20 * SECOND } });
    await add("no refresh token", { refreshToken: undefined });
    await add("not yet", { refreshAt: now + 1 });
    const endpoint = escorted(world.endpoint, { before: async () => world.clock.advance(1000) });
    const summary = await sweep(world.sweeper({ endpoint, concurrency: 1 }));
    expect(summary).toEqual({
      due: 7,
      refreshed: 4,
      failed: 1,
      deferred: 2,
      remaining: 0,
      overdueSeconds: 90,
      elapsedMs: 5000,
    });
    expect(world.events("sweep.done")).toEqual([summary]);
    expect((await readSweeps(world.documents)).sweeps).toEqual([{ ...summary, at: world.clock.now() }]);
    // It would come up for ever.
    expect((await world.token("no refresh token")).document.refreshAt).toBeUndefined();
    expect(world.refreshes()).toBe(5);
  });

  test("with nothing due asks nothing, and only remembers when it was", async () => {
    await add("not yet", { refreshAt: world.clock.now() + 1 });
    expect(await sweep(world.sweeper())).toMatchObject({ due: 0, remaining: 0, overdueSeconds: 0 });
    expect(world.refreshes()).toBe(0);
    expect(await readSweeps(world.documents)).toEqual({ last: world.clock.now(), sweeps: [] });
  });

  test("takes the longest overdue first", async () => {
    const order: string[] = [];
    for (const [index, name] of ["c", "a", "b"].entries())
      await add(name, { refreshAt: world.clock.now() - 1000 + index });
    const hooked = intercepted(world.documents, (call, perform) => {
      if (isClaim(call)) order.push("claim");
      return perform();
    });
    const store = tokenStore(hooked, world.runtime.now);
    await sweep(world.sweeper({ concurrency: 1, store }));
    expect(order).toHaveLength(3);
    expect(world.events("refresh.done").map(({ token }) => token)).toEqual(["c", "a", "b"]);
  });

  test("never has more than its concurrency at Webex", async () => {
    await addMany(12);
    let now = 0;
    let most = 0;
    const endpoint = escorted(world.endpoint, {
      before: async () => {
        most = Math.max(most, ++now);
        await world.runtime.sleep(0);
      },
      after: async () => {
        now--;
      },
    });
    expect(await sweep(world.sweeper({ endpoint, concurrency: 4 }))).toMatchObject({ refreshed: 12 });
    expect(most).toBe(4);
  });

  test("stops at four fifths of its deadline and says what remains; the next one goes on", async () => {
    await addMany(10);
    const endpoint = escorted(world.endpoint, { before: async () => world.clock.advance(2000) });
    const sweeper = world.sweeper({ endpoint, concurrency: 1, deadline: 10_000 });
    expect(await sweep(sweeper)).toMatchObject({ due: 4, refreshed: 4, remaining: 6, elapsedMs: 8000 });
    expect(await sweep(sweeper)).toMatchObject({ due: 4, refreshed: 4, remaining: 2 });
    expect(await sweep(sweeper)).toMatchObject({ due: 2, refreshed: 2, remaining: 0 });
    expect(world.refreshes()).toBe(10);
  });

  test("that stopped counts as remaining what it did not reach, not what it had to pass over", async () => {
    await addMany(3);
    const now = world.clock.now();
    await add("leased", {
      refreshAt: now - 10 * SECOND,
      lease: { id: "another", expires: now + 20 * SECOND },
    });
    const endpoint = escorted(world.endpoint, { before: async () => world.clock.advance(8000) });
    const summary = await sweep(world.sweeper({ endpoint, concurrency: 1, deadline: 10_000 }));
    expect(summary).toMatchObject({ due: 2, refreshed: 1, deferred: 1, remaining: 2 });
  });

  test("ends at a 429, and its process leaves the rest alone until the Retry-After is over", async () => {
    await addMany(5);
    world.sandbox.faults.add({ fault: "429", retryAfter: 150, times: 1 });
    const sweeper = world.sweeper({ concurrency: 1 });
    expect(await sweep(sweeper)).toMatchObject({ due: 1, failed: 1, remaining: 4 });
    world.clock.advance(MINUTE);
    expect(await sweep(sweeper)).toMatchObject({ due: 0, refreshed: 0, remaining: 4 });
    world.clock.advance(91 * SECOND);
    expect(await sweep(sweeper)).toMatchObject({ refreshed: 5, remaining: 0 });
    expect(world.refreshes()).toBe(6);
  });

  test("that is held back tells how long the longest has been waiting, and does not pretend to be on time", async () => {
    await addMany(2);
    const sweeper = world.sweeper();
    sweeper.hold.until = world.clock.now() + 10 * MINUTE;
    world.clock.advance(5 * MINUTE);
    const summary = await sweep(sweeper);
    expect(summary).toMatchObject({ due: 0, remaining: 2 });
    expect(summary.overdueSeconds).toBe(300);
  });

  test("and another one at the same time refresh each due token once", async () => {
    await addMany(40);
    const [one, other] = await Promise.all([sweep(world.sweeper()), sweep(world.sweeper())]);
    expect(one.refreshed + other.refreshed).toBe(40);
    expect(world.refreshes()).toBe(40);
    expect(world.events("refresh.discarded")).toEqual([]);
  });

  test("reads as many tokens as are due, however many are stored", async () => {
    const due = 510;
    const tokens = { ...world.granted(OLD), refreshToken: undefined };
    for (const index of range(due)) await world.add(`due ${index}`, tokens);
    for (const index of range(700))
      await world.add(`later ${index}`, { ...tokens, refreshAt: world.clock.now() + 1 });
    let read = 0;
    const hooked = intercepted(world.documents, async (call, perform) => {
      const found: unknown = await perform();
      if (call.collection === "tokens")
        read += Array.isArray(found) ? found.length : call.method === "read" ? 1 : 0;
      return found as Awaited<ReturnType<typeof perform>>;
    });
    const summary = await sweep(world.sweeper({ store: tokenStore(hooked, world.runtime.now) }));
    expect(summary).toMatchObject({ due, deferred: due, remaining: 0 });
    expect(read).toBe(due);
  });

  test("reads a token that it refreshes once", async () => {
    await addMany(5);
    let read = 0;
    const hooked = intercepted(world.documents, (call, perform) => {
      if (call.method === "read" && call.collection === "tokens") read++;
      return perform();
    });
    const summary = await sweep(world.sweeper({ store: tokenStore(hooked, world.runtime.now) }));
    expect(summary).toMatchObject({ refreshed: 5 });
    expect(read).toBe(0);
  });

  test("goes on with the others where one token can't be written", async () => {
    await addMany(3);
    const store = tokenStore(
      troubled(
        intercepted(world.documents, (call, perform) => {
          if (call.method === "read" && call.collection === "tokens") throw new StoreUnavailable("down");
          return perform();
        }),
        "not performed",
        isClaim,
      ),
      world.runtime.now,
    );
    expect(await sweep(world.sweeper({ store, concurrency: 1 }))).toMatchObject({
      due: 3,
      refreshed: 2,
      failed: 1,
    });
    expect(world.events("store.unavailable")).toEqual([{ token: "t0" }]);
  });

  test("that can't find out what is due fails, so that the Scheduler tries again", async () => {
    const store = tokenStore(
      troubled(world.documents, "not performed", ({ method }) => method === "upTo"),
      world.runtime.now,
    );
    await expect(sweep(world.sweeper({ store }))).rejects.toThrow(StoreUnavailable);
  });

  test("is not undone by a diary that can't be written", async () => {
    await addMany(1);
    const store = tokenStore(
      troubled(world.documents, "not performed", ({ collection }) => collection === "status", 99),
      world.runtime.now,
    );
    expect(await sweep(world.sweeper({ store }))).toMatchObject({ refreshed: 1 });
  });

  test("leaves in status/sweeps the last hundred that did something, and when the last one was", async () => {
    for (const index of range(120)) {
      await world.add(`t${index}`, { refreshAt: world.clock.now(), clientId: "C1" });
      await sweep(world.sweeper());
      world.clock.advance(MINUTE);
      await sweep(world.sweeper());
    }
    const { last, sweeps } = await readSweeps(world.documents);
    expect(last).toBe(world.clock.now());
    expect(sweeps).toHaveLength(100);
    expect(sweeps.every(({ due }) => due === 1)).toBe(true);
    expect(sweeps.at(-1)?.at).toBe(world.clock.now() - MINUTE);
    expect(sweeps[0]?.at).toBe(world.clock.now() - 100 * MINUTE);
  });

  test("does not come back to a fixed token that has a refresh token too", async () => {
    await add("fixed", { static: true });
    await sweep(world.sweeper());
    expect(world.refreshes()).toBe(0);
    expect(await sweep(world.sweeper())).toMatchObject({ due: 0 });
  });

  test("uses a refresh token once more a day before its end", async () => {
    const client = { ...CLIENT, clientId: "S1", accessLifetime: 14 * 86_400, refreshLifetime: 20 * 86_400 };
    world.sandbox.authority.registerClient(client);
    const granted = world.granted(0, client);
    const ends = granted.refreshExpires ?? 0;
    await world.add("app", { ...granted, refreshAt: world.clock.now() + 13 * DAY });
    const used: number[] = [];
    const sweeper = world.sweeper();
    while (world.clock.now() < ends) {
      if ((await sweep(sweeper)).refreshed > 0) used.push((ends - world.clock.now()) / DAY);
      world.clock.advance(HOUR);
    }
    expect(used).toEqual([7, 1]);
    const { document } = await world.token("app");
    expect(document.accessExpires).toBe(ends - DAY + 14 * DAY);
  });
});

describe("a census", () => {
  beforeEach(async () => {
    world = await openWorld();
  });

  /** A document of the original sample: eight fields, and nothing that the sweep could find it by. */
  function sample(age: number): RawFields {
    const { lifetime, orgId, refreshAt, ...fields } = world.granted(age);
    return fields;
  }

  test("adopts the sample's documents: each is scheduled by its life, one without life is due", async () => {
    await world.add("young", sample(0));
    await world.add("old", sample(OLD));
    await world.add("ended", sample(13 * HOUR));
    await world.add("empty", { clientId: "", clientSecret: "", redirectUri: "" });
    await world.add("fixed", { accessToken: "x", accessExpires: world.clock.now() + DAY, static: true });
    expect(await census(world.refresher())).toMatchObject({ tokens: 5, adopted: 3 });
    expect(world.events("census.adopted").map(({ token }) => token)).toEqual(["ended", "old", "young"]);
    const { document } = await world.token("young");
    const left = (document.accessExpires ?? 0) - (document.refreshAt ?? 0);
    expect(left / HOUR).toBeGreaterThanOrEqual(2.5);
    expect(left / HOUR).toBeLessThanOrEqual(3);
    expect((await sweep(world.sweeper())).refreshed).toBe(2);
    expect(await census(world.refresher())).toMatchObject({ tokens: 5, adopted: 0 });
  });

  test("makes a token due whose credentials were mended by hand", async () => {
    await world.add("t", { ...world.granted(OLD), clientSecret: "wrong" });
    await sweep(world.sweeper());
    await world.edit("t", { clientSecret: CLIENT.clientSecret });
    expect(await sweep(world.sweeper())).toMatchObject({ due: 0 });
    expect(await census(world.refresher())).toMatchObject({ adopted: 1 });
    expect(await sweep(world.sweeper())).toMatchObject({ refreshed: 1 });
  });

  test.each([
    ["text", "1767600000000"],
    ["a word", "soon"],
  ])("makes a token known to the sweep whose refreshAt was typed as %s", async (_, refreshAt) => {
    await world.add("t", { ...world.granted(OLD), refreshAt });
    await census(world.refresher());
    expect(await sweep(world.sweeper())).toMatchObject({ refreshed: 1 });
  });

  test("counts every token in one state", async () => {
    const now = world.clock.now();
    await world.add("working", { ...world.granted(0), refreshAt: now + HOUR });
    await world.add("refreshing", { ...world.granted(OLD), lease: { id: "l", expires: now + 5000 } });
    await world.add("retrying", world.granted(OLD));
    await world.add("refused", { ...world.granted(OLD), clientSecret: "wrong" });
    await world.add("static", { accessToken: "x", accessExpires: now + DAY, static: true });
    await world.add("ended", { accessToken: "x", accessExpires: now - 1, static: true });
    await world.add("new", { clientId: "", clientSecret: "", redirectUri: "" });
    await refresh("refused", SWEEP, world.refresher());
    world.sandbox.faults.add({ fault: "500" });
    await refresh("retrying", SWEEP, world.refresher());
    expect(await census(world.refresher())).toMatchObject({
      tokens: 7,
      states: {
        working: 1,
        refreshing: 1,
        retrying: 1,
        "needs a person": 1,
        static: 1,
        ended: 1,
        "not authorized": 1,
      },
    });
  });

  test("names each field that was mistyped", async () => {
    await world.add("t", { ...world.granted(0), lifetime: "long", clientId: 7 });
    await census(world.refresher());
    expect(world.events("token.mistyped")).toEqual([
      { token: "t", field: "clientId" },
      { token: "t", field: "lifetime" },
    ]);
  });

  test("tells of 14, 7, 3 and 1 days before the end once each, although it comes daily and at odd hours", async () => {
    const day = world.clock.now();
    await world.add("t", {
      ...world.granted(0),
      refreshExpires: day + 20.5 * DAY,
      refreshAt: day + 60 * DAY,
    });
    await world.add("fixed", { accessToken: "x", accessExpires: day + 5 * DAY, static: true });
    for (const hours of [24, 23, 25, 24, 20, 28, 48, 1]) {
      for (const _ of range(3)) {
        await census(world.refresher());
        world.clock.advance(hours * HOUR);
      }
    }
    const told = world.events("token.ending");
    expect(told.filter(({ token }) => token === "t")).toEqual(
      [14, 7, 3, 1].map((days) => ({ token: "t", kind: "refresh token", days })),
    );
    expect(told.filter(({ token }) => token === "fixed")).toEqual(
      [7, 3, 1].map((days) => ({ token: "fixed", kind: "access token", days })),
    );
  });

  test("that failed half-way tells the next time what it could not", async () => {
    const day = world.clock.now();
    await world.add("t", {
      ...world.granted(0),
      refreshExpires: day + 14.5 * DAY,
      refreshAt: day + 60 * DAY,
    });
    await census(world.refresher());
    world.clock.advance(DAY);
    const broken = troubled(world.documents, "not performed", ({ method }) => method === "list");
    const store = tokenStore(broken, world.runtime.now);
    await expect(census(world.refresher({ store }))).rejects.toThrow(StoreUnavailable);
    await census(world.refresher());
    expect(world.events("token.ending")).toEqual([{ token: "t", kind: "refresh token", days: 14 }]);
  });

  test("reads every document once", async () => {
    const fixed = { accessToken: "x", accessExpires: world.clock.now() + 90 * DAY, static: true };
    for (const index of range(1001)) await world.add(`t${index}`, fixed);
    let read = 0;
    const hooked = intercepted(world.documents, async (call, perform) => {
      const found: unknown = await perform();
      if (call.collection === "tokens") read += Array.isArray(found) ? found.length : 1;
      return found as Awaited<ReturnType<typeof perform>>;
    });
    const store = tokenStore(hooked, world.runtime.now);
    expect(await census(world.refresher({ store }))).toMatchObject({ tokens: 1001 });
    expect(read).toBe(1001);
  });
});

describe("an authorization", () => {
  const SCOPES = CLIENT.scopes.join(" ");
  const FOREIGN = { ...CLIENT, clientId: "C2", clientSecret: "s3cret-of-C2", orgId: OTHER_ORG };

  beforeEach(async () => {
    world = await openWorld();
    world.sandbox.authority.registerClient({ ...CLIENT, requirePkce: true });
    await world.add("t", { ...SETTINGS, scopes: SCOPES });
  });

  const finish = (callback: Callback, more: Partial<Authorizer> = {}) =>
    finishAuthorization(callback, authorizer(more));

  async function problem(ended: Promise<unknown>): Promise<string> {
    const end = await ended.then(
      () => "it was accepted",
      (error: unknown) => error,
    );
    if (!(end instanceof Problem)) throw new Error(`no problem was told: ${end}`);
    return end.code;
  }

  /** What comes back where a person typed the plain name as state, as in the original set-up. */
  function plainConsent(state: string): Promise<Callback> {
    world.sandbox.authority.registerClient(CLIENT);
    const { clientId, redirectUri } = SETTINGS;
    const asked = {
      response_type: "code",
      client_id: clientId,
      redirect_uri: redirectUri,
      scope: SCOPES,
      state,
    };
    return allow(`${world.url}/authorize?${new URLSearchParams(asked)}`);
  }

  test("with PKCE gives tokens that live, and all that the sweep needs", async () => {
    expect(await finish(await consented("t"))).toBe("t");
    const { document } = await world.token("t");
    expect(live(document.accessToken)).toBe(true);
    expect(document).toMatchObject({
      ...SETTINGS,
      scope: SCOPES,
      scopes: SCOPES,
      orgId: ORG,
      lifetime: 43_199,
      accessExpires: world.clock.now() + 43_199 * SECOND,
      refreshExpires: world.clock.now() + CLIENT.refreshLifetime * SECOND,
      lastRefresh: world.clock.now(),
    });
    expect(document.refreshAt).toBeGreaterThan(world.clock.now() + 8 * HOUR);
    expect(world.events("setup.authorized")).toEqual([{ token: "t" }]);
    world.clock.advance(10 * HOUR);
    expect(await sweep(world.sweeper())).toMatchObject({ refreshed: 1 });
  });

  test("without PKCE works where the integration does not want it", async () => {
    world.sandbox.authority.registerClient(CLIENT);
    expect(await finish(await consented("t", { pkce: false }))).toBe("t");
  });

  test("keeps the state itself nowhere, and of the code nothing", async () => {
    const { state, code } = await consented("t");
    await finish({ state, code });
    const all = await Promise.all(
      (["tokens", "authorizations", "status"] as const).map((collection) =>
        world.documents.list(collection, 99),
      ),
    );
    expect(JSON.stringify(all)).not.toContain(state);
    expect(JSON.stringify(all)).not.toContain(code);
    expect(JSON.stringify(world.logged)).not.toContain(state);
    expect(all[1]?.map(({ id }) => id)).toEqual([sha256(state)]);
  });

  test("has its state bound to its verifier: the code with another state's verifier is refused", async () => {
    const mine = await consented("t");
    const stolen = await consented("t");
    expect(await problem(finish({ state: mine.state, code: stolen.code }))).toBe("code_refused");
    expect((await world.token("t")).document.accessToken).toBeUndefined();
  });

  test("that is replayed is refused, and Webex is not asked again", async () => {
    const callback = await consented("t");
    await finish(callback);
    const { version } = await world.token("t");
    expect(await problem(finish(callback))).toBe("state_refused");
    expect(world.exchanges()).toBe(1);
    expect((await world.token("t")).version).toBe(version);
  });

  test("whose code Webex refused has used its state up all the same", async () => {
    const { state, code } = await consented("t");
    expect(await problem(finish({ state, code: "forged" }))).toBe("code_refused");
    expect(await problem(finish({ state, code }))).toBe("state_refused");
    expect(world.exchanges()).toBe(1);
  });

  test("after fifteen minutes is refused, a moment before it is not", async () => {
    const [late, justInTime] = [await consented("t"), await consented("t")];
    const states = await world.documents.list("authorizations", 9);
    expect(states.map(({ fields }) => fields.expires)).toEqual(
      range(2).map(() => world.clock.now() + 15 * MINUTE),
    );
    // The sandbox's codes live ten minutes: a refused code shows that the state was accepted.
    world.clock.advance(15 * MINUTE - 1);
    expect(await problem(finish(justInTime))).toBe("code_refused");
    world.clock.advance(1);
    expect(await problem(finish(late))).toBe("state_refused");
    expect(world.exchanges()).toBe(1);
  });

  test.each(["unknown", "t ", "T", sha256("t"), "set_state_here"])(
    "with the state %j, which nobody made, is refused, and Webex is not asked",
    async (state) => {
      const code = await problem(finish({ code: "c", state }));
      expect(code).toBe(state === "set_state_here" ? "unset_state" : "state_refused");
      expect(world.exchanges()).toBe(0);
    },
  );

  test("of a token that was removed meanwhile is refused, and Webex is not asked", async () => {
    const callback = await consented("t");
    await world.store.remove("t");
    expect(await problem(finish(callback))).toBe("not_found");
    expect(world.exchanges()).toBe(0);
    expect(await world.store.read("t")).toBeUndefined();
  });

  test.each(["clientId", "clientSecret", "redirectUri"])("without %s is refused by name", async (field) => {
    const callback = await consented("t");
    await world.edit("t", { [field]: undefined });
    const ended = finish(callback);
    await expect(ended).rejects.toMatchObject({
      code: "settings_missing",
      message: expect.stringContaining(field),
    });
    expect(world.exchanges()).toBe(0);
  });

  test("that Webex can't answer now says so and changes nothing", async () => {
    const callback = await consented("t");
    world.sandbox.faults.add({ fault: "html-500" });
    const { version } = await world.token("t");
    expect(await problem(finish(callback))).toBe("webex_unavailable");
    expect((await world.token("t")).version).toBe(version);
  });

  test("by tokens of another organization is refused and changes nothing, unless that was meant", async () => {
    await finish(await consented("t"));
    world.sandbox.authority.registerClient(FOREIGN);
    const { clientId, clientSecret } = FOREIGN;
    await world.edit("t", { clientId, clientSecret });
    const { version } = await world.token("t");
    expect(await problem(finish(await consented("t")))).toBe("foreign_organization");
    expect((await world.token("t")).version).toBe(version);
    await finish(await consented("t", { newOrg: true }));
    const { document } = await world.token("t");
    expect(document.orgId).toBe(OTHER_ORG);
    expect(live(document.accessToken)).toBe(true);
  });

  test("clears what was wrong and whose hands it was in", async () => {
    await world.edit("t", { ...world.granted(OLD) });
    world.sandbox.authority.revoke();
    await refresh("t", SWEEP, world.refresher());
    await world.edit("t", { lease: { id: "another", expires: world.clock.now() + 20_000 }, static: true });
    expect((await world.token("t")).document.failure).toMatchObject({ permanent: true });
    await finish(await consented("t"));
    const { document } = await world.token("t");
    expect(document).not.toHaveProperty("failure");
    expect(document).not.toHaveProperty("lease");
    expect(document).not.toHaveProperty("static");
    expect(live(document.accessToken)).toBe(true);
  });

  test("is stored over an edit of another field that came in between", async () => {
    const callback = await consented("t");
    const after = () => world.edit("t", { passphraseHash: "f".repeat(64) });
    await finish(callback, { endpoint: escorted(world.endpoint, { after }) });
    const { document } = await world.token("t");
    expect(document.passphraseHash).toBe("f".repeat(64));
    expect(live(document.accessToken)).toBe(true);
  });

  test("is stored over a lease that was taken in between", async () => {
    await world.edit("t", { ...world.granted(OLD) });
    const callback = await consented("t");
    const after = () => world.edit("t", { lease: { id: "another", expires: world.clock.now() + 20_000 } });
    await finish(callback, { endpoint: escorted(world.endpoint, { after }) });
    const { document } = await world.token("t");
    expect(document.lease).toBeUndefined();
    expect(document.lastRefresh).toBe(world.clock.now());
  });

  test.each([{ clientSecret: "another" }, { clientId: "C9" }])(
    "is refused where %j came in between: those tokens are another client's",
    async (edit) => {
      const callback = await consented("t");
      const after = () => world.edit("t", edit);
      const ended = finish(callback, { endpoint: escorted(world.endpoint, { after }) });
      expect(await problem(ended)).toBe("settings_changed");
      expect((await world.token("t")).document).toEqual({ ...SETTINGS, scopes: SCOPES, ...edit });
    },
  );

  test.each(["landed", "not performed"] as const)(
    "whose write timed out and %s is stored, and the code used once",
    async (trouble) => {
      const callback = await consented("t");
      const store = tokenStore(troubled(world.documents, trouble, isSave), world.runtime.now);
      expect(await finish(callback, { store })).toBe("t");
      const { document } = await world.token("t");
      expect(live(document.accessToken)).toBe(true);
      expect(world.exchanges()).toBe(1);
    },
  );

  test("that can't be stored for ten seconds says so, CRITICAL", async () => {
    const callback = await consented("t");
    const started = world.clock.now();
    const store = tokenStore(troubled(world.documents, "not performed", isSave, 10_000), world.runtime.now);
    expect(await problem(finish(callback, { store }))).toBe("not_saved");
    expect(world.clock.now() - started).toBeLessThanOrEqual(11 * SECOND);
    expect(world.events("refresh.unsaved")).toEqual([{ token: "t" }]);
  });

  describe("by the plain name of a token", () => {
    const outcome = async (state = "t", more: Partial<Authorizer> = {}) => {
      const callback = await plainConsent(state);
      const ended = await finish(callback, more).catch((error: Problem) => error.code);
      return { ended, asked: world.exchanges() };
    };
    const accepted = { ended: "t", asked: 1 };
    const refused = { ended: "state_refused", asked: 0 };

    test("is accepted for one that never held a token, within an hour of its last edit", async () => {
      world.clock.advance(HOUR - 1);
      expect(await outcome()).toEqual(accepted);
    });

    test("is refused for one that never held a token, an hour after its last edit", async () => {
      world.clock.advance(HOUR);
      expect(await outcome()).toEqual(refused);
      await world.edit("t", { scopes: "again" });
      expect(await outcome()).toEqual(accepted);
    });

    test("is refused while the access token lives, whatever else is wrong", async () => {
      await world.edit("t", { ...world.granted(OLD), refreshExpires: world.clock.now() - 1 });
      world.sandbox.authority.revoke();
      await refresh("t", SWEEP, world.refresher());
      expect(await outcome()).toEqual(refused);
    });

    test("is refused where the access token has ended, but the refresh token may still serve", async () => {
      await world.edit("t", world.granted(13 * HOUR));
      expect(await outcome()).toEqual(refused);
    });

    test("is refused where a blip keeps the token from being refreshed", async () => {
      await world.edit("t", world.granted(13 * HOUR));
      world.sandbox.faults.add({ fault: "500", times: 1 });
      await refresh("t", SWEEP, world.refresher());
      expect(await outcome()).toEqual(refused);
    });

    test("is refused for an imported refresh token that was never used", async () => {
      await world.edit("t", { refreshToken: "imported" });
      expect(await outcome()).toEqual(refused);
    });

    test("is accepted where the refresh token has ended", async () => {
      await world.edit("t", { ...world.granted(13 * HOUR), refreshExpires: world.clock.now() });
      expect(await outcome()).toEqual(accepted);
    });

    test("is accepted where Webex refused the refresh token for good", async () => {
      await world.edit("t", world.granted(13 * HOUR));
      world.sandbox.authority.revoke();
      await refresh("t", SWEEP, world.refresher());
      expect(await outcome()).toEqual(accepted);
    });

    test("is refused where the refusal was of credentials that were mended since", async () => {
      await world.edit("t", { ...world.granted(13 * HOUR), clientSecret: "wrong" });
      await refresh("t", SWEEP, world.refresher());
      await world.edit("t", { clientSecret: CLIENT.clientSecret });
      expect(await outcome()).toEqual(refused);
    });

    test("is refused for an ended fixed token", async () => {
      await world.edit("t", { accessToken: "x", accessExpires: world.clock.now() - 1, static: true });
      expect(await outcome()).toEqual(refused);
    });

    test("is refused where plain states are off", async () => {
      expect(await outcome("t", { plainStates: false })).toEqual(refused);
    });

    test("is refused for tokens of another organization than before", async () => {
      await world.edit("t", { ...world.granted(13 * HOUR), refreshExpires: 1, orgId: OTHER_ORG });
      expect(await outcome()).toEqual({ ended: "foreign_organization", asked: 1 });
    });
  });
});
