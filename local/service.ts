import { createServer, type Server } from "node:http";
import type { Settings } from "../functions/adapters/env.ts";
import { globalVariables } from "../functions/adapters/global-variables.ts";
import { runtime } from "../functions/adapters/runtime.ts";
import { serveLookup } from "../functions/adapters/serve-lookup.ts";
import { serveSetup } from "../functions/adapters/serve-setup.ts";
import { makeSweeper } from "../functions/adapters/sweeper.ts";
import { webexEndpoint } from "../functions/adapters/webex.ts";
import type { AskRefresher } from "../functions/core/asker.ts";
import { census } from "../functions/core/census.ts";
import type { Log } from "../functions/core/log.ts";
import type { Passphrases } from "../functions/core/passphrase.ts";
import { refresh } from "../functions/core/refresh.ts";
import type { TokenStore } from "../functions/core/store.ts";
import { type Sweeper, sweep } from "../functions/core/sweep.ts";
import { repeat } from "./scheduler.ts";

export interface ServiceOptions {
  settings: Settings;
  store: TokenStore;
  passphrases: Passphrases;
  /** The token endpoint's base address. */
  webexUrl: string;
  /** In place of the contact centre's own address in every region; `undefined`: that one. */
  wxccUrl: string | undefined;
  /** `undefined`: every address of this machine. */
  host: string | undefined;
  log: Log;
}

export interface Service {
  /** Ends the schedule, lets what is under way finish, and stops listening. */
  close(): Promise<void>;
}

/** How long the end waits for what is under way, in ms. */
const GRACE = 1500;
const SWEEP_EVERY = 5000;
const CENSUS_EVERY = 24 * 60 * 60 * 1000;

/**
 * All three functions in one process: lookup and setup on one port, the refresher on none, and a scheduler in place of
 * Google's. Rejects where the port can't be listened on.
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { settings, store, webexUrl, wxccUrl, log } = options;
  const [endpoint, variables] = [webexEndpoint(webexUrl), globalVariables(wxccUrl)];
  const sweeper = makeSweeper({ store, endpoint, variables, log }, settings);
  const server = await listen(createServer(handlerFor(sweeper, options)), settings.port, options.host);
  const schedules = [
    repeat(() => sweep(sweeper), SWEEP_EVERY, log),
    repeat(() => census(sweeper), CENSUS_EVERY, log),
  ];
  return {
    async close() {
      sweeper.pauses.drain();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      const finished = Promise.all([closed, ...schedules.map((schedule) => schedule.end())]);
      // Webex may hang, and browsers open connections that they never use: leases and retries are made for that.
      await Promise.race([finished, runtime.sleep(GRACE)]);
      server.closeAllConnections();
    },
  };
}

/** One port serves both: what browsers come back to goes to setup, all else is a lookup. */
function handlerFor(sweeper: Sweeper, { settings, passphrases }: ServiceOptions) {
  const { store, endpoint, log, limit } = sweeper;
  const askRefresher: AskRefresher = (name, ask) => limit(() => refresh(name, ask, sweeper));
  const lookup = serveLookup({ reader: store, askRefresher, passphrases, log }, settings);
  const setup = serveSetup({ store, endpoint, passphrases, log }, settings);
  return (...[request, response]: Parameters<typeof lookup>) => {
    const path = request.url?.split("?")[0];
    return path === "/init" || path === "/callback" ? setup(request, response) : lookup(request, response);
  };
}

/** Rejects with one sentence where somebody else has the port. */
async function listen(server: Server, port: number, host: string | undefined): Promise<Server> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(new Error(portProblem(error, port))));
    server.listen({ port, ...(host !== undefined && { host }) }, resolve);
  });
  return server;
}

/** Another port to try. */
export const freer = (port: number) => (port < 65_000 ? port + 10 : 8080);

function portProblem({ code }: NodeJS.ErrnoException, port: number): string {
  if (code === "EADDRINUSE")
    return `port ${port} is in use: end what listens there, or choose another with PORT=${freer(port)}`;
  if (code === "EACCES") return `port ${port} may not be used by this user: choose another with PORT=8080`;
  return `can't listen on port ${port}: ${code}`;
}
