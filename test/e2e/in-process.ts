import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Needed, readSettings } from "../../functions/adapters/env.ts";
import { globalVariables } from "../../functions/adapters/global-variables.ts";
import { type Handler, serve } from "../../functions/adapters/http.ts";
import { jsonLog } from "../../functions/adapters/log.ts";
import { metadataServer } from "../../functions/adapters/metadata.ts";
import { openReader } from "../../functions/adapters/open-reader.ts";
import { openTokens } from "../../functions/adapters/open-tokens.ts";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import { runtime } from "../../functions/adapters/runtime.ts";
import { serveLookup } from "../../functions/adapters/serve-lookup.ts";
import { serveSetup } from "../../functions/adapters/serve-setup.ts";
import { makeSweeper } from "../../functions/adapters/sweeper.ts";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import { makeRefresher } from "../../functions/core/refresher.ts";
import { tokenReader } from "../../functions/core/store.ts";
import type { Client } from "../../local/sandbox/authority.ts";
import type { FaultRequest } from "../../local/sandbox/faults.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { printed } from "../support/prints.ts";
import { PASSPHRASE, type Place } from "./deployed.ts";

/** The three functions and the sandbox in this process, over real HTTP, wired as the entry points in `functions/` do. */

const ends: (() => Promise<unknown>)[] = [];

/** Closes all servers and stores of this file: give it to `afterAll`. */
export async function closeAll(): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end();
}

export type LocalWebex = Awaited<ReturnType<typeof openWebex>>;

/** The sandbox authority, with the methods of `startWebex`. */
export async function openWebex() {
  const sandbox = createSandbox({ file: ":memory:" });
  ends.push(() => sandbox.close());
  const origin = `http://127.0.0.1:${await sandbox.listen()}`;
  return {
    url: `${origin}/v1`,
    fault: async (fault: FaultRequest) => sandbox.faults.add(fault),
    register: async (client: Client) => {
      sandbox.authority.registerClient(client);
      return client;
    },
    issue: async (clientId: string) => sandbox.authority.issue(clientId),
    /** Ends an access token before its time. */
    revoke: async (clientId: string) =>
      sandbox.authority.revoke({ clientId, accessTokens: true, refreshTokens: false }),
    accepts: async (token: string) => sandbox.authority.holder(token)?.live === true,
  };
}

/** Gives the base address of each function that it starts. */
export function serveOn({ env, documents }: Place, webex: LocalWebex) {
  ends.push(() => documents.close());
  const log = jsonLog(printed);
  const bootOf = <N extends Needed>(needed: readonly N[], more: Record<string, string>) => {
    const settings = readSettings({ WEBEX_URL: webex.url, ...env, ...more }, needed);
    return { settings, metadata: metadataServer(settings.metadataHost, runtime.now), log };
  };
  const closing = <T extends { close(): Promise<void> }>(store: T): T => {
    ends.push(() => store.close());
    return store;
  };
  return {
    async lookup(refresherUrl: string, more: Record<string, string> = {}): Promise<string> {
      const own = { TOKEN_PASSPHRASE: PASSPHRASE, REFRESHER_URL: refresherUrl, ...more };
      const booted = bootOf(["store", "passphrase", "refresherUrl"], own);
      const { settings, metadata } = booted;
      const documents = await openReader({ ...booted, ending: new AbortController().signal });
      const reader = tokenReader(documents, runtime.now);
      const passphrases = await openPassphrases(settings.passphrase, log, runtime.now);
      const askRefresher = refresherAt(settings.refresherUrl, metadata);
      return listen(createServer(serveLookup({ reader, passphrases, askRefresher, log }, settings)));
    },
    async refresher(): Promise<string> {
      const booted = bootOf(["store", "sealing"], { SEALING: "off" });
      const { settings } = booted;
      const store = await openTokens(booted);
      closing(store.documents);
      const endpoint = webexEndpoint(settings.webexUrl);
      const variables = globalVariables(settings.wxccUrl);
      const sweeper = makeSweeper({ store, endpoint, variables, log }, settings);
      return listen(createServer(serve({ handle: makeRefresher(sweeper), log })));
    },
    async setup(): Promise<string> {
      const booted = bootOf(["store", "sealing", "passphrase"], {
        SEALING: "off",
        TOKEN_PASSPHRASE: PASSPHRASE,
      });
      const { settings } = booted;
      const store = await openTokens(booted);
      closing(store.documents);
      const passphrases = await openPassphrases(settings.passphrase, log, runtime.now);
      const endpoint = webexEndpoint(settings.webexUrl);
      return listen(createServer(serveSetup({ store, endpoint, passphrases, log }, settings)));
    },
  };
}

/** Listens until `closeAll`, and gives the base address. */
export async function listen(server: Server | Handler): Promise<string> {
  const listening = typeof server === "function" ? createServer(server) : server;
  ends.push(async () => {
    const closed = once(listening, "close");
    listening.close();
    listening.closeAllConnections();
    await closed;
  });
  await once(listening.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
}
