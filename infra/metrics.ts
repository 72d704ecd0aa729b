import type { logging } from "@pulumi/gcp";
import type { Event } from "../functions/core/log.ts";
import { STATES, type State } from "../functions/core/state.ts";

/** A metric that is made of the functions' log lines. */
export interface LogMetric {
  /** Short, unique here. */
  id: string;
  args: Omit<logging.MetricArgs, "project"> & { name: string; filter: string };
}

/** The name under which Monitoring knows it. */
export const metricType = (service: string, id: string) => `logging.googleapis.com/user/${service}-${id}`;

/** Lines that a function has written about one of these events. */
export const eventFilter = (...events: [Event, ...Event[]]): string => {
  const names = events.map((event) => `"${event}"`).join(" OR ");
  return `resource.type="cloud_run_revision" AND jsonPayload.event=${events.length > 1 ? `(${names})` : names}`;
};

/** What the dashboard and the alerts count and measure. `service`: the name of the deployment. */
export function metricsFor(service: string): LogMetric[] {
  const counter = (id: string, about: string, filter: string): LogMetric => ({
    id,
    args: {
      name: `${service}-${id}`,
      description: about,
      filter,
      metricDescriptor: { metricKind: "DELTA", valueType: "INT64", unit: "1" },
    },
  });
  const measured = (id: string, about: string, filter: string, field: string, unit = "1"): LogMetric => ({
    id,
    args: {
      name: `${service}-${id}`,
      description: about,
      filter,
      valueExtractor: `EXTRACT(jsonPayload.${field})`,
      metricDescriptor: { metricKind: "DELTA", valueType: "DISTRIBUTION", unit },
      bucketOptions: { exponentialBuckets: { growthFactor: 1.4, numFiniteBuckets: 64, scale: 1 } },
    },
  });
  const swept = eventFilter("sweep.done");
  const counted = eventFilter("census.done");
  return [
    counter("sweeps", "sweeps that were completed", swept),
    measured(
      "overdue",
      "how long the longest waiting token had been due when a sweep began",
      swept,
      "overdueSeconds",
      "s",
    ),
    measured("refreshed", "tokens that a sweep refreshed", swept, "refreshed"),
    measured("failed", "tokens that a sweep could not refresh", swept, "failed"),
    measured("remaining", "due tokens that a sweep did not reach", swept, "remaining"),
    counter(
      "wrong-passphrases",
      "requests with a wrong passphrase, or none",
      eventFilter("request.unauthorized"),
    ),
    ...STATES.map((state) =>
      measured(stateId(state), `tokens that are "${state}", by the census`, counted, `"${state}"`),
    ),
  ];
}

/** "needs a person" → "state-needs-a-person". */
export const stateId = (state: State) => `state-${state.replaceAll(" ", "-")}`;
