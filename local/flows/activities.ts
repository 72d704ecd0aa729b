import type { Activity, FlowDescription, Outputs } from "./description.ts";
import { flowIdOf, uuidOf } from "./identity.ts";

/** How an activity is called in an export, and what it is set to. */
export interface Exported {
  group: string;
  properties: Readonly<Record<string, unknown>>;
}

/** The same in every organization: they stand for a phone contact. */
const VOICE = {
  eventSourceId: "5eff0e2eb10162499bc9f932",
  eventSourceName: "WebexContactCenter",
  eventClassificationId: "5f10475cf021306e89e1692c",
  eventClassificationName: "VoiceInteractions",
};
const NEW_CONTACT = {
  ...VOICE,
  eventSpecificationId: "5f2d02144332507e39cc8a7f",
  eventSpecificationName: "ContactStartWorkflow",
};
export const GLOBAL_ERROR = {
  ...VOICE,
  eventSpecificationId: "627c0663e98eca854178bba6",
  eventSpecificationName: "GlobalErrorHandling",
  displayName: "OnGlobalError",
  event: "OnGlobalError",
  iconDiagram: "icon-error-legacy_16",
};

/** ms: Flow Designer's own default, which lookup keeps to. */
const TIMEOUT = 2_000;
/** After an answer of 5xx only. */
const RETRIES = 1;
const SPEAKER = "Cisco Cloud Text-to-Speech";

export function exported(name: string, activity: Activity, flow: FlowDescription): Exported {
  const { group, properties } = made(activity, flow);
  return { group, properties: { name, description: activity.about ?? "", ...properties } };
}

function made(activity: Activity, flow: FlowDescription): Exported {
  switch (activity.do) {
    case "start":
      return flow.kind === "FLOW"
        ? typed("start", "start", { event: "NewPhoneContact", flowType: NEW_CONTACT }, "NewContact")
        : typed("start-subflow", "start-subflow", {}, "NewSubFlowStart");
    case "ask":
      return typed("action", "http-request-v2", request(activity));
    case "read":
      return typed("action", "parse-activity", {
        inputVariable: activity.from,
        ...chosen("contentType", "JSON"),
        outputVariableArray: outputs(activity.outputs),
      });
    case "set":
      return typed("set-variable", "set-variable", assignment(activity, flow));
    case "if":
      return typed("enum-gateway", "condition-activity", { expression: activity.holds });
    case "choose":
      return typed("enum-gateway", "case-statement", choice(activity));
    case "say":
      return typed("action", "5f114466ef5cfc454fbbf131", speech(activity.ssml), "play-message");
    case "call":
      return typed("action", "subflow-handoff", handOff(activity, flow));
    case "end":
      return flow.kind === "FLOW" ? disconnect : typed("end", "end-subflow", {});
  }
}

const typed = (
  group: string,
  activityId: string,
  properties: object,
  activityName = activityId,
): Exported => ({
  group,
  properties: { activityId, activityName, ...properties },
});

const disconnect = typed("terminating-action", "5faa898c8bf5b65b82f0706b", {}, "disconnect-contact");

/** What is chosen from a list is told thrice. */
const chosen = (property: string, value: string, label = value) => ({
  [property]: value,
  [`${property}_name`]: label,
  [`${property}:name`]: label,
});

const outputs = (wanted: Outputs) =>
  Object.entries(wanted).map(([outputVariable, jsonPathExp]) => ({ outputVariable, jsonPathExp }));

function request({ at, query, headers, outputs: wanted }: Activity & { do: "ask" }): object {
  const where =
    "url" in at
      ? { authenticated: false, httpRequestUrl: at.url, httpRequestPath: null, connectorId: null }
      : {
          authenticated: true,
          httpRequestUrl: null,
          httpRequestPath: at.path,
          ...chosen("connectorId", uuidOf(`connector ${at.connector}`), at.connector),
        };
  return {
    ...where,
    ...chosen("httpRequestMethod", "GET"),
    ...chosen("httpContentType", "Application/JSON"),
    ...chosen("contentType", "JSON"),
    httpQueryParameters: query,
    httpRequestHeaders: headers,
    httpRequestBodyFiles: null,
    httpRequestBodyFormData: null,
    httpRequestBodyGQL: null,
    httpResponseTimeout: TIMEOUT,
    retryAttempts: RETRIES,
    outputVariableArray: outputs(wanted),
    flowDecryptAccess: false,
  };
}

/** The first assignment stands there twice; one is all that is used here. */
function assignment({ variable, to }: Activity & { do: "set" }, flow: FlowDescription): object {
  const set = {
    setTo: "set-to-literal",
    srcVariable: variable,
    srcVariableType: flow.variables[variable]?.type,
    literal: to,
    expr: to,
    literal_invalid_error: false,
  };
  return { ...set, setVariablesArray: [{ id: uuidOf(`${flow.name} sets ${variable} to ${to}`), ...set }] };
}

function choice({ by, cases }: Activity & { do: "choose" }): object {
  const values = Object.keys(cases);
  return {
    expression: by,
    expression_name: "INTEGER",
    "expression:name": "INTEGER",
    expression_radioName: "setToVariable",
    "expression:radioName": "setToVariable",
    menuLinks: values.map((_, index) => String(index)),
    menuLinks_input: values,
    "menuLinks:input": values,
  };
}

function speech(ssml: string): object {
  return {
    toggle: true,
    prompts: null,
    promptsTts: [{ type: "tts", name: ssml, value: ssml }],
    ...chosen("connector", SPEAKER),
    toggleLanguage: null,
    voiceLanguage: null,
    speakingRate: 1,
    volumeGainDb: 0,
  };
}

/** On either side `src` is the variable of the flow that calls, `target` that of the subflow. */
function handOff({ subflow, give, take }: Activity & { do: "call" }, flow: FlowDescription): object {
  const pair = (src: string, target: string) => ({ src, target, type: flow.variables[src]?.type });
  const subflowId = flowIdOf(subflow);
  return {
    subflowId,
    subflowName: subflow,
    subflowVersion: { subflowId, subflowTagId: "Latest", subflowVersionId: flowIdOf(`${subflow} version`) },
    automaticUpdates: true,
    subflowInputVariables: Object.entries(give).map(([target, src]) => pair(src, target)),
    subflowOutputVariables: Object.entries(take).map(([src, target]) => pair(src, target)),
  };
}

/** The event that stands for a failure for which an activity has no exit, and the end that it leads to. */
export const errorHandler = (event: string, end: string): Record<string, Exported> => ({
  [event]: typed("event", "event", { name: event, ...GLOBAL_ERROR }, "Event"),
  [end]: { ...disconnect, properties: { name: end, description: "", ...disconnect.properties } },
});
