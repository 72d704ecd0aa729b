import type { IncomingMessage } from "node:http";
import { SettingsError } from "../../functions/adapters/env.ts";
import { Problem } from "../../functions/core/reply.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { type DocumentStore, StoreUnavailable, type TokenStore } from "../../functions/core/store.ts";
import { CommandError, explain } from "../commands/errors.ts";
import type { Deployment } from "../deployment.ts";
import { CONSENTS } from "./consents.ts";
import { bodyOf, InputProblem, type inputOf } from "./input.ts";
import { json, type Reply } from "./reply.ts";
import { SANDBOX } from "./sandbox-orders.ts";
import { TOKENS } from "./token-orders.ts";
import { VIEWS } from "./views.ts";
import type { Watch } from "./watch.ts";

/** What the page works on. */
export interface Parts {
  documents: DocumentStore;
  /** The tokens with the keys to what is sealed. Throws `SettingsError`. */
  open(): Promise<TokenStore>;
  deployment(): Workplace;
  runtime: Runtime;
  watch: Watch;
}

export type Workplace = Pick<
  Deployment,
  "where" | "service" | "redirectUri" | "threshold" | "webexUrl" | "requireSealing"
>;

/** What came with a request: the query of a look, the form of an order. */
export interface Asked {
  query: URLSearchParams;
  body: unknown;
}

/** Its answer holds no secret. */
type Endpoint = (parts: Parts, asked: Asked) => Promise<object>;

export type Endpoints = Readonly<Record<string, Endpoint>>;

export type Input = ReturnType<typeof inputOf>;

/** Every way to ask, by method and path. */
export const ENDPOINTS: Endpoints = { ...VIEWS, ...TOKENS, ...CONSENTS, ...SANDBOX };

export async function answerApi(request: IncomingMessage, url: URL, parts: Parts): Promise<Reply> {
  const { method = "" } = request;
  const path = url.pathname.slice("/api/".length);
  const endpoint = Object.hasOwn(ENDPOINTS, `${method} ${path}`) ? ENDPOINTS[`${method} ${path}`] : undefined;
  if (endpoint === undefined) return json(404, { message: "the console has no such request" });
  try {
    const body = method === "POST" ? await bodyOf(request) : undefined;
    const reply = json(200, await endpoint(parts, { query: url.searchParams, body }));
    return reply;
  } catch (error) {
    return failure(error);
  } finally {
    if (method === "POST") parts.watch.stir();
  }
}

/** What is expected to go wrong, in a sentence. Throws what is not. */
function failure(error: unknown): Reply {
  if (error instanceof InputProblem) return json(422, { message: error.message, fields: error.fields });
  const credentials =
    error instanceof Error && error.message.startsWith("Could not load the default credentials");
  const expected = [CommandError, SettingsError, Problem, StoreUnavailable].some(
    (kind) => error instanceof kind,
  );
  if (!expected && !credentials) throw error;
  return json(error instanceof StoreUnavailable ? 503 : 409, { message: explain(error).sentence });
}
