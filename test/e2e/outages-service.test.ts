import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from "vitest";
import { HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { type Running, stopAll, temporaryFolder } from "../support/processes.ts";
import { endAll } from "./child.ts";
import { type Deployed, type Place, until } from "./deployed.ts";
import { type Gate, openGate } from "./gate.ts";
import { type MovableClock, movableClock } from "./movable-clock.ts";
import {
  AT_ONCE,
  type Authority,
  deployWith,
  expectAll,
  IN_TIME,
  onEachStore,
  openAuthority,
  read,
  readers,
} from "./outages.ts";
import { startProxy } from "./proxy.ts";

afterAll(async () => {
  await stopAll();
  await endAll();
});

/** Ways of a store to be away. */
interface Outages {
  /** Where the functions find the store. */
  env: Record<string, string>;
  freeze(): Promise<void>;
  /** It answers no more, and says so at once. */
  end(): Promise<void>;
  /** It is back, whatever was done to it. */
  over(): Promise<void>;
}

/** Nobody can keep a reader from a file in WAL mode: frozen means that no write ever gets its turn. */
function sqliteOutages({ env }: Place): Outages {
  const database = new DatabaseSync(env.STORE ?? "", { timeout: 5_000 });
  let mend = "";
  return {
    env: {},
    async freeze() {
      database.exec("BEGIN EXCLUSIVE");
      mend = "ROLLBACK";
    },
    async end() {
      database.exec("ALTER TABLE documents RENAME TO elsewhere");
      mend = "ALTER TABLE elsewhere RENAME TO documents";
    },
    async over() {
      database.exec(mend);
      mend = "";
    },
  };
}

async function firestoreOutages(emulator: string): Promise<Outages> {
  const proxy = await startProxy(emulator);
  return {
    env: { FIRESTORE_EMULATOR_HOST: proxy.host },
    freeze: async () => proxy.freeze(),
    end: proxy.kill,
    over: proxy.revive,
  };
}

onEachStore((open, emulator) => {
  let webex: Authority;
  let place: Place;
  let clock: MovableClock;
  let store: Outages;
  let gate: Gate;
  let deployed: Deployed;
  let refresher: Running;
  let lookup: Running;
  beforeAll(async () => {
    webex = await openAuthority();
    place = await open();
    clock = movableClock(await temporaryFolder());
    store = emulator === undefined ? sqliteOutages(place) : await firestoreOutages(emulator);
    deployed = deployWith(place, webex, { ...store.env, ...clock.env });
    refresher = await deployed.refresher();
    gate = await openGate(refresher.url);
    lookup = await deployed.lookup(gate.url);
  });
  let minutes = 0;
  afterEach(async () => {
    await until("the end of what lookup asked for", async () => gate.underWay() === 0);
    // A minute later, there is nothing left that lookup rests from.
    clock.reset();
    clock.jump(++minutes * MINUTE);
  });
  afterAll(async () => {
    await Promise.all([refresher, lookup].map((running) => running?.stop()));
    await place?.documents.close();
    await webex?.close();
    gate?.close();
  });

  /** A token that works for `left` ms more. */
  async function hold(name: string, left: number, refreshAt: number): Promise<string> {
    const document = { ...webex.due(webex.client(), left), refreshAt };
    await deployed.put(name, document);
    return document.accessToken;
  }

  test.for([
    ["frozen", "freeze"],
    [emulator === undefined ? "unreadable" : "killed", "end"],
  ] as const)(
    "17. the store is down and the reader's memory holds a live token: served, the store being %s",
    async ([how, begin]) => {
      const token = await hold(how, 6 * HOUR, Date.now() + 3 * HOUR);
      await hold(`${how}, never read`, 6 * HOUR, Date.now() + 3 * HOUR);
      expectAll([await read(lookup, how)], token, IN_TIME);

      onTestFinished(() => store.over());
      await store[begin]();
      clock.jump(5 * HOUR);
      expectAll([await read(lookup, how)], token, IN_TIME);
      expectAll(await readers(20, lookup, how), token, AT_ONCE);
      const answer = await read(lookup, how);
      expect(Math.abs(Number(answer.headers.get("x-token-expires-in")) - 3_600)).toBeLessThan(300);

      clock.jump(HOUR);
      const late = await read(lookup, how, "&wait=1");
      expect(late, "a dead one is not").toMatchObject({ status: 503, body: { status: "503" } });
      expect(late.headers.get("retry-after")).toMatch(/^\d+$/);

      await store.over();
      clock.jump(-6 * HOUR);
      await until("an answer", async () => (await read(lookup, how)).status === 200);
      expect(webex.accepts((await read(lookup, how)).body.token)).toBe(true);
      expect((await read(lookup, `${how}, never read`)).status).toBe(200);
    },
  );

  /** What keeps lookup's asks from being answered, and what ends that. */
  const BREAKDOWNS: Record<string, { begin(): unknown; end(): unknown }> = {
    "the refresher is killed": {
      begin: () => refresher.kill(),
      async end() {
        refresher = await deployed.refresher();
        gate.move(refresher.url);
      },
    },
    "the refresher is frozen": {
      begin: () => process.kill(refresher.pid, "SIGSTOP"),
      end: () => process.kill(refresher.pid, "SIGCONT"),
    },
    "its IAM is broken": {
      begin: () => gate.answer({ status: 403, body: "<html><title>403 Forbidden</title></html>" }),
      end: () => gate.answer(undefined),
    },
    "it fails": {
      begin: () => gate.answer({ status: 500, body: "" }),
      end: () => gate.answer(undefined),
    },
  };

  test.for(Object.entries(BREAKDOWNS))(
    "18. the refresher is down or its IAM is broken: reads with a live token stay fast: %s",
    async ([how, { begin, end }]) => {
      const token = await hold(how, HOUR, Date.now() - 1);
      const other = await hold(`${how}, other`, HOUR, Date.now() - 1);
      let over: unknown;
      const mend = async () => {
        over ??= end();
        await over;
      };
      onTestFinished(mend);
      await begin();
      gate.reset();
      const begun = clock.now();
      expectAll(await readers(20, lookup, how), token, IN_TIME);
      for (let count = 0; count < 5; count++) expectAll(await readers(20, lookup, how), token, AT_ONCE);
      expect(gate.counts().asked, "one failed ask").toBe(1);
      clock.jump(begun + 8 * SECOND - clock.now());
      expectAll(await readers(20, lookup, how), token, AT_ONCE);
      expect(gate.counts().asked, "in ten seconds").toBe(1);
      clock.jump(4 * SECOND);
      expectAll(await readers(20, lookup, how), token, IN_TIME);
      expectAll(await readers(20, lookup, how), token, AT_ONCE);
      // One that was never answered is still the only one.
      expect(gate.counts().asked).toBe(how.includes("frozen") ? 1 : 2);
      if (!how.includes("frozen")) {
        expectAll([await read(lookup, `${how}, other`)], other, AT_ONCE);
        expect(gate.counts().asked, "nor one for each token").toBe(2);
      }

      await mend();
      clock.jump(11 * SECOND);
      await until("the new token", async () => (await read(lookup, how)).body.token !== token);
      expect(webex.accepts((await read(lookup, how)).body.token)).toBe(true);
    },
  );
});
