import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { applicationToken, isApplicationPath } from "./application-endpoint.ts";
import { Authority } from "./authority.ts";
import { authorize, decision } from "./consent.ts";
import { control } from "./control.ts";
import type { Answer, Parts, SandboxEvent } from "./endpoint.ts";
import { createFaults } from "./faults.ts";
import { peopleMe } from "./people.ts";
import { webexError } from "./reply.ts";
import { accessToken } from "./token-endpoint.ts";
import { cadVariable, isVariablePath } from "./variable-endpoint.ts";

export type { SandboxEvent };

/** `clock` gives ms since epoch, by default the system's. `file` may be ":memory:". */
export interface SandboxOptions {
  file: string;
  clock?: () => number;
  onEvent?: (event: SandboxEvent) => void;
}

export type Sandbox = ReturnType<typeof createSandbox>;

/** A stand-in for Webex's OAuth endpoints and the contact centre's global variables; throws an Error that names `file` if that cannot be read and written. */
export function createSandbox({ file, clock = Date.now, onEvent = () => {} }: SandboxOptions) {
  const authority = new Authority(file, clock);
  const faults = createFaults(clock);
  const parts: Parts = { authority, faults, tell: onEvent };
  const server = createServer((request, response) => {
    handle(parts, request)
      .catch((): Answer => {
        onEvent({ kind: "error" });
        return webexError(500, "The sandbox failed; this is a bug in it, or its database cannot be used.");
      })
      .then((answer) => write(answer, request, response));
  });
  return {
    authority,
    faults,
    /** Resolves to the port in use; `port` 0 takes a free one. */
    listen(port = 0, host = "127.0.0.1"): Promise<number> {
      return new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          resolve((server.address() as AddressInfo).port);
        });
      });
    },
    /** Ends every connection, hanging ones too, and closes the file. */
    async close(): Promise<void> {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      authority.close();
    },
  };
}

async function handle(parts: Parts, request: IncomingMessage): Promise<Answer> {
  const [path = "", ...rest] = (request.url ?? "").split("?");
  const incoming = { request, path, query: rest.join("?") };
  if (path === "/v1/access_token") return accessToken(parts, incoming);
  if (isApplicationPath(path)) return applicationToken(parts, incoming);
  if (isVariablePath(path)) return cadVariable(parts, incoming);
  if (path === "/v1/people/me") return peopleMe(parts, incoming);
  if (path === "/v1/authorize") return authorize(parts, incoming);
  if (path === "/v1/authorize/decision") return decision(parts, incoming);
  if (path === "/sandbox" || path.startsWith("/sandbox/")) return control(parts, incoming);
  return webexError(404, "The requested resource could not be found.");
}

/** The one place that writes an answer. */
function write(answer: Answer, request: IncomingMessage, response: ServerResponse): void {
  if (answer === "hang") return;
  if (answer === "destroy") {
    request.socket.destroy();
    return;
  }
  const send = () => {
    const unread = request.complete ? {} : { connection: "close" };
    response.writeHead(answer.status, { "cache-control": "no-store", ...answer.headers, ...unread });
    response.end(request.method === "HEAD" ? undefined : answer.body);
  };
  if (answer.delayMs) {
    const timer = setTimeout(send, answer.delayMs);
    response.once("close", () => clearTimeout(timer));
  } else {
    send();
  }
}
