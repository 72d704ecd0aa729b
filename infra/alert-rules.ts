import type { Declared } from "./offline.ts";
import type { Policy } from "./policies.ts";

/**
 * What Google refuses of alerts and dashboards, or takes and never evaluates: known here, so that it is not found out at a
 * deployment. (https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies, and Aggregation there)
 */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const LOG_METRIC = "gcp:logging/metric:Metric";
const ALERT = "gcp:monitoring/alertPolicy:AlertPolicy";
const DASHBOARD = "gcp:monitoring/dashboard:Dashboard";

/** Alert policies are of a shape that Google takes. */
export const alertsThatGoogleTakes: Policy = (resources) => {
  const kinds = kindsOf(resources);
  return resources
    .filter(({ type }) => type === ALERT)
    .flatMap(({ name, inputs }) => problemsOf(inputs, kinds).map((problem) => `${name}: ${problem}`));
};

/** Every line of a dashboard is drawn from a metric that is there, and is one number at a time. */
export const dashboardsThatGoogleTakes: Policy = (resources) => {
  const kinds = kindsOf(resources);
  return resources
    .filter(({ type }) => type === DASHBOARD)
    .flatMap(({ name, inputs }) =>
      seriesIn(JSON.parse(inputs.dashboardJson)).flatMap((series) =>
        seriesProblems(series, kinds).map((problem) => `${name}: ${problem}`),
      ),
    );
};

type Json = Declared["inputs"];
type Kind = "INT64" | "DOUBLE" | "BOOL" | "DISTRIBUTION";
type Kinds = ReadonlyMap<string, Kind>;

const GOOGLES: readonly [string, Kind][] = [
  ["run.googleapis.com/request_count", "INT64"],
  ["run.googleapis.com/request_latencies", "DISTRIBUTION"],
  ["monitoring.googleapis.com/uptime_check/check_passed", "BOOL"],
];

const kindsOf = (resources: readonly Declared[]): Kinds =>
  new Map([
    ...GOOGLES,
    ...resources
      .filter(({ type }) => type === LOG_METRIC)
      .map(({ inputs }): [string, Kind] => [
        `logging.googleapis.com/user/${inputs.name}`,
        inputs.metricDescriptor.valueType,
      ]),
  ]);

function problemsOf(
  { conditions = [], alertStrategy = {}, documentation = {} }: Json,
  kinds: Kinds,
): string[] {
  const problems: string[] = [];
  const need = (holds: boolean, problem: string) => void (holds || problems.push(problem));
  const bodies = (conditions as Json[]).map((condition) =>
    Object.entries(condition).filter(([key, value]) => key.startsWith("condition") && value !== undefined),
  );
  const onLines = bodies.some((body) => body.some(([kind]) => kind === "conditionMatchedLog"));
  need(conditions.length >= 1 && conditions.length <= 6, "one to six conditions");
  need(!onLines || conditions.length === 1, "a condition on log lines stands alone");
  const { autoClose, notificationRateLimit } = alertStrategy;
  need(
    autoClose === undefined || within(autoClose, 30 * MINUTE, 7 * 24 * HOUR),
    "autoClose: 30 minutes to 7 days",
  );
  need(
    onLines === (notificationRateLimit !== undefined),
    "a rate limit is for conditions on log lines, and needed with them",
  );
  if (notificationRateLimit !== undefined)
    need(within(notificationRateLimit.period, 5 * MINUTE, 48 * HOUR), "rate limit: 5 minutes to 2 days");
  const { content = "", subject = "" } = documentation;
  need(content.length > 0 && content.length <= 8192 && Buffer.byteLength(content) <= 10_240, "documentation");
  need(Buffer.byteLength(subject) <= 255 && !subject.includes("\n"), "subject: one line of up to 255 bytes");
  for (const body of bodies) {
    const [[kind, condition] = ["", {}], ...others] = body;
    need(others.length === 0, "a condition is of one kind");
    problems.push(...conditionProblems(kind, condition, kinds));
  }
  const labels = bodies.flatMap((body) =>
    body.flatMap(([, { labelExtractors = {} }]) => Object.keys(labelExtractors)),
  );
  for (const [, label = ""] of content.matchAll(/\$\{log\.extracted_label\.(\w+)\}/g))
    need(labels.includes(label), `its documentation names ${label}, which is not extracted`);
  return problems;
}

function conditionProblems(kind: string, condition: Json, kinds: Kinds): string[] {
  const { filter = "", duration = "", aggregations = [], labelExtractors = {}, comparison } = condition;
  const problems: string[] = [];
  const need = (holds: boolean, problem: string) => void (holds || problems.push(problem));
  switch (kind) {
    case "conditionMatchedLog":
      need(filter.length > 0 && filter.length <= 20_000, "a filter of up to 20,000 letters");
      need(
        Object.keys(labelExtractors).length <= 10 &&
          Object.keys(labelExtractors).every((label) => /^[a-z_]\w*$/i.test(label)),
        "ten labels at most, of letters, digits and _",
      );
      return problems;
    case "conditionAbsent":
      need(whole(duration) && within(duration, 2 * MINUTE, 23.5 * HOUR), "absence: 2 minutes to 23.5 hours");
      break;
    case "conditionThreshold":
      need(whole(duration) && within(duration, 0, 23.5 * HOUR), "duration: whole minutes, up to 23.5 hours");
      need(["COMPARISON_GT", "COMPARISON_LT"].includes(comparison), "only GT and LT are compared");
      break;
    default:
      problems.push(`a condition of an unknown kind: ${kind}`);
  }
  need(filter.length <= 2048, "a filter of up to 2,048 letters");
  return [...problems, ...seriesProblems({ filter, aggregation: aggregations[0] }, kinds)];
}

interface Series {
  filter: string;
  aggregation: Json | undefined;
}

function seriesProblems({ filter, aggregation }: Series, kinds: Kinds): string[] {
  const [, metric = "nothing"] = /metric\.type="([^"]+)"/.exec(filter) ?? [];
  const kind = kinds.get(metric);
  if (kind === undefined) return [`there is no metric ${metric}`];
  if (!filter.includes('resource.type="')) return [`${metric}: without a resource type`];
  const { alignmentPeriod = "", perSeriesAligner = "", crossSeriesReducer = "" } = aggregation ?? {};
  if (!within(alignmentPeriod, MINUTE, 25 * HOUR)) return [`${metric}: aligned over ${alignmentPeriod}`];
  const aligned = ALIGNED[perSeriesAligner]?.[kind];
  const reduced = aligned && REDUCED[crossSeriesReducer]?.[aligned];
  const isNumber = reduced === "INT64" || reduced === "DOUBLE";
  return isNumber
    ? []
    : [`${metric}: ${perSeriesAligner} and ${crossSeriesReducer} make no number of a ${kind}`];
}

type Made = Readonly<Record<string, Partial<Record<Kind, Kind>>>>;
const NUMBERS = { INT64: "INT64", DOUBLE: "DOUBLE" } as const;
const PERCENTILE = { DISTRIBUTION: "DOUBLE" } as const;

const ALIGNED: Made = {
  ALIGN_DELTA: { ...NUMBERS, DISTRIBUTION: "DISTRIBUTION" },
  ALIGN_RATE: { INT64: "DOUBLE", DOUBLE: "DOUBLE" },
  ALIGN_PERCENTILE_50: PERCENTILE,
  ALIGN_PERCENTILE_99: PERCENTILE,
  ALIGN_NEXT_OLDER: { ...NUMBERS, BOOL: "BOOL" },
};

const REDUCED: Made = {
  REDUCE_SUM: { ...NUMBERS, DISTRIBUTION: "DISTRIBUTION" },
  REDUCE_MAX: NUMBERS,
  REDUCE_MEAN: { INT64: "DOUBLE", DOUBLE: "DOUBLE", DISTRIBUTION: "DOUBLE" },
  REDUCE_PERCENTILE_50: { ...NUMBERS, ...PERCENTILE },
  REDUCE_PERCENTILE_99: { ...NUMBERS, ...PERCENTILE },
  REDUCE_COUNT_FALSE: { BOOL: "INT64" },
};

/** Everything in it that is a filter with its aggregation. */
function seriesIn(json: unknown): Series[] {
  if (typeof json !== "object" || json === null) return [];
  const { filter, aggregation } = json as Json;
  const here = typeof filter === "string" ? [{ filter, aggregation }] : [];
  return [...here, ...Object.values(json).flatMap(seriesIn)];
}

const secondsIn = (duration: unknown) => Number(/^(\d+)s$/.exec(String(duration))?.[1] ?? Number.NaN);
const whole = (duration: unknown) => secondsIn(duration) % MINUTE === 0;
const within = (duration: unknown, least: number, most: number) =>
  secondsIn(duration) >= least && secondsIn(duration) <= most;
