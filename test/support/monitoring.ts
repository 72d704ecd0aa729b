import type { Condition } from "../../infra/conditions.ts";
import type { LogMetric } from "../../infra/metrics.ts";
import { type Entry, extract, matches } from "./logging-query.ts";

/** As much of Cloud Monitoring as decides whether a condition about one metric of log lines holds. */

/** One line that a metric counted or measured. */
export interface Point {
  /** s. */
  at: number;
  value: number;
}

/** What a metric makes of an entry; `undefined`: it is none of its own. */
export function valueIn({ args }: LogMetric, entry: Entry): number | undefined {
  if (!matches(args.filter, entry)) return undefined;
  if (typeof args.valueExtractor !== "string") return 1;
  const value = Number(extract(args.valueExtractor, entry));
  if (Number.isNaN(value)) throw new Error(`${args.name} can't measure ${JSON.stringify(entry)}`);
  return value;
}

/** Whether a condition is about the series of this metric. */
export function isAbout({ conditionAbsent, conditionThreshold }: Condition, { args }: LogMetric): boolean {
  const { filter } = (conditionAbsent ?? conditionThreshold ?? {}) as { filter?: string };
  const metric = { type: `logging.googleapis.com/user/${args.name}`, labels: {} };
  return filter !== undefined && matches(filter, { metric, resource: { type: "cloud_run_revision" } });
}

/** Whether it holds at that time (s), of the points so far. */
export function holdsAt(now: number, condition: Condition, points: readonly Point[]): boolean {
  const { conditionAbsent, conditionThreshold } = condition as Plain;
  const within = (span: number) => points.filter(({ at }) => at > now - span && at <= now);
  if (conditionAbsent !== undefined) {
    const span = seconds(conditionAbsent.duration);
    return points.some(({ at }) => at <= now) && within(span).length === 0;
  }
  if (conditionThreshold === undefined) throw new Error("a condition of another kind");
  const { aggregations, comparison, thresholdValue, duration } = conditionThreshold;
  const [aggregation] = aggregations;
  if (aggregation === undefined || duration !== "0s") throw new Error("more than once is not known here");
  const values = within(seconds(aggregation.alignmentPeriod)).map(({ value }) => value);
  if (values.length === 0) return false;
  const value = reduced(values, `${aggregation.perSeriesAligner} ${aggregation.crossSeriesReducer}`);
  return comparison === "COMPARISON_GT" ? value > thresholdValue : value < thresholdValue;
}

interface Plain {
  conditionAbsent?: { duration: string };
  conditionThreshold?: {
    duration: string;
    comparison: string;
    thresholdValue: number;
    aggregations: { alignmentPeriod: string; perSeriesAligner: string; crossSeriesReducer: string }[];
  };
}

function reduced(values: readonly number[], how: string): number {
  if (how === "ALIGN_DELTA REDUCE_SUM") return values.reduce((sum, value) => sum + value, 0);
  if (how === "ALIGN_PERCENTILE_50 REDUCE_MAX")
    return values.toSorted((one, other) => one - other)[Math.floor((values.length - 1) / 2)] ?? 0;
  throw new Error(`no such reduction here: ${how}`);
}

const seconds = (duration: string) => Number.parseInt(duration, 10);
