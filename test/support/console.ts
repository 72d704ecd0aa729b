import { writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { readSettings } from "../../functions/adapters/env.ts";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import { runtime } from "../../functions/adapters/runtime.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import type { RawFields } from "../../functions/core/document.ts";
import { type DocumentStore, tokenStore } from "../../functions/core/store.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import type { Workplace } from "../../local/console/api.ts";
import { startConsole } from "../../local/console/server.ts";
import type { Client } from "../../local/sandbox/client.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import { startService } from "../../local/service.ts";
import { freePort, temporaryFolder } from "./processes.ts";

export const PASSPHRASE = "canary-passphrase-of-flows";
export const ORG = "11111111-2222-3333-4444-555555555555";

interface ShopOptions {
  documents?: DocumentStore;
  metered?: boolean;
  /** Lookup, setup and sweeps, too. */
  service?: boolean;
  /** Parts of the console that a test wants to be different. */
  open?: () => Promise<never>;
  requireSealing?: () => void;
  where?: string;
  passphraseFile?: string;
  /** Where lookup is said to be. */
  url?: string;
  /** Webex itself is said to be behind it. */
  live?: boolean;
  /** ms since epoch, for all parts. */
  now?: () => number;
}

export type Shop = Awaited<ReturnType<typeof openShop>>;

/** A console in this process on a store of its own, with the sandbox in place of Webex. */
export async function openShop(options: ShopOptions = {}) {
  const folder = await temporaryFolder();
  const file = path.join(folder, "tokens.db");
  const now = options.now ?? runtime.now;
  const documents = options.documents ?? openSqlite(file, options.now ?? Date.now);
  const store = tokenStore(documents, now);
  const sandbox = createSandbox({ file: ":memory:", clock: options.now ?? Date.now });
  const sandboxUrl = `http://127.0.0.1:${await sandbox.listen()}`;
  const port = await freePort();
  const url = options.url ?? `http://127.0.0.1:${port}`;
  const webexUrl = `${sandboxUrl}/v1`;
  const passphrase = path.join(folder, "passphrase");
  writeFileSync(passphrase, `${PASSPHRASE}\n`);
  const settings = readSettings({ PORT: String(port), STORE: file, WEBEX_URL: webexUrl }, []);
  const log = () => {};
  const passphrases = await openPassphrases({ file: passphrase }, log, runtime.now);
  const service =
    options.service === true
      ? await startService({
          settings,
          store,
          passphrases,
          webexUrl,
          wxccUrl: sandboxUrl,
          host: "127.0.0.1",
          log,
        })
      : undefined;
  const bugs: string[] = [];
  const deployment = (): Workplace => ({
    where: options.where ?? "a store of the test",
    service: {
      pid: process.pid,
      url,
      webexUrl,
      ...(options.live !== true && { sandboxUrl }),
      store: file,
      passphrase: options.passphraseFile ?? passphrase,
    },
    redirectUri: `${url}/callback`,
    threshold: settings.threshold,
    webexUrl: () => webexUrl,
    requireSealing: options.requireSealing ?? (() => {}),
  });
  const page = await startConsole({
    documents,
    deployment,
    runtime: { ...runtime, now },
    open: options.open ?? (async () => store),
    port: 0,
    anyPort: true,
    metered: options.metered === true,
    bug: (where) => void bugs.push(where),
  });
  const { origin, host, searchParams } = new URL(page.url);
  let clients = 0;
  return {
    now,
    documents,
    store,
    sandbox,
    /** Base address of lookup, whether it runs or not. */
    url,
    page,
    origin,
    host,
    key: searchParams.get("key") ?? "",
    bugs,
    client(more: Partial<Client> = {}): Client {
      const client = {
        clientId: `C-${++clients}`,
        clientSecret: `canary-client-secret-${clients}`,
        redirectUris: [`${url}/callback`],
        scopes: ["cjp:config_read", "cjp:config_write"],
        orgId: ORG,
        accessLifetime: 43_199,
        refreshLifetime: 60 * 86_400,
        ...more,
      };
      sandbox.authority.registerClient(client);
      return client;
    },
    async put(name: string, fields: RawFields): Promise<void> {
      if ((await documents.create("tokens", name, fields)) === undefined) throw new Error(`"${name}" exists`);
    },
    async close(): Promise<void> {
      await page.close();
      await service?.close();
      await sandbox.close();
      await documents.close();
    },
  };
}

/** The fields of a token that works, granted `age` ms ago. */
export function workingToken(shop: Pick<Shop, "sandbox" | "now">, client: Client, age = HOUR): RawFields {
  const live = shop.sandbox.authority.issue(client.clientId);
  const back = shop.now() - age;
  return {
    clientId: client.clientId,
    clientSecret: client.clientSecret,
    redirectUri: client.redirectUris[0] ?? "",
    scopes: client.scopes.join(" "),
    scope: client.scopes.join(" "),
    accessToken: live.access_token,
    refreshToken: live.refresh_token,
    accessExpires: back + client.accessLifetime * SECOND,
    refreshExpires: back + 60 * DAY,
    lastRefresh: back,
    lifetime: client.accessLifetime,
    orgId: client.orgId,
    refreshAt: back + client.accessLifetime * SECOND - 150 * MINUTE,
  };
}

export interface HttpAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it freely
  body: any;
}

interface HttpOptions {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** A request with the very headers that are given: `Host` and `Sec-Fetch-Site` too, as no page could send them. */
export function send(origin: string, target: string, options: HttpOptions = {}): Promise<HttpAnswer> {
  const { method = "GET", headers = {}, body } = options;
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const request = http.request(
      { hostname, port, path: target, method, headers, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.once("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, body: jsonOf(text) }),
        );
      },
    );
    request.once("error", reject).end(body);
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a page that was opened with the key asks, and how. */
export async function enter(shop: Pick<Shop, "origin" | "host" | "key">) {
  const opened = await send(shop.origin, `/?key=${shop.key}`, { headers: { host: shop.host } });
  const cookie = String(opened.headers["set-cookie"]?.[0]).split(";")[0] ?? "";
  const own = { host: shop.host, cookie, "sec-fetch-site": "same-origin" };
  return {
    cookie,
    look: (path: string) => send(shop.origin, `/api/${path}`, { headers: own }),
    order: (path: string, body: object = {}, headers: Record<string, string> = {}) =>
      send(shop.origin, `/api/${path}`, {
        method: "POST",
        headers: { ...own, origin: shop.origin, "content-type": "application/json", ...headers },
        body: JSON.stringify(body),
      }),
  };
}
