import {
  type Contestant,
  forEach,
  liveEnvironment,
  NAMES,
  startAll,
  stopAll,
  TARGET,
} from "./contestants.ts";
import type { Context, Measurement, Report } from "./context.ts";
import { startFunction } from "./deployed.ts";
import { type Load, load } from "./load.ts";
import { digits, median, spread } from "./numbers.ts";
import { bars } from "./plots.ts";
import { residentMegabytes } from "./processes.ts";

const CONNECTIONS = [1, 32, 256];
const WARM_UP = 20_000;

export const warm: Measurement = { title: "Warm answers", run };

type Loads = Record<Contestant, Load[]>;

async function run(context: Context): Promise<Report> {
  const rounds = context.quick ? 1 : 5;
  const duration = context.quick ? 1 : 2;
  const servers = await startAll(context, await liveEnvironment(context));
  for (const name of NAMES) {
    const amount = name === "plain SDK handler" ? WARM_UP / 4 : WARM_UP;
    await load(`${servers[name].url}${TARGET}`, { connections: 32, amount });
  }
  // None of those that are compared: it would be the warmest.
  const other = await startFunction(context.folder, "hello", {});
  const warmUpOn = `${other.url}${TARGET}`;
  const seen = new Map(CONNECTIONS.map((connections) => [connections, forEach(() => [] as Load[])]));
  for (let round = 1; round <= rounds; round++)
    for (const [connections, loads] of seen) {
      context.say(`round ${round} of ${rounds}, ${connections} connections`);
      for (const name of NAMES)
        loads[name].push(await load(`${servers[name].url}${TARGET}`, { connections, duration, warmUpOn }));
    }
  const memory = forEach((name) => residentMegabytes(servers[name].pid));
  await Promise.all([other.stop(), stopAll(servers)]);
  return report(seen, memory, rounds, duration);
}

function report(
  seen: Map<number, Loads>,
  memory: Record<Contestant, number>,
  rounds: number,
  duration: number,
): Report {
  const of = (connections: number, name: Contestant, what: keyof Load) =>
    seen.get(connections)?.[name].map((load) => load[what]) ?? [];
  const middle = (...which: Parameters<typeof of>) => median(of(...which));
  // Round by round, so that what the machine did otherwise in a round concerns both.
  const hello = of(32, "hello-world", "perSecond");
  const ratios = of(32, "lookup", "perSecond").map((value, round) => value / (hello[round] ?? 0));
  const ratio = median(ratios);
  const rows = CONNECTIONS.flatMap((connections) =>
    NAMES.map((name) => [
      String(connections),
      name,
      digits(middle(connections, name, "perSecond")),
      spread(of(connections, name, "perSecond")),
      digits(middle(connections, name, "perSecond") / middle(connections, "hello-world", "perSecond")),
      digits(middle(connections, name, "p50")),
      digits(middle(connections, name, "p99")),
      String(of(connections, name, "failures").reduce((sum, count) => sum + count, 0)),
    ]),
  );
  const plotted = (what: keyof Load) =>
    NAMES.map((name) => ({ name, values: CONNECTIONS.map((count) => middle(count, name, what)) }));
  const labels = CONNECTIONS.map((count) => `${count} connections`);
  return {
    goals: [
      {
        what: "warm requests a second, lookup ÷ hello-world, 32 connections",
        goal: "≥ 0.80",
        measured: `${digits(ratio)}, the median of the rounds' ratios (${spread(ratios)})`,
        met: ratio >= 0.8,
      },
    ],
    method:
      `autocannon in a process of its own, closed loop, ${duration} s at a time, ${rounds} rounds in which the three take turns; medians of the rounds. ` +
      "One process each, warmed up by 20,000 requests (the SDK handler: 5,000), all sent the same request. autocannon itself is warmed up each time, on another hello-world. Latencies are autocannon's own, taken per answer. " +
      `Resident memory after all this (not after the same number of requests): ${NAMES.map((name) => `${name} ${digits(memory[name])} MB`).join(", ")}.`,
    tables: [
      {
        head: [
          "connections",
          "function",
          "a second",
          "least–most",
          "÷ hello-world",
          "p50 ms",
          "p99 ms",
          "failed",
        ],
        rows,
      },
    ],
    plots: [
      {
        file: "warm",
        title: "Answers a second",
        svg: bars("answers a second", labels, plotted("perSecond")),
      },
      { file: "warm-p99", title: "99th percentile", svg: bars("p99 in ms", labels, plotted("p99"), "log") },
    ],
  };
}
