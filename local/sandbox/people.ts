import { type Answer, bearerOf, type Incoming, met, methodIs, type Parts } from "./endpoint.ts";
import { json, UNAUTHORIZED, webexError } from "./reply.ts";

/** Webex's own ids are base64 of a `ciscospark:` URI; the UUID in it is what a token ends in. */
function webexId(kind: string, uuid: string): string {
  return Buffer.from(`ciscospark://us/${kind}/${uuid}`).toString("base64url");
}

/** `/v1/people/me`: who holds the access token of the request. */
export async function peopleMe({ authority, faults, tell }: Parts, { request }: Incoming): Promise<Answer> {
  request.resume();
  const token = bearerOf(request);
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
  reply ??= webexError(401, UNAUTHORIZED);
  return effect.kind === "process" && effect.delayMs ? { ...reply, delayMs: effect.delayMs } : reply;
}
