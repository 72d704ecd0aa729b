import { setTimeout as sleep } from "node:timers/promises";
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
import { load } from "./load.ts";
import { digits, median, spread } from "./numbers.ts";
import { bars } from "./plots.ts";
import { residentMegabytes } from "./processes.ts";

/** Requests served by then: as good as none, as many as an hour may bring, and enough for the heap to settle. */
const AFTER = [1, 1000, 20_000];

export const memory: Measurement = { title: "Resident memory", run };

async function run(context: Context): Promise<Report> {
  const env = await liveEnvironment(context);
  const rounds = context.quick ? 1 : 5;
  const seen = AFTER.map(() => forEach(() => [] as number[]));
  for (let round = 1; round <= rounds; round++) {
    context.say(`round ${round} of ${rounds}`);
    const servers = await startAll(context, env);
    let served = 1;
    for (const [step, amount] of AFTER.entries()) {
      for (const name of NAMES) {
        if (amount > served)
          await load(`${servers[name].url}${TARGET}`, { connections: 8, amount: amount - served });
        await sleep(300);
        seen[step]?.[name].push(residentMegabytes(servers[name].pid));
      }
      served = amount;
    }
    await stopAll(servers);
  }
  return report(seen, rounds);
}

function report(seen: Record<Contestant, number[]>[], rounds: number): Report {
  const middle = seen.map((step) => forEach((name) => median(step[name])));
  const more = middle.map((step) => step.lookup - step["hello-world"]);
  const most = Math.max(...more);
  return {
    goals: [
      {
        what: "resident memory, lookup − hello-world",
        goal: "≤ 10 MB",
        measured: `${more.map((megabytes) => digits(megabytes)).join(", ")} MB after ${counts().join(", ")} requests`,
        met: most <= 10,
      },
    ],
    method: `\`VmRSS\` of the process after the same number of requests to each (8 connections), 0.3 s after the last; median of ${rounds} fresh processes of each, taking turns.`,
    tables: [
      {
        head: ["after requests", "function", "median MB", "least–most", "− hello-world"],
        rows: AFTER.flatMap((amount, step) =>
          NAMES.map((name) => {
            const all = middle[step];
            const least = seen[step];
            if (all === undefined || least === undefined) return [];
            const above = all[name] - all["hello-world"];
            return [amount.toLocaleString("en"), name, digits(all[name]), spread(least[name]), digits(above)];
          }),
        ),
      },
    ],
    plots: [
      {
        file: "memory",
        title: "Resident memory",
        svg: bars(
          "MB resident",
          counts().map((count) => `after ${count}`),
          NAMES.map((name) => ({ name, values: middle.map((step) => step[name]) })),
        ),
      },
    ],
  };
}

const counts = () => AFTER.map((amount) => amount.toLocaleString("en"));
