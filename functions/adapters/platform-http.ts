import { type Agent as HttpAgent, request as requestHttp } from "node:http";
import { type Agent as HttpsAgent, request as requestHttps } from "node:https";

/** An answer to a request that this service makes of its own platform. */
export interface PlatformAnswer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string;
}

export interface PlatformRequest {
  method: "GET" | "POST";
  headers?: Readonly<Record<string, string>>;
  body?: string;
  /** Keeps the connection for the next request; `false`: a new connection for this one alone. */
  agent?: HttpAgent | HttpsAgent | false;
  /** ms for the whole exchange. */
  patience: number;
}

/**
 * One request with node's own http or https: what the lookup function needs of the platform is small, and a client
 * library would cost more start-up time than all the rest. Rejects where there is no whole answer in time.
 */
export function ask(
  url: URL,
  { method, headers = {}, body, agent, patience }: PlatformRequest,
): Promise<PlatformAnswer> {
  const send = url.protocol === "https:" ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      { method, headers, agent, signal: AbortSignal.timeout(patience) },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}
