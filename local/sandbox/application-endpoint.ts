import { type Answer, bearerOf, type Incoming, met, methodIs, type Parts } from "./endpoint.ts";
import { InputError, objectWith } from "./input.ts";
import { Refusal } from "./refusal.ts";
import { json, type Reply, UNAUTHORIZED, webexError } from "./reply.ts";
import { bodyOf } from "./request.ts";

const PATH = /^\/v1\/applications\/([\w=-]+)\/token$/;
const MANAGING = "spark:applications_token";

export const isApplicationPath = (path: string): boolean => PATH.test(decoded(path));

/** `/v1/applications/{id}/token`: tokens of a Service App, for whoever may manage it. */
export async function applicationToken(parts: Parts, incoming: Incoming): Promise<Answer> {
  const { authority, faults, tell } = parts;
  const { request, path } = incoming;
  authority.count("service_app", "received");
  const input = await inputOf(incoming);
  const [, applicationId = ""] = PATH.exec(decoded(path)) ?? [];
  const clientId = authority.application(applicationId)?.clientId;
  const effect = met(faults, tell, { endpoint: "token", refresh: false, clientId });
  if (effect.kind !== "process") {
    authority.count("service_app", "faulted");
    return effect.kind === "reply" ? effect.reply : effect.kind;
  }
  const issued = methodIs(request, "POST") ?? issue(parts, applicationId, bearerOf(request), input);
  const granted = "tokens" in issued;
  authority.count("service_app", granted ? "granted" : "refused");
  tell({ kind: granted ? "grant" : "refuse", ...(clientId && { clientId }) });
  const reply = granted ? json(200, effect.bend?.(issued.tokens) ?? issued.tokens) : issued;
  if (effect.lose) return "destroy";
  return effect.delayMs ? { ...reply, delayMs: effect.delayMs } : reply;
}

/** The five fields of the reference: no scope. */
function issue(
  { authority }: Parts,
  applicationId: string,
  bearer: string | undefined,
  input: Record<string, unknown> | Reply,
): { tokens: ReturnType<Parts["authority"]["issue"]> } | Reply {
  const manager = authority.holder(bearer ?? "");
  if (!manager?.live) return webexError(401, UNAUTHORIZED);
  if (!manager.scopes.includes(MANAGING)) return webexError(403, "The access token does not allow this.");
  const application = authority.application(applicationId);
  const client = application && authority.client(application.clientId);
  if (!client) return webexError(404, "There is no such Service App.");
  if (isReply(input)) return input;
  if (input.clientId !== client.clientId || input.clientSecret !== client.clientSecret)
    return webexError(401, "The client id or client secret is wrong.");
  if (!application.authorizedBy.includes(String(input.targetOrgId)))
    return webexError(403, "The Service App is not authorized by an administrator of this organization.");
  const { scope: _, ...tokens } = authority.issue(client.clientId);
  return { tokens: tokens as ReturnType<Parts["authority"]["issue"]> };
}

const isReply = (input: Record<string, unknown> | Reply): input is Reply => typeof input.status === "number";

/** The body's three texts; or the refusal of what is something else. */
async function inputOf({ request, query }: Incoming): Promise<Record<string, unknown> | Reply> {
  try {
    const body = await bodyOf(request);
    if (query) return webexError(400, "Parameters belong in the body.");
    const fields = ["clientId", "clientSecret", "targetOrgId"];
    const input = objectWith(JSON.parse(body), fields);
    const text = fields.every((field) => typeof input[field] === "string" && input[field] !== "");
    const type = /^application\/json\b/i.test(request.headers["content-type"] ?? "");
    return text && type
      ? input
      : webexError(400, "clientId, clientSecret and targetOrgId are wanted, as JSON.");
  } catch (error) {
    if (error instanceof Refusal || error instanceof InputError || error instanceof SyntaxError)
      return webexError(400, "The body is not what is wanted.");
    throw error;
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return "";
  }
}
