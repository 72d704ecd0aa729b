import { subscribe } from "node:diagnostics_channel";
import type { IncomingMessage, Server } from "node:http";
import type { Log } from "../core/log.ts";
import { StoreUnavailable } from "../core/store.ts";
import { type Needed, readSettings, SettingsError, type SettingsWith } from "./env.ts";
import { type Handler, whereOf } from "./http.ts";
import { jsonLog } from "./log.ts";
import { type Metadata, metadataServer } from "./metadata.ts";
import { runtime } from "./runtime.ts";

/** What every function starts from. */
export interface Boot<N extends Needed = never> {
  settings: SettingsWith<N>;
  metadata: Metadata;
  log: Log;
  /** Aborted when the platform ends this process: what is under way is finished, nothing new is begun. */
  ending: AbortSignal;
}

/**
 * Makes the function that is exported: the environment is read at once, what `make` builds is waited for by the first
 * request. Where it can't start it says so in one line and ends the process; the platform then keeps the old revision.
 */
export function boot<N extends Needed>(needed: readonly N[], make: Make<N>): Handler {
  const ending = new AbortController();
  subscribe("http.server.request.start", (message) => {
    const { request, server } = message as { request: IncomingMessage; server: Server };
    disarm(request);
    endGently(server, ending);
  });
  const log = jsonLog();
  // First in line: the framework's own listeners tell an error's message, which may quote a secret. What nobody caught ends
  // the process, as node advises; the platform starts another.
  const crash = (error: unknown) => {
    log("bug", { code: "bug", where: whereOf(error) });
    stop();
  };
  process.on("uncaughtException", crash).on("unhandledRejection", crash);
  const handler = start(needed, make, log, ending.signal).catch((error: unknown): never => {
    const expected = error instanceof SettingsError || error instanceof StoreUnavailable;
    log("service.stopped", { reason: expected ? error.message : `unexpected: ${whereOf(error)}` });
    return stop();
  });
  let ready: Handler | undefined;
  handler.then((made) => {
    ready = made;
  });
  return (request, response) => {
    // The framework runs each request in a domain, whose listener is one of those.
    (process as { domain?: { exit(): void } }).domain?.exit();
    return ready === undefined ? handler.then((made) => made(request, response)) : ready(request, response);
  };
}

function stop(): never {
  // The framework has a listener that adds a stack trace to what was just said.
  process.removeAllListeners("exit");
  process.exit(1);
}

/**
 * No function here reads a body, but the framework parses each, inflated and up to 1 GB, before anybody is asked for a
 * passphrase, and tells what it could not parse. So it is not shown any; node discards what is sent. An address that the
 * framework can't route would be refused in its own words, and noted by node in full; here it is as good as any other.
 */
function disarm(request: IncomingMessage): void {
  delete request.headers["content-length"];
  delete request.headers["transfer-encoding"];
  const { url = "" } = request;
  const [path = ""] = url.split("?", 1);
  // RFC 9112 §3.2.2: an address in absolute form means the same without its origin.
  const own = path.replace(/^https?:\/\/[^/]*/i, "");
  request.url = `${isRoutable(own) ? own : "/"}${url.slice(path.length)}`;
}

function isRoutable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return path.startsWith("/");
  } catch {
    return false;
  }
}

const served = new WeakSet<Server>();

/**
 * The framework ends the process in the middle of its requests when it is told to end. A server that has had one takes
 * over: requests in flight are finished, then the process ends; the platform kills what takes longer than 10 s.
 */
function endGently(server: Server, ending: AbortController): void {
  if (served.has(server)) return;
  served.add(server);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.removeAllListeners(signal);
    process.once(signal, () => {
      ending.abort();
      server.close(() => process.exit());
      // Connections kept alive would hold it open when nobody asks any more.
      setInterval(() => server.closeIdleConnections(), 50);
    });
  }
}

type Make<N extends Needed> = (boot: Boot<N>) => Promise<Handler>;

async function start<N extends Needed>(needed: readonly N[], make: Make<N>, log: Log, ending: AbortSignal) {
  const settings = readSettings(process.env, needed);
  const metadata = metadataServer(settings.metadataHost, runtime.now);
  return make({ settings, metadata, log, ending });
}
