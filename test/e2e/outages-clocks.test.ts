import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import { type Running, stopAll, temporaryFolder } from "../support/processes.ts";
import { type Answer, type Deployed, LIFETIME, type Place, until } from "./deployed.ts";
import { type MovableClock, movableClock } from "./movable-clock.ts";
import {
  type Authority,
  deployWith,
  expectAll,
  IN_TIME,
  onEachStore,
  openAuthority,
  read,
  readers,
  sweep,
  timeOf,
} from "./outages.ts";

afterAll(stopAll);

/** Store and Webex have the true time; the machines that the functions run on do not. */
onEachStore((open, emulator) => {
  let webex: Authority;
  let place: Place;
  let time: Awaited<ReturnType<typeof timeOf>>;
  let deployed: Deployed;
  let here: Machine;
  beforeAll(async () => {
    webex = await openAuthority();
    place = await open();
    deployed = deployWith(place, webex);
    time = await timeOf(emulator);
    here = await machine();
  });
  afterAll(async () => {
    await here?.stop();
    await place?.documents.close();
    await webex?.close();
    time?.close();
  });

  interface Machine {
    clock: MovableClock;
    refresher: Running;
    lookup: Running;
    stop(): Promise<unknown>;
  }

  /** A lookup and a refresher that share a clock, which is `ahead` ms from the true time. */
  async function machine(ahead = 0): Promise<Machine> {
    const clock = movableClock(await temporaryFolder());
    clock.jump(ahead);
    const functions = deployWith(place, webex, clock.env);
    const refresher = await functions.refresher();
    const lookup = await functions.lookup(refresher.url, time.env);
    return { clock, refresher, lookup, stop: () => Promise.all([refresher.stop(), lookup.stop()]) };
  }

  /** A token that is due: its client's id and itself. */
  async function hold(name: string, left: number, refreshAt = Date.now() - 1) {
    const client = webex.client();
    const document = webex.due(client, left, { refreshAt });
    await deployed.put(name, document);
    return { clientId: client.clientId, token: document.accessToken };
  }

  /** A sweep and twenty readers at once, three times over: what the readers got. */
  async function rush({ refresher, lookup }: Machine, name: string, more = "") {
    const all: Answer[] = [];
    for (let round = 0; round < 3; round++) {
      const [swept, answers] = await Promise.all([sweep(refresher), readers(20, lookup, name, more)]);
      expect(swept.status).toBe(200);
      all.push(...answers);
    }
    return all;
  }

  /** Requests for a refresh that reach Webex while the work is done. */
  async function askedDuring(work: () => Promise<unknown>): Promise<number> {
    const before = webex.refreshes();
    await work();
    return webex.refreshes() - before;
  }

  test.for([
    ["ahead", MINUTE],
    ["back", -MINUTE],
  ] as const)("13. the clock jumps a minute %s: no storm", async ([how, step]) => {
    const { clock, refresher, lookup } = here;
    onTestFinished(() => {
      clock.reset();
      webex.faults.clear();
    });
    const live = await hold(`live, ${how}`, 6 * HOUR, Date.now() + 3 * HOUR);
    const failing = await hold(`failing, ${how}`, HOUR);
    webex.faults.add({ fault: "500", clientId: failing.clientId });
    expect((await sweep(refresher)).body).toMatchObject({ due: 1, failed: 1 });
    expectAll([await read(lookup, `live, ${how}`)], live.token, IN_TIME);

    clock.jump(step);
    const again = await askedDuring(async () => {
      expectAll(await rush(here, `live, ${how}`), live.token, IN_TIME);
      expectAll(await rush(here, `failing, ${how}`), failing.token, IN_TIME);
    });
    expect(again, "the time to try again may seem to have come, once").toBeLessThanOrEqual(1);

    clock.reset();
    await place.documents.remove("tokens", `failing, ${how}`);
    const due = await hold(`due, ${how}`, HOUR);
    webex.faults.add({ fault: "slow", delayMs: 700, clientId: due.clientId });
    const asked = await askedDuring(async () => {
      const begun = webex.refreshes();
      const first = sweep(refresher);
      await until("the request to Webex", async () => webex.refreshes() > begun);
      clock.jump(step);
      const answers = await rush(here, `due, ${how}`);
      await first;
      answers.push(...(await rush(here, `due, ${how}`)));
      for (const { status, body } of answers)
        expect([status, webex.accepts(body.token)]).toEqual([200, true]);
      expect(answers.at(-1)?.body.token).not.toBe(due.token);
    });
    expect(asked, "a lease may seem to have run out, once").toBeLessThanOrEqual(2);
  });

  test("13. the clock jumps a minute back: no dead token served", async () => {
    const { clock, lookup } = here;
    onTestFinished(() => {
      clock.reset();
      webex.faults.clear();
    });
    const { clientId, token } = await hold("dead", -20 * SECOND);
    expect(webex.accepts(token)).toBe(false);
    webex.faults.add({ fault: "500", clientId });
    const asked = await askedDuring(async () => {
      expect((await read(lookup, "dead", "&wait=0")).status).toBe(503);
      clock.jump(-MINUTE);
      const statuses = (await rush(here, "dead", "&wait=0")).map(({ status }) => status);
      expect(new Set(statuses)).toEqual(new Set([503]));
    });
    expect(asked).toBe(1);

    webex.faults.clear();
    await deployed.type("dead", { failure: undefined, refreshAt: 0 });
    const answer = await read(lookup, "dead");
    expect([answer.status, webex.accepts(answer.body.token)]).toEqual([200, true]);
  });

  test("13. the clock jumps a minute ahead: a token in its last minute is no error", async () => {
    const { clock, lookup } = here;
    onTestFinished(() => clock.reset());
    await hold("last minute", 40 * SECOND, Date.now() + HOUR);
    clock.jump(MINUTE);
    const asked = await askedDuring(async () => {
      for (const { status, body } of await readers(20, lookup, "last minute"))
        expect([status, webex.accepts(body.token)]).toEqual([200, true]);
    });
    expect(asked).toBeLessThanOrEqual(1);
  });

  // SQLite is one file on one machine, which has one clock.
  if (emulator === undefined) return;

  describe("two machines", () => {
    let behind: Machine;
    let ahead: Machine;
    beforeAll(async () => {
      [behind, ahead] = [await machine(-MINUTE), here];
      ahead.clock.jump(MINUTE);
    });
    afterAll(async () => {
      ahead?.clock.reset();
      await behind?.stop();
    });

    test("13. two machines disagree by a minute: no storm", async () => {
      const client = webex.client();
      const names = Array.from({ length: 8 }, (_, index) => `shared ${index}`);
      for (const name of names) await deployed.put(name, webex.due(client, HOUR));
      webex.faults.add({ fault: "slow", delayMs: 300, clientId: client.clientId });
      onTestFinished(() => webex.faults.clear());
      const asked = await askedDuring(async () => {
        for (let round = 0; round < 3; round++) {
          const machines = [behind, ahead];
          const reading = machines.flatMap(({ lookup }) => names.map((name) => read(lookup, name)));
          await Promise.all(machines.map(({ refresher }) => sweep(refresher)));
          for (const { status, body } of await Promise.all(reading))
            expect([status, webex.accepts(body.token)]).toEqual([200, true]);
        }
      });
      expect(asked).toBe(names.length);
      for (const name of names) {
        const { accessExpires } = (await deployed.document(name)).fields;
        const life = Number(accessExpires) - Date.now();
        expect(Math.abs(life / SECOND - LIFETIME), "neither's minute is in it").toBeLessThan(30);
      }
    });

    test("13. two machines disagree by a minute: no dead token served, and none that lives withheld", async () => {
      const dead = await hold("dead for both", -20 * SECOND);
      const live = await hold("alive for both", 45 * SECOND);
      for (const { clientId } of [dead, live]) webex.faults.add({ fault: "500", clientId });
      onTestFinished(() => webex.faults.clear());
      for (const { lookup } of [behind, ahead]) {
        const answers = await readers(5, lookup, "dead for both", "&wait=0");
        expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
        expectAll(await readers(5, lookup, "alive for both"), live.token, IN_TIME);
      }
    });
  });
});
