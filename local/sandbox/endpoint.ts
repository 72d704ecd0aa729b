import type { IncomingMessage } from "node:http";
import type { Authority } from "./authority.ts";
import { type Effect, effectOf } from "./effect.ts";
import type { Fault, Faults, Target } from "./faults.ts";
import { type Reply, webexError } from "./reply.ts";

/** Something that happened; never a token, code or secret. `clientId` is only ever that of a registered client. */
export interface SandboxEvent {
  kind:
    | "ask"
    | "allow"
    | "deny"
    | "grant"
    | "refresh"
    | "refuse"
    | "variable"
    | "fault"
    | "control"
    | "error";
  clientId?: string;
  fault?: Fault;
}

/** What every endpoint is given. */
export interface Parts {
  authority: Authority;
  faults: Faults;
  tell: (event: SandboxEvent) => void;
}

/** `query` is what follows the first `?`, as it was sent. */
export interface Incoming {
  request: IncomingMessage;
  path: string;
  query: string;
}

/** A reply, or none: the connection is destroyed, or stays open without a word. */
export type Answer = Reply | "destroy" | "hang";

/** The access token of a request (RFC 6750 §2.1); undefined where there is none. */
export function bearerOf(request: IncomingMessage): string | undefined {
  return /^Bearer ([^ ]+)$/.exec(request.headers.authorization ?? "")?.[1];
}

/** A 405 unless the request has one of these methods. */
export function methodIs(request: IncomingMessage, ...methods: string[]): Reply | undefined {
  if (methods.includes(request.method ?? "")) return undefined;
  return webexError(405, "The request method is not supported.", { allow: methods.join(", ") });
}

/** The effect of the fault that meets a request; without one, plain processing. */
export function met(faults: Faults, tell: Parts["tell"], target: Target): Effect {
  const fault = faults.take(target);
  if (!fault) return { kind: "process" };
  tell({ kind: "fault", fault: fault.fault, ...(target.clientId ? { clientId: target.clientId } : {}) });
  return effectOf(fault);
}
