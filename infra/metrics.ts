import type { logging } from "@pulumi/gcp";
import type { Event } from "../functions/core/log.ts";
import { STATES, type State } from "../functions/core/state.ts";

/** A metric that is made of log lines. */
export interface LogMetric {
  /** Short, unique here. */
  id: string;
  /** The events whose lines it is made of; none: of Cloud Run's log of requests. */
  events: readonly Event[];
  args: Omit<logging.MetricArgs, "project"> & { name: string; filter: string; metricDescriptor: Descriptor };
}

interface Descriptor {
  metricKind: "DELTA";
  valueType: "INT64" | "DISTRIBUTION";
  unit: string;
}

/** The Cloud Run services that the functions are. */
export interface Services {
  lookup: string;
  refresher: string;
  setup: string;
}

/** The name under which Monitoring knows it. */
export const metricType = (service: string, id: string) => `logging.googleapis.com/user/${service}-${id}`;

/** Lines that these services have written about one of these events. Another deployment in the project has its own. */
export const eventFilter = (services: readonly string[], ...events: readonly Event[]): string =>
  `${ofServices(services)} AND jsonPayload.event=${oneOf(events)}`;

/** A service's requests that were about one token, as Cloud Run notes them. */
const requestFilter = (service: string) =>
  `${ofServices([service])} AND log_id("run.googleapis.com/requests") AND httpRequest.requestUrl=~"[?&]name="`;

const ofServices = (services: readonly string[]) =>
  `resource.type="cloud_run_revision" AND resource.labels.service_name=${oneOf(services)}`;

/** As Logging's query language says it. */
export const oneOf = (values: readonly string[]): string => {
  const quoted = values.map((value) => `"${value}"`);
  return quoted.length === 1 ? `${quoted[0]}` : `(${quoted.join(" OR ")})`;
};

/** What the dashboard and the alerts count and measure. `service`: the name of the deployment. */
export function metricsFor(service: string, { lookup, refresher, setup }: Services): LogMetric[] {
  const counter = (id: string, about: string, filter: string, ...events: Event[]): LogMetric => ({
    id,
    events,
    args: {
      name: `${service}-${id}`,
      description: about,
      filter,
      metricDescriptor: { metricKind: "DELTA", valueType: "INT64", unit: "1" },
    },
  });
  const measured = (id: string, about: string, event: Event, field: string, unit = "1"): LogMetric => ({
    id,
    events: [event],
    args: {
      name: `${service}-${id}`,
      description: about,
      filter: eventFilter([refresher], event),
      valueExtractor: `EXTRACT(jsonPayload.${field})`,
      metricDescriptor: { metricKind: "DELTA", valueType: "DISTRIBUTION", unit },
      bucketOptions: { exponentialBuckets: { growthFactor: 1.4, numFiniteBuckets: 64, scale: 1 } },
    },
  });
  const swept = "sweep.done";
  return [
    counter("sweeps", "sweeps that were completed", eventFilter([refresher], swept), swept),
    measured("overdue", "how long a token had been due when a sweep began", swept, "overdueSeconds", "s"),
    measured("refreshed", "tokens that a sweep refreshed", swept, "refreshed"),
    measured("failed", "tokens that a sweep could not refresh", swept, "failed"),
    measured("remaining", "due tokens that a sweep did not reach", swept, "remaining"),
    counter(
      "wrong-passphrases",
      "requests with a wrong passphrase; those without any are not counted: every scanner makes them",
      `${eventFilter([lookup, setup], "request.unauthorized")} AND jsonPayload.code="wrong_passphrase"`,
      "request.unauthorized",
    ),
    counter("reads", "requests for a token", requestFilter(lookup)),
    counter("asks", "requests of readers that wait for the refresher", requestFilter(refresher)),
    ...STATES.map((state) =>
      measured(stateId(state), `tokens that are "${state}", by the census`, "census.done", `"${state}"`),
    ),
  ];
}

/** "needs a person" → "state-needs-a-person". */
export const stateId = (state: State) => `state-${state.replaceAll(" ", "-")}`;
