import { randomUUID } from "node:crypto";
import {
  DEAD_REFRESH_TOKEN,
  InputError,
  objectWith,
  type RefreshMode,
  type TokenResponse,
} from "./authority.ts";

/** Every way the sandbox can misbehave. `reach`: all endpoints, the token endpoint, or refreshes only. */
export const FAULTS = [
  { fault: "down", reach: "all", about: "the connection is destroyed without an answer" },
  { fault: "hang", reach: "all", about: "the connection stays open and is never answered" },
  { fault: "slow", reach: "all", about: "processed at once, answered correctly after delayMs (5000)" },
  { fault: "429", reach: "token", about: "too many requests, with Retry-After: retryAfter (7)" },
  { fault: "429-none", reach: "token", about: "too many requests, without Retry-After" },
  { fault: "429-zero", reach: "token", about: "too many requests, with Retry-After: 0" },
  { fault: "429-rand", reach: "token", about: "too many requests, with Retry-After: rand(30),add(30)" },
  {
    fault: "429-empty",
    reach: "token",
    about: "too many requests, with Retry-After: retryAfter (7), no body",
  },
  { fault: "html", reach: "token", about: "200 with an HTML page" },
  { fault: "html-403", reach: "token", about: "403 with an HTML page" },
  { fault: "html-500", reach: "token", about: "500 with an HTML page" },
  { fault: "500", reach: "token", about: "500 with Webex's JSON error" },
  {
    fault: "invalid-request",
    reach: "refresh",
    about: "400 as for an expired refresh token (identity broker's shape)",
  },
  { fault: "webex-400", reach: "token", about: "400 in Webex's general error shape" },
  { fault: "unauthorized", reach: "token", about: "401 in Webex's general error shape" },
  { fault: "same-token", reach: "refresh", about: "a refresh returns the same access token again" },
  { fault: "rotate", reach: "refresh", about: "a refresh returns a new refresh token, and the old one dies" },
  { fault: "lost", reach: "token", about: "processed, then the connection is destroyed" },
  { fault: "omit", reach: "token", about: "answers access_token and token_type only" },
  { fault: "null-fields", reach: "token", about: "all fields but access_token and token_type are null" },
  { fault: "strings", reach: "token", about: "numbers are strings" },
  { fault: "empty-token", reach: "token", about: 'access_token is ""' },
  { fault: "redirect", reach: "token", about: "302 to another path of the same host" },
] as const satisfies readonly { fault: string; reach: "all" | "token" | "refresh"; about: string }[];

export type Fault = (typeof FAULTS)[number]["fault"];

/** A fault to add. It ends after `seconds` or `times` uses, else when cleared. `clientId`: that client only. */
export interface FaultRequest {
  fault: Fault;
  seconds?: number;
  times?: number;
  /** `slow` only; ms. */
  delayMs?: number;
  clientId?: string;
  /** `429` and `429-empty` only; seconds, or a string sent as it is. */
  retryAfter?: number | string;
}

/** What a request is, for choosing the fault that meets it. */
export interface Target {
  endpoint: "token" | "people";
  refresh: boolean;
  clientId?: string | undefined;
}

/** One HTTP answer, sent after `delayMs`. */
export interface Reply {
  status: number;
  headers?: Record<string, string>;
  body?: string;
  delayMs?: number;
}

/** What a fault does: no answer, one in the authority's stead, or the authority's own, bent. */
export type Effect =
  | { kind: "destroy" }
  | { kind: "hang" }
  | { kind: "reply"; reply: Reply }
  | {
      kind: "process";
      mode?: RefreshMode;
      bend?: (tokens: TokenResponse) => object;
      delayMs?: number;
      lose?: true;
    };

export function json(status: number, body: object, headers: Record<string, string> = {}): Reply {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: JSON.stringify(body),
  };
}

/** The identity broker's error shape; its `trackingID` ends in capitals, unlike the other's. */
export function brokerError(status: number, error: string, description: string): Reply {
  return json(status, { error, error_description: description, trackingID: `NA_${randomUUID()}` });
}

/** The general error shape of webexapis.com. */
export function webexError(status: number, message: string, headers: Record<string, string> = {}): Reply {
  return json(
    status,
    { message, errors: [{ description: message }], trackingId: `ROUTER_${randomUUID()}` },
    headers,
  );
}

const TOO_MANY = "The request was throttled. Too many requests have been sent in a given amount of time.";

function page(status: number): Reply {
  const body =
    "<!doctype html><html><head><title>Webex</title></head><body><h1>Access Denied</h1></body></html>";
  return { status, headers: { "content-type": "text/html; charset=utf-8" }, body };
}

const reply = (reply: Reply): Effect => ({ kind: "reply", reply });
const bend = (bend: (tokens: TokenResponse) => object): Effect => ({ kind: "process", bend });

/** The effect of a fault; pure but for the tracking id in an error body. */
export function effectOf(request: FaultRequest): Effect {
  const retryAfter = String(request.retryAfter ?? 7);
  switch (request.fault) {
    case "down":
      return { kind: "destroy" };
    case "hang":
      return { kind: "hang" };
    case "slow":
      return { kind: "process", delayMs: request.delayMs ?? 5000 };
    case "429":
      return reply(webexError(429, TOO_MANY, { "retry-after": retryAfter }));
    case "429-none":
      return reply(webexError(429, TOO_MANY));
    case "429-zero":
      return reply(webexError(429, TOO_MANY, { "retry-after": "0" }));
    case "429-rand":
      return reply(webexError(429, TOO_MANY, { "retry-after": "rand(30),add(30)" }));
    case "429-empty":
      return reply({ status: 429, headers: { "retry-after": retryAfter } });
    case "html":
      return reply(page(200));
    case "html-403":
      return reply(page(403));
    case "html-500":
      return reply(page(500));
    case "500":
      return reply(webexError(500, "Something went wrong on the server."));
    case "invalid-request":
      return reply(brokerError(400, "invalid_request", DEAD_REFRESH_TOKEN));
    case "webex-400":
      return reply(webexError(400, "The request was invalid or cannot be otherwise served."));
    case "unauthorized":
      return reply(
        webexError(401, "The request requires a valid access token set in the Authorization request header."),
      );
    case "same-token":
    case "rotate":
      return { kind: "process", mode: request.fault };
    case "lost":
      return { kind: "process", lose: true };
    case "omit":
      return bend(({ access_token, token_type }) => ({ access_token, token_type }));
    case "null-fields":
      return bend((tokens) => ({
        ...mapValues(tokens, () => null),
        access_token: tokens.access_token,
        token_type: "Bearer",
      }));
    case "strings":
      return bend((tokens) => mapValues(tokens, String));
    case "empty-token":
      return bend((tokens) => ({ ...tokens, access_token: "" }));
    case "redirect":
      return reply({ status: 302, headers: { location: "/v1/elsewhere" } });
  }
}

function mapValues(object: object, change: (value: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
}

/** A copy of `input` as a fault, every field checked; throws an InputError that names the first bad one. */
export function checkedFault(input: unknown): FaultRequest {
  const it = objectWith(input, ["fault", "seconds", "times", "delayMs", "clientId", "retryAfter"]);
  const names: readonly unknown[] = FAULTS.map(({ fault }) => fault);
  if (!names.includes(it.fault)) throw new InputError("fault", `must be one of ${names.join(", ")}`);
  const check = (field: string, good: (value: number) => boolean, rule: string) => {
    const value = it[field];
    if (value !== undefined && !(typeof value === "number" && good(value))) throw new InputError(field, rule);
  };
  const only = (field: string, ...faults: unknown[]) => {
    if (it[field] !== undefined && !faults.includes(it.fault)) {
      throw new InputError(field, `goes with ${faults.join(" and ")} only`);
    }
  };
  check(
    "seconds",
    (value) => value > 0 && Number.isFinite(value),
    "must be a number of seconds, more than 0",
  );
  check("times", (value) => value > 0 && Number.isSafeInteger(value), "must be a whole number, 1 or more");
  only("delayMs", "slow");
  check("delayMs", (value) => value >= 0 && value <= 600_000, "must be 0 to 600000 ms");
  if (it.clientId !== undefined && typeof it.clientId !== "string")
    throw new InputError("clientId", "must be a string");
  only("retryAfter", "429", "429-empty");
  if (typeof it.retryAfter === "string") {
    if (!/^[\x20-\x7e]{1,100}$/.test(it.retryAfter)) throw new InputError("retryAfter", "must be printable");
  } else {
    check(
      "retryAfter",
      (value) => value >= 0 && Number.isSafeInteger(value),
      "must be whole seconds or a string",
    );
  }
  return JSON.parse(JSON.stringify(it)) as FaultRequest;
}

export type Faults = ReturnType<typeof createFaults>;

/** The faults now active, oldest first. They are held in memory: a restart ends them. */
export function createFaults(clock: () => number) {
  type Active = FaultRequest & { until: number; left: number };
  let active: Active[] = [];
  const current = () => {
    active = active.filter((fault) => fault.until > clock() && fault.left > 0);
    return active;
  };
  return {
    /** Queues a fault behind those already there: one with `times` gives way to the next when used up. */
    add(input: FaultRequest): void {
      const fault = checkedFault(input);
      const until = fault.seconds === undefined ? Infinity : clock() + fault.seconds * 1000;
      active = [...current(), { ...fault, until, left: fault.times ?? Infinity }];
    },
    /** The oldest fault that meets this request, used once by asking. */
    take(target: Target): FaultRequest | undefined {
      const fault = current().find((candidate) => meets(candidate, target));
      if (fault) fault.left -= 1;
      return fault;
    },
    /** For people: what is active, with the seconds (rounded up) and uses that remain. */
    list() {
      return current().map(({ until, left, seconds, times, ...fault }) => ({
        ...fault,
        ...(seconds === undefined ? {} : { remainingSeconds: Math.ceil((until - clock()) / 1000) }),
        ...(times === undefined ? {} : { remainingTimes: left }),
      }));
    },
    clear(): void {
      active = [];
    },
  };
}

function meets(fault: FaultRequest, target: Target): boolean {
  const reach = FAULTS.find((known) => known.fault === fault.fault)?.reach;
  const reached = reach === "all" || (target.endpoint === "token" && (reach === "token" || target.refresh));
  return reached && (fault.clientId === undefined || fault.clientId === target.clientId);
}
