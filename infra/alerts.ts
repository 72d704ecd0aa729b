import type { input } from "@pulumi/gcp/types/index.js";
import type { Event } from "../functions/core/log.ts";
import { eventFilter, metricType } from "./metrics.ts";

/** What alerts are about: names that are known once the rest is made. */
export interface Watched {
  lookup: string;
  refresher: string;
  jobs: readonly string[];
  /** Id of the uptime check. */
  check: string;
}

export interface Alert {
  /** Short, unique here. */
  id: string;
  title: string;
  severity: "CRITICAL" | "ERROR" | "WARNING";
  /** What to do, in Markdown. */
  remedy: string;
  /** The events whose log lines it is made of; none: of Google's own metrics or logs. */
  events: readonly Event[];
  conditions(watched: Watched): input.monitoring.AlertPolicyCondition[];
  strategy: input.monitoring.AlertPolicyAlertStrategy;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const seconds = (count: number) => `${count}s`;
/** Incidents close by themselves after this long without news. */
const CLOSES = { autoClose: seconds(24 * HOUR) };
/** Google wants one with every condition on log lines; each token has incidents of its own. */
const ON_LINES = { ...CLOSES, notificationRateLimit: { period: seconds(5 * MINUTE) } };

/** Every alert. `service`: the name of the deployment. */
export function alertsFor(service: string): Alert[] {
  return [
    {
      id: "no-sweep",
      title: "No sweep was completed for 15 minutes",
      severity: "CRITICAL",
      events: ["sweep.done"],
      remedy: `Tokens are still refreshed when a reader needs it, but nothing is refreshed ahead.

1. \`gcloud scheduler jobs list --location=REGION\` says whether the job is paused; its log, how the last attempt ended.
2. Paused: \`gcloud scheduler jobs resume JOB --location=REGION\`. Denied (403): the Scheduler's account must have \`roles/run.invoker\` on the refresher; \`pulumi up\` mends it.
3. Else look at the refresher's log for \`service.stopped\`, \`store.unavailable\` or \`bug\`.`,
      conditions: ({ refresher }) => [
        {
          displayName: "no sweep.done",
          conditionAbsent: {
            filter: `resource.type="cloud_run_revision" AND resource.labels.service_name="${refresher}" AND metric.type="${metricType(service, "sweeps")}"`,
            duration: seconds(15 * MINUTE),
            aggregations: [
              {
                alignmentPeriod: seconds(MINUTE),
                perSeriesAligner: "ALIGN_COUNT",
                crossSeriesReducer: "REDUCE_SUM",
              },
            ],
            trigger: { count: 1 },
          },
        },
      ],
      strategy: CLOSES,
    },
    {
      id: "overdue",
      title: "Tokens have been due for more than 10 minutes",
      severity: "ERROR",
      events: ["sweep.done"],
      remedy: `Sweeps run, but do not get through, or Webex refuses for the time being.

1. \`npm run tokens -- list\` shows which tokens wait, and why.
2. Many failures: see https://status.webex.com. All goes on by itself when Webex is back; held tokens are served until then.
3. \`remaining\` above 0 and no failures: raise \`refreshConcurrency\`.`,
      conditions: () => [
        above(service, "overdue", "overdueSeconds above 600", 600, {
          duration: 5 * MINUTE,
          aligner: "ALIGN_PERCENTILE_99",
        }),
      ],
      strategy: CLOSES,
    },
    onLines({
      id: "needs-a-person",
      title: "Webex refuses to refresh a token for good",
      severity: "CRITICAL",
      events: ["refresh.refused"],
      remedy: `Token **\${log.extracted_label.token}**: the held access token is served to its end; then calls fail.

1. \`npm run tokens -- show \${log.extracted_label.token}\` names the reason.
2. \`npm run tokens -- authorize \${log.extracted_label.token}\` and open the address it prints; for a Service App \`import --replace\` with a new refresh token; with a new client secret \`add --replace\`.`,
    }),
    onLines({
      id: "unsaved",
      title: "A refreshed token could not be stored",
      severity: "CRITICAL",
      events: ["refresh.unsaved"],
      remedy: `Token **\${log.extracted_label.token}**: Webex granted, but Firestore could not be written until the lease ran out. As a rule the next sweep mends it, since Webex gives the same refresh token again.

1. \`npm run tokens -- refresh \${log.extracted_label.token}\`. It works: nothing more to do.
2. It is refused: the refresh token was replaced and is lost. \`npm run tokens -- authorize \${log.extracted_label.token}\`.`,
    }),
    onLines({
      id: "unopened",
      title: "A token's secrets can't be opened with the configured keys",
      severity: "CRITICAL",
      events: ["token.unopened"],
      remedy: `Token **\${log.extracted_label.token}** can't be refreshed; its held access token is served to its end.

1. \`npm run tokens -- show \${log.extracted_label.token}\` says which key it needs.
2. Put that key back: an older version of the secret of the sealing keys holds it (versions are disabled, never destroyed).
3. Is it lost, type the secrets anew: \`add --replace\`, then \`authorize\`.`,
    }),
    onLines({
      id: "ending",
      title: "A refresh token or a fixed access token ends soon",
      severity: "WARNING",
      events: ["token.ending"],
      remedy: `Token **\${log.extracted_label.token}**, told at 14, 7, 3 and 1 days.

- A fixed access token: \`npm run tokens -- import \${log.extracted_label.token} --static --replace --expires …\` with a new one.
- A refresh token: as a rule it is used, and so renewed, a day before its end. Where it is not: \`npm run tokens -- authorize \${log.extracted_label.token}\`.`,
    }),
    onLines({
      id: "stopped",
      title: "A function can't start, or meets a bug",
      severity: "CRITICAL",
      events: ["service.stopped", "bug", "seal.keys_unreadable", "passphrase.unreadable"],
      remedy: `The log line says what is wrong in one sentence (\`reason\`), or where in the code (\`where\`).

1. A missing or malformed setting: correct the stack's configuration, then \`pulumi up\`.
2. A secret that can't be read: is its newest version enabled, and may the function's account read it?
3. \`bug\`: please report the reference and the line.`,
    }),
    {
      id: "wrong-passphrases",
      title: "Many requests with a wrong passphrase",
      severity: "WARNING",
      events: ["request.unauthorized"],
      remedy: `More than 60 in 5 minutes. Either a flow still uses an old passphrase, or somebody guesses.

1. In Logs Explorer: \`jsonPayload.event="request.unauthorized"\`; \`caller\` is the address, \`token\` the name that was asked for.
2. After a rotation: change the flow that was forgotten.
3. Else nothing is lost as long as the passphrase is a generated one: add a version to its secret with a new one.`,
      conditions: () => [
        above(service, "wrong-passphrases", "more than 60 in 5 minutes", 60, {
          window: 5 * MINUTE,
          aligner: "ALIGN_DELTA",
        }),
      ],
      strategy: CLOSES,
    },
    {
      id: "scheduler",
      title: "A Scheduler job failed",
      severity: "ERROR",
      events: [],
      remedy: `1. The job's log in Cloud Scheduler says how the last attempts ended.
2. 403 or 401: \`pulumi up\` restores who may call the refresher.
3. A deadline: \`remaining\` in the sweeps' summaries says whether there is too much to do; raise \`refreshConcurrency\`.`,
      conditions: ({ jobs }) => [
        {
          displayName: "an attempt that failed",
          conditionMatchedLog: {
            filter: `resource.type="cloud_scheduler_job" AND severity>=ERROR AND resource.labels.job_id=(${jobs.map((job) => `"${job}"`).join(" OR ")})`,
            labelExtractors: { job: "EXTRACT(resource.labels.job_id)" },
          },
        },
      ],
      strategy: ON_LINES,
    },
    {
      id: "lookup-errors",
      title: "Lookup answers with errors",
      severity: "ERROR",
      events: [],
      remedy: `More than 5 answers of 5xx in 5 minutes: calls get no token.

1. \`npm run tokens -- list\`: a token that has ended shows why it was not refreshed.
2. Logs of lookup: \`store.unavailable\` is Firestore, \`bug\` is ours.
3. Callers that use \`COMPAT=sample\` get 500 for their own mistakes, too: see \`code\` in \`request.refused\`.`,
      conditions: ({ lookup }) => [
        {
          displayName: "5xx of lookup",
          conditionThreshold: {
            filter: `resource.type="cloud_run_revision" AND resource.labels.service_name="${lookup}" AND metric.type="run.googleapis.com/request_count" AND metric.labels.response_code_class="5xx"`,
            comparison: "COMPARISON_GT",
            thresholdValue: 5,
            duration: "0s",
            aggregations: [
              {
                alignmentPeriod: seconds(5 * MINUTE),
                perSeriesAligner: "ALIGN_DELTA",
                crossSeriesReducer: "REDUCE_SUM",
              },
            ],
          },
        },
      ],
      strategy: CLOSES,
    },
    {
      id: "lookup-slow",
      title: "Lookup is slow",
      severity: "WARNING",
      events: [],
      remedy: `The slowest hundredth of answers takes longer than 1.5 s; Flow Designer gives up after 2 s.

1. Cold starts: set \`minInstances\` to 1.
2. Reads that wait for the refresher: \`npm run tokens -- list\` shows tokens that are below their threshold, and why.
3. Firestore itself: https://status.cloud.google.com.`,
      conditions: ({ lookup }) => [
        {
          displayName: "p99 above 1.5 s",
          conditionThreshold: {
            filter: `resource.type="cloud_run_revision" AND resource.labels.service_name="${lookup}" AND metric.type="run.googleapis.com/request_latencies"`,
            comparison: "COMPARISON_GT",
            thresholdValue: 1500,
            duration: seconds(5 * MINUTE),
            aggregations: [
              {
                alignmentPeriod: seconds(5 * MINUTE),
                perSeriesAligner: "ALIGN_DELTA",
                crossSeriesReducer: "REDUCE_PERCENTILE_99",
              },
            ],
          },
        },
      ],
      strategy: CLOSES,
    },
    {
      id: "health",
      title: "Lookup does not answer from outside",
      severity: "CRITICAL",
      events: [],
      remedy: `\`/health\` asks nothing of the store: lookup itself can't be reached, or can't start.

1. \`curl -i BASE_URL/health\` from where you are.
2. 403: an organization's policy keeps \`allUsers\` out, see the README.
3. Logs of lookup: \`service.stopped\` says what is missing.`,
      conditions: ({ check }) => [
        {
          displayName: "/health fails",
          conditionThreshold: {
            filter: `resource.type="uptime_url" AND metric.type="monitoring.googleapis.com/uptime_check/check_passed" AND metric.labels.check_id="${check}"`,
            comparison: "COMPARISON_GT",
            thresholdValue: 1,
            duration: seconds(2 * MINUTE),
            aggregations: [
              {
                alignmentPeriod: seconds(2 * MINUTE),
                perSeriesAligner: "ALIGN_NEXT_OLDER",
                crossSeriesReducer: "REDUCE_COUNT_FALSE",
                groupByFields: ["resource.label.host"],
              },
            ],
          },
        },
      ],
      strategy: CLOSES,
    },
  ];
}

/** Each line is an incident that names the token. */
function onLines(
  alert: Omit<Alert, "conditions" | "strategy"> & { events: readonly [Event, ...Event[]] },
): Alert {
  const [first, ...more] = alert.events;
  return {
    ...alert,
    conditions: () => [
      {
        displayName: alert.events.join(", "),
        conditionMatchedLog: {
          filter: eventFilter(first, ...more),
          labelExtractors: { token: "EXTRACT(jsonPayload.token)", event: "EXTRACT(jsonPayload.event)" },
        },
      },
    ],
    strategy: ON_LINES,
  };
}

/** One of our own metrics above a value. Times are s. */
function above(
  service: string,
  metric: string,
  displayName: string,
  value: number,
  { duration = 0, window = MINUTE, aligner }: { duration?: number; window?: number; aligner: string },
): input.monitoring.AlertPolicyCondition {
  return {
    displayName,
    conditionThreshold: {
      filter: `resource.type="cloud_run_revision" AND metric.type="${metricType(service, metric)}"`,
      comparison: "COMPARISON_GT",
      thresholdValue: value,
      duration: seconds(duration),
      aggregations: [
        {
          alignmentPeriod: seconds(window),
          perSeriesAligner: aligner,
          crossSeriesReducer: aligner === "ALIGN_DELTA" ? "REDUCE_SUM" : "REDUCE_MAX",
        },
      ],
    },
  };
}
