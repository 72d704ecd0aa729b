import { describe, expect, test } from "vitest";
import { callApi } from "../../local/flows/call-api.ts";
import { type ExportedActivity, exportFlow, type FlowExport } from "../../local/flows/export.ts";
import { CONNECTOR, getToken } from "../../local/flows/get-token.ts";
import { runFlow, type World } from "../support/flow-interpreter.ts";
import { FlowMistake, holds, render } from "../support/flow-templates.ts";

/** The interpreter that the flows are tried with: whatever it does not know, it refuses. */

const subflow = exportFlow(getToken("connector"));
const world: World = {
  connectors: { [CONNECTOR]: { url: "http://lookup.test", user: "flow", password: "canary-of-the-flow" } },
  subflows: { [subflow.name]: subflow },
  ask: async ({ url }) => ({
    status: 200,
    headers: {},
    body: url.includes("lookup.test") ? '{"token":"t"}' : "{}",
  }),
  sleep: async () => {},
  unknowns: { noAnswer: null, unread: "keeps its value" },
};

/** The example with one of its activities changed. */
function changed(name: string, properties: Record<string, unknown>): FlowExport {
  const flow = exportFlow(callApi);
  const activities = Object.entries(flow.process.activities).map(
    ([id, activity]): [string, ExportedActivity] => [
      id,
      activity.name === name
        ? { ...activity, properties: { ...activity.properties, ...properties } }
        : activity,
    ],
  );
  return { ...flow, process: { ...flow.process, activities: Object.fromEntries(activities) } };
}

test("the example as it is runs to its end", async () => {
  expect(await runFlow(exportFlow(callApi), world)).toMatchObject({ end: "Done" });
});

test.each<[string, string, Record<string, unknown>]>([
  ["an activity of an unknown kind", "CallApi", { activityName: "wait-activity" }],
  ["a variable that there is not", "CallApi", { httpRequestUrl: "{{ nowhere }}" }],
  ["an output of an activity that never ran", "WhatAnswer", { expression: "{{ Other.httpStatusCode }}" }],
  [
    "an output variable that there is not",
    "CallApi",
    { outputVariableArray: [{ outputVariable: "x", jsonPathExp: "$.a" }] },
  ],
  [
    "a path that it can't read",
    "CallApi",
    { outputVariableArray: [{ outputVariable: "display_name", jsonPathExp: "$..a" }] },
  ],
  ["a connector that there is not", "CallApi", { authenticated: true, connectorId_name: "another" }],
  ["a setting of the wrong kind", "CallApi", { httpResponseTimeout: "2000" }],
  ["a subflow that there is not", "GetToken", { subflowName: "another" }],
  [
    "what a subflow is not given",
    "GetToken",
    { subflowInputVariables: [{ src: "token_name", target: "status" }] },
  ],
  [
    "what a subflow does not return",
    "GetToken",
    { subflowOutputVariables: [{ src: "access_token", target: "token_name" }] },
  ],
  ["a condition that is a text", "HasToken", { expression: "{{ token_status }}" }],
  ["a number compared with a text", "HasToken", { expression: "{{ token_status == 200 }}" }],
])("%s is a mistake", async (_, activity, properties) => {
  await expect(runFlow(changed(activity, properties), world)).rejects.toThrow(FlowMistake);
});

test("an exit that leads nowhere is a mistake, and so is one that leads to two places", async () => {
  const flow = exportFlow(callApi);
  const call = Object.values(flow.process.activities).find(({ name }) => name === "CallApi");
  const { links } = flow.process;
  const own = links.filter(({ sourceActivityId }) => sourceActivityId === call?.id);
  const others = links.filter((link) => !own.includes(link));
  for (const wired of [others, [...links, ...own]])
    await expect(runFlow({ ...flow, process: { ...flow.process, links: wired } }, world)).rejects.toThrow(
      FlowMistake,
    );
});

test("a flow without an end is a mistake", async () => {
  const flow = changed("WhatAnswer", { menuLinks: ["1", "1", "2"] });
  const endless = { ...world, subflows: { [subflow.name]: subflow } };
  const counting = flow.process.activities;
  for (const { name, properties } of Object.values(counting))
    if (name === "HasAskedAgain") Object.assign(properties, { expression: "{{ asked_again > 1000 }}" });
  // Each time another token, so that none is unchanged.
  let tokens = 0;
  const ask: World["ask"] = async () => ({ status: 200, headers: {}, body: `{"token":"t${++tokens}"}` });
  await expect(runFlow(flow, { ...endless, ask })).rejects.toThrow(/^no end: /);
});

describe("a template", () => {
  const values = (name: string) => ({ five: 5, word: "w", none: null })[name] ?? null;
  test("is a text with its values", () => {
    expect(render("a {{ word }}{{none}} {{ five + 2 }}", values)).toBe("a w 7");
  });
  test.each([
    ["{{ five >= 5 }}", true],
    ["{{ five < 5 }}", false],
    ['{{ word == "w" }}', true],
    ["{{ none > 0 }}", false],
    ["{{ none is empty }}", true],
    ["{{ word is not empty }}", true],
  ])("%s is %s", (template, result) => {
    expect(holds(template, values)).toBe(result);
  });
  test.each([
    "{{ five }}",
    "five > 1",
    "{{ five > }}",
    "{{ five > 1 2 }}",
    "{{ word + 1 > 1 }}",
    "{{ five | abs }}",
  ])("%s is a mistake where a condition is wanted", (template) => {
    expect(() => holds(template, values)).toThrow(FlowMistake);
  });
});
