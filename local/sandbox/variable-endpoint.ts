import { type Answer, bearerOf, type Incoming, met, methodIs, type Parts } from "./endpoint.ts";
import { InputError } from "./input.ts";
import { Refusal } from "./refusal.ts";
import { contactCentreError, json, type Reply } from "./reply.ts";
import { bodyOf } from "./request.ts";
import { checkedVariable } from "./variable.ts";

const PATH = /^\/organization\/([\w-]+)\/cad-variable\/([\w-]+)$/;
const READING = ["cjp:config_read", "cjp:config_write"];
const WRITING = "cjp:config_write";

export const isVariablePath = (path: string): boolean => PATH.test(path);

/** `/organization/{orgId}/cad-variable/{id}`: a global variable of the contact centre, read or replaced as a whole. */
export async function cadVariable(parts: Parts, { request, path, query }: Incoming): Promise<Answer> {
  const { authority, faults, tell } = parts;
  const body = await bodyOf(request).catch((error: unknown) => {
    if (error instanceof Refusal) return undefined;
    throw error;
  });
  const holder = authority.holder(bearerOf(request) ?? "");
  const clientId = holder?.client.clientId;
  const effect = met(faults, tell, { endpoint: "variable", refresh: false, clientId });
  if (effect.kind !== "process") return effect.kind === "reply" ? effect.reply : effect.kind;

  const [, orgId = "", id = ""] = PATH.exec(path) ?? [];
  const judged = (): Reply => {
    const wrong = methodIs(request, "GET", "PUT");
    if (wrong) return { ...contactCentreError(405), headers: { ...wrong.headers } };
    if (!holder?.live) return contactCentreError(401);
    const writes = request.method === "PUT";
    const allowed = holder.scopes.some((scope) => (writes ? scope === WRITING : READING.includes(scope)));
    if (holder.client.orgId !== orgId || !allowed) return contactCentreError(403);
    const variable = authority.variable(orgId, id);
    if (!variable) return contactCentreError(404);
    if (query) return contactCentreError(400, "no parameter is known");
    if (!writes) return json(200, variable);
    const type = /^application\/json(?: *; *charset="?utf-8"?)?$/i.test(
      request.headers["content-type"] ?? "",
    );
    return type && body !== undefined
      ? replaced(parts, orgId, id, body)
      : contactCentreError(400, "body: must be JSON");
  };
  const reply = judged();
  return effect.delayMs ? { ...reply, delayMs: effect.delayMs } : reply;
}

function replaced({ authority, tell }: Parts, orgId: string, id: string, body: string): Reply {
  try {
    const variable = checkedVariable(parsed(body));
    if (variable.id !== id) throw new InputError("id", "must be that of the address");
    if (variable.variableType !== authority.variable(orgId, id)?.variableType)
      throw new InputError("variableType", "can't be changed");
    authority.putVariable(orgId, variable);
    tell({ kind: "variable" });
    return json(200, variable);
  } catch (error) {
    if (error instanceof InputError) return contactCentreError(400, error.message);
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
