import { InputError, objectWith } from "./input.ts";

/** A global variable of the contact centre: all of it, as its API takes and gives it. */
export interface Variable {
  id: string;
  name: string;
  active: boolean;
  agentEditable: boolean;
  agentViewable: boolean;
  reportable: boolean;
  variableType: string;
  defaultValue: string;
  sensitive?: boolean;
  description?: string;
  desktopLabel?: string;
}

const TYPES = ["String", "Integer", "Decimal", "Boolean", "DateTime"];
const FLAGS = ["active", "agentEditable", "agentViewable", "reportable"] as const;
const OPTIONAL = { sensitive: "boolean", description: "string", desktopLabel: "string" } as const;
/** Characters. */
const LONGEST_VALUE = 256;

/** A copy of `input` as a variable, nothing missing and nothing unknown; throws an InputError that names the first bad field. */
export function checkedVariable(input: unknown): Variable {
  const optional = Object.entries(OPTIONAL);
  const needed = ["id", "name", ...FLAGS, "variableType", "defaultValue"];
  const it = objectWith(input, [...needed, ...Object.keys(OPTIONAL)]);
  for (const field of needed) if (it[field] === undefined) throw new InputError(field, "is missing");
  for (const field of FLAGS)
    if (typeof it[field] !== "boolean") throw new InputError(field, "must be true or false");
  for (const [field, type] of optional)
    if (it[field] !== undefined && typeof it[field] !== type)
      throw new InputError(field, `must be a ${type}`);
  if (typeof it.id !== "string" || !/^[\w-]{1,64}$/.test(it.id)) throw new InputError("id", "must be an id");
  if (typeof it.name !== "string" || !/^\w{1,80}$/.test(it.name))
    throw new InputError("name", "must be 1 to 80 letters, digits or underscores");
  if (typeof it.variableType !== "string" || !TYPES.includes(it.variableType))
    throw new InputError("variableType", `must be one of ${TYPES.join(", ")}`);
  if (typeof it.defaultValue !== "string" || it.defaultValue.length > LONGEST_VALUE)
    throw new InputError("defaultValue", `must be text of at most ${LONGEST_VALUE} characters`);
  return { ...it } as unknown as Variable;
}
