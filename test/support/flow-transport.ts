import { request } from "node:http";
import type { Answered, Asked } from "./flow-interpreter.ts";

/** Sends what a flow asks, for real; `undefined` where no answer came in time, or at all. Redirects are not followed. */
export function send({ url, headers, timeout }: Asked): Promise<Answered | undefined> {
  return new Promise((resolve) => {
    const sending = request(url, { headers, agent: false, signal: AbortSignal.timeout(timeout) });
    sending.once("error", () => resolve(undefined));
    sending.once("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        body += chunk;
      });
      response.once("error", () => resolve(undefined));
      response.once("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: spelled(response.rawHeaders), body }),
      );
    });
    sending.end();
  });
}

/** Names and values in turn. */
function spelled(raw: readonly string[]): Record<string, string> {
  const pairs = raw.flatMap((name, index) => (index % 2 === 0 ? [[name, raw[index + 1] ?? ""]] : []));
  return Object.fromEntries(pairs);
}
