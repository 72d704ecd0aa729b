import { InputError, objectWith } from "./input.ts";

/** What gives tokens (Service Apps' too), tells who holds one, or keeps the contact centre's global variables. */
type Endpoint = "token" | "people" | "variable";

/** Every way the sandbox can misbehave. `reach`: all endpoints, one of them, or refreshes only. */
export const FAULTS = [
  { fault: "down", reach: "all", about: "the connection is destroyed without an answer" },
  { fault: "hang", reach: "all", about: "the connection stays open and is never answered" },
  { fault: "slow", reach: "all", about: "processed at once, answered correctly, after five seconds" },
  { fault: "429", reach: "token", about: "too many requests, with Retry-After: 7" },
  { fault: "429-none", reach: "token", about: "too many requests, without Retry-After" },
  { fault: "429-zero", reach: "token", about: "too many requests, with Retry-After: 0" },
  { fault: "429-rand", reach: "token", about: "too many requests, with Retry-After: rand(30),add(30)" },
  {
    fault: "429-empty",
    reach: "token",
    about: "too many requests, with Retry-After: 7 and no body",
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
  { fault: "variable-401", reach: "variable", about: "global variables: 401, the token is not taken" },
  { fault: "variable-403", reach: "variable", about: "global variables: 403, not allowed" },
  { fault: "variable-404", reach: "variable", about: "global variables: 404, there is none of this id" },
  { fault: "variable-412", reach: "variable", about: "global variables: 412, changed by somebody else" },
  {
    fault: "variable-429",
    reach: "variable",
    about: "global variables: 429 without Retry-After and without a body",
  },
  {
    fault: "variable-500",
    reach: "variable",
    about: "global variables: 500 with the contact centre's JSON error",
  },
  { fault: "variable-html", reach: "variable", about: "global variables: 200 with an HTML page" },
] as const satisfies readonly { fault: string; reach: "all" | Endpoint | "refresh"; about: string }[];

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
  endpoint: Endpoint;
  refresh: boolean;
  clientId?: string | undefined;
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
  const reached = reach === "all" || reach === target.endpoint || (reach === "refresh" && target.refresh);
  return reached && (fault.clientId === undefined || fault.clientId === target.clientId);
}
