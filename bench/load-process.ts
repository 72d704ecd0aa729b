// autocannon, apart from whoever measures: node bench/load-process.ts '{"url":…,"connections":…}'
import autocannon, { type Options } from "autocannon";
import type { Load, LoadOptions } from "./load.ts";
import { quantile } from "./numbers.ts";

const { warmUpOn, ...options }: Options & LoadOptions = JSON.parse(process.argv[2] ?? "{}");
const times: number[] = [];
/** ms between two requests of one connection, where a rate is kept. */
const { overallRate, connections = 1 } = options;
const interval = overallRate ? (1000 * connections) / overallRate : Number.POSITIVE_INFINITY;
let answers = 0;
let last = 0;

// Cold, it is slower than what it measures, and its first answers would be the slowest hundredth.
if (warmUpOn) {
  const { overallRate: _none, ...fast } = options;
  await autocannon({ ...fast, url: warmUpOn, amount: 3000 });
}

const began = performance.now();
// Its own histogram knows whole milliseconds only; the event has the time as it was taken.
const run = autocannon(options, (error: Error | null, result) => {
  if (error) throw error;
  const sorted = Float64Array.from(times).sort();
  const load: Load = {
    answers,
    failures: result.non2xx + result.errors + result.timeouts,
    perSecond: answers / ((last - began) / 1000),
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    most: quantile(sorted, 1),
  };
  process.stdout.write(JSON.stringify(load));
});
run.on("response", (_client, _status, _bytes, took) => {
  last = performance.now();
  answers++;
  times.push(took);
  // Who waits sends nothing: those who would have come meanwhile would have waited, too (as HdrHistogram corrects it).
  for (let missed = took - interval; missed >= interval; missed -= interval) times.push(missed);
});
