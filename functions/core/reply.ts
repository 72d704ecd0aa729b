/** What came in, freed of any web framework. */
export interface Request {
  method: string;
  path: string;
  query: URLSearchParams;
  /** Names in lower case; a repeated header is joined by ", ". */
  headers: Readonly<Record<string, string | undefined>>;
}

/** What goes out. One place writes it: `adapters/http.ts`. */
export interface Reply {
  status: number;
  headers?: Record<string, string>;
  /** JSON, unless it is text with a content type of its own in `headers`. */
  body: object | string;
}

/** Every way to be told no. The HTTP status is chosen here and nowhere else. */
const STATUS = {
  no_name: 400,
  bad_request: 400,
  unset_state: 400,
  consent_refused: 400,
  state_refused: 400,
  no_passphrase: 401,
  wrong_passphrase: 401,
  not_found: 404,
  wrong_method: 405,
  needs_person: 409,
  already_set_up: 409,
  settings_missing: 409,
  code_refused: 409,
  foreign_organization: 409,
  settings_changed: 409,
  not_saved: 503,
  nothing_yet: 503,
  store_unavailable: 503,
  webex_unavailable: 503,
  bug: 500,
} as const;

export type ProblemCode = keyof typeof STATUS;

/** An expected no: it names the thing and what to do next, and holds no secret. */
export class Problem extends Error {
  override name = "Problem";
  readonly code: ProblemCode;
  /** What HTTP wants said beside it: `retry-after` (s) where trying again will help, `allow` for a wrong method. */
  readonly headers: Record<string, string>;

  constructor(code: ProblemCode, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
  }
}

/** Answers a problem. `reference` is what the caller can quote; the log line has it too. */
export function problemReply({ code, message, headers }: Problem, reference: string): Reply {
  const status = STATUS[code];
  return { status, headers, body: { status: String(status), message, reference } };
}

/** Throws unless the request's method is one of these. */
export function onlyMethods({ method, path }: Request, ...allowed: string[]): void {
  if (allowed.includes(method)) return;
  const allow = allowed.join(", ");
  throw new Problem("wrong_method", `${path} takes ${allow}, not ${method}`, { allow });
}

/** The one value of a query parameter; `undefined` where it is absent. A repeated one is a mistake to be told. */
export function single(query: URLSearchParams, parameter: string): string | undefined {
  const values = query.getAll(parameter);
  if (values.length > 1)
    throw new Problem("bad_request", `"${parameter}" is given ${values.length} times; give it once`);
  return values[0];
}

/** Thirty years: more digits are a mistake. */
const MOST = 999_999_999;

/** A query parameter that is a whole number of seconds; `undefined` where it is absent. */
export function seconds(query: URLSearchParams, parameter: string, most = MOST): number | undefined {
  const text = single(query, parameter);
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= most) return value;
  throw new Problem("bad_request", `"${parameter}" must be a whole number of seconds from 0 to ${most}`);
}
