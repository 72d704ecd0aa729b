import { fieldsOf, type RawFields, type Region } from "./document.ts";
import { type EndpointAnswer, RATE_LIMITED, retryAfterOf } from "./grant.ts";

/** Where a global variable of the contact centre is. */
export interface Place {
  region: Region;
  orgId: string;
  id: string;
}

/** The contact centre's API for its global variables, which knows whole ones only. It sends; `judgeVariable` judges. */
export interface GlobalVariables {
  read(place: Place, accessToken: string): Promise<EndpointAnswer>;
  write(place: Place, accessToken: string, variable: RawFields): Promise<EndpointAnswer>;
}

/** Characters that a value may have. */
export const LONGEST_VALUE = 256;

/** Why a token is not published, and whether trying again soon may help (false) or only a person can (true). */
const TROUBLES = {
  too_long: true,
  not_a_string: true,
  unauthorized: true,
  forbidden: true,
  not_found: true,
  /** The API refuses what it gave itself: its schema has changed. */
  bad_request: true,
  /** The token that is to write does not exist. */
  via_missing: true,
  /** Neither the token nor its document names its organization. */
  no_organization: true,
  /** The token that is to write belongs to another organization than the one that is published. */
  foreign_organization: true,
  via_ended: false,
  precondition_failed: false,
  [RATE_LIMITED]: false,
  unavailable: false,
  invalid_response: false,
} as const;

export type Code = keyof typeof TROUBLES;

export interface Trouble {
  code: Code;
  /** ms that the API asked to wait (`Retry-After`). */
  retryAfter?: number;
}

/** Trying again soon does not help. What is not known is as good as a blip. */
export const isLasting = (code: string): boolean => Object.hasOwn(TROUBLES, code) && TROUBLES[code as Code];

const CODES: Readonly<Record<number, Code>> = {
  400: "bad_request",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  412: "precondition_failed",
  429: RATE_LIMITED,
};

/** The variable that an answer holds, all its fields as they came; or what is wrong. */
export function judgeVariable(
  answer: EndpointAnswer,
  id: string,
  now: number,
): { variable: RawFields; trouble?: never } | { trouble: Trouble; variable?: never } {
  if ("error" in answer) return { trouble: { code: "unavailable" } };
  const { status } = answer;
  const code = CODES[status] ?? (status >= 500 ? "unavailable" : "invalid_response");
  const retryAfter = retryAfterOf(answer.retryAfter, now);
  if (status !== 200) return { trouble: { code, ...(retryAfter !== undefined && { retryAfter }) } };
  const variable = fieldsOf(jsonOf(answer.body));
  // UUIDs are the same in capitals.
  if (String(variable.id).toLowerCase() !== id.toLowerCase() || typeof variable.variableType !== "string")
    return { trouble: { code: "invalid_response" } };
  // A cased word in the documents, another in exports.
  return variable.variableType.toLowerCase() === "string"
    ? { variable }
    : { trouble: { code: "not_a_string" } };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
