import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A proxy before an HTTP server that counts requests and can answer in its place. */
export interface Gate {
  readonly url: string;
  /** How many requests came. */
  counts(): { asked: number };
  underWay(): number;
  /** Sets the count to zero. */
  reset(): void;
  /** Answers with this in the server's place from now on; `undefined`: asks the server again. */
  answer(instead: { status: number; body: string } | undefined): void;
  /** Changes the address of the server. */
  move(target: string): void;
  close(): void;
}

/** `target`: the base URL of the server. */
export async function openGate(target: string): Promise<Gate> {
  let asked = 0;
  let underWay = 0;
  let instead: { status: number; body: string } | undefined;
  const server = createServer((incoming, outgoing) => {
    underWay++;
    asked++;
    outgoing.once("close", () => underWay--);
    if (instead === undefined) pass(incoming, outgoing, target);
    else outgoing.writeHead(instead.status, { "content-type": "text/html" }).end(instead.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts: () => ({ asked }),
    underWay: () => underWay,
    reset() {
      asked = 0;
    },
    answer(wanted) {
      instead = wanted;
    },
    move(elsewhere) {
      target = elsewhere;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Sends the request on and the answer back; a connection that breaks there breaks here. */
function pass(incoming: IncomingMessage, outgoing: ServerResponse, target: string): void {
  const { method, headers, url = "/" } = incoming;
  const sent = request(new URL(url, target), { method, headers, agent: false }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.once("error", () => outgoing.destroy()).pipe(outgoing);
  });
  sent.once("error", () => outgoing.destroy());
  incoming.pipe(sent);
}
