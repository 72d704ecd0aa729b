import type { Authority } from "./authority.ts";
import type { Client } from "./client.ts";
import type { CountedGrant } from "./counters.ts";
import type { Processing } from "./effect.ts";
import { type Answer, type Incoming, met, type Parts } from "./endpoint.ts";
import type { GrantRequest } from "./grants.ts";
import { Refusal, type RefusalCode } from "./refusal.ts";
import { brokerError, json, type Reply } from "./reply.ts";
import { grantRequest, tokenParameters } from "./token-request.ts";

const STATUS: Record<RefusalCode, number> = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unsupported_grant_type: 400,
};

/** A token request as far as it could be read; `client` only where it is a registered one. */
interface Asked {
  grant: GrantRequest | Refusal;
  counted: CountedGrant;
  client: Client | undefined;
}

/** `/v1/access_token`: exchanges and refreshes (RFC 6749 §4.1.3, §6), or what the fault that meets it does. */
export async function accessToken(parts: Parts, incoming: Incoming): Promise<Answer> {
  const { authority, faults, tell } = parts;
  const asked = await read(authority, incoming);
  const { counted, client } = asked;
  authority.count(counted, "received");
  const refresh = counted === "refresh_token";
  const effect = met(faults, tell, { endpoint: "token", refresh, clientId: client?.clientId });
  if (effect.kind !== "process") {
    authority.count(counted, "faulted");
    return effect.kind === "reply" ? effect.reply : effect.kind;
  }
  const reply = judged(parts, asked, effect);
  if (effect.lose) return "destroy";
  return effect.delayMs ? { ...reply, delayMs: effect.delayMs } : reply;
}

async function read(authority: Authority, incoming: Incoming): Promise<Asked> {
  const asked: Omit<Asked, "grant"> = { counted: "other", client: undefined };
  try {
    const parameters = await tokenParameters(incoming);
    const named = parameters.get("grant_type");
    if (named === "authorization_code" || named === "refresh_token") asked.counted = named;
    asked.client = authority.client(parameters.get("client_id") ?? "");
    return { ...asked, grant: grantRequest(parameters) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { ...asked, grant: error };
  }
}

function judged({ authority, tell }: Parts, { grant, counted, client }: Asked, effect: Processing): Reply {
  const who = client ? { clientId: client.clientId } : {};
  try {
    if (grant instanceof Refusal) throw grant;
    const tokens = authority.grant(grant, effect.mode);
    authority.count(counted, "granted");
    tell({ kind: counted === "refresh_token" ? "refresh" : "grant", ...who });
    return json(200, effect.bend?.(tokens) ?? tokens, { pragma: "no-cache" });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    authority.count(counted, "refused");
    tell({ kind: "refuse", ...who });
    return brokerError(STATUS[error.code], error.code, error.message);
  }
}
