import { STATES } from "../functions/core/state.ts";
import { metricType, type Services, stateId } from "./metrics.ts";

const WIDE = 12;
const HIGH = 4;

/** Cloud Monitoring's own description of a dashboard (projects.dashboards, "mosaicLayout"). */
export function dashboardFor(service: string, { lookup }: Pick<Services, "lookup">) {
  const ours = (id: string) => `metric.type="${metricType(service, id)}" resource.type="cloud_run_revision"`;
  const run = (metric: string, name: string) =>
    `metric.type="run.googleapis.com/${metric}" resource.type="cloud_run_revision" resource.label."service_name"="${name}"`;
  // Buckets are coarse; the mean of a distribution is kept exactly, and a minute has one sweep.
  const mean = (id: string, label: string) => series(ours(id), label, "ALIGN_DELTA", "REDUCE_MEAN");
  const percentile = (share: 50 | 99) =>
    series(run("request_latencies", lookup), `p${share}`, "ALIGN_DELTA", `REDUCE_PERCENTILE_${share}`);
  const widgets = [
    chart(
      "Tokens by state (census)",
      STATES.map((state) => mean(stateId(state), state)),
      // It comes once a day.
      "86400s",
    ),
    chart("Longest overdue token, s", [mean("overdue", "overdue")]),
    chart("What a sweep did", [
      mean("refreshed", "refreshed"),
      mean("failed", "failed"),
      mean("remaining", "remaining"),
    ]),
    chart("Lookup, ms", [percentile(50), percentile(99)]),
    chart("Lookup, answers a second", [
      series(run("request_count", lookup), "lookup", "ALIGN_RATE", "REDUCE_SUM"),
    ]),
    ratio("Share of reads that had to ask the refresher", ours("asks"), ours("reads")),
  ];
  return {
    displayName: `Webex token service (${service})`,
    mosaicLayout: {
      columns: WIDE,
      tiles: widgets.map((widget, index) => ({
        width: WIDE / 2,
        height: HIGH,
        xPos: (index % 2) * (WIDE / 2),
        yPos: Math.floor(index / 2) * HIGH,
        widget,
      })),
    },
  };
}

const aggregation = (perSeriesAligner: string, crossSeriesReducer: string) => ({
  alignmentPeriod: "60s",
  perSeriesAligner,
  crossSeriesReducer,
});

const series = (filter: string, legendTemplate: string, aligner: string, reducer: string) => ({
  plotType: "LINE",
  legendTemplate,
  timeSeriesQuery: { timeSeriesFilter: { filter, aggregation: aggregation(aligner, reducer) } },
});

type Series = ReturnType<typeof series>;

function chart(title: string, dataSets: Series[], period = "60s") {
  for (const { timeSeriesQuery } of dataSets)
    timeSeriesQuery.timeSeriesFilter.aggregation.alignmentPeriod = period;
  return { title, xyChart: { dataSets, yAxis: { scale: "LINEAR" } } };
}

const ratio = (title: string, numerator: string, denominator: string) => ({
  title,
  xyChart: {
    dataSets: [
      {
        plotType: "LINE",
        timeSeriesQuery: {
          timeSeriesFilterRatio: {
            numerator: { filter: numerator, aggregation: aggregation("ALIGN_RATE", "REDUCE_SUM") },
            denominator: { filter: denominator, aggregation: aggregation("ALIGN_RATE", "REDUCE_SUM") },
          },
        },
      },
    ],
    yAxis: { scale: "LINEAR" },
  },
});
