import type { input } from "@pulumi/gcp/types/index.js";
import type { Event } from "../functions/core/log.ts";
import { eventFilter, metricType, oneOf, type Services } from "./metrics.ts";

/** What alerts are about: names that are known once the rest is made. */
export interface Watched extends Services {
  /** Names of the Scheduler's jobs. */
  jobs: readonly string[];
  /** Id of the uptime check. */
  check: string;
}

export type Condition = input.monitoring.AlertPolicyCondition;
type Strategy = input.monitoring.AlertPolicyAlertStrategy;

/** When an alert opens an incident, and when it closes one. */
export interface Watch {
  /** The events whose log lines it is made of; none: of Google's own metrics or logs. */
  events: readonly Event[];
  conditions(watched: Watched): Condition[];
  strategy: Strategy;
}

export const MINUTE = 60;
const HOUR = 60 * MINUTE;
const seconds = (count: number) => `${count}s`;

/** Incidents close by themselves after this long without news. */
const CLOSES: Strategy = { autoClose: seconds(24 * HOUR) };
/** Google wants a limit with every condition on log lines; what is extracted from the line has incidents of its own. */
const ON_LINES: Strategy = { ...CLOSES, notificationRateLimit: { period: seconds(5 * MINUTE) } };

/** What a line says beside its event, and where. */
const LABELS = {
  token: "EXTRACT(jsonPayload.token)",
  event: "EXTRACT(jsonPayload.event)",
  code: "EXTRACT(jsonPayload.code)",
  service: "EXTRACT(resource.labels.service_name)",
} as const;

/** Each such line of any function is an incident; `labels` are to be had in the remedy. */
export function onLines(events: readonly Event[], ...labels: (keyof typeof LABELS)[]): Watch {
  return {
    events,
    conditions: ({ lookup, refresher, setup }) => [
      {
        displayName: events.join(", "),
        conditionMatchedLog: {
          filter: eventFilter([lookup, refresher, setup], ...events),
          labelExtractors: Object.fromEntries(labels.map((label) => [label, LABELS[label]])),
        },
      },
    ],
    strategy: ON_LINES,
  };
}

/** The same, for lines that come again with every try: people are told once an hour at most. */
export const hourly = (watch: Watch): Watch => ({
  ...watch,
  strategy: { ...CLOSES, notificationRateLimit: { period: seconds(HOUR) } },
});

/** Each attempt of a Scheduler's job that ended badly. */
export function onFailedJobs(): Watch {
  return {
    events: [],
    conditions: ({ jobs }) => [
      {
        displayName: "an attempt that failed",
        conditionMatchedLog: {
          filter: `resource.type="cloud_scheduler_job" AND severity>=ERROR AND resource.labels.job_id=${oneOf(jobs)}`,
          labelExtractors: {
            job: "EXTRACT(resource.labels.job_id)",
            status: "EXTRACT(jsonPayload.status)",
          },
        },
      },
    ],
    strategy: ON_LINES,
  };
}

/**
 * One of our own counters stood still for so long (s): its series ended, or goes on with zeros, as Monitoring may do for a
 * while. One that never began is no absence: where no sweep ever came, the Scheduler's failed attempts tell.
 */
export function standsStill(service: string, metric: string, event: Event, duration: number): Watch {
  const filter = ours(service, metric);
  return {
    events: [event],
    conditions: () => [
      {
        displayName: `no ${event}`,
        conditionAbsent: {
          filter,
          duration: seconds(duration),
          aggregations: [aggregation(MINUTE, "ALIGN_DELTA", "REDUCE_SUM")],
          trigger: { count: 1 },
        },
      },
      {
        displayName: `zero ${event}`,
        conditionThreshold: {
          filter,
          comparison: "COMPARISON_LT",
          thresholdValue: 1,
          duration: seconds(0),
          aggregations: [aggregation(duration, "ALIGN_DELTA", "REDUCE_SUM")],
        },
      },
    ],
    strategy: CLOSES,
  };
}

/** One of our own counters rose by more than `most` within `window` (s). */
export function moreThan(
  service: string,
  metric: string,
  event: Event,
  { most, window }: { most: number; window: number },
): Watch {
  return above([event], `more than ${most} in ${window / MINUTE} minutes`, most, () => ({
    filter: ours(service, metric),
    aggregations: [aggregation(window, "ALIGN_DELTA", "REDUCE_SUM")],
  }));
}

/** What most lines of the last `window` (s) measured was above `most`: one outlier is none. */
export function mostlyAbove(
  service: string,
  metric: string,
  event: Event,
  { most, window }: { most: number; window: number },
): Watch {
  return above([event], `${metric} above ${most}`, most, () => ({
    filter: ours(service, metric),
    aggregations: [aggregation(window, "ALIGN_PERCENTILE_50", "REDUCE_MAX")],
  }));
}

/** More than `most` answers of 5xx by lookup within `window` (s). */
export function lookupFails({ most, window }: { most: number; window: number }): Watch {
  return above([], "5xx of lookup", most, ({ lookup }) => ({
    filter: `${run(lookup, "request_count")} AND metric.labels.response_code_class="5xx"`,
    aggregations: [aggregation(window, "ALIGN_DELTA", "REDUCE_SUM")],
  }));
}

/** The slowest hundredth of lookup's answers of each `window` (s) took longer than so many ms, for as long again. */
export function lookupSlow({ most, window }: { most: number; window: number }): Watch {
  const slow = ({ lookup }: Watched) => ({
    filter: run(lookup, "request_latencies"),
    aggregations: [aggregation(window, "ALIGN_DELTA", "REDUCE_PERCENTILE_99")],
  });
  return above([], `p99 above ${most / 1000} s`, most, slow, window);
}

/** The check from outside fails from more than one place of the world, for two minutes. */
export function unreachable(): Watch {
  const fails = ({ check }: Watched) => ({
    filter: `resource.type="uptime_url" AND metric.type="monitoring.googleapis.com/uptime_check/check_passed" AND metric.labels.check_id="${check}"`,
    aggregations: [
      {
        ...aggregation(2 * MINUTE, "ALIGN_NEXT_OLDER", "REDUCE_COUNT_FALSE"),
        groupByFields: ["resource.labels.host"],
      },
    ],
  });
  return above([], "/health fails", 1, fails, 2 * MINUTE);
}

const ours = (service: string, metric: string) =>
  `resource.type="cloud_run_revision" AND metric.type="${metricType(service, metric)}"`;

const run = (service: string, metric: string) =>
  `resource.type="cloud_run_revision" AND resource.labels.service_name="${service}" AND metric.type="run.googleapis.com/${metric}"`;

const aggregation = (period: number, perSeriesAligner: string, crossSeriesReducer: string) => ({
  alignmentPeriod: seconds(period),
  perSeriesAligner,
  crossSeriesReducer,
});

type Series = Pick<input.monitoring.AlertPolicyConditionConditionThreshold, "filter" | "aggregations">;

/** `duration` (s): for how long it must be above; 0: once is enough. */
function above(
  events: readonly Event[],
  displayName: string,
  thresholdValue: number,
  series: (watched: Watched) => Series,
  duration = 0,
): Watch {
  return {
    events,
    conditions: (watched) => [
      {
        displayName,
        conditionThreshold: {
          ...series(watched),
          comparison: "COMPARISON_GT",
          thresholdValue,
          duration: seconds(duration),
        },
      },
    ],
    strategy: CLOSES,
  };
}
