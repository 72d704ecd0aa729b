import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { runtime as realRuntime } from "../../functions/adapters/runtime.ts";
import { census } from "../../functions/core/census.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { isSealed, keyOf } from "../../functions/core/seal.ts";
import { type DocumentStore, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { HOUR } from "../../functions/core/time.ts";
import { freshProject } from "../support/emulator.ts";
import { sealerOf } from "../support/sealing.ts";
import { CLIENT, OLD, openWorld, READER, SETTINGS, type World } from "../support/world.ts";
import { consent } from "./authorizations.ts";
import { escorted, intercepted } from "./troubled.ts";

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
  describe.skipIf(skipped)(`sealed on ${store}`, () => {
    let world: World;
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
      const sealer = sealerOf("new", "old");
      if (shared === undefined) world = await openWorld({ sealer });
      else {
        const documents = intercepted(shared, (_, perform) => perform());
        documents.close = async () => {};
        const clock = { now: Date.now, advance: () => {} };
        world = await openWorld({ documents, clock, runtime: realRuntime, sealer });
      }
    });
    afterEach(async () => {
      await world.close();
    });

    /** What a thief of the database sees. */
    const stored = async () => (await world.documents.read("tokens", name))?.fields ?? {};
    const keysUsed = async () => {
      const { clientSecret, refreshToken } = await stored();
      return [keyOf(String(clientSecret)), keyOf(String(refreshToken))];
    };
    /** The same store, to somebody with other keys. */
    const withKeys = (...kids: [string, ...string[]]) =>
      tokenStore(world.documents, world.runtime.now, sealerOf(...kids));

    test("a token that is created holds no secret that lasts", async () => {
      const granted = world.granted(OLD);
      await world.store.create(name, granted);
      const text = JSON.stringify(await stored());
      expect(text).not.toContain(granted.clientSecret);
      expect(text).not.toContain(granted.refreshToken);
      expect((await world.token(name)).document).toEqual(granted);
    });

    test("plain documents are read, refreshed, and sealed by that", async () => {
      await world.add(name, world.granted(OLD));
      expect(isSealed(String((await stored()).refreshToken))).toBe(false);
      expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
      expect(await keysUsed()).toEqual(["new", "new"]);
      expect(world.live((await world.token(name)).document.accessToken)).toBe(true);
    });

    test("a refusal seals them, too, and is not taken for one of other credentials", async () => {
      await world.add(name, { ...world.granted(OLD), refreshToken: "canary-refused-refresh" });
      await refresh(name, READER, world.refresher());
      expect(await keysUsed()).toEqual(["new", "new"]);
      const { document, inputs } = await world.token(name);
      expect(document.failure).toMatchObject({ permanent: true, count: 1, inputs });
      const asked = world.refreshes();
      expect(await refresh(name, READER, world.refresher())).toMatchObject({ outcome: "deferred" });
      expect(world.refreshes()).toBe(asked);
    });

    test("a refresh token that rotates is stored sealed", async () => {
      await world.store.create(name, world.granted(OLD));
      const before = (await world.token(name)).document.refreshToken;
      world.sandbox.faults.add({ fault: "rotate", times: 1 });
      expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
      const { refreshToken = "" } = (await world.token(name)).document;
      expect(refreshToken).not.toBe(before);
      expect(JSON.stringify(await stored())).not.toContain(refreshToken);
      expect(await refresh(name, { by: "operator" }, world.refresher())).not.toMatchObject({
        outcome: "failed",
      });
    });

    test("what a consent brings is stored sealed, and so is a client secret that was plain", async () => {
      await world.add(name, { ...SETTINGS, scopes: CLIENT.scopes.join(" ") });
      await consent(world, name);
      expect(await keysUsed()).toEqual(["new", "new"]);
      expect(world.live((await world.token(name)).document.accessToken)).toBe(true);
    });

    test("what an older key has sealed is read and refreshed", async () => {
      await withKeys("old").create(name, world.granted(OLD));
      expect(await keysUsed()).toEqual(["old", "old"]);
      expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
      expect((await keysUsed())[1]).toBe("new");
    });

    test("a reseal in the middle of a refresh does not cost its result", async () => {
      await withKeys("old").create(name, world.granted(OLD));
      world.sandbox.faults.add({ fault: "rotate", times: 1 });
      const after = async () => {
        const token = await world.token(name);
        const { clientSecret, refreshToken } = token.document;
        expect(await world.store.update(token, { clientSecret, refreshToken })).toBeTypeOf("string");
      };
      const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
      expect(await refresh(name, READER, refresher)).toEqual({ outcome: "refreshed" });
      expect(world.live((await world.token(name)).document.accessToken)).toBe(true);
      expect(await keysUsed()).toEqual(["new", "new"]);
    });

    test.each([
      ["a key that is missing", "another", /^it is sealed with key "new", which is not configured$/],
      ["no key", undefined, /^it is sealed, and no sealing keys are configured \(SEAL_KEYS\)$/],
    ])(
      "with %s Webex is not asked, nothing is overwritten, the token is served, and somebody is told",
      async (_, kid, words) => {
        await world.store.create(name, { ...world.granted(OLD), refreshAt: world.clock.now() - HOUR });
        const { clientSecret, refreshToken, accessToken } = await stored();
        const blind = kid ? withKeys(kid) : tokenStore(world.documents, world.runtime.now);
        const sweeper = world.sweeper({ store: blind });
        const asked = world.refreshes();
        await sweep(sweeper);
        expect(world.refreshes()).toBe(asked);
        expect(await stored()).toMatchObject({ clientSecret, refreshToken, accessToken });
        expect((await stored()).failure).toMatchObject({ code: "unopened_clientSecret", permanent: false });
        expect(world.events("token.unopened").filter(({ token }) => token === name)).toEqual([
          { token: name, field: "clientSecret", reason: expect.stringMatching(words) },
          { token: name, field: "refreshToken", reason: expect.stringMatching(words) },
        ]);
        await census(sweeper);
        expect(await stored()).toMatchObject({ clientSecret, refreshToken, accessToken });
        // With the right key nobody has to do anything more.
        expect(await refresh(name, { by: "operator" }, world.refresher())).toEqual({ outcome: "refreshed" });
      },
    );

    test("a value that was moved to another token is never sent for it", async () => {
      await world.store.create(name, world.granted(OLD));
      const { clientSecret, refreshToken } = await stored();
      await world.add(`${name} moved`, { ...world.granted(OLD), clientSecret, refreshToken });
      const asked = world.refreshes();
      expect(await refresh(`${name} moved`, READER, world.refresher())).toEqual({
        outcome: "failed",
        code: "unopened_clientSecret",
        permanent: false,
      });
      expect(world.refreshes()).toBe(asked);
    });

    test("a consent with a client secret that can't be opened is refused before Webex is asked", async () => {
      await withKeys("another").create(name, { ...SETTINGS, scopes: CLIENT.scopes.join(" ") });
      await expect(consent(world, name)).rejects.toThrow(/its clientSecret: it is sealed with key "another"/);
    });
  });
}
