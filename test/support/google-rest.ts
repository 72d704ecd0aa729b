import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A stand-in for those of Google's services that are asked over REST: Cloud Functions, Firebase Rules, Cloud Run. It knows
 * what it was given, turns away whoever brings no access token, and has a clock of its own.
 */
export interface GoogleServices {
  url: string;
  /** What is at this path, whatever its query unless one is given; `undefined`: nothing any more. */
  put(path: string, body: object | undefined): void;
  /** What is at this path is answered like that. */
  refuse(path: string, status: number, error: object): void;
  /** ms by which its clock is ahead. */
  skew(ms: number): void;
  /** Paths that were asked for, with their queries. */
  asked(): string[];
  clear(): void;
  close(): Promise<void>;
}

export const ACCESS_TOKEN = "canary-google-access-token";

export async function startGoogleServices(): Promise<GoogleServices> {
  const known = new Map<string, { status: number; body: object }>();
  let asked: string[] = [];
  let ahead = 0;
  const server = createServer((request, response) => {
    const [path = ""] = (request.url ?? "").split("?");
    asked.push(request.url ?? "");
    const allowed = request.headers.authorization === `Bearer ${ACCESS_TOKEN}`;
    const nothing = {
      status: 404,
      body: { error: { code: 404, message: "canary not found", status: "NOT_FOUND" } },
    };
    const stranger = {
      status: 401,
      body: { error: { code: 401, message: "canary", status: "UNAUTHENTICATED" } },
    };
    const { status, body } = allowed
      ? (known.get(request.url ?? "") ?? known.get(path) ?? nothing)
      : stranger;
    const date = new Date(Date.now() + ahead).toUTCString();
    response.writeHead(status, { "content-type": "application/json", date }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    put(path, body) {
      if (body === undefined) known.delete(path);
      else known.set(path, { status: 200, body });
    },
    refuse: (path, status, error) => void known.set(path, { status, body: { error } }),
    skew(ms) {
      ahead = ms;
    },
    asked: () => asked,
    clear() {
      known.clear();
      [asked, ahead] = [[], 0];
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
