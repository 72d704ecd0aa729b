import { setTimeout as sleep } from "node:timers/promises";
import type { Context, Measurement, Report } from "./context.ts";
import { environment, startFunction } from "./deployed.ts";
import { type Load, load } from "./load.ts";
import { digits, median, spread } from "./numbers.ts";
import { bars } from "./plots.ts";
import { type Relay, relayTo } from "./relay.ts";
import { dueToken, firestorePlace, liveToken, type Place } from "./stores.ts";

/** Longer than lookup answers a document from memory as if it were new. */
const OUTLIVED = 31_000;
const RATE = 400;
const CONNECTIONS = 8;

export const faults: Measurement = { title: "Reads of a live token while something is down", run };

/** One lookup process each. `due`: its token has an hour left and wants a refresh, so that the refresher is asked. */
const CONDITIONS = {
  "all well": { due: false },
  "another holds the lease": { due: true },
  "refresher down": { due: true },
  "refresher hanging": { due: true },
  "store down": { due: false },
  "store hanging": { due: false },
};

type Condition = keyof typeof CONDITIONS;
const ALL = Object.keys(CONDITIONS) as Condition[];

interface Subject {
  url: string;
  store: Relay;
  loads: Load[];
  stop(): Promise<unknown>;
}

async function run(context: Context): Promise<Report> {
  const rounds = context.quick ? 1 : 5;
  const duration = context.quick ? 2 : 5;
  const emulator = await context.emulator();
  const tokens = ALL.map((name) => [
    idOf(name),
    CONDITIONS[name].due ? dueToken(idOf(name)) : liveToken(idOf(name)),
  ]);
  const place = await firestorePlace(emulator, Object.fromEntries(tokens));
  const subjects = new Map<Condition, Subject>();
  for (const name of ALL) subjects.set(name, await subject(name, place, emulator, context));
  await holdLease(place);
  context.say("warming up");
  for (const { url } of subjects.values()) await load(url, { connections: CONNECTIONS, amount: 3000 });
  await subjects.get("store down")?.store.refuse();
  subjects.get("store hanging")?.store.hang();
  context.say(`waiting ${OUTLIVED / 1000} s, so that nothing that was read before is new any more`);
  await sleep(OUTLIVED);
  // None of those that are compared: it would be the warmest.
  const other = await startFunction(context.folder, "hello", {});
  for (let round = 1; round <= rounds; round++)
    for (const [name, { url, loads }] of subjects) {
      context.say(`round ${round} of ${rounds}, ${name}`);
      await holdLease(place);
      loads.push(
        await load(url, { connections: CONNECTIONS, duration, overallRate: RATE, warmUpOn: other.url }),
      );
    }
  for (const { stop } of [...subjects.values(), other]) await stop();
  return report(subjects, rounds, duration);
}

const idOf = (name: Condition) => name.replaceAll(" ", "-");

async function subject(
  name: Condition,
  place: Place,
  emulator: string,
  { folder }: Context,
): Promise<Subject> {
  const store = await relayTo(emulator);
  const refresher = await relayTo("127.0.0.1:9");
  if (name === "refresher hanging") refresher.hang();
  else await refresher.refuse();
  const env = environment({ ...place.env, FIRESTORE_EMULATOR_HOST: store.host }, `http://${refresher.host}`);
  const lookup = await startFunction(folder, "lookup", env);
  const stop = () => Promise.all([lookup.stop(), store.close(), refresher.close()]);
  return { url: `${lookup.url}/?name=${idOf(name)}`, store, loads: [], stop };
}

/** Somebody else refreshes that token, and goes on doing so for longer than one measurement lasts. */
async function holdLease(place: Place): Promise<void> {
  const store = place.open();
  const id = idOf("another holds the lease");
  const found = await store.read("tokens", id);
  const lease = { id: "somebody", expires: Date.now() + 55_000 };
  await store.update("tokens", id, { lease }, found?.version ?? "");
  await store.close();
}

function report(subjects: Map<Condition, Subject>, rounds: number, duration: number): Report {
  const of = (name: Condition, what: keyof Load) => subjects.get(name)?.loads.map((load) => load[what]) ?? [];
  const middle = (...which: Parameters<typeof of>) => median(of(...which));
  const ratio = (name: Condition, base: Condition) => middle(name, "p99") / middle(base, "p99");
  const failures = (name: Condition) => of(name, "failures").reduce((sum, count) => sum + count, 0);
  const failed = ALL.reduce((sum, name) => sum + failures(name), 0);
  const down = ratio("refresher down", "all well");
  return {
    goals: [
      {
        what: "p99 of reads of a live token, refresher down ÷ all well",
        goal: "≤ 1.5",
        measured: `${digits(down)} (${digits(middle("refresher down", "p99"))} ÷ ${digits(middle("all well", "p99"))} ms)`,
        met: down <= 1.5,
      },
      {
        what: "reads of a live token that failed, whatever is down",
        goal: "0",
        measured: String(failed),
        met: failed === 0,
      },
    ],
    method:
      `One lookup process for each condition, all on Google's Firestore emulator through a TCP proxy of their own; autocannon sends ${RATE} requests a second (each second's as a burst) over ${CONNECTIONS} connections for ${duration} s, ${rounds} rounds, the conditions taking turns; medians of the rounds; autocannon itself is warmed up before each, on a process that is not compared. A connection that waits sends nothing meanwhile; the percentiles are corrected for that as HdrHistogram does it (coordinated omission). ` +
      "Where the refresher is wanted, the token has an hour left and is due. Down: connections are refused; hanging: they are accepted and nothing is answered. " +
      `The store is broken after a warm-up, and ${OUTLIVED / 1000} s before the first measurement, so that what is remembered has outlived the time for which it counts as new. ` +
      '"Another holds the lease" is the like for a due token whose refresher is well: its document is read from the store at each request, too.',
    tables: [
      {
        head: [
          "condition",
          "p50 ms",
          "p99 ms",
          "least–most",
          "slowest ms",
          "p99 ÷ all well",
          "p99 ÷ leased",
          "answers",
          "failed",
        ],
        rows: ALL.map((name) => [
          name,
          digits(middle(name, "p50")),
          digits(middle(name, "p99")),
          spread(of(name, "p99")),
          digits(Math.max(...of(name, "most"))),
          digits(ratio(name, "all well")),
          digits(ratio(name, "another holds the lease")),
          String(of(name, "answers").reduce((sum, count) => sum + count, 0)),
          String(failures(name)),
        ]),
      },
    ],
    plots: [
      {
        file: "faults",
        title: "Reads of a live token while something is down",
        svg: bars(
          "ms",
          ALL.map((name) => name.replace(" ", "\n")),
          [
            { name: "p50", values: ALL.map((name) => middle(name, "p50")) },
            { name: "p99", values: ALL.map((name) => middle(name, "p99")) },
          ],
        ),
      },
    ],
  };
}
