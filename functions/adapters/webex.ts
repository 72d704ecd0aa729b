import got, { HTTPError, RequestError, TimeoutError } from "got";
import type { EndpointAnswer, ExchangeRequest, RefreshRequest, TokenEndpoint } from "../core/grant.ts";

/** How long Webex may take for one request, in ms. */
const PATIENCE = 8000;
/** A grant has some 2 kB. Whoever sends far more, compressed or not, is not Webex and must not fill the memory; bytes. */
const LONGEST_BODY = 256 * 1024;

/**
 * The token endpoint below `webexUrl`, e.g. `https://webexapis.com/v1`. Nothing is thrown: an answer, or why there is
 * none. `patience`: ms for one request.
 */
export function webexEndpoint(webexUrl: string, patience = PATIENCE): TokenEndpoint {
  const url = `${webexUrl}/access_token`;
  const send = (form: Record<string, string>, again = false) => post(url, form, patience, again);
  return {
    exchange: ({ clientId, clientSecret, redirectUri, code, verifier }: ExchangeRequest) =>
      send({
        grant_type: "authorization_code",
        client_id: clientId,
        client_secret: clientSecret,
        code,
        redirect_uri: redirectUri,
        ...(verifier !== undefined && { code_verifier: verifier }),
      }),
    refresh: ({ clientId, clientSecret, refreshToken }: RefreshRequest, patient: boolean) =>
      send(
        {
          grant_type: "refresh_token",
          client_id: clientId,
          client_secret: clientSecret,
          refresh_token: refreshToken,
        },
        patient,
      ),
  };
}

/** `again`: a request that got no answer at all is sent once more (replaying a refresh is safe, a code is not). */
async function post(
  url: string,
  form: Record<string, string>,
  patience: number,
  again: boolean,
): Promise<EndpointAnswer> {
  const tooLong = new AbortController();
  try {
    const asked = got.post(url, {
      form,
      signal: tooLong.signal,
      headers: { accept: "application/json", "user-agent": "webex-token-service" },
      // The form holds secrets: it goes to the address that was configured, and nowhere a redirect points to.
      followRedirect: false,
      throwHttpErrors: false,
      timeout: { request: patience },
      retry: { limit: again ? 1 : 0, methods: ["POST"], statusCodes: [], backoffLimit: 500 },
    });
    asked.on("downloadProgress", ({ transferred }) => {
      if (transferred > LONGEST_BODY) tooLong.abort();
    });
    const { statusCode, headers, body } = await asked;
    return {
      status: statusCode,
      body,
      ...(headers["retry-after"] !== undefined && { retryAfter: headers["retry-after"] }),
    };
  } catch (error) {
    // The error's own text, options and cause may hold the form: nothing of it goes on.
    if (error instanceof TimeoutError) return { error: "timeout" };
    if (error instanceof RequestError && !(error instanceof HTTPError)) return { error: "network" };
    throw new Error("the token endpoint could not be asked");
  }
}
