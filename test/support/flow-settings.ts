import type { ExportedActivity } from "../../local/flows/export.ts";
import { FlowMistake, type Value } from "./flow-templates.ts";

/** What an activity is set to, checked where it is read; and values in JSON. */

/** `$.a` and `$["a"]`; `undefined`: there is no such value. */
export function atPath(from: Value, jsonPath: string): string | number | undefined {
  const [, dotted, quoted] = /^\$(?:\.(\w+)|\["([^"]+)"\])$/.exec(jsonPath) ?? [];
  const key = dotted ?? quoted;
  if (key === undefined) throw new FlowMistake(`the path ${jsonPath} is not known here`);
  if (from === null || typeof from !== "object" || !Object.hasOwn(from, key)) return undefined;
  const found = from[key];
  return typeof found === "string" || typeof found === "number" ? found : undefined;
}

export function jsonOf(body: string): Value {
  try {
    return JSON.parse(body) as Value;
  } catch {
    return null;
  }
}

export function text({ name, properties }: ExportedActivity, property: string): string {
  const value = properties[property];
  if (typeof value !== "string") throw new FlowMistake(`"${name}" has no ${property}`);
  return value;
}

export function number({ name, properties }: ExportedActivity, property: string): number {
  const value = properties[property];
  if (typeof value !== "number") throw new FlowMistake(`"${name}" has no ${property}`);
  return value;
}

export function texts({ name, properties }: ExportedActivity, property: string): Record<string, string> {
  const value = properties[property];
  if (typeof value !== "object" || value === null) throw new FlowMistake(`"${name}" has no ${property}`);
  return value as Record<string, string>;
}

function list<T>({ name, properties }: ExportedActivity, property: string): T[] {
  const value = properties[property];
  if (!Array.isArray(value)) throw new FlowMistake(`"${name}" has no ${property}`);
  return value;
}

export const outputsOf = (activity: ExportedActivity) =>
  list<{ outputVariable: string; jsonPathExp: string }>(activity, "outputVariableArray");
export const pairs = (activity: ExportedActivity, property: string) =>
  list<{ src: string; target: string }>(activity, property);
