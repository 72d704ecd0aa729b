import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { whereOf } from "../../functions/adapters/http.ts";
import { CommandError } from "../commands/errors.ts";
import { answerApi, type Parts } from "./api.ts";
import { type Asset, pageAssets } from "./assets.ts";
import { type Guard, type Misplaced, makeGuard } from "./guard.ts";
import { json, type Reply, refusal, write } from "./reply.ts";
import { makeWatch } from "./watch.ts";

export interface ConsoleOptions extends Omit<Parts, "watch"> {
  /** 0: any free one. */
  port: number;
  /** Another port will do where that is taken. */
  anyPort: boolean;
  /** Each document that is read is paid for. */
  metered: boolean;
  /** Is told where a bug is; never what was being worked on. */
  bug(where: string): void;
}

export interface Console {
  /** Where a person opens the page, with the key that is good once. */
  url: string;
  close(): Promise<void>;
}

/** Serves the operator's page on 127.0.0.1. Rejects where the port can't be listened on. */
export async function startConsole(options: ConsoleOptions): Promise<Console> {
  const { runtime, documents, metered, deployment } = options;
  const watch = makeWatch({ documents, runtime, metered, threshold: deployment().threshold });
  const parts: Parts = { ...options, watch };
  const server = createServer();
  const port = await listen(server, options.port, options.anyPort);
  const host = `127.0.0.1:${port}`;
  const [key, session] = [runtime.secret(), runtime.secret()];
  const site = { parts, guard: makeGuard({ host, key, session }), assets: whenAsked(pageAssets) };
  server.on("request", (request, response) => {
    answer(request, site)
      .catch((error: unknown): Reply => {
        options.bug(whereOf(error));
        return json(500, { message: "something went wrong in the console: its terminal says where" });
      })
      .then((reply) => write(response, reply, request.method));
  });
  return {
    url: `http://${host}/?key=${key}`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Site {
  parts: Parts;
  guard: Guard;
  assets(): Promise<ReadonlyMap<string, Asset>>;
}

/** Made once, at the first call: most starts of the service open no page. */
function whenAsked<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

async function answer(request: IncomingMessage, { parts, guard, assets }: Site): Promise<Reply> {
  const url = URL.parse(request.url ?? "/", "http://console");
  const api = url?.pathname.startsWith("/api/") === true;
  const misplaced = guard.misplaced(request, api);
  if (misplaced !== undefined)
    return api ? json(403, { message: ELSEWHERE[misplaced] }) : turnedAway(misplaced);
  if (url === null) return refusal(404, "There is nothing here.");
  const key = url.searchParams.get("key");
  if (url.pathname === "/" && key !== null) return entry(request, key, guard);
  if (!guard.knows(request))
    return api ? json(401, { message: UNKNOWN.join(" ") }) : refusal(401, ...UNKNOWN);
  if (api) return answerApi(request, url, parts);
  if (request.method !== "GET" && request.method !== "HEAD")
    return { ...refusal(405, "This is read only."), headers: { allow: "GET, HEAD" } };
  const asset = (await assets()).get(url.pathname);
  return asset === undefined ? refusal(404, "There is nothing here.") : { status: 200, ...asset };
}

/** The key becomes a cookie, and leaves the address line. */
function entry(request: IncomingMessage, key: string, guard: Guard): Reply {
  const home = { ...refusal(303, "The page is open."), headers: { location: "/" } };
  if (guard.knows(request)) return home;
  // A browser that looks ahead must not use the key up.
  const looksAhead = /prefetch|prerender/.test(
    String(request.headers["sec-purpose"] ?? request.headers.purpose),
  );
  if (request.method !== "GET" || looksAhead) return refusal(425, "Not yet.");
  const cookie = guard.redeem(key);
  if (cookie === undefined) return refusal(403, ...USED);
  return { ...home, headers: { ...home.headers, "set-cookie": cookie } };
}

const AGAIN =
  'Run "npm run console" in the folder of the service: it prints a new address, which opens the page once.';

const USED = ["This address has been used, or was not made here.", AGAIN];

const UNKNOWN = ["This page opens with the address that the terminal printed.", AGAIN];

const ELSEWHERE: Record<Misplaced, string> = {
  host: "The console answers to 127.0.0.1 alone: open the very address that the terminal printed.",
  site: "This request came from another page: open the address that the terminal printed by pasting it into the address line.",
  origin: "This request came from another page.",
};

const turnedAway = (why: Misplaced) => refusal(403, ELSEWHERE[why]);

/** The port in use. Rejects with one sentence. */
async function listen(server: Server, port: number, anyPort: boolean): Promise<number> {
  const on = (wanted: number) =>
    new Promise<number>((resolve, reject) => {
      server.once("error", reject);
      server.listen(wanted, "127.0.0.1", () => {
        server.off("error", reject);
        resolve((server.address() as AddressInfo).port);
      });
    });
  return on(port).catch((error: NodeJS.ErrnoException) => {
    if (anyPort) return on(0);
    throw new CommandError(
      `the console can't listen on port ${port} (${error.code}): choose another with --port`,
    );
  });
}
