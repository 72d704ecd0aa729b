import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  Authority,
  type Client,
  type CountedGrant,
  type GrantRequest,
  InputError,
  objectWith,
  Refusal,
  type RefusalCode,
} from "./authority.ts";
import { consentPage, formPairs, judgeAuthorization, location, problemPage, redirection } from "./consent.ts";
import {
  brokerError,
  checkedFault,
  createFaults,
  type Effect,
  effectOf,
  type Fault,
  type Faults,
  json,
  type Reply,
  type Target,
  webexError,
} from "./faults.ts";

/** Something that happened; never a token, code or secret. `clientId` is only ever that of a registered client. */
export interface SandboxEvent {
  kind: "ask" | "allow" | "deny" | "grant" | "refresh" | "refuse" | "fault" | "control" | "error";
  clientId?: string;
  fault?: Fault;
}

/** `clock` gives ms since epoch, by default the system's. `file` may be ":memory:". */
export interface SandboxOptions {
  file: string;
  clock?: () => number;
  onEvent?: (event: SandboxEvent) => void;
}

export type Sandbox = ReturnType<typeof createSandbox>;

type Answer = Reply | "destroy" | "hang";
type Incoming = { request: IncomingMessage; path: string; query: string };
type Parts = { authority: Authority; faults: Faults; tell: (event: SandboxEvent) => void };

const LARGEST_BODY = 65_536; // bytes
const STATUS: Record<RefusalCode, number> = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unsupported_grant_type: 400,
};

/** A stand-in for Webex's OAuth endpoints; throws an Error that names `file` if that cannot be read and written. */
export function createSandbox({ file, clock = Date.now, onEvent = () => {} }: SandboxOptions) {
  const authority = new Authority(file, clock);
  const faults = createFaults(clock);
  const parts: Parts = { authority, faults, tell: onEvent };
  const server = createServer((request, response) => {
    handle(parts, request)
      .catch((): Answer => {
        onEvent({ kind: "error" });
        return webexError(500, "The sandbox failed; this is a bug in it, or its database cannot be used.");
      })
      .then((answer) => write(answer, request, response));
  });
  return {
    authority,
    faults,
    /** Resolves to the port in use; `port` 0 takes a free one. */
    listen(port = 0, host = "127.0.0.1"): Promise<number> {
      return new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          resolve((server.address() as AddressInfo).port);
        });
      });
    },
    /** Ends every connection, hanging ones too, and closes the file. */
    async close(): Promise<void> {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      authority.close();
    },
  };
}

async function handle(parts: Parts, request: IncomingMessage): Promise<Answer> {
  const [path = "", ...rest] = (request.url ?? "").split("?");
  const incoming = { request, path, query: rest.join("?") };
  if (path === "/v1/access_token") return accessToken(parts, incoming);
  if (path === "/v1/people/me") return peopleMe(parts, incoming);
  if (path === "/v1/authorize") return authorize(parts, incoming);
  if (path === "/v1/authorize/decision") return decision(parts, incoming);
  if (path === "/sandbox" || path.startsWith("/sandbox/")) return control(parts, incoming);
  return webexError(404, "The requested resource could not be found.");
}

/** The one place that writes an answer. */
function write(answer: Answer, request: IncomingMessage, response: ServerResponse): void {
  if (answer === "hang") return;
  if (answer === "destroy") {
    request.socket.destroy();
    return;
  }
  const send = () => {
    const unread = request.complete ? {} : { connection: "close" };
    response.writeHead(answer.status, { "cache-control": "no-store", ...answer.headers, ...unread });
    response.end(request.method === "HEAD" ? undefined : answer.body);
  };
  if (answer.delayMs) {
    const timer = setTimeout(send, answer.delayMs);
    response.once("close", () => clearTimeout(timer));
  } else {
    send();
  }
}

/** The body as strict UTF-8; a Refusal if it is too large or not text. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > LARGEST_BODY) throw new Refusal("invalid_request", "The body is too large.");
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new Refusal("invalid_request", "The body is not UTF-8.");
  }
}

function methodIs(request: IncomingMessage, ...methods: string[]): Reply | undefined {
  if (methods.includes(request.method ?? "")) return undefined;
  return webexError(405, "The request method is not supported.", { allow: methods.join(", ") });
}

async function accessToken({ authority, faults, tell }: Parts, incoming: Incoming): Promise<Answer> {
  let grant: GrantRequest | Refusal;
  let counted: CountedGrant = "other";
  let client: Client | undefined;
  try {
    const parameters = await tokenParameters(incoming);
    const named = parameters.get("grant_type");
    if (named === "authorization_code" || named === "refresh_token") counted = named;
    client = authority.client(parameters.get("client_id") ?? "");
    grant = grantRequest(parameters);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    grant = error;
  }
  authority.count(counted, "received");
  const who = client ? { clientId: client.clientId } : {};
  const effect = met(faults, tell, { endpoint: "token", refresh: counted === "refresh_token", ...who });
  if (effect.kind !== "process") {
    authority.count(counted, "faulted");
    return effect.kind === "reply" ? effect.reply : effect.kind;
  }
  let reply: Reply;
  try {
    if (grant instanceof Refusal) throw grant;
    const tokens = authority.grant(grant, effect.mode);
    authority.count(counted, "granted");
    tell({ kind: counted === "refresh_token" ? "refresh" : "grant", ...who });
    reply = json(200, effect.bend?.(tokens) ?? tokens, { pragma: "no-cache" });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    authority.count(counted, "refused");
    tell({ kind: "refuse", ...who });
    reply = brokerError(STATUS[error.code], error.code, error.message);
  }
  if (effect.lose) return "destroy";
  return effect.delayMs ? { ...reply, delayMs: effect.delayMs } : reply;
}

/** The effect of the fault that meets a request; without one, plain processing. */
function met(faults: Faults, tell: Parts["tell"], target: Target): Effect {
  const fault = faults.take(target);
  if (!fault) return { kind: "process" };
  tell({ kind: "fault", fault: fault.fault, ...(target.clientId ? { clientId: target.clientId } : {}) });
  return effectOf(fault);
}

/** The parameters of a token request, each there once and not empty (RFC 6749 §3.2); else a Refusal. */
async function tokenParameters({ request, query }: Incoming): Promise<Map<string, string>> {
  const refuse = (why: string) => new Refusal("invalid_request", why);
  const body = await bodyOf(request);
  if (request.method !== "POST") throw refuse("The method must be POST.");
  if (query) throw refuse("Parameters belong in the body, not in the URL.");
  if (request.headers.authorization) throw refuse("Client credentials belong in the body.");
  const type = /^application\/(x-www-form-urlencoded|json)(?: *; *charset="?utf-8"?)?$/i;
  const kind = type.exec(request.headers["content-type"] ?? "")?.[1]?.toLowerCase();
  if (!kind) throw refuse("The content type must be application/x-www-form-urlencoded or application/json.");
  const pairs = kind === "json" ? jsonPairs(body) : formPairs(body);
  const parameters = new Map(pairs);
  if (parameters.size !== pairs.length) throw refuse("A parameter is repeated.");
  if (pairs.some(([, value]) => value === "")) throw refuse("A parameter is empty.");
  return parameters;
}

function jsonPairs(body: string): [string, string][] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw new Refusal("invalid_request", "The body is not JSON.");
  }
  const pairs = typeof parsed === "object" && parsed && !Array.isArray(parsed) ? Object.entries(parsed) : [];
  if (pairs.length === 0 || pairs.some(([, value]) => typeof value !== "string")) {
    throw new Refusal("invalid_request", "The body must be a JSON object of strings.");
  }
  // JSON.parse keeps the last of a repeated name; in a flat object of strings each name and value is one string.
  if (body.match(/"(?:[^"\\]|\\.)*"/g)?.length !== 2 * pairs.length) {
    throw new Refusal("invalid_request", "A parameter is repeated.");
  }
  return pairs;
}

/** Exactly the parameters of its grant type, or a Refusal. */
function grantRequest(parameters: Map<string, string>): GrantRequest {
  const rest = new Map(parameters);
  const take = (name: string) => {
    const value = rest.get(name);
    if (value === undefined) throw new Refusal("invalid_request", `${name} is missing.`);
    rest.delete(name);
    return value;
  };
  const grantType = take("grant_type");
  if (grantType !== "authorization_code" && grantType !== "refresh_token") {
    throw new Refusal("unsupported_grant_type", "grant_type must be authorization_code or refresh_token.");
  }
  const client = { clientId: take("client_id"), clientSecret: take("client_secret") };
  let grant: GrantRequest;
  if (grantType === "refresh_token") {
    grant = { ...client, grantType, refreshToken: take("refresh_token") };
  } else {
    grant = { ...client, grantType, code: take("code"), redirectUri: take("redirect_uri") };
    if (rest.has("code_verifier")) grant.verifier = take("code_verifier");
    if (grant.verifier !== undefined && !/^[A-Za-z0-9._~-]{43,128}$/.test(grant.verifier)) {
      throw new Refusal("invalid_request", "code_verifier is malformed.");
    }
  }
  if (rest.size > 0) throw new Refusal("invalid_request", "A parameter is not known for this grant type.");
  return grant;
}

/** Webex's own ids are base64 of a `ciscospark:` URI; the UUID in it is what a token ends in. */
function webexId(kind: string, uuid: string): string {
  return Buffer.from(`ciscospark://us/${kind}/${uuid}`).toString("base64url");
}

async function peopleMe({ authority, faults, tell }: Parts, { request }: Incoming): Promise<Answer> {
  request.resume();
  const token = /^Bearer ([^ ]+)$/.exec(request.headers.authorization ?? "")?.[1];
  const holder = token === undefined ? undefined : authority.holder(token);
  const clientId = holder?.client.clientId;
  const effect = met(faults, tell, { endpoint: "people", refresh: false, clientId });
  if (effect.kind === "destroy" || effect.kind === "hang") return effect.kind;
  let reply = methodIs(request, "GET");
  if (!reply && holder?.live) {
    const { orgId } = holder.client;
    const ids = {
      id: webexId("PEOPLE", orgId),
      displayName: "Sandbox Person",
      orgId: webexId("ORGANIZATION", orgId),
    };
    reply = json(200, ids);
  }
  reply ??= webexError(
    401,
    "The request requires a valid access token set in the Authorization request header.",
  );
  return effect.kind === "process" && effect.delayMs ? { ...reply, delayMs: effect.delayMs } : reply;
}

async function authorize({ authority, tell }: Parts, { request, query }: Incoming): Promise<Answer> {
  const wrong = methodIs(request, "GET");
  if (wrong) return wrong;
  const verdict = judgeAuthorization(query, (clientId) => authority.client(clientId));
  if ("stop" in verdict) return problemPage(400, verdict.stop);
  if ("redirect" in verdict) return redirection(verdict.redirect);
  const { clientId } = verdict.ask;
  tell({ kind: "ask", clientId });
  return consentPage(authority.ask(verdict.ask), verdict.ask, authority.client(clientId)?.orgId ?? "");
}

async function decision({ authority, tell }: Parts, { request, query }: Incoming): Promise<Answer> {
  const wrong = methodIs(request, "POST");
  if (wrong) return wrong;
  let form: [string, string][] = [];
  try {
    const body = await bodyOf(request);
    const type = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
    if (type === "application/x-www-form-urlencoded" && !query) form = formPairs(body);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
  const { request: id, decision: choice } = Object.fromEntries(form);
  if (form.length !== 2 || !id || (choice !== "allow" && choice !== "deny")) {
    return problemPage(400, "The answer is not what the page's form sends.");
  }
  const answer = authority.answer(id, choice === "allow");
  if (!answer) return problemPage(400, "This was answered already, or asked more than ten minutes ago.");
  const { clientId, redirectUri, state } = answer.request;
  tell({ kind: answer.code ? "allow" : "deny", clientId });
  if (answer.code) return redirection(location(redirectUri, { code: answer.code, state }));
  const error_description = "The person denied the request.";
  return redirection(location(redirectUri, { error: "access_denied", error_description, state }));
}

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

async function control(parts: Parts, { request, path, query }: Incoming): Promise<Answer> {
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
