import { describe, expect, test } from "vitest";
import { extract, matches } from "../support/logging-query.ts";

/** The small reader of Google's query language that the tests of alerts rest on. */

const ENTRY = {
  logName: "projects/p/logs/run.googleapis.com%2Frequests",
  resource: { type: "cloud_run_revision", labels: { service_name: "token-lookup" } },
  severity: "WARNING",
  httpRequest: { requestUrl: "https://x.example/callback?code=1", status: 403 },
  jsonPayload: { event: "sweep.done", token: "sales", count: 3, "needs a person": 2, text: 'say "a"' },
};

describe("an entry is one of those that are wanted by", () => {
  test.each([
    'jsonPayload.event="sweep.done"',
    'jsonPayload.event="SWEEP.done"',
    'jsonPayload.event=("other" OR "sweep.done")',
    'jsonPayload.event!="other"',
    'jsonPayload.event:"sweep"',
    'jsonPayload.event=~"^sweep[.]"',
    'jsonPayload.event!~"^other"',
    'jsonPayload.text="say \\"a\\""',
    "severity>=WARNING",
    "severity<ERROR",
    "severity=WARNING",
    "jsonPayload.count>2",
    "jsonPayload.count<=3",
    'jsonPayload."needs a person"=2',
    'resource.label."service_name"="token-lookup"',
    'resource.type="cloud_run_revision" jsonPayload.count=3',
    'log_id("run.googleapis.com/requests")',
    'NOT jsonPayload.other="x"',
    'NOT (severity=ERROR OR severity=INFO) AND httpRequest.requestUrl=~"/callback([?]|$)"',
    // OR binds closer than AND.
    'severity=WARNING OR severity=ERROR AND jsonPayload.event="sweep.done"',
  ])("%s", (query) => {
    expect(matches(query, ENTRY)).toBe(true);
  });
});

describe("an entry is none of those that are wanted by", () => {
  test.each([
    'jsonPayload.event="sweep"',
    'jsonPayload.other!="x"',
    'jsonPayload.other!~"x"',
    'jsonPayload.event=("other" OR "another")',
    "severity>=ERROR",
    "jsonPayload.count>3",
    'log_id("run.googleapis.com/stdout")',
    'NOT jsonPayload.event="sweep.done"',
    'resource.type="cloud_run_revision" jsonPayload.count=4',
    'severity=WARNING OR severity=ERROR AND jsonPayload.event="other"',
  ])("%s", (query) => {
    expect(matches(query, ENTRY)).toBe(false);
  });
});

test.each([
  "",
  "sweep.done",
  '"sweep.done"',
  "jsonPayload.event=",
  'jsonPayload.event=("a"',
  'jsonPayload.event=("a" AND "b")',
  'jsonPayload.event>("a" OR "b")',
  "jsonPayload.event=~sweep",
  "jsonpayload.event=1",
  "severity>=WORSE",
  "AND severity=ERROR",
  "severity=ERROR)",
  "severity=ERROR OR",
  "severity==ERROR",
  'jsonPayload.event="unended',
  "sample(insertId, 0.1)",
  'ip_in_net(jsonPayload.ip, "10.0.0.0/8")',
  "jsonPayload.event=a -- remark",
  'jsonPayload.event=~"("',
])("what is not understood is refused: %s", (query) => {
  expect(() => matches(query, ENTRY)).toThrow();
});

test("an extractor finds a field, or a part of one", () => {
  expect(extract("EXTRACT(jsonPayload.token)", ENTRY)).toBe("sales");
  expect(extract('EXTRACT(jsonPayload."needs a person")', ENTRY)).toBe(2);
  expect(extract("EXTRACT(jsonPayload.missing)", ENTRY)).toBeUndefined();
  expect(extract('REGEXP_EXTRACT(httpRequest.requestUrl, "[?](\\w+)=")', ENTRY)).toBe("code");
  expect(extract('REGEXP_EXTRACT(jsonPayload.missing, "(.)")', ENTRY)).toBeUndefined();
  expect(() => extract("jsonPayload.token", ENTRY)).toThrow("no extractor");
});
