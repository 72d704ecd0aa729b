import type { ExchangeRequest, IssueRequest, RefreshRequest, TokenEndpoint } from "../core/grant.ts";
import { PATIENCE, send } from "./webex-http.ts";

/**
 * What gives tokens below `webexUrl`, e.g. `https://webexapis.com/v1`. Nothing is thrown: an answer, or why there is
 * none. `patience`: ms for one request.
 */
export function webexEndpoint(webexUrl: string, patience = PATIENCE): TokenEndpoint {
  const ask = (form: Record<string, string>, again = false) =>
    send({ method: "POST", url: `${webexUrl}/access_token`, form, patience, again });
  return {
    exchange: ({ clientId, clientSecret, redirectUri, code, verifier }: ExchangeRequest) =>
      ask({
        grant_type: "authorization_code",
        client_id: clientId,
        client_secret: clientSecret,
        code,
        redirect_uri: redirectUri,
        ...(verifier !== undefined && { code_verifier: verifier }),
      }),
    // Replaying a refresh is safe, a code is not.
    refresh: ({ clientId, clientSecret, refreshToken }: RefreshRequest, patient: boolean) =>
      ask(
        {
          grant_type: "refresh_token",
          client_id: clientId,
          client_secret: clientSecret,
          refresh_token: refreshToken,
        },
        patient,
      ),
    issue: ({ applicationId, clientId, clientSecret, targetOrg, accessToken }: IssueRequest) =>
      send({
        method: "POST",
        url: `${webexUrl}/applications/${encodeURIComponent(applicationId)}/token`,
        json: { clientId, clientSecret, targetOrgId: targetOrg },
        accessToken,
        patience,
      }),
  };
}
