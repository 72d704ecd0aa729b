import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What stands before an HTTP server, counts who comes, and turns them away where it is told to. */
export interface Gate {
  readonly url: string;
  /** How many requests came, and how many were under way at the same time at most. */
  counts(): { asked: number; most: number };
  underWay(): number;
  /** Counts from zero on. */
  reset(): void;
  /** Answers with this in the server's stead from now on; `undefined`: asks the server again. */
  answer(instead: { status: number; body: string } | undefined): void;
  /** The server is found at another address from now on. */
  move(target: string): void;
  close(): void;
}

/** `target`: the base URL of the server. */
export async function openGate(target: string): Promise<Gate> {
  let counts = { asked: 0, most: 0 };
  let underWay = 0;
  let instead: { status: number; body: string } | undefined;
  const server = createServer((incoming, outgoing) => {
    underWay++;
    outgoing.once("close", () => underWay--);
    counts = { asked: counts.asked + 1, most: Math.max(counts.most, underWay) };
    if (instead === undefined) pass(incoming, outgoing, target);
    else outgoing.writeHead(instead.status, { "content-type": "text/html" }).end(instead.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts: () => counts,
    underWay: () => underWay,
    reset() {
      counts = { asked: 0, most: underWay };
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
