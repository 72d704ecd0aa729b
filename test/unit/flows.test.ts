import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { ExportedActivity, FlowExport, Process } from "../../local/flows/export.ts";
import { FLOWS } from "../../local/flows/files.ts";
import { secretFinder } from "../support/canaries.ts";

/** The flows in docs/flows have the structure of Flow Designer's exports, as far as that is known. */

const FOLDER = path.resolve(import.meta.dirname, "../../docs/flows");
const FILES = readdirSync(FOLDER).filter((file) => file.endsWith(".json"));
const textOf = (file: string) => readFileSync(path.join(FOLDER, file), "utf8");
const flows = FILES.map((file) => [file, JSON.parse(textOf(file)) as FlowExport] as const);

/** activityName → its group, activityId and exits in exports. A case statement has one more exit for each case. */
const KNOWN: Record<string, { group: string; activityId: string; exits: string[] }> = {
  NewContact: { group: "start", activityId: "start", exits: ["out"] },
  NewSubFlowStart: { group: "start-subflow", activityId: "start-subflow", exits: ["out"] },
  Event: { group: "event", activityId: "event", exits: ["out"] },
  "http-request-v2": { group: "action", activityId: "http-request-v2", exits: ["default"] },
  "parse-activity": { group: "action", activityId: "parse-activity", exits: ["default"] },
  "set-variable": { group: "set-variable", activityId: "set-variable", exits: ["out", "error"] },
  "condition-activity": {
    group: "enum-gateway",
    activityId: "condition-activity",
    exits: ["true", "false", "error"],
  },
  "case-statement": { group: "enum-gateway", activityId: "case-statement", exits: ["default", "error"] },
  "play-message": { group: "action", activityId: "5f114466ef5cfc454fbbf131", exits: ["default", "error"] },
  "subflow-handoff": { group: "action", activityId: "subflow-handoff", exits: ["default", "error"] },
  "end-subflow": { group: "end", activityId: "end-subflow", exits: [] },
  "disconnect-contact": { group: "terminating-action", activityId: "5faa898c8bf5b65b82f0706b", exits: [] },
};

const PARTS = [
  ...["orgId", "version", "id", "flowType", "name", "description", "comment", "variables", "process"],
  ...["diagram", "flowId", "eventFlows", "runtimeVariables", "validating", "persist", "validationResults"],
  ...["variableOrders", "settings", "associatedChannels", "flowOutcome"],
];
const VARIABLE = [
  ...["name", "description", "id", "type", "value", "isSecure", "isCAD", "desktopLabel", "isAgentEditable"],
  ...["source", "isReportable", "overwrite", "isExternalized", "resourceType"],
];

const isEnd = ({ group }: ExportedActivity) => group === "end" || group === "terminating-action";
const isStart = ({ group }: ExportedActivity) => group.startsWith("start") || group === "event";
const next = ({ links }: Process, id: string) =>
  links.filter(({ sourceActivityId }) => sourceActivityId === id).map((link) => link.targetActivityId);

/** Every id that can be reached from `start`, and `start`. */
function reach(step: (id: string) => string[], start: string): Set<string> {
  const found = new Set([start]);
  for (const id of found) for (const target of step(id)) found.add(target);
  return found;
}

test("every file in docs/flows is generated, and every generated flow is there", () => {
  expect(FILES.map((file) => `docs/flows/${file}`).toSorted()).toEqual(Object.keys(FLOWS).toSorted());
});

describe.each(flows)("%s", (file, flow) => {
  const canvases = [flow, ...Object.values(flow.eventFlows.eventsMap)];
  const activities = canvases.flatMap(({ process }) => Object.values(process.activities));
  const named = (name: string) => activities.filter(({ properties }) => properties.activityName === name);

  test("has the parts of an export", () => {
    expect(Object.keys(flow).toSorted()).toEqual(PARTS.toSorted());
    expect(flow.flowType).toBe(file.endsWith(".subflow.json") ? "SUBFLOW" : "FLOW");
    for (const variable of flow.variables)
      expect(Object.keys(variable).toSorted()).toEqual(VARIABLE.toSorted());
    const sources = flow.flowType === "SUBFLOW" ? ["", "SUBFLOW_INPUT", "SUBFLOW_OUTPUT"] : [""];
    expect(sources).toEqual(expect.arrayContaining(flow.variables.map(({ source }) => source)));
  });

  test("has known activities with unique names", () => {
    for (const { process } of canvases)
      for (const [id, activity] of Object.entries(process.activities)) {
        const known = KNOWN[String(activity.properties.activityName)];
        expect(activity, activity.name).toMatchObject({
          id,
          group: known?.group,
          properties: { name: activity.name, activityId: known?.activityId },
        });
        expect(activity.name).toMatch(/^[A-Za-z]\w*$/);
      }
    expect(new Set(activities.map(({ name }) => name)).size).toBe(activities.length);
  });

  test("has one link from each exit, and no other link", () => {
    for (const { process } of canvases)
      for (const { id, name, properties } of Object.values(process.activities)) {
        const { menuLinks = [] } = properties as { menuLinks?: string[] };
        const exits = [...menuLinks, ...(KNOWN[String(properties.activityName)]?.exits ?? [])];
        const wired = process.links.filter(({ sourceActivityId }) => sourceActivityId === id);
        expect(wired.map(({ conditionExpr }) => conditionExpr).toSorted(), name).toEqual(exits.toSorted());
        for (const link of wired) {
          expect(process.activities).toHaveProperty([link.targetActivityId]);
          expect(link.properties.value).toBe(link.conditionExpr);
        }
      }
  });

  test("reaches each activity from its start, and an end from each activity", () => {
    for (const { process } of canvases) {
      const all = Object.values(process.activities);
      const starts = all.filter(isStart);
      expect(starts).toHaveLength(1);
      const reached = reach((id) => next(process, id), starts[0]?.id ?? "");
      expect(all.filter(({ id }) => !reached.has(id)).map(({ name }) => name)).toEqual([]);
      const ends = all.filter(isEnd).map(({ id }) => id);
      const endless = all.filter(({ id }) =>
        reach((at) => next(process, at), id).isDisjointFrom(new Set(ends)),
      );
      expect(endless.map(({ name }) => name)).toEqual([]);
    }
  });

  test("loops only through a counter with a limit", () => {
    const { links } = flow.process;
    const byName = (name: string) => activities.find((activity) => activity.name === name);
    const limits = named("condition-activity").flatMap(({ id, properties }) => {
      const [, counter] = /^\{\{ (\w+) >= \d+ \}\}$/.exec(String(properties.expression)) ?? [];
      return counter === undefined ? [] : [{ id, counter }];
    });
    // Below the limit the next activity counts, and no other activity sets that counter.
    const counting = limits.map(({ id, counter }) => {
      const link = links.find((one) => one.sourceActivityId === id && one.conditionExpr === "false");
      const counts = activities.find((activity) => activity.id === link?.targetActivityId);
      expect(counts?.properties).toMatchObject({ srcVariable: counter, expr: `{{ ${counter} + 1 }}` });
      expect(named("set-variable").filter(({ properties }) => properties.srcVariable === counter)).toEqual([
        counts,
      ]);
      return link?.id;
    });
    const rest = { ...flow.process, links: links.filter(({ id }) => !counting.includes(id)) };
    const inLoops = Object.keys(rest.activities).filter((id) =>
      next(rest, id).some((target) => reach((at) => next(rest, at), target).has(id)),
    );
    expect(inLoops.map((id) => rest.activities[id]?.name)).toEqual([]);
    expect(limits.length).toBe(byName("CallApi") === undefined ? 0 : 2);
  });

  test("names only existing variables and outputs", () => {
    const known = new Set([
      ...flow.variables.map(({ name }) => name),
      ...named("http-request-v2").flatMap(({ name }) =>
        ["httpStatusCode", "httpResponseBody", "httpResponseHeaders"].map((output) => `${name}.${output}`),
      ),
    ]);
    const templates = JSON.stringify(flow.process).matchAll(/\{\{(.*?)\}\}/g);
    const names = [...templates].flatMap(([, expression = ""]) =>
      expression.replace(/\\"[^"]*\\"/g, "").match(/[A-Za-z_][\w.]*/g),
    );
    const words = ["is", "not", "empty"];
    expect(names.filter((name) => name && !words.includes(name) && !known.has(name))).toEqual([]);
    for (const { properties } of named("parse-activity")) expect(known).toContain(properties.inputVariable);
  });

  test("draws each activity and link, each at its own place", () => {
    for (const { process, diagram } of canvases) {
      const drawn = [...Object.keys(process.activities), ...process.links.map(({ id }) => id)];
      expect(Object.keys(diagram.widgets).toSorted()).toEqual(drawn.toSorted());
      type Widget = { id: string; point?: object; ports?: Port[]; sourcePort?: End; targetPort?: End };
      type Port = { portId: string; links: string[] };
      type End = { id: string; activeWidgetId: string };
      const widgets = diagram.widgets as Record<string, Widget>;
      const points = Object.values(widgets).flatMap(({ point }) => (point ? [JSON.stringify(point)] : []));
      expect(new Set(points).size).toBe(points.length);
      for (const link of process.links) {
        const arrow = widgets[link.id];
        const tail = widgets[link.sourceActivityId];
        const head = widgets[link.targetActivityId];
        expect([arrow?.sourcePort?.activeWidgetId, arrow?.targetPort?.activeWidgetId]).toEqual([
          tail?.id,
          head?.id,
        ]);
        for (const [end, box] of [[arrow?.sourcePort, tail] as const, [arrow?.targetPort, head] as const])
          expect(box?.ports?.find(({ portId }) => portId === end?.id)?.links).toContain(arrow?.id);
      }
    }
  });

  test("shares no id with another flow", () => {
    const ids = JSON.stringify(canvases).match(/"(?:id|portId)":"[^"]+"/g) ?? [];
    const own = ids.filter((id) => /[0-9a-f]{8}-/.test(id));
    // A port's id stands at the port and at the ends of its links; an assignment's in the process and in the diagram.
    const links = canvases.flatMap(({ process }) => process.links).length;
    expect(new Set(own).size).toBeGreaterThan(activities.length * 2 + links * 2);
    const others = flows.filter(([name]) => name !== file).map(([, other]) => JSON.stringify(other.process));
    for (const { id } of activities) expect(others.join()).not.toContain(id);
  });

  test("waits 2 s for an answer, and asks at most twice", () => {
    expect(named("http-request-v2")).toHaveLength(1);
    for (const { properties } of named("http-request-v2"))
      expect(properties).toMatchObject({
        httpResponseTimeout: 2_000,
        retryAttempts: 1,
        httpRequestMethod: "GET",
      });
  });

  test("holds no secret, and marks the variables for secrets as sensitive", () => {
    const sensitive = flow.variables.filter(({ isSecure }) => isSecure);
    const secret = flow.variables.filter(({ name }) => /passphrase|access_token|rejected_token/.test(name));
    expect(sensitive).toEqual(secret);
    expect(secret.map(({ value }) => value)).toEqual(secret.map(() => ""));
    const find = secretFinder();
    expect(find(textOf(file))).toEqual([]);
    for (const { properties } of named("http-request-v2")) {
      const { httpRequestHeaders: headers, httpQueryParameters: query } = properties as Record<
        string,
        object
      >;
      for (const value of Object.values(headers ?? {})) expect(value).toMatch(/^(Bearer )?\{\{ \w+ \}\}$/);
      const sent = JSON.stringify([query, properties.httpRequestUrl, properties.httpRequestPath]);
      for (const { name } of sensitive) expect(sent).not.toContain(name);
    }
  });
});

test("only the passphrase variant has a variable for a passphrase", () => {
  const named = flows.filter(([file]) => /"passphrase"|x-token-passphrase/.test(textOf(file)));
  expect(named.map(([file]) => file)).toEqual(["get-token-passphrase.subflow.json"]);
});

test("the flow's calls match the inputs and outputs of the subflows", () => {
  const flowOf = (file: string) => flows.find(([name]) => name === file)?.[1];
  const calls = Object.values(flowOf("call-api.flow.json")?.process.activities ?? {}).filter(
    ({ properties }) => properties.activityId === "subflow-handoff",
  );
  expect(calls).toHaveLength(2);
  const own = new Set(flowOf("call-api.flow.json")?.variables.map(({ name, type }) => `${name} ${type}`));
  for (const file of ["get-token.subflow.json", "get-token-passphrase.subflow.json"]) {
    const theirs = new Set(
      flowOf(file)?.variables.map(({ name, type, source }) => `${name} ${type} ${source}`),
    );
    for (const { properties } of calls)
      for (const [list, source] of [
        ["subflowInputVariables", "SUBFLOW_INPUT"],
        ["subflowOutputVariables", "SUBFLOW_OUTPUT"],
      ] as const)
        for (const { src, target, type } of properties[list] as Record<string, string>[]) {
          expect(own).toContain(`${src} ${type}`);
          expect(theirs).toContain(`${target} ${type} ${source}`);
        }
  }
  expect(calls.map(({ properties }) => properties.subflowName)).toEqual(
    calls.map(() => flowOf("get-token.subflow.json")?.name),
  );
});

test("docs/flow-designer.md names each file, status, variable and end of the flows", () => {
  const documentation = readFileSync(path.join(FOLDER, "../flow-designer.md"), "utf8");
  const subflow = flows.find(([file]) => file === "get-token.subflow.json")?.[1];
  const activities = Object.values(subflow?.process.activities ?? {});
  const cases = activities.flatMap(({ properties }) => (properties.menuLinks_input ?? []) as string[]);
  const told = activities.flatMap(({ properties }) =>
    properties.expr === undefined ? [] : [String(properties.expr)],
  );
  const initial = subflow?.variables.find(({ name }) => name === "status")?.value ?? "absent";
  const statuses = [...cases, ...told.filter((text) => !text.includes("{{")), initial];
  expect(statuses.length).toBeGreaterThan(10);
  const wanted = [...FILES, ...statuses, ...(subflow?.variables.map(({ name }) => name) ?? [])];
  expect(wanted.filter((word) => !documentation.includes(`\`${word}\``))).toEqual([]);
  const ends = activities.filter(isEnd).map(({ name }) => name);
  expect(ends.filter((end) => !documentation.includes(`| ${end} |`))).toEqual([]);
});
