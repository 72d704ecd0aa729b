import type { IncomingMessage } from "node:http";
import { fieldsOf, idProblem, nameProblem } from "../../functions/core/document.ts";
import { redirectUriIn, scopesIn, secretIn } from "../actions/settings.ts";

/** More is no form of the page. Bytes. */
const MOST = 64 * 1024;

/** What a form holds can't be used; each field that is wrong is told by its name. */
export class InputProblem extends Error {
  override name = "InputProblem";
  readonly fields: Readonly<Record<string, string>>;

  constructor(fields: Record<string, string>) {
    super("some fields need another look");
    this.fields = fields;
  }
}

/** Reads the fields of a form; all that is wrong is told at once, by `check`. No message holds what was typed. */
export function inputOf(body: unknown) {
  const given = fieldsOf(body);
  const problems: Record<string, string> = {};
  const text = (field: string) => {
    const value = given[field];
    return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
  };
  const read = (field: string, parse: (value: string) => string | undefined, wanted: string) => {
    const value = text(field);
    const parsed = value === undefined ? undefined : parse(value);
    if (value !== undefined && parsed === undefined) problems[field] = wanted;
    return parsed;
  };
  const needed = (field: string, value: string | undefined, asking: string) => {
    if (value === undefined) problems[field] ??= asking;
    return value ?? "";
  };
  return {
    text,
    needed: (field: string, asking: string) => needed(field, text(field), asking),
    flag: (field: string) => given[field] === true,
    /** The name of a stored token, exactly as it was given. */
    name() {
      const exact = text("name") === undefined ? undefined : String(given.name);
      const name = needed("name", exact, "Give the token's name.");
      const problem = idProblem(name);
      if (problem !== undefined) problems.name ??= `No token can have this name: ${problem}.`;
      return name;
    },
    /** A name for a new token. */
    newName() {
      const name = needed("name", text("name"), "Give the token a name.");
      const problem = nameProblem(name);
      if (problem !== undefined) problems.name ??= `No token can have this name: ${problem}.`;
      return name;
    },
    secret: (field: string, asking: string | undefined) => {
      const secret = read(field, secretIn, "It holds a space, a line break or a letter that none can have.");
      return asking === undefined ? secret : needed(field, secret, asking);
    },
    redirectUri: () => read("redirectUri", redirectUriIn, "Give an http or https address without #."),
    scopes: () => read("scopes", scopesIn, "Choose at least one scope."),
    /** `undefined`: none was given. */
    seconds(field: string) {
      const value = given[field];
      if (value === undefined || value === null) return undefined;
      if (typeof value !== "number" || !(value > 0 && value <= 86_400))
        problems[field] = "Give a time of up to a day.";
      return Number(value);
    },
    wrong(field: string, problem: string) {
      problems[field] ??= problem;
    },
    /** Throws `InputProblem`. */
    check() {
      if (Object.keys(problems).length > 0) throw new InputProblem(problems);
    },
  };
}

/** The JSON that a request brings. Throws `InputProblem`. */
export async function bodyOf(request: IncomingMessage): Promise<unknown> {
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? ""))
    throw new InputProblem({ body: "must be JSON" });
  const text = await textOf(request);
  try {
    return JSON.parse(text);
  } catch {
    throw new InputProblem({ body: "must be JSON" });
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request) {
      size += chunk.length;
      if (size > MOST) break;
      chunks.push(chunk);
    }
  } catch {
    throw new InputProblem({ body: "did not come to its end" });
  }
  if (size > MOST) throw new InputProblem({ body: "is too large" });
  return Buffer.concat(chunks).toString("utf8");
}
