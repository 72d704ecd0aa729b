import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EVENTS, type Event } from "../../functions/core/log.ts";
import { alertsFor } from "../../infra/alerts.ts";
import type { Watched } from "../../infra/conditions.ts";
import { metricsFor } from "../../infra/metrics.ts";
import { attemptEntry, requestEntry, writtenEntry } from "../support/log-entry.ts";
import { type Entry, extract, matches } from "../support/logging-query.ts";
import { holdsAt, isAbout, type Point, valueIn } from "../support/monitoring.ts";
import { stopAll } from "../support/processes.ts";
import { ENDINGS, SERVICES, troubledLines } from "./alert-lines.ts";

/** Every filter of alerts and metrics against lines that the functions really logged. */

const JOBS = ["tokens-sweep", "tokens-census"];
const WATCHED: Watched = { ...SERVICES, jobs: JOBS, check: "tokens-check" };
const ALERTS = alertsFor("tokens");
const METRICS = metricsFor("tokens", SERVICES);

let written: Entry[];
let entries: Entry[];
beforeAll(async () => {
  written = await troubledLines();
  entries = [...written, ...JOBS.flatMap((job) => attempts(job)), ...attempts("another-sweep")];
});
afterAll(stopAll);

const attempts = (job: string) => [
  attemptEntry(job),
  attemptEntry(job, "INTERNAL"),
  attemptEntry(job, "PERMISSION_DENIED"),
];

// biome-ignore lint/suspicious/noExplicitAny: entries are of many kinds
const inside = (entry: Entry): any => entry;
const alertOf = (id: string) => {
  const alert = ALERTS.find((each) => each.id === id);
  if (alert === undefined) throw new Error(`there is no alert ${id}`);
  return alert;
};
const metricOf = (id: string) => {
  const metric = METRICS.find((each) => each.id === id);
  if (metric === undefined) throw new Error(`there is no metric ${id}`);
  return metric;
};
const linesFilterOf = (id: string) => alertOf(id).conditions(WATCHED)[0]?.conditionMatchedLog as LinesFilter;
interface LinesFilter {
  filter: string;
  labelExtractors: Record<string, string>;
}

/** "service event token", each once. */
const linesOf = (found: readonly Entry[]) =>
  [
    ...new Set(
      found.map((entry) => {
        const { resource, jsonPayload = {} } = inside(entry);
        return [resource.labels.service_name, jsonPayload.event, jsonPayload.token].filter(Boolean).join(" ");
      }),
    ),
  ].sort();
const caught = (id: string) => entries.filter((entry) => matches(linesFilterOf(id).filter, entry));

describe("an alert on log lines", () => {
  const ENDS = Object.keys(ENDINGS).filter((name) => !name.includes("16"));
  const wanted: [string, string[]][] = [
    ["needs-a-person", ["token-refresher refresh.refused refused"]],
    ["unsaved", ["token-refresher refresh.unsaved unsaved"]],
    ["unopened", ["token-refresher token.unopened unopened"]],
    ["unpublished", ["token-refresher publish.stuck unpublished"]],
    ["ending", ENDS.map((name) => `token-refresher token.ending ${name}`)],
    [
      "stopped",
      [
        "token-lookup bug met by a bug",
        "token-lookup passphrase.unreadable",
        "token-refresher seal.keys_unreadable",
        "token-setup service.stopped",
      ],
    ],
  ];

  test.each(wanted)("%s matches its lines, and no other", (id, lines) => {
    expect(linesOf(caught(id))).toEqual(lines.sort());
  });

  test("on log lines is tested here, whichever there is", () => {
    const onLines = ALERTS.filter(({ id }) => linesFilterOf(id) !== undefined).map(({ id }) => id);
    expect(onLines.sort()).toEqual([...wanted.map(([id]) => id), "scheduler"].sort());
  });

  test.each(wanted)("%s does not match the same line of another service", (id) => {
    const elsewhere = caught(id).map((entry) => {
      const { resource, ...rest } = inside(entry);
      return { ...rest, resource: { ...resource, labels: { ...resource.labels, service_name: "another" } } };
    });
    expect(elsewhere.length).toBeGreaterThan(0);
    expect(elsewhere.filter((entry) => matches(linesFilterOf(id).filter, entry))).toEqual([]);
  });

  test.each(wanted)("%s does not match a line that only quotes its event", (id) => {
    for (const event of alertOf(id).events) {
      const lines = [event, `{"event":"${event}.not"}`, `{"message":"${event}"}`, `["${event}"]`];
      const found = lines.filter((line) =>
        matches(linesFilterOf(id).filter, writtenEntry(SERVICES.refresher, line)),
      );
      expect(found).toEqual([]);
    }
  });

  test("needs-a-person does not match a refusal that may pass, or one that was logged before", () => {
    const failed = written.map((entry) => inside(entry).jsonPayload ?? {});
    expect(failed).toContainEqual(
      expect.objectContaining({ event: "refresh.failed", token: "blip", permanent: false }),
    );
    expect(failed).toContainEqual(
      expect.objectContaining({ event: "refresh.failed", token: "refused", permanent: true }),
    );
    expect(linesOf(caught("needs-a-person")).join()).not.toMatch(/failed|blip/);
  });

  test("unpublished does not match a publication that may succeed by itself, and notifies once an hour at most", () => {
    const lines = written.map((entry) => inside(entry).jsonPayload ?? {});
    expect(lines).toContainEqual(
      expect.objectContaining({ event: "publish.failed", token: "published later", code: "via_ended" }),
    );
    expect(alertOf("unpublished").strategy.notificationRateLimit).toEqual({ period: "3600s" });
  });

  test("ending matches one line per token 14, 7, 3 and 1 days before its end, with the number of days", () => {
    const days = caught("ending").map((entry) => [
      inside(entry).jsonPayload.token,
      inside(entry).jsonPayload.days,
    ]);
    expect(Object.fromEntries(days)).toEqual({
      "ends in 14 days": 14,
      "ends in 7 days": 7,
      "ends in 3 days": 3,
      "ends in a day": 1,
      "fixed, ends in 7 days": 7,
    });
    expect(days).toHaveLength(5);
  });

  test.each([...wanted.map(([id]) => id), "scheduler"])(
    "%s extracts each of its labels from each line",
    (id) => {
      const { labelExtractors } = linesFilterOf(id);
      const found = caught(id);
      expect(found.length).toBeGreaterThan(0);
      for (const entry of found) {
        const labels = Object.fromEntries(
          Object.entries(labelExtractors).map(([label, extractor]) => [label, extract(extractor, entry)]),
        );
        const { jsonPayload, resource } = inside(entry);
        for (const value of Object.values(labels)) expect(value, id).toEqual(expect.stringMatching(/./));
        if ("token" in labels) expect(labels.token).toBe(jsonPayload.token);
        if ("service" in labels) expect(labels.service).toBe(resource.labels.service_name);
        if ("job" in labels) expect(labels.job).toBe(resource.labels.job_id);
      }
      const named = [...alertOf(id).remedy.matchAll(/\$\{log\.extracted_label\.(\w+)\}/g)];
      expect(named.length).toBeGreaterThan(0);
      for (const [, label = ""] of named) expect(Object.keys(labelExtractors)).toContain(label);
    },
  );

  test("on a token has the token's name as a label", () => {
    for (const id of ["needs-a-person", "unsaved", "unopened", "unpublished", "ending"])
      expect(linesFilterOf(id).labelExtractors).toHaveProperty("token");
  });

  test("scheduler matches failed attempts of this service's jobs, and nothing else", () => {
    const found = caught("scheduler").map((entry) => {
      const { resource, jsonPayload } = inside(entry);
      return `${resource.labels.job_id} ${jsonPayload.status}`;
    });
    expect(found.sort()).toEqual([
      "tokens-census INTERNAL",
      "tokens-census PERMISSION_DENIED",
      "tokens-sweep INTERNAL",
      "tokens-sweep PERMISSION_DENIED",
    ]);
  });
});

describe("a metric", () => {
  const wanted: [string, string[]][] = [
    ["sweeps", ["token-refresher sweep.done"]],
    ["overdue", ["token-refresher sweep.done"]],
    ["refreshed", ["token-refresher sweep.done"]],
    ["failed", ["token-refresher sweep.done"]],
    ["remaining", ["token-refresher sweep.done"]],
    [
      "wrong-passphrases",
      ["token-lookup request.unauthorized good", "token-setup request.unauthorized good"],
    ],
    ["asks", ["token-refresher"]],
  ];
  const counted = (id: string) =>
    entries.flatMap((entry) => {
      const value = valueIn(metricOf(id), entry);
      return value === undefined ? [] : [{ entry, value }];
    });

  test.each(wanted)("%s counts its lines, and no other", (id, lines) => {
    expect(linesOf(counted(id).map(({ entry }) => entry))).toEqual(lines);
  });

  test("state-… has the census's number of tokens in that state", () => {
    const states = METRICS.filter(({ id }) => id.startsWith("state-"));
    expect(states.length).toBeGreaterThan(5);
    for (const { id } of states) expect(counted(id)).toHaveLength(2);
    const numbers = Object.fromEntries(states.map(({ id }) => [id, counted(id)[0]?.value]));
    expect(numbers).toMatchObject({ "state-needs-a-person": 1, "state-static": 2, "state-ended": 0 });
  });

  test("refreshed, failed and remaining have the numbers of the first sweep", () => {
    const first = (id: string) => counted(id)[0]?.value;
    expect([first("refreshed"), first("failed"), first("remaining")]).toEqual([1, 2, 0]);
    expect(first("overdue")).toBeLessThan(60);
  });

  test("wrong-passphrases does not count requests without a passphrase", () => {
    const codes = entries
      .map((entry) => inside(entry).jsonPayload ?? {})
      .filter(({ event }) => event === "request.unauthorized")
      .map(({ code }) => code);
    expect(codes.sort()).toEqual(["no_passphrase", "wrong_passphrase", "wrong_passphrase"]);
    expect(counted("wrong-passphrases")).toHaveLength(2);
  });

  test("asks counts neither sweeps nor censuses, and reads counts only reads", () => {
    const request = (service: string, url: string) =>
      requestEntry(service, { url: `https://x.example${url}` });
    const of = (id: string, service: string) =>
      ["/?name=a", "/", "/census", "/health", "/callback?code=x&state=y", "/?x=1&name=a"].filter(
        (url) => valueIn(metricOf(id), request(service, url)) !== undefined,
      );
    expect(of("asks", SERVICES.refresher)).toEqual(["/?name=a", "/?x=1&name=a"]);
    expect(of("reads", SERVICES.lookup)).toEqual(["/?name=a", "/?x=1&name=a"]);
    expect(of("asks", SERVICES.lookup)).toEqual([]);
    expect(of("reads", SERVICES.setup)).toEqual([]);
  });
});

test("every event of an alert or a metric was logged here, and matches", () => {
  for (const { id, events, conditions } of ALERTS) {
    const filters = conditions(WATCHED).flatMap((condition) => {
      const lines = condition.conditionMatchedLog as LinesFilter | undefined;
      const metrics = METRICS.filter((metric) => isAbout(condition, metric)).map(({ args }) => args.filter);
      return lines === undefined ? metrics : [lines.filter];
    });
    for (const event of events) expectLogged(id, event, filters);
  }
  for (const { id, events, args } of METRICS)
    for (const event of events) expectLogged(id, event, [args.filter]);
});

test("every error event has an alert, except store.unavailable, which shows in failed requests and attempts", () => {
  const silent = (Object.keys(EVENTS) as Event[])
    .filter((event) => ["ERROR", "CRITICAL"].includes(EVENTS[event]))
    .filter((event) => !ALERTS.some(({ events }) => events.includes(event)));
  expect(silent).toEqual(["store.unavailable"]);
});

function expectLogged(id: string, event: string, filters: readonly string[]): void {
  const lines = written.filter((entry) => inside(entry).jsonPayload?.event === event);
  expect(lines.length, `${event}, which ${id} is about, was never logged`).toBeGreaterThan(0);
  expect(filters.length, id).toBeGreaterThan(0);
  for (const filter of filters)
    expect(
      lines.some((entry) => matches(filter, entry)),
      `${id} catches no line of ${event}`,
    ).toBe(true);
}

describe("an alert on a metric", () => {
  /** Repeats a line that was really logged at each of `times`, in s, with the fields of `more`. */
  function points(id: string, event: string, times: readonly number[], more: object = {}): Point[] {
    const entry = written.find(
      (each) => inside(each).jsonPayload?.event === event && valueIn(metricOf(id), each) !== undefined,
    );
    return times.map((at) => {
      const { jsonPayload, ...rest } = inside(entry ?? {});
      const value = valueIn(metricOf(id), { ...rest, jsonPayload: { ...jsonPayload, ...more } });
      if (value === undefined) throw new Error(`${event} is not counted by ${id}`);
      return { at, value };
    });
  }
  const fires = (id: string, now: number, series: readonly Point[]) =>
    alertOf(id)
      .conditions(WATCHED)
      .some((condition) => holdsAt(now, condition, series));
  const minutes = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => (from + index) * 60);

  test("no-sweep fires 15 minutes after the last completed sweep, and ends with the next one (row 8)", () => {
    const swept = points("sweeps", "sweep.done", minutes(0, 60));
    const last = 59 * 60;
    expect(minutes(1, 60).filter((now) => fires("no-sweep", now, swept))).toEqual([]);
    expect(fires("no-sweep", last + 14 * 60, swept)).toBe(false);
    expect(fires("no-sweep", last + 15 * 60, swept)).toBe(true);
    expect(fires("no-sweep", last + 5 * 60 * 60, swept)).toBe(true);
    expect(fires("no-sweep", last + 20 * 60, [...swept, { at: last + 20 * 60, value: 1 }])).toBe(false);
  });

  test("no-sweep fires when the series goes on with zeros (row 8)", () => {
    const swept = [
      ...points("sweeps", "sweep.done", minutes(0, 30)),
      ...minutes(30, 60).map((at) => ({ at, value: 0 })),
    ];
    expect(fires("no-sweep", 43 * 60, swept)).toBe(false);
    expect(fires("no-sweep", 45 * 60, swept)).toBe(true);
  });

  test("no other line than sweep.done counts as a sweep for no-sweep (row 8)", () => {
    const others = written.filter((entry) => inside(entry).jsonPayload?.event !== "sweep.done");
    expect(others.filter((entry) => valueIn(metricOf("sweeps"), entry) !== undefined)).toEqual([]);
  });

  test("overdue fires when every sweep for ten minutes finds tokens that are due for over ten minutes", () => {
    const late = (overdueSeconds: number, times = minutes(0, 10)) =>
      points("overdue", "sweep.done", times, { overdueSeconds });
    expect(fires("overdue", 600, late(700))).toBe(true);
    expect(fires("overdue", 600, late(600))).toBe(false);
    expect(fires("overdue", 600, late(0))).toBe(false);
    // One sweep in ten minutes, after the schedule was paused.
    expect(fires("overdue", 600, [...late(0, minutes(0, 9)), ...late(7200, minutes(9, 10))])).toBe(false);
    // Sweeps that take nine minutes each.
    expect(fires("overdue", 600, late(700, [540]))).toBe(true);
  });

  test("wrong-passphrases fires at more than 60 in five minutes", () => {
    const wrong = (count: number, every: number) =>
      points(
        "wrong-passphrases",
        "request.unauthorized",
        Array.from({ length: count }, (_, index) => 300 - index * every),
      );
    expect(fires("wrong-passphrases", 300, wrong(61, 4))).toBe(true);
    expect(fires("wrong-passphrases", 300, wrong(60, 4))).toBe(false);
    expect(fires("wrong-passphrases", 300, wrong(100, 6))).toBe(false);
  });
});
