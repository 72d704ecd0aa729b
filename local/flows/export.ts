import { type Exported, errorHandler, exported } from "./activities.ts";
import { type Exit, exitsOf, type FlowDescription, type Variable } from "./description.ts";
import { type Diagram, draw, type Link } from "./diagram.ts";
import { flowIdOf, uuidOf } from "./identity.ts";

/** What Flow Designer exports, as far as it is known. */
export interface FlowExport {
  flowType: "FLOW" | "SUBFLOW";
  name: string;
  variables: ExportedVariable[];
  process: Process;
  diagram: Diagram;
  eventFlows: { eventsMap: Record<string, EventFlow> };
}

export interface ExportedVariable {
  name: string;
  type: string;
  value: string;
  isSecure: boolean;
  /** `SUBFLOW_INPUT` or `SUBFLOW_OUTPUT`; empty for the flow's own. */
  source: string;
}

export interface Process {
  activities: Record<string, ExportedActivity>;
  links: Link[];
}

export interface ExportedActivity extends Exported {
  id: string;
  name: string;
}

export interface EventFlow {
  process: Process;
  /** Event → the activity that stands for it. */
  onEvents: Record<string, string>;
  diagram: Diagram;
}

/** No organization's: an import belongs to whoever makes it. */
const NOBODY = "00000000-0000-0000-0000-000000000000";
const EVENTS = "GLOBAL_EVENTS";

export function exportFlow(flow: FlowDescription): FlowExport {
  const entries = Object.entries(flow.activities);
  const { process, diagram } = canvas(
    flow.name,
    entries.map(([name, activity]) => [name, exported(name, activity, flow)]),
    entries.flatMap(([name, activity]) => exitsOf(activity).map((exit) => [name, exit] as const)),
  );
  const shown = {
    orgId: NOBODY,
    version: 1,
    id: flowIdOf(`${flow.name} version`),
    flowType: flow.kind,
    name: flow.name,
    description: flow.about,
    comment: "",
    variables: Object.entries(flow.variables).map(([name, variable]) => exportVariable(name, variable)),
    process,
    diagram,
    flowId: flowIdOf(flow.name),
    eventFlows: { eventsMap: eventFlows(flow) },
    runtimeVariables: [],
    validating: true,
    persist: true,
    validationResults: [],
    variableOrders: { "pop-over": [], "interaction-panel": [] },
    settings: [],
    associatedChannels: [],
    flowOutcome: null,
  };
  return shown;
}

const SOURCE = { in: "SUBFLOW_INPUT", out: "SUBFLOW_OUTPUT" };

function exportVariable(name: string, { type, value, about, sensitive, passed }: Variable) {
  return {
    name,
    description: about,
    id: "",
    type,
    value,
    isSecure: sensitive === true,
    isCAD: false,
    desktopLabel: "",
    isAgentEditable: false,
    source: passed === undefined ? "" : SOURCE[passed],
    isReportable: false,
    overwrite: false,
    isExternalized: false,
    resourceType: "",
  };
}

function eventFlows({ name, onError }: FlowDescription): Record<string, EventFlow> {
  if (onError === undefined) return {};
  const { event, end } = onError;
  const owner = `${name} ${EVENTS}`;
  const made = canvas(owner, Object.entries(errorHandler(event, end)), [[event, ["out", end]]]);
  const onEvents = { [event]: uuidOf(`${owner} ${event}`) };
  return { [EVENTS]: { ...{ id: EVENTS, name: "name", description: "description" }, ...made, onEvents } };
}

function canvas(
  owner: string,
  made: readonly (readonly [string, Exported])[],
  exits: readonly (readonly [string, Exit])[],
): { process: Process; diagram: Diagram } {
  const idOf = (name: string) => {
    if (!made.some(([known]) => known === name)) throw new Error(`${owner} has no activity "${name}"`);
    return uuidOf(`${owner} ${name}`);
  };
  const activities = made.map(([name, activity]) => ({ id: idOf(name), name, ...activity }));
  const links = exits.map(([source, [conditionExpr, target]]) => ({
    id: uuidOf(`${owner} ${source} ${conditionExpr}`),
    sourceActivityId: idOf(source),
    targetActivityId: idOf(target),
    conditionExpr,
    properties: { value: conditionExpr },
  }));
  return {
    process: { activities: Object.fromEntries(activities.map((activity) => [activity.id, activity])), links },
    diagram: draw(new Map(activities.map((activity) => [activity.id, activity])), links),
  };
}
