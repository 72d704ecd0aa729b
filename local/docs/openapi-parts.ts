/** Pieces of an OpenAPI 3.1 description; every schema is one of JSON Schema 2020-12. */

export type Schema = Readonly<Record<string, unknown>>;
export type Parts = Readonly<Record<string, Schema>>;

/** All of it is required, and nothing else may be there, but for what is named as optional. */
export const closed = (properties: Parts, optional: Parts = {}): Schema => ({
  type: "object",
  required: Object.keys(properties),
  properties: { ...properties, ...optional },
  additionalProperties: false,
});

export const schema = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
export const text = (description?: string): Schema => ({
  type: "string",
  minLength: 1,
  ...(description !== undefined && { description }),
});
/** Whole and not negative. */
export const count = (description?: string): Schema => ({
  type: "integer",
  minimum: 0,
  ...(description !== undefined && { description }),
});
export const constant = (value: string): Schema => ({ type: "string", const: value });

const header = (about: string, of: Schema, required: boolean): Schema => ({
  description: about,
  required,
  schema: of,
});
export const always = (about: string, of: Schema = text()): Schema => header(about, of, true);
export const sometimes = (about: string, of: Schema = text()): Schema => header(about, of, false);

const EVERYWHERE = {
  "cache-control": always("Nothing of this may be kept by what stands between.", constant("no-store")),
  "x-content-type-options": always("The type is not to be guessed.", constant("nosniff")),
};
const ACROSS = [
  "vary",
  "access-control-allow-origin",
  "access-control-allow-methods",
  "access-control-allow-headers",
  "access-control-expose-headers",
];

/** Headers that many answers have. */
export const HEADERS: Parts = {
  ...EVERYWHERE,
  ...Object.fromEntries(ACROSS.map((name) => [name, sometimes("With CORS only.")])),
};

const shared = (names: readonly string[]): Parts =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));

/** Of lookup with `CORS_ORIGINS`, and of lookup and setup with `COMPAT=sample`. */
export const CORS = shared(ACROSS);

interface Content {
  json?: Schema;
  /** A page for browsers, beside the JSON. */
  page?: boolean;
  headers?: Parts;
}

/** One answer. Without `json` it has no body. */
export function answer(description: string, { json, page, headers = {} }: Content = {}): Schema {
  const content = {
    ...(json !== undefined && { "application/json": { schema: json } }),
    ...(page && { "text/html": { schema: { type: "string" } } }),
  };
  return {
    description,
    headers: { ...shared(Object.keys(EVERYWHERE)), ...headers, ...(page && PAGE) },
    ...(json !== undefined && { content }),
  };
}

const PAGE: Parts = {
  "content-security-policy": sometimes("Pages only: nothing may run or load."),
  "referrer-policy": sometimes("Pages only.", constant("no-referrer")),
};

/** A refusal. Its body says the HTTP status again, for callers that see nothing else. */
export function problem(status: number, description: string, more: Omit<Content, "json"> = {}): Schema {
  const told = {
    allOf: [schema("Problem"), { type: "object", properties: { status: constant(String(status)) } }],
  };
  return answer(description, { ...more, json: status === 500 ? bugOr(told) : told });
}

const bugOr = (told: Schema) => ({ oneOf: [told, schema("SampleProblem")] });

export const RETRY_AFTER = "Seconds after which to try again.";
export const SECONDS: Schema = { type: "string", pattern: "^[0-9]+$" };

export const BUG = "A bug. With `COMPAT=sample`, every error of lookup and setup.";
/** 401. */
export const notLetIn = (description: string, headers: Parts = {}): Schema =>
  problem(401, description, {
    headers: { "www-authenticate": always("Basic credentials are taken, too."), ...headers },
  });

export const wrongMethod = (allowed: string, headers: Parts = {}): Schema =>
  problem(405, `Any method but ${allowed}.`, { headers: { allow: always("What it takes."), ...headers } });

interface Parameter {
  in: "query" | "header";
  required?: boolean;
  about: string;
  schema: Schema;
  example?: string | number;
}

export const parameter = (
  name: string,
  { in: where, required = false, about, schema: of, example }: Parameter,
) => ({
  name,
  in: where,
  required,
  description: about,
  schema: of,
  ...(example !== undefined && { example }),
});

export const NAME = parameter("name", {
  in: "query",
  required: true,
  about: 'The token\'s name. Not empty, no "/", no control character, 1500 bytes at most. Given once.',
  schema: text(),
  example: "example",
});
