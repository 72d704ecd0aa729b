import got, { HTTPError, RequestError, TimeoutError } from "got";
import type { EndpointAnswer } from "../core/grant.ts";

/** How long Webex may take for one request, in ms. */
export const PATIENCE = 8000;
/** What is asked for has some 2 kB. Whoever sends far more, compressed or not, is not Webex and must not fill the memory; bytes. */
const LONGEST_BODY = 256 * 1024;

export interface Sending {
  method: "GET" | "POST" | "PUT";
  url: string;
  form?: Record<string, string>;
  json?: Readonly<Record<string, unknown>>;
  /** Goes along as bearer (RFC 6750 §2.1). */
  accessToken?: string;
  /** ms for one request. */
  patience: number;
  /** A request that got no answer at all is sent once more. */
  again?: boolean;
}

/** One request to Webex. Nothing is thrown: an answer, or why there is none. */
export async function send(sending: Sending): Promise<EndpointAnswer> {
  const { method, url, form, json, accessToken, patience, again = false } = sending;
  const tooLong = new AbortController();
  try {
    const asked = got(url, {
      method,
      ...(form && { form }),
      ...(json && { json }),
      signal: tooLong.signal,
      headers: {
        accept: "application/json",
        "user-agent": "webex-token-service",
        ...(accessToken !== undefined && { authorization: `Bearer ${accessToken}` }),
      },
      // What is sent holds secrets: it goes to the address that was configured, and nowhere a redirect points to.
      followRedirect: false,
      throwHttpErrors: false,
      timeout: { request: patience },
      retry: { limit: again ? 1 : 0, methods: [method], statusCodes: [], backoffLimit: 500 },
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
    // The error's own text, options and cause may hold what was sent: nothing of it goes on.
    if (error instanceof TimeoutError) return { error: "timeout" };
    if (error instanceof RequestError && !(error instanceof HTTPError)) return { error: "network" };
    throw new Error("Webex could not be asked");
  }
}
