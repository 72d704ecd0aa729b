import { readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import type { RawFields } from "../../functions/core/document.ts";
import { HOUR } from "../../functions/core/time.ts";
import { freePort, type Running, stopAll } from "../support/processes.ts";
import { ask, deploy, firestorePlace, LIFETIME, type Place, until, type Webex } from "./deployed.ts";

/** The built lookup function and a store that comes and goes. */

const emulator = inject("firestoreEmulator");
/** ms: no more than a warm instance needs, on a busy machine. */
const AT_ONCE = 500;
/** ms: Flow Designer gives up then. */
const IN_TIME = 2000;
/** ms: the reader's patience, and the way. */
const GIVEN_UP = 3200;

/** A way to the emulator that can be cut (nobody listens) or frozen (whoever is there says nothing more). */
async function wayTo(target: string) {
  const [host = "", port = ""] = target.split(":");
  const own = await freePort();
  const sockets = new Set<Socket>();
  let frozen = false;
  let server: Server | undefined;
  const pair = (from: Socket) => {
    sockets.add(from);
    from.on("error", () => {}).on("close", () => sockets.delete(from));
    if (frozen) return;
    const to = connect(Number(port), host).on("error", () => from.destroy());
    sockets.add(to);
    to.on("close", () => sockets.delete(to));
    from.pipe(to).pipe(from);
  };
  const cut = async () => {
    const closed = server && new Promise((resolve) => server?.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
    server = undefined;
  };
  return {
    host: `127.0.0.1:${own}`,
    cut,
    freeze() {
      frozen = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    async open() {
      await cut();
      frozen = false;
      const opened = createServer(pair);
      server = opened;
      await new Promise<void>((resolve) => opened.listen(own, "127.0.0.1", resolve));
    },
  };
}

describe.skipIf(emulator === undefined)(
  emulator === undefined ? "lookup on Firestore (SKIPPED: no emulator)" : "lookup on Firestore",
  () => {
    let way: Awaited<ReturnType<typeof wayTo>>;
    let place: Place;
    let running: Running;
    let functions: ReturnType<typeof deploy>;
    const started: Running[] = [];

    const startLookup = async () => {
      const lookup = await functions.lookup("http://127.0.0.1:1", { FIRESTORE_EMULATOR_HOST: way.host });
      started.push(lookup);
      return lookup;
    };
    beforeAll(async () => {
      place = await firestorePlace(emulator ?? "");
      way = await wayTo(emulator ?? "");
      await way.open();
      functions = deploy(place, { url: "http://127.0.0.1:1/v1" } as Webex);
      running = await startLookup();
    });
    afterEach(() => way.open());
    afterAll(async () => {
      await stopAll();
      await way?.cut();
      await place?.documents.close();
    });

    /** A token that is due, so that each read of it wants the store: nothing here waits until memory has aged. */
    async function hold(name: string, left: number, more: RawFields = {}): Promise<string> {
      const accessToken = `canary-token-of-${name}`;
      const accessExpires = Date.now() + left;
      const fields = { accessToken, accessExpires, refreshToken: "r", clientId: "c", clientSecret: "s" };
      await functions.put(name, { ...fields, lifetime: LIFETIME, refreshAt: Date.now() - 1, ...more });
      return accessToken;
    }
    async function expectToken(token: string, within: number, target: string): Promise<void> {
      const answer = await ask(running, target);
      expect(answer).toMatchObject({ status: 200, body: { token } });
      expect(answer.took).toBeLessThan(within);
    }

    test("serves, and says what it can't", async () => {
      await expectToken(await hold("served", 11 * HOUR), IN_TIME, "/?name=served");
      await expectToken("canary-token-of-served", AT_ONCE, "/?name=served");
      expect(await ask(running, "/?name=nobody")).toMatchObject({ status: 404 });
      await functions.put("bare", {});
      expect(await ask(running, "/?name=bare")).toMatchObject({ status: 409 });
    });

    test("the store freezes: the live token inside 2 s, then at once; it thaws: what is in it is seen", async () => {
      const token = await hold("frozen", 11 * HOUR);
      await hold("unread", 11 * HOUR);
      await expectToken(token, IN_TIME, "/?name=frozen");
      way.freeze();
      await expectToken(token, IN_TIME, "/?name=frozen");
      for (let count = 0; count < 10; count++) await expectToken(token, AT_ONCE, "/?name=frozen");
      const unread = await ask(running, "/?name=unread");
      expect(unread.status).toBe(503);
      expect(unread.took).toBeLessThan(GIVEN_UP);
      expect((await ask(running, "/health")).status).toBe(200);

      await functions.type("frozen", { accessToken: "canary-token-after-the-frost" });
      await way.open();
      const thawed = Date.now();
      await until("the new token", async () => {
        const { status, body } = await ask(running, "/?name=frozen");
        expect(status).toBe(200);
        return body.token === "canary-token-after-the-frost";
      });
      expect(Date.now() - thawed).toBeLessThan(GIVEN_UP);
      await expectToken("canary-token-of-unread", IN_TIME, "/?name=unread");
    });

    test("the store is killed: the live token at once, to its end and no further; it is back: recovered", async () => {
      const token = await hold("killed", 11 * HOUR);
      await hold("ending", 3000);
      await Promise.all([expectToken(token, IN_TIME, "/?name=killed"), ask(running, "/?name=ending")]);
      await way.cut();
      for (let count = 0; count < 10; count++) await expectToken(token, AT_ONCE, "/?name=killed");
      await expectToken("canary-token-of-ending", AT_ONCE, "/?name=ending");
      await sleep(2200);
      const ended = await ask(running, "/?name=ending&wait=0");
      expect(ended.status).toBe(503);
      expect(ended.headers.get("retry-after")).toMatch(/^\d+$/);
      await expectToken(token, AT_ONCE, "/?name=killed");

      await functions.type("killed", { accessToken: "canary-token-after-the-kill" });
      await way.open();
      const back = Date.now();
      await until("the new token", async () => {
        const { status, body } = await ask(running, "/?name=killed");
        expect(status).toBe(200);
        return body.token === "canary-token-after-the-kill";
      });
      expect(Date.now() - back).toBeLessThan(IN_TIME);
    });

    test("started while the store is frozen: 503 in time, and it serves as soon as that thaws", async () => {
      const token = await hold("early", 11 * HOUR);
      way.freeze();
      const early = await startLookup();
      const answer = await ask(early, "/?name=early");
      expect(answer.status).toBe(503);
      expect(answer.took).toBeLessThan(GIVEN_UP);
      await way.open();
      expect(await ask(early, "/?name=early")).toMatchObject({ status: 200, body: { token } });
    });

    test("nothing of all that ended a process, and no token is in a log", async () => {
      for (const { url } of started) expect((await ask(url, "/health")).status).toBe(200);
      const output = started.flatMap((lookup) => lookup.output()).join("\n");
      expect(output).toContain("store.unavailable");
      expect(output).not.toMatch(/canary|"bug"/);
    });
  },
);

describe("the bundle of lookup", () => {
  const ROOT = path.resolve(import.meta.dirname, "../..");
  const packagesOf = (name: string) => {
    const meta = JSON.parse(readFileSync(path.join(ROOT, "dist/meta", `${name}.json`), "utf8"));
    const found = Object.keys(meta.inputs).flatMap(
      (file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? [],
    );
    return new Set(found);
  };

  test.each([
    "@google-cloud/firestore",
    "@google-cloud/secret-manager",
    "@grpc/grpc-js",
    "google-gax",
    "google-auth-library",
    "gaxios",
    "got",
    "jose",
  ])("holds nothing of %s", (forbidden) => {
    expect([...packagesOf("lookup")]).not.toContain(forbidden);
  });

  test("holds no package at all: what it needs comes with node", () => {
    expect([...packagesOf("lookup")]).toEqual([]);
  });

  test("is told from one that does hold them", () => {
    const heavy = packagesOf("refresher");
    for (const name of [
      "@google-cloud/firestore",
      "@grpc/grpc-js",
      "google-gax",
      "google-auth-library",
      "got",
    ])
      expect([...heavy]).toContain(name);
  });
});
