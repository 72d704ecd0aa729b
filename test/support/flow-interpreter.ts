import type { ExportedActivity, FlowExport, Process } from "../../local/flows/export.ts";
import { atPath, jsonOf, number, outputsOf, pairs, text, texts } from "./flow-settings.ts";
import { FlowMistake, holds, render, type Value } from "./flow-templates.ts";

/** One HTTP request of a flow. */
export interface Asked {
  url: string;
  headers: Record<string, string>;
  /** ms. */
  timeout: number;
}

export interface Answered {
  status: number;
  /** As they were spelled. */
  headers: Record<string, string>;
  body: string;
}

/** What surrounds a flow. */
export interface World {
  connectors: Readonly<Record<string, { url: string; user: string; password: string }>>;
  /** By their names. */
  subflows: Readonly<Record<string, FlowExport>>;
  /** `undefined`: no answer in time. */
  ask(asked: Asked): Promise<Answered | undefined>;
  /** ms. */
  sleep(duration: number): Promise<void>;
  unknowns: Unknowns;
}

/** Undocumented behaviour of Flow Designer. */
export interface Unknowns {
  /** The status of a request without an answer. */
  noAnswer: number | null;
  /** The fate of an output variable whose value is missing, or not a number where it must be one. */
  unread: "keeps its value" | "is emptied" | "fails the parsing";
}

export interface Run {
  /** The activity at which the flow ended. */
  end: string;
  /** The activities that ran, in order, with those of subflows. */
  path: string[];
  variables: Readonly<Record<string, Value>>;
}

/** No activity ran to one of its exits. */
class Failure extends Error {
  override name = "Failure";
}

const MOST_ACTIVITIES = 100;
const LONGEST_BREAK = 10;

/**
 * Runs a flow as Flow Designer would, from its exported JSON. Throws `FlowMistake` for an unknown activity, variable or
 * setting, and for an exit without a link.
 */
export function runFlow(
  flow: FlowExport,
  world: World,
  given: Readonly<Record<string, Value>> = {},
  path: string[] = [],
): Promise<Run> {
  return new Runner(flow, world, given, path).run();
}

class Runner {
  readonly #flow: FlowExport;
  readonly #world: World;
  readonly #variables: Map<string, Value>;
  readonly #types: Map<string, string>;
  /** Outputs of activities: `NAME.output`. */
  readonly #outputs = new Map<string, Value>();
  readonly #path: string[];

  constructor(flow: FlowExport, world: World, given: Readonly<Record<string, Value>>, path: string[]) {
    this.#flow = flow;
    this.#world = world;
    this.#path = path;
    this.#types = new Map(flow.variables.map(({ name, type }) => [name, type]));
    this.#variables = new Map(flow.variables.map(({ name, type, value }) => [name, typedValue(type, value)]));
    for (const [name, value] of Object.entries(given)) this.#set(name, value);
  }

  async run(): Promise<Run> {
    const { process } = this.#flow;
    const starts = Object.values(process.activities).filter(({ group }) => group.startsWith("start"));
    if (starts.length !== 1) throw new FlowMistake(`${this.#flow.name} has ${starts.length} starts`);
    try {
      return await this.#follow(process, starts[0]?.id ?? "");
    } catch (error) {
      if (error instanceof Failure) return this.#handle(error);
      throw error;
    }
  }

  /** A subflow without a handler fails as the activity that called it. */
  #handle(failure: Failure): Promise<Run> {
    for (const { process, onEvents } of Object.values(this.#flow.eventFlows.eventsMap)) {
      const start = onEvents.GlobalErrorHandling;
      if (start !== undefined) return this.#follow(process, start);
    }
    throw failure;
  }

  async #follow(process: Process, start: string): Promise<Run> {
    for (let id = start; ; ) {
      const activity = process.activities[id];
      if (activity === undefined) throw new FlowMistake(`a link leads to ${id}, which is not there`);
      this.#path.push(activity.name);
      if (this.#path.length > MOST_ACTIVITIES) throw new FlowMistake(`no end: ${this.#path.join(" → ")}`);
      const exit = await this.#exitOf(activity, process);
      if (exit === undefined)
        return { end: activity.name, path: this.#path, variables: Object.fromEntries(this.#variables) };
      id = targetOf(process, activity, exit);
    }
  }

  /** A failure leaves by the activity's own exit for it, where it has one. */
  async #exitOf(activity: ExportedActivity, process: Process): Promise<string | undefined> {
    try {
      return await this.#do(activity);
    } catch (error) {
      const hasExit = process.links.some(
        ({ sourceActivityId, conditionExpr }) =>
          sourceActivityId === activity.id && conditionExpr === "error",
      );
      if (error instanceof Failure && hasExit) return "error";
      throw error;
    }
  }

  /** Does what the activity does; the exit that it takes, `undefined` at an end. */
  async #do(activity: ExportedActivity): Promise<string | undefined> {
    const { activityName } = activity.properties;
    switch (activityName) {
      case "NewContact":
      case "NewSubFlowStart":
      case "Event":
        return "out";
      case "http-request-v2":
        await this.#request(activity);
        return "default";
      case "parse-activity":
        this.#read(activity, this.#valueOf(text(activity, "inputVariable")), this.#world.unknowns.unread);
        return "default";
      case "set-variable":
        this.#assign(activity);
        return "out";
      case "condition-activity":
        return String(holds(text(activity, "expression"), this.#values));
      case "case-statement":
        return this.#choose(activity);
      case "play-message":
        await this.#say(activity);
        return "default";
      case "subflow-handoff":
        await this.#call(activity);
        return "default";
      case "end-subflow":
      case "disconnect-contact":
        return undefined;
      default:
        throw new FlowMistake(`activity "${activity.name}" is of a kind that is not known: ${activityName}`);
    }
  }

  readonly #values = (name: string): Value => this.#valueOf(name);

  #valueOf(name: string): Value {
    const known = this.#variables.get(name) ?? this.#outputs.get(name);
    if (known !== undefined) return known;
    if (this.#variables.has(name) || this.#outputs.has(name)) return null;
    throw new FlowMistake(`nothing is called "${name}" in ${this.#flow.name}`);
  }

  #set(name: string, value: Value): void {
    const type = this.#types.get(name);
    if (type === undefined) throw new FlowMistake(`${this.#flow.name} has no variable "${name}"`);
    this.#variables.set(name, value === null ? null : typedValue(type, String(value)));
  }

  async #request(activity: ExportedActivity): Promise<void> {
    const { headers, url } = this.#addressOf(activity);
    for (const [name, value] of Object.entries(texts(activity, "httpRequestHeaders")))
      headers[name] = render(value, this.#values);
    for (const [name, value] of Object.entries(texts(activity, "httpQueryParameters")))
      url.searchParams.append(name, render(value, this.#values));
    if (text(activity, "httpRequestMethod") !== "GET") throw new FlowMistake(`${activity.name} is no GET`);
    const asked = { url: url.href, headers, timeout: number(activity, "httpResponseTimeout") };
    let answer = await this.#world.ask(asked);
    for (let left = number(activity, "retryAttempts"); left > 0 && answer && answer.status >= 500; left--)
      answer = await this.#world.ask(asked);
    const { noAnswer } = this.#world.unknowns;
    this.#outputs.set(`${activity.name}.httpStatusCode`, answer?.status ?? noAnswer);
    this.#outputs.set(`${activity.name}.httpResponseBody`, answer?.body ?? "");
    this.#outputs.set(`${activity.name}.httpResponseHeaders`, answer?.headers ?? {});
    const { unread } = this.#world.unknowns;
    // Flows of others read outputs that are not in every answer, and go on to look at the status.
    this.#read(activity, jsonOf(answer?.body ?? ""), unread === "is emptied" ? unread : "keeps its value");
  }

  #addressOf(activity: ExportedActivity): { url: URL; headers: Record<string, string> } {
    if (activity.properties.authenticated === false)
      return { url: new URL(render(text(activity, "httpRequestUrl"), this.#values)), headers: {} };
    const connector = this.#world.connectors[text(activity, "connectorId_name")];
    if (connector === undefined) throw new FlowMistake(`${activity.name} has no connector`);
    const { url, user, password } = connector;
    const basic = Buffer.from(`${user}:${password}`).toString("base64");
    const path = render(text(activity, "httpRequestPath"), this.#values);
    return { url: new URL(path, url), headers: { Authorization: `Basic ${basic}` } };
  }

  #read(activity: ExportedActivity, from: Value, unread: Unknowns["unread"]): void {
    for (const { outputVariable, jsonPathExp } of outputsOf(activity)) {
      if (!this.#types.has(outputVariable)) throw new FlowMistake(`there is no variable "${outputVariable}"`);
      const found = atPath(from, jsonPathExp);
      try {
        if (found === undefined) throw new Failure(`nothing is at ${jsonPathExp}`);
        this.#set(outputVariable, found);
      } catch (error) {
        if (!(error instanceof Failure) || unread === "fails the parsing") throw error;
        if (unread === "is emptied") this.#set(outputVariable, null);
      }
    }
  }

  #assign(activity: ExportedActivity): void {
    const { setVariablesArray } = activity.properties;
    if (!Array.isArray(setVariablesArray) || setVariablesArray.length !== 1)
      throw new FlowMistake(`${activity.name} does not set one variable`);
    const [{ srcVariable, srcVariableType, expr }] = setVariablesArray;
    if (srcVariable !== activity.properties.srcVariable || expr !== activity.properties.expr)
      throw new FlowMistake(`${activity.name} sets two different things`);
    if (srcVariableType !== this.#types.get(srcVariable))
      throw new FlowMistake(`${activity.name}: "${srcVariable}" is not of type ${srcVariableType}`);
    this.#set(srcVariable, render(expr, this.#values));
  }

  #choose(activity: ExportedActivity): string {
    const value = render(text(activity, "expression"), this.#values);
    const { menuLinks, menuLinks_input: cases } = activity.properties;
    if (!Array.isArray(menuLinks) || !Array.isArray(cases) || menuLinks.length !== cases.length)
      throw new FlowMistake(`${activity.name}: its cases and links are not as many`);
    const index = cases.findIndex((one) => render(String(one), this.#values) === value);
    return index < 0 ? "default" : String(menuLinks[index]);
  }

  async #say(activity: ExportedActivity): Promise<void> {
    const { promptsTts } = activity.properties;
    if (!Array.isArray(promptsTts)) throw new FlowMistake(`${activity.name} says nothing`);
    for (const { value } of promptsTts) {
      const ssml = render(String(value), this.#values);
      const breaks = [...ssml.matchAll(/<break time="(\d+)s" \/>/g)].map(([, seconds]) => Number(seconds));
      if (/[<>]/.test(ssml.replace(/<\/?speak>|<break time="\d+s" \/>/g, "")))
        throw new Failure(`"${ssml}" can't be spoken`);
      if (breaks.some((seconds) => seconds > LONGEST_BREAK)) throw new Failure("it would be cut");
      for (const seconds of breaks) await this.#world.sleep(seconds * 1000);
    }
  }

  async #call(activity: ExportedActivity): Promise<void> {
    const name = text(activity, "subflowName");
    const subflow = this.#world.subflows[name];
    if (subflow === undefined) throw new FlowMistake(`there is no subflow "${name}"`);
    const sourceOf = (target: string) =>
      subflow.variables.find((variable) => variable.name === target)?.source;
    const given: Record<string, Value> = {};
    for (const { src, target } of pairs(activity, "subflowInputVariables")) {
      if (sourceOf(target) !== "SUBFLOW_INPUT") throw new FlowMistake(`"${name}" is not given "${target}"`);
      given[target] = this.#valueOf(src);
    }
    const { variables } = await runFlow(subflow, this.#world, given, this.#path);
    for (const { src, target } of pairs(activity, "subflowOutputVariables")) {
      if (sourceOf(target) !== "SUBFLOW_OUTPUT")
        throw new FlowMistake(`"${name}" does not return "${target}"`);
      this.#set(src, variables[target] ?? null);
    }
  }
}

function targetOf(process: Process, activity: ExportedActivity, exit: string): string {
  const links = process.links.filter(
    ({ sourceActivityId, conditionExpr }) => sourceActivityId === activity.id && conditionExpr === exit,
  );
  if (links.length !== 1)
    throw new FlowMistake(`exit "${exit}" of "${activity.name}" leads to ${links.length} activities`);
  return links[0]?.targetActivityId ?? "";
}

function typedValue(type: string, value: string): Value {
  if (type === "STRING") return value;
  if (type !== "INTEGER") throw new FlowMistake(`variables of type ${type} are not known here`);
  if (!/^-?\d+$/.test(value)) throw new Failure("that is no number");
  return Number(value);
}
