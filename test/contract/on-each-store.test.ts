import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { runtime as realRuntime } from "../../functions/adapters/runtime.ts";
import { finishAuthorization } from "../../functions/core/authorization.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { type DocumentStore, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { HOUR } from "../../functions/core/time.ts";
import { freshProject } from "../support/emulator.ts";
import { CLIENT, OLD, ORG, openWorld, READER, range, type World } from "../support/world.ts";
import { authorizer, consent, consented } from "./authorizations.ts";
import { makeVariable, WISH, writes } from "./publishing.ts";
import { escorted, intercepted, isClaim, isSave, troubled } from "./troubled.ts";

let world: World;
afterEach(async () => {
  await world.close();
});

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
        expect(world.live(document.accessToken)).toBe(true);
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

      test("sends one request when fifty instances refresh at once (row 1)", async () => {
        const outcomes = await Promise.all(range(50).map(() => refresh(name, READER, world.refresher())));
        const kinds = outcomes.map(({ outcome }) => outcome);
        expect(kinds.filter((kind) => kind === "refreshed")).toHaveLength(1);
        expect(kinds.filter((kind) => kind === "leased" || kind === "fresh")).toHaveLength(49);
        expect(world.refreshes()).toBe(1);
      });

      test("whose answer comes after a consent is discarded: the consent's tokens survive (row 9)", async () => {
        let granted: string | undefined;
        const after = async () => {
          await consent(world, name);
          granted = (await world.token(name)).document.refreshToken;
        };
        const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
        expect(await refresh(name, READER, refresher)).toEqual({ outcome: "discarded" });
        const { document } = await world.token(name);
        expect(document.refreshToken).toBe(granted);
        expect(world.live(document.accessToken)).toBe(true);
        expect(document.lease).toBeUndefined();
        expect(world.events("refresh.discarded")).toHaveLength(1);
      });

      test("that is refused after a consent leaves the consent's tokens without a failure", async () => {
        world.sandbox.authority.revoke({ clientId: "C1" });
        const after = async () => void (await consent(world, name));
        const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
        await refresh(name, READER, refresher);
        const { document } = await world.token(name);
        expect(document.failure).toBeUndefined();
        expect(world.live(document.accessToken)).toBe(true);
        expect(world.events("refresh.refused")).toEqual([]);
      });

      test("is written once more after another field was edited meanwhile", async () => {
        let edits = 0;
        const hooked = intercepted(world.documents, async (call, perform) => {
          // The second edit comes between the second read and the second write.
          if (isSave(call) && edits++ < 2) await world.edit(name, { scopes: `edit ${edits}` });
          return perform();
        });
        const refresher = world.refresher({ store: tokenStore(hooked, world.runtime.now) });
        expect(await refresh(name, READER, refresher)).toEqual({ outcome: "refreshed" });
        const { document } = await world.token(name);
        expect(document.scopes).toBe("edit 2");
        expect(world.live(document.accessToken)).toBe(true);
        expect(document.lease).toBeUndefined();
        expect(world.refreshes()).toBe(1);
      });

      test("is discarded after a new secret was typed: the lease goes, and the next ask tries at once (row 16)", async () => {
        const { accessToken } = (await world.token(name)).document;
        const after = async () => {
          world.sandbox.authority.registerClient({ ...CLIENT, clientSecret: "canary-new-client-secret" });
          await world.edit(name, { clientSecret: "canary-new-client-secret" });
        };
        const refresher = world.refresher({ endpoint: escorted(world.endpoint, { after }) });
        expect(await refresh(name, READER, refresher)).toEqual({ outcome: "discarded" });
        const { document } = await world.token(name);
        expect(document).toMatchObject({ accessToken, clientSecret: "canary-new-client-secret" });
        expect(document.lease).toBeUndefined();
        expect(await refresh(name, READER, world.refresher())).toEqual({ outcome: "refreshed" });
      });

      test("refused with the old secret while a new one was typed leaves no failure (row 16)", async () => {
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
        test("of the lease recognizes its own lease, and asks Webex once", async () => {
          const hooked = troubled(world.documents, trouble, isClaim);
          const refresher = world.refresher({ store: tokenStore(hooked, world.runtime.now) });
          expect(await refresh(name, READER, refresher)).toEqual({ outcome: "refreshed" });
          const { document } = await world.token(name);
          expect(world.live(document.accessToken)).toBe(true);
          expect(document.lease).toBeUndefined();
          expect(world.refreshes()).toBe(1);
        });

        test("of the tokens stores them, and asks Webex once", async () => {
          const hooked = troubled(world.documents, trouble, isSave);
          const refresher = world.refresher({ store: tokenStore(hooked, world.runtime.now) });
          expect(await refresh(name, READER, refresher)).toEqual({ outcome: "refreshed" });
          const { document } = await world.token(name);
          expect(world.live(document.accessToken)).toBe(true);
          expect(document.lease).toBeUndefined();
          expect(world.refreshes()).toBe(1);
          expect(world.critical()).toEqual([]);
        });

        test("of a refusal records it, and logs it once", async () => {
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

    test("a Service App whose refresh token is refused gets new tokens through its manager", async () => {
      const app = {
        ...CLIENT,
        clientId: "app",
        clientSecret: "canary-client-secret-of-app",
        redirectUris: [],
      };
      const manager = { ...CLIENT, clientId: "manager", scopes: ["spark:applications_token"] };
      const { authority } = world.sandbox;
      authority.registerClient(app);
      authority.registerClient(manager);
      const applicationId = "made-up-application";
      authority.registerApplication({ applicationId, clientId: "app", authorizedBy: [ORG] });
      const managing = { ...world.granted(0, manager), refreshAt: world.clock.now() + HOUR };
      await world.add(`manager of ${name}`, managing);
      const serviceApp = { applicationId, targetOrg: ORG, manager: `manager of ${name}` };
      await world.add(`app of ${name}`, { ...world.granted(OLD, app), serviceApp });
      authority.revoke({ clientId: "app" });
      expect(await refresh(`app of ${name}`, READER, world.refresher())).toEqual({ outcome: "refreshed" });
      expect(world.live((await world.token(`app of ${name}`)).document.accessToken)).toBe(true);
    });

    test("five sweeps at once publish a token once", async () => {
      makeVariable(world);
      const publish = { ...WISH, nextAt: world.clock.now() - 1 };
      const scope = CLIENT.scopes.join(" ");
      const refreshAt = world.clock.now() + HOUR;
      await world.add(`published ${name}`, { ...world.granted(), scope, refreshAt, publish });
      const { values, variables } = writes(world.variables);
      await Promise.all(range(5).map(() => sweep(world.sweeper({ variables }))));
      const { document } = await world.token(`published ${name}`);
      expect(values).toEqual([document.accessToken]);
      expect(document.publish?.publishedAt).toBeTypeOf("number");
    });

    describe("a state", () => {
      test("is accepted once when ten callbacks bring it at once (row 10)", async () => {
        const callback = await consented(world, name);
        const ends = await Promise.allSettled(
          range(10).map(() => finishAuthorization(callback, authorizer(world))),
        );
        expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
        for (const end of ends)
          if (end.status === "rejected") expect(end.reason).toMatchObject({ code: "state_refused" });
        expect(world.exchanges()).toBe(1);
        expect(world.live((await world.token(name)).document.accessToken)).toBe(true);
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
      ])(
        "that the service did not make (%j) is refused without a request to Webex (row 10)",
        async (state) => {
          const ended = finishAuthorization({ code: "c", state }, authorizer(world));
          await expect(ended).rejects.toMatchObject({ name: "Problem", code: "state_refused" });
          expect(world.exchanges()).toBe(0);
        },
      );
    });
  });
}
