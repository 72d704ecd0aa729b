import type { IncomingMessage } from "node:http";
import type { Client } from "./client.ts";
import { type Answer, type Incoming, methodIs, type Parts } from "./endpoint.ts";
import { checkedFault } from "./faults.ts";
import { InputError, objectWith } from "./input.ts";
import { Refusal } from "./refusal.ts";
import { json } from "./reply.ts";
import { bodyOf } from "./request.ts";

type Command = (parts: Parts, input: unknown) => object;

const shown = ({ clientSecret: _, ...client }: Client) => client;

const CONTROL: Record<string, Record<string, Command>> = {
  "/sandbox": {
    GET: ({ authority, faults }) => ({
      clients: authority.clients().map(shown),
      faults: faults.list(),
      counters: authority.counters(),
    }),
  },
  "/sandbox/clients": {
    POST: ({ authority }, input) => {
      authority.registerClient(input as Client); // which checks it
      const { clientId } = input as Client;
      return {
        client: authority
          .clients()
          .filter((client) => client.clientId === clientId)
          .map(shown)[0],
      };
    },
  },
  "/sandbox/applications": {
    POST: ({ authority }, input) => {
      authority.registerApplication(input);
      return {};
    },
  },
  "/sandbox/variables": {
    GET: ({ authority }) => ({
      variables: authority.variables().map(({ orgId, variable: { defaultValue, ...variable } }) => {
        const holder = authority.holder(defaultValue);
        const holds = holder && { clientId: holder.client.clientId, live: holder.live };
        return { orgId, ...variable, characters: defaultValue.length, ...(holds && { token: holds }) };
      }),
    }),
    POST: ({ authority }, input) => {
      const { orgId, variable } = objectWith(input, ["orgId", "variable"]);
      if (typeof orgId !== "string") throw new InputError("orgId", "must be a string");
      authority.putVariable(orgId, variable);
      return {};
    },
  },
  "/sandbox/grants": {
    POST: ({ authority }, input) => {
      const { clientId } = objectWith(input, ["clientId"]);
      if (typeof clientId !== "string") throw new InputError("clientId", "must be a string");
      return authority.issue(clientId);
    },
  },
  "/sandbox/revoke": {
    POST: ({ authority }, input) => {
      const it = objectWith(input, ["clientId", "refreshTokens", "accessTokens"]);
      if (it.clientId !== undefined && typeof it.clientId !== "string") {
        throw new InputError("clientId", "must be a string");
      }
      for (const field of ["refreshTokens", "accessTokens"]) {
        if (it[field] !== undefined && typeof it[field] !== "boolean") {
          throw new InputError(field, "must be true or false");
        }
      }
      return { revoked: authority.revoke(it) };
    },
  },
  "/sandbox/faults": {
    PUT: ({ authority, faults }, input) => {
      const fault = checkedFault(input);
      if (fault.clientId !== undefined && !authority.client(fault.clientId)) {
        throw new InputError("clientId", "no such client");
      }
      faults.add(fault);
      return { faults: faults.list() };
    },
    DELETE: ({ faults }) => {
      faults.clear();
      return { faults: [] };
    },
  },
  "/sandbox/reset-counters": {
    POST: ({ authority }) => {
      authority.resetCounters();
      return { counters: authority.counters() };
    },
  },
};

/** Loopback only, by address and by name; no web page may reach it (DNS rebinding, cross-site requests). */
function isLocal({ headers, socket }: IncomingMessage): boolean {
  const byAddress = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/.test(socket.remoteAddress ?? "");
  const byName = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i.test(headers.host ?? "");
  return byAddress && byName && headers.origin === undefined;
}

/** `/sandbox…`: registers clients, grants and revokes tokens, sets faults; for programs on this machine. */
export async function control(parts: Parts, { request, path, query }: Incoming): Promise<Answer> {
  if (!isLocal(request)) return json(403, { message: "the control interface is for local programs only" });
  const commands = Object.hasOwn(CONTROL, path) ? CONTROL[path] : undefined;
  if (!commands) return json(404, { message: "no such control request" });
  const wrong = methodIs(request, ...Object.keys(commands));
  const command = commands[request.method ?? ""];
  if (wrong || !command) return wrong ?? json(405, { message: "no such method" });
  try {
    if (query) throw new InputError("query", "parameters belong in the body, as JSON");
    const body = await bodyOf(request);
    const answer = json(200, command(parts, body === "" ? {} : parsed(body)));
    parts.tell({ kind: "control" });
    return answer;
  } catch (error) {
    if (error instanceof InputError) return json(400, { message: error.message, field: error.field });
    if (error instanceof Refusal) return json(400, { message: `body: ${error.message}`, field: "body" });
    throw error;
  }
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new InputError("body", "must be JSON");
  }
}
