import { connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { freePort, type Running, stopAll, temporaryFolder } from "../support/processes.ts";
import { type Answer, ask, type Deployed, firestorePlace, LIFETIME, type Place, until } from "./deployed.ts";
import { type Authority, deployWith, openAuthority, read, sweep } from "./failures.ts";
import { type Gate, openGate } from "./gate.ts";
import { type MovableClock, movableClock } from "./movable-clock.ts";

/** Rows of the list of failures that need processes with clocks of their own, or a store and a refresher that go away. */

afterAll(stopAll);

/** The way to `target`, which can be cut (connections are refused) or frozen (they stay open, and nothing is answered). */
async function wayTo(target: string) {
  const own = await freePort();
  const sockets = new Set<Socket>();
  let frozen = false;
  let server: Server | undefined;
  const pair = (from: Socket) => {
    sockets.add(from);
    from.on("error", () => {}).on("close", () => sockets.delete(from));
    if (frozen) return;
    const { hostname, port } = new URL(target);
    const to = connect(Number(port), hostname).on("error", () => from.destroy());
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
    async freeze() {
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

interface Machine {
  clock: MovableClock;
  refresher: Running;
  lookup: Running;
}

const emulator = inject("firestoreEmulator");
describe.skipIf(emulator === undefined)(
  emulator === undefined ? "on Firestore (SKIPPED: no emulator)" : "on Firestore",
  () => {
    let webex: Authority;
    let place: Place;
    let deployed: Deployed;
    /** Adds the time to the emulator's answers, as Google's servers do. */
    let dated: Gate;
    /** The way of lookups to Firestore. */
    let way: Awaited<ReturnType<typeof wayTo>>;
    /** Before the refresher of `here`. */
    let gate: Gate;
    let here: Machine;
    let behind: Machine;
    beforeAll(async () => {
      webex = await openAuthority();
      place = await firestorePlace(emulator ?? "");
      dated = await openGate(`http://${emulator}`);
      way = await wayTo(dated.url);
      await way.open();
      deployed = deployWith(place, webex.url);
      [here, behind] = await Promise.all([machine(0), machine(-MINUTE)]);
      for (const { refresher } of [here, behind])
        await until("a first sweep", async () => (await sweep(refresher)).status === 200);
    });
    afterEach(async () => {
      here.clock.reset();
      webex.faults.clear();
      await way.open();
      for (const { id } of await place.documents.list("tokens", 500))
        await place.documents.remove("tokens", id);
    });
    afterAll(async () => {
      await stopAll();
      await way?.cut();
      for (const one of [gate, dated]) one?.close();
      await place?.documents.close();
      await webex?.close();
    });

    /** A lookup and a refresher that share a clock, which is `ahead` ms from the true time of Webex and the store. */
    async function machine(ahead: number): Promise<Machine> {
      const clock = movableClock(await temporaryFolder());
      clock.jump(ahead);
      const functions = deployWith(place, webex.url, clock.env);
      const refresher = await functions.refresher();
      const before = await openGate(refresher.url);
      if (ahead === 0) gate = before;
      const lookup = await functions.lookup(before.url, { FIRESTORE_EMULATOR_HOST: way.host });
      return { clock, refresher, lookup };
    }

    /** A token with `left` ms of life: its client's id and itself. */
    async function hold(name: string, left: number, refreshAt = Date.now() - 1) {
      const client = webex.client();
      const { accessToken } = await put(name, webex.due(client, left, { refreshAt }));
      return { clientId: client.clientId, token: accessToken };
    }
    async function put<T extends { accessToken: string }>(name: string, document: T): Promise<T> {
      await deployed.put(name, document);
      return document;
    }

    /** Reads as a flow does: again, when a slow machine made lookup give up the store. */
    async function patiently(lookup: Running, name: string, more = ""): Promise<Answer> {
      for (;;) {
        const answer = await read(lookup, name, more);
        if (answer.status !== 503 || !/store did not answer/.test(answer.body.message)) return answer;
      }
    }
    const readers = (count: number, lookup: Running, name: string, more = "") =>
      Promise.all(Array.from({ length: count }, () => patiently(lookup, name, more)));
    /** Every answer is 200 with this token. */
    const expectAll = (answers: Answer[], token: string) =>
      expect(new Set(answers.map(({ status, body }) => `${status} ${body.token}`))).toEqual(
        new Set([`200 ${token}`]),
      );
    /** Every answer is 200 with a token that Webex accepts. */
    const expectLive = (answers: Answer[]) => {
      const found = answers.map(({ status, body }) => [status, webex.accepts(body.token)]);
      expect(found).toEqual(answers.map(() => [200, true]));
    };

    /** A sweep and ten readers at once, twice. */
    async function rush({ refresher, lookup }: Machine, name: string, more = ""): Promise<Answer[]> {
      const round = async () => (await Promise.all([readers(10, lookup, name, more), sweep(refresher)]))[0];
      return [...(await round()), ...(await round())];
    }

    /** Requests for a refresh during `work`, and how many waits of 20 s passed meanwhile in true time. */
    async function during(work: () => Promise<unknown>) {
      const [before, begun] = [webex.refreshes(), performance.now()];
      await work();
      const waits = Math.floor((performance.now() - begun) / (20 * SECOND));
      return { asked: webex.refreshes() - before, waits };
    }

    describe("when the clock of a machine jumps (row 13)", () => {
      test.for([
        ["ahead", MINUTE],
        ["back", -MINUTE],
      ] as const)("a minute %s, it causes at most one more request to Webex", async ([how, step]) => {
        const { clock, refresher, lookup } = here;
        const live = await hold(`live, ${how}`, 6 * HOUR, Date.now() + 3 * HOUR);
        const failing = await hold(`failing, ${how}`, HOUR);
        webex.faults.add({ fault: "500", clientId: failing.clientId });
        await until("a failed try", async () => (await sweep(refresher)).body.failed === 1);
        expectAll([await patiently(lookup, `live, ${how}`)], live.token);

        clock.jump(step);
        const again = await during(async () => {
          expectAll(await rush(here, `live, ${how}`), live.token);
          expectAll(await rush(here, `failing, ${how}`), failing.token);
        });
        expect(again.asked, "the next try may seem due, once").toBeLessThanOrEqual(1 + again.waits);

        clock.reset();
        await place.documents.remove("tokens", `failing, ${how}`);
        const due = await hold(`due, ${how}`, HOUR);
        webex.faults.add({ fault: "slow", delayMs: 700, clientId: due.clientId });
        const { asked, waits } = await during(async () => {
          const begun = webex.refreshes();
          const first = sweep(refresher);
          await until("the request to Webex", async () => webex.refreshes() > begun);
          clock.jump(step);
          expectLive(await rush(here, `due, ${how}`));
          await first;
          expectLive(await rush(here, `due, ${how}`));
          await until(
            "the new token",
            async () => (await read(lookup, `due, ${how}`)).body.token !== due.token,
          );
        });
        expect(asked, "a lease may seem to have run out, once").toBeLessThanOrEqual(2 + waits);
      });

      test("a minute back, lookup serves no dead token", async () => {
        const { clock, lookup } = here;
        const { clientId, token } = await hold("dead", -20 * SECOND);
        expect(webex.accepts(token)).toBe(false);
        webex.faults.add({ fault: "500", clientId });
        await until("a failed try", async () => {
          const answer = await patiently(lookup, "dead", "&wait=0");
          expect(answer.status).toBe(503);
          return (await deployed.document("dead")).fields.failure !== undefined;
        });
        clock.jump(-MINUTE);
        const { asked, waits } = await during(async () => {
          const answers = await rush(here, "dead", "&wait=0");
          expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
        });
        expect(asked).toBeLessThanOrEqual(waits);

        webex.faults.clear();
        await deployed.type("dead", { failure: undefined, refreshAt: 0 });
        await until("the new token", async () => (await read(lookup, "dead", "&wait=20")).status === 200);
        expectLive([await patiently(lookup, "dead")]);
      });

      test("a minute ahead, lookup still serves a token in its last minute", async () => {
        const { clock, lookup } = here;
        await hold("last minute", 40 * SECOND, Date.now() + HOUR);
        clock.jump(MINUTE);
        const { asked, waits } = await during(async () =>
          expectLive(await readers(10, lookup, "last minute", "&wait=20")),
        );
        expect(asked).toBeLessThanOrEqual(1 + waits);
      });
    });

    describe("when the clocks of two machines are two minutes apart (row 13)", () => {
      test("each token is refreshed once, and its life is counted by the store's clock", async () => {
        here.clock.jump(MINUTE);
        const client = webex.client();
        const names = Array.from({ length: 5 }, (_, index) => `shared ${index}`);
        for (const name of names) await put(name, webex.due(client, HOUR));
        webex.faults.add({ fault: "slow", delayMs: 300, clientId: client.clientId });
        const begun = Date.now();
        const { asked } = await during(async () => {
          for (let round = 0; round < 2; round++) {
            const machines = [behind, here];
            const reading = machines.flatMap(({ lookup }) => names.map((name) => patiently(lookup, name)));
            await Promise.all(machines.map(({ refresher }) => sweep(refresher)));
            expectLive(await Promise.all(reading));
          }
        });
        expect(asked).toBe(names.length);
        for (const name of names) {
          const { accessExpires } = (await deployed.document(name)).fields;
          const refreshed = Number(accessExpires) - LIFETIME * SECOND;
          expect(refreshed).toBeGreaterThan(begun - 5 * SECOND);
          expect(refreshed).toBeLessThan(Date.now() + 5 * SECOND);
        }
      });

      test("both serve a token until its end and no longer", async () => {
        here.clock.jump(MINUTE);
        const dead = await hold("dead for both", -20 * SECOND);
        const live = await hold("alive for both", 50 * SECOND);
        for (const { clientId } of [dead, live]) webex.faults.add({ fault: "500", clientId });
        for (const { lookup } of [behind, here]) {
          const answers = await readers(5, lookup, "dead for both", "&wait=0");
          expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
          const alive = await readers(5, lookup, "alive for both", "&wait=0");
          // On a very slow machine it has ended by now.
          if (webex.accepts(live.token)) expectAll(alive, live.token);
        }
      });
    });

    describe("when the store goes away (row 17)", () => {
      test.for([
        ["frozen", () => way.freeze()],
        ["killed", () => way.cut()],
      ] as const)("lookup serves a token from memory to its end: the store is %s", async ([how, begin]) => {
        const { clock, lookup } = here;
        const { token } = await hold(how, 6 * HOUR, Date.now() + 3 * HOUR);
        await hold(`${how}, never read`, 6 * HOUR, Date.now() + 3 * HOUR);
        expectAll([await patiently(lookup, how)], token);

        await begin();
        clock.jump(5 * HOUR);
        const readHow = () => read(lookup, how);
        expectAll([await readHow(), ...(await Promise.all(Array.from({ length: 20 }, readHow)))], token);
        expect(Number((await readHow()).headers.get("x-token-expires-in"))).toBeLessThanOrEqual(3_600);
        expect((await read(lookup, `${how}, never read`)).status).toBe(503);
        expect((await ask(lookup, "/health")).status).toBe(200);
        clock.jump(HOUR);
        const late = await read(lookup, how, "&wait=0");
        expect(late).toMatchObject({ status: 503, body: { status: "503" } });
        expect(late.headers.get("retry-after")).toMatch(/^\d+$/);

        await deployed.type(how, { accessToken: "canary-token-after-the-outage" });
        await way.open();
        // A minute after the outage: what lookup remembers is no longer fresh.
        clock.jump(MINUTE - 6 * HOUR);
        await until("what the store holds now", async () => {
          const { body } = await patiently(lookup, how);
          return body.token === "canary-token-after-the-outage";
        });
        expect((await patiently(lookup, `${how}, never read`)).status).toBe(200);
        expect(lookup.output().join("\n")).toContain("store.unavailable");
      });

      test("a lookup that starts meanwhile answers 503, and the token once the store is back", async () => {
        const { token } = await hold("early", 6 * HOUR, Date.now() + 3 * HOUR);
        await way.freeze();
        const early = await deployed.lookup("http://127.0.0.1:1", { FIRESTORE_EMULATOR_HOST: way.host });
        expect((await read(early, "early")).status).toBe(503);
        await way.open();
        expectAll([await patiently(early, "early")], token);
      });
    });

    describe("when the refresher does not help (row 18)", () => {
      const BREAKDOWNS = {
        "it is down": {
          begin: () => gate.move("http://127.0.0.1:1"),
          end: () => gate.move(here.refresher.url),
        },
        "it is frozen": {
          begin: () => process.kill(here.refresher.pid, "SIGSTOP"),
          end: () => process.kill(here.refresher.pid, "SIGCONT"),
        },
        "its IAM is broken": {
          begin: () => gate.answer({ status: 403, body: "<html><title>403 Forbidden</title></html>" }),
          end: () => gate.answer(undefined),
        },
      };
      test.for(Object.entries(BREAKDOWNS))(
        "reads get the live token and cause one ask a token in ten seconds: %s",
        async ([how, { begin, end }]) => {
          const { clock, lookup } = here;
          const { token } = await hold(how, HOUR);
          const { token: other } = await hold(`${how}, other`, HOUR);
          begin();
          try {
            gate.reset();
            const begun = performance.now();
            /** Asks that the true time allows for, beside the first. */
            const later = () => Math.floor((performance.now() - begun) / (9 * SECOND));
            await until("an ask", async () => {
              expectAll(await readers(20, lookup, how), token);
              return gate.counts().asked > 0;
            });
            for (let count = 0; count < 3; count++) expectAll(await readers(20, lookup, how), token);
            expect(gate.counts().asked).toBeLessThanOrEqual(1 + later());

            clock.jump(12 * SECOND);
            expectAll(await readers(20, lookup, how), token);
            // An ask that is never answered stays the only one.
            const more = how === "it is frozen" ? 0 : 1;
            expect(gate.counts().asked).toBeLessThanOrEqual(1 + more + later());
            if (more > 0) {
              expect(gate.counts().asked).toBeGreaterThan(1);
              expectAll([await patiently(lookup, `${how}, other`)], other);
              expect(gate.counts().asked, "one for the other token").toBeLessThanOrEqual(3 + 2 * later());
            }
          } finally {
            end();
          }
          clock.jump(11 * SECOND);
          await until("the new token", async () => (await patiently(lookup, how)).body.token !== token);
          expectLive([await patiently(lookup, how)]);
          await until("the end of each ask", async () => gate.underWay() === 0);
        },
      );
    });
  },
);
