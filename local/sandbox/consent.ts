import { judgeAuthorization, location } from "./authorization-request.ts";
import { consentPage, problemPage } from "./consent-page.ts";
import { type Answer, type Incoming, methodIs, type Parts } from "./endpoint.ts";
import { Refusal } from "./refusal.ts";
import { redirection } from "./reply.ts";
import { bodyOf, formPairs } from "./request.ts";

/** `/v1/authorize`: asks a person (RFC 6749 §4.1.1). */
export async function authorize({ authority, tell }: Parts, { request, query }: Incoming): Promise<Answer> {
  const wrong = methodIs(request, "GET");
  if (wrong) return wrong;
  const verdict = judgeAuthorization(query, (clientId) => authority.client(clientId));
  if ("stop" in verdict) return problemPage(400, verdict.stop);
  if ("redirect" in verdict) return redirection(verdict.redirect);
  const { clientId } = verdict.ask;
  tell({ kind: "ask", clientId });
  return consentPage(authority.ask(verdict.ask), verdict.ask, authority.client(clientId)?.orgId ?? "");
}

/** `/v1/authorize/decision`: what the person answered; the browser goes back with it (RFC 6749 §4.1.2). */
export async function decision({ authority, tell }: Parts, { request, query }: Incoming): Promise<Answer> {
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
