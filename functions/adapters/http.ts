import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Event, Log } from "../core/log.ts";
import { Problem, type ProblemCode, problemReply, type Reply, type Request } from "../core/reply.ts";
import { StoreUnavailable } from "../core/store.ts";
import { callerOf } from "./caller.ts";

/** A handler of node's http, and of the Functions Framework's. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

export interface Serving {
  handle(request: Request): Reply | Promise<Reply>;
  /** How a problem is told; as JSON unless another way is given. */
  tell?: (problem: Problem, reference: string, request: Request) => Reply;
  log: Log;
  cors?: Cors | undefined;
}

/** Headers for a caller in a browser, who may come from an origin that is not allowed. */
export type Cors = (origin: string | undefined) => Record<string, string>;

/** The one place where a request is taken in, a problem becomes an answer, and an answer is written. */
export function serve({ handle, tell = problemReply, log, cors }: Serving): Handler {
  return (incoming, outgoing) => {
    const request = requestOf(incoming);
    const allowed = cors?.(request.headers.origin);
    const finish = (reply: Reply) => write(outgoing, reply, allowed, request.method);
    const fail = (error: unknown) => {
      const reference = referenceOf(incoming);
      const problem = problemOf(error);
      report(problem, error, reference, request, callerOf(incoming), log);
      finish(tell(problem, reference, request));
    };
    if (allowed !== undefined && request.method === "OPTIONS") return finish({ status: 204, body: "" });
    try {
      const reply = handle(request);
      return reply instanceof Promise ? reply.then(finish, fail) : finish(reply);
    } catch (error) {
      return fail(error);
    }
  };
}

/** Nothing of a bug goes to the caller but the reference by which its log line is found. */
function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof StoreUnavailable)
    return new Problem("store_unavailable", "the token store did not answer: try again", {
      "retry-after": "5",
    });
  return new Problem("bug", "something went wrong here: please report the reference");
}

function report(
  problem: Problem,
  error: unknown,
  reference: string,
  request: Request,
  caller: string,
  log: Log,
) {
  const { code } = problem;
  const token = request.query.get("name")?.slice(0, 100);
  const reason = error instanceof StoreUnavailable ? error.message : undefined;
  const where = code === "bug" ? whereOf(error) : undefined;
  log(EVENT[code] ?? "request.refused", { code, reference, token, caller, reason, where });
}

const EVENT: Partial<Record<ProblemCode, Event>> = {
  no_passphrase: "request.unauthorized",
  wrong_passphrase: "request.unauthorized",
  store_unavailable: "store.unavailable",
  unset_state: "setup.refused",
  consent_refused: "setup.refused",
  state_refused: "setup.refused",
  code_refused: "setup.refused",
  foreign_organization: "setup.refused",
  settings_missing: "setup.refused",
  settings_changed: "setup.refused",
  bug: "bug",
};

/** The places a bug went through. Its message stays out: it may quote what was being worked on. */
export function whereOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const { stack = "", message } = error;
  const frames = stack
    .slice(stack.indexOf(message) + message.length)
    .split("\n")
    .filter((line) => /^\s+at /.test(line));
  return [error.name, ...frames.map((line) => line.trim())].slice(0, 8).join(" ");
}

function requestOf(incoming: IncomingMessage & { originalUrl?: string }): Request {
  const [path = "/", ...query] = (incoming.originalUrl ?? incoming.url ?? "/").split("?");
  return {
    method: incoming.method ?? "GET",
    path,
    query: new URLSearchParams(query.join("?")),
    // Only "set-cookie" ever comes as a list, and no request has that.
    headers: incoming.headers as Request["headers"],
  };
}

/** Cloud's trace id, so that one reference finds the platform's log lines too; else a random one. */
function referenceOf({ headers }: IncomingMessage): string {
  const [, trace] = /^([0-9a-f]{32})(?:\/|;|$)/i.exec(String(headers["x-cloud-trace-context"] ?? "")) ?? [];
  const [, parent] = /^00-([0-9a-f]{32})-/i.exec(String(headers.traceparent ?? "")) ?? [];
  return trace ?? parent ?? randomBytes(16).toString("hex");
}

function write(
  outgoing: ServerResponse,
  { status, headers = {}, body }: Reply,
  allowed: Record<string, string> = {},
  method: string,
): void {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  outgoing.statusCode = status;
  if (text !== "") outgoing.setHeader("content-type", "application/json; charset=utf-8");
  outgoing.setHeader("cache-control", "no-store");
  outgoing.setHeader("x-content-type-options", "nosniff");
  for (const name in allowed) outgoing.setHeader(name, allowed[name] ?? "");
  for (const name in headers) outgoing.setHeader(name, headers[name] ?? "");
  if (status !== 204) outgoing.setHeader("content-length", Buffer.byteLength(text));
  outgoing.end(method === "HEAD" ? undefined : text);
}
