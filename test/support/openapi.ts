import { readFileSync } from "node:fs";
import path from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";

const FILE = path.resolve(import.meta.dirname, "../../docs/openapi.json");

interface Header {
  required: boolean;
  schema: object;
}
interface Described {
  headers: Record<string, Header | { $ref: string }>;
  content?: Record<string, { schema: object }>;
}
interface Operation {
  tags: string[];
  responses: Record<string, Described>;
}

export const description = JSON.parse(readFileSync(FILE, "utf8")) as {
  paths: Record<string, Record<string, Operation>>;
  components: { headers: Record<string, Header> };
};

export interface Answered {
  of: "lookup" | "refresher" | "setup";
  method: string;
  path: string;
  status: number;
  headers: Headers;
  text: string;
}

/** What HTTP and Express add to every answer. */
const TRANSPORT = ["connection", "content-length", "content-type", "date", "keep-alive"];

const ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: true });
// The description as a whole is no schema: it is only where the schemas are.
ajv.addVocabulary(Object.keys(description));
ajv.addSchema(description, "openapi");

const pointer = (...steps: string[]) =>
  steps.map((step) => encodeURIComponent(step.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");

function mistakes(value: unknown, ...steps: string[]): string[] {
  const validate = ajv.getSchema(`openapi#/${pointer(...steps, "schema")}`);
  if (validate === undefined) return [`no schema at ${steps.join(" ")}`];
  return validate(value) ? [] : [`${steps.join(" ")}: ${ajv.errorsText(validate.errors)}`];
}

/** Which answer of the description an answer is, as `lookup GET / 200 application/json`. Throws where it is none. */
export function described(answered: Answered): string {
  const { of, status, headers, text } = answered;
  const { route, method, operation } = operationOf(answered);
  const code = String(status);
  const response = operation.responses[code];
  if (response === undefined) throw new Error(`${of} ${method} ${route} ${code} is not described`);
  const steps = ["paths", route, method, "responses", code];
  const type = headers.get("content-type")?.split(";")[0] ?? "nothing";
  const found = [...headersWrong(headers, response, steps)];
  if (response.content === undefined) {
    if (text !== "") found.push("it has a body");
  } else if (response.content[type] === undefined) found.push(`${type} is not described`);
  else found.push(...mistakes(bodyOf(type, text), ...steps, "content", type));
  if (found.length > 0) throw new Error(`${of} ${method} ${route} ${code}: ${found.join("; ")}`);
  return nameOf(operation, method, route, code, response.content === undefined ? "nothing" : type);
}

/** Every answer that is described. */
export const allDescribed = (): string[] =>
  Object.entries(description.paths).flatMap(([route, operations]) =>
    Object.entries(operations).flatMap(([method, operation]) =>
      Object.entries(operation.responses).flatMap(([code, { content }]) =>
        (content === undefined ? ["nothing"] : Object.keys(content)).map((type) =>
          nameOf(operation, method, route, code, type),
        ),
      ),
    ),
  );

const nameOf = ({ tags }: Operation, method: string, route: string, code: string, type: string) =>
  `${tags[0]} ${method.toUpperCase()} ${route} ${code} ${type}`;

function operationOf({ of, method, path: asked, status }: Answered) {
  const route = of === "lookup" && description.paths[asked] === undefined ? "/" : asked;
  const operations = Object.entries(description.paths[route] ?? {});
  // Lookup sends on to setup, and then answers as the description of setup says.
  const own = operations.filter(([, { tags }]) => tags[0] === of || (of === "lookup" && tags[0] === "setup"));
  // A method that is not there has no operation: that it is refused stands beside the one that is.
  const found =
    own.find(([name]) => name === method.toLowerCase()) ??
    (status === 405 ? own.find(([, { responses }]) => "405" in responses) : undefined);
  if (found === undefined) throw new Error(`${of} ${method} ${asked} ${status} is not described`);
  return { route, method: found[0], operation: found[1] };
}

function* headersWrong(headers: Headers, { headers: expected }: Described, steps: string[]) {
  for (const [name, own] of Object.entries(expected)) {
    const header = "$ref" in own ? description.components.headers[name] : own;
    const place = "$ref" in own ? ["components"] : steps;
    const value = headers.get(name);
    if (value !== null) yield* mistakes(value, ...place, "headers", name);
    else if (header?.required) yield `the header "${name}" is missing`;
  }
  for (const name of headers.keys())
    if (!(name in expected) && !TRANSPORT.includes(name)) yield `the header "${name}" is not described`;
}

function bodyOf(type: string, text: string): unknown {
  return type === "application/json" ? JSON.parse(text) : text;
}
