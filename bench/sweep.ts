import { readFile } from "node:fs/promises";
import path from "node:path";
import { startAuthority } from "./authority.ts";
import type { Context, Measurement, Report } from "./context.ts";
import { environment, startFunction } from "./deployed.ts";
import { load } from "./load.ts";
import { digits, median } from "./numbers.ts";
import { bars } from "./plots.ts";
import { processorSeconds, residentMegabytes } from "./processes.ts";
import { dueToken, sqlitePlace } from "./stores.ts";

const LATENCY = 100;
const CONCURRENCY = 50;

export const sweep: Measurement = { title: "A sweep at size", run };

interface Sweep {
  /** s, as the caller saw it. */
  wall: number;
  /** s of processor time of the refresher. */
  processor: number;
  megabytes: number;
  /** s for the same number of requests by autocannon: what the authority allows. */
  floor: number;
}

async function run(context: Context): Promise<Report> {
  const count = context.quick ? 1000 : 10_000;
  const rounds = context.quick ? 1 : 3;
  const authority = await startAuthority(LATENCY, context.folder);
  const sweeps: Sweep[] = [];
  for (let round = 1; round <= rounds; round++) {
    context.say(`round ${round} of ${rounds}, ${count} tokens`);
    sweeps.push(await oneSweep(count, round, authority.url, context));
  }
  await authority.stop();
  return report(sweeps, count);
}

async function oneSweep(count: number, round: number, url: string, { folder }: Context): Promise<Sweep> {
  const names = Array.from({ length: count }, (_, index) => `token-${index}`);
  const tokens = Object.fromEntries(names.map((name) => [name, dueToken(name)]));
  const place = await sqlitePlace(path.join(folder, `sweep-${round}.db`), tokens);
  const env = { ...place.env, WEBEX_URL: url, REFRESH_CONCURRENCY: String(CONCURRENCY) };
  const server = await startFunction(folder, "refresher", environment(env));
  const before = processorSeconds(server.pid);
  const began = performance.now();
  const answer = await fetch(server.url, { method: "POST" });
  const summary = (await answer.json()) as { refreshed?: number };
  const wall = (performance.now() - began) / 1000;
  if (summary.refreshed !== count) throw new Error(`the sweep answered ${JSON.stringify(summary)}`);
  const processor = processorSeconds(server.pid) - before;
  const megabytes = residentMegabytes(server.pid);
  await server.stop();
  const { perSecond } = await load(url, { connections: CONCURRENCY, amount: count / 5, method: "POST" });
  return { wall, processor, megabytes, floor: count / perSecond };
}

async function report(sweeps: Sweep[], count: number): Promise<Report> {
  const ideal = (count * LATENCY) / CONCURRENCY / 1000;
  const wall = median(sweeps.map((sweep) => sweep.wall));
  const floor = median(sweeps.map((sweep) => sweep.floor));
  const ratio = wall / ideal;
  return {
    goals: [
      {
        what: `sweep wall time ÷ ideal, ${count.toLocaleString("en")} tokens`,
        goal: "≤ 1.15",
        measured: `${digits(ratio)} (${digits(wall)} ÷ ${digits(ideal)} s)`,
        met: ratio <= 1.15,
      },
    ],
    method:
      `${count.toLocaleString("en")} due tokens in a SQLite file (${await fileSystem()}), \`REFRESH_CONCURRENCY=${CONCURRENCY}\`, a refresher just started; from the POST to its answer, median of ${sweeps.length} sweeps on fresh files. ` +
      `Webex is a minimal server of this bench in a process of its own that answers ${LATENCY} ms after a request is whole (the strict sandbox keeps its state in SQLite and would itself be the bottleneck). ` +
      "Ideal is N·L/C. The floor is what the rate of autocannon on as many connections (a fifth of the requests) would need: a timer and loopback cost that much before any of our code runs.",
    tables: [
      {
        head: ["", "seconds", "÷ ideal", "processor s", "resident MB"],
        rows: [
          ["ideal", digits(ideal), "1.00", "", ""],
          ["floor (autocannon)", digits(floor), digits(floor / ideal), "", ""],
          ...sweeps.map((sweep, index) => [
            `sweep ${index + 1}`,
            digits(sweep.wall),
            digits(sweep.wall / ideal),
            digits(sweep.processor),
            digits(sweep.megabytes),
          ]),
        ],
      },
    ],
    plots: [
      {
        file: "sweep",
        title: "A sweep",
        svg: bars(
          "seconds",
          ["ideal", "floor", "sweep"],
          [{ name: "seconds", values: [ideal, floor, wall] }],
        ),
      },
    ],
  };
}

/** What kind of file system the files were on: a sweep writes and syncs twice for each token. */
async function fileSystem(): Promise<string> {
  const mounts = (await readFile("/proc/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  const here = mounts.filter(
    ([, point = "none"]) => process.env.TMPDIR?.startsWith(point) || "/tmp".startsWith(point),
  );
  return here.toSorted(([, a = ""], [, b = ""]) => b.length - a.length)[0]?.[2] ?? "unknown file system";
}
