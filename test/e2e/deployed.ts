import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import type { RawFields } from "../../functions/core/document.ts";
import type { DocumentStore, Snapshot } from "../../functions/core/store.ts";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import type { Client, Counters, TokenResponse } from "../../local/sandbox/authority.ts";
import type { FaultRequest } from "../../local/sandbox/faults.ts";
import { freshProject } from "../support/emulator.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import {
  type Running,
  type Sandbox,
  startFunction,
  startSandbox,
  temporaryFolder,
} from "../support/processes.ts";

/** The built functions in processes of their own, as deployed, with the sandbox in place of Webex. */

export const PASSPHRASE = "canary-passphrase-of-the-flow";
/** Seconds a contact-centre token lives (webex.md). */
export const LIFETIME = 43_199;

/** Every process started here, running or not; a test may search their output at the end. */
const started: Running[] = [];
export const allOutput = () => started.flatMap((running) => running.output());

/** The store of the functions, and how a test reaches the same one. */
export interface Place {
  env: Record<string, string>;
  documents: DocumentStore;
}

export async function sqlitePlace(): Promise<Place> {
  const file = path.join(await temporaryFolder(), "tokens.db");
  return { env: { STORE: file }, documents: openSqlite(file, Date.now) };
}

export async function firestorePlace(emulator: string): Promise<Place> {
  const project = freshProject();
  // Google's library looks for the metadata server although the emulator wants no credentials.
  const here = { FIRESTORE_EMULATOR_HOST: emulator, METADATA_SERVER_DETECTION: "none" };
  Object.assign(process.env, here);
  const env = { GOOGLE_CLOUD_PROJECT: project, ...here };
  return { env, documents: openFirestore({ project, database: "(default)" }) };
}

export type Webex = Awaited<ReturnType<typeof startWebex>>;

/** The sandbox authority and every secret in its database. */
export async function startWebex() {
  const file = path.join(await temporaryFolder(), "webex.db");
  const sandbox = await startSandbox({ file });
  started.push(sandbox);
  return {
    url: `${sandbox.url}/v1`,
    /** Sets the counters to zero. */
    reset: () => sandbox.control("POST", "/sandbox/reset-counters"),
    /** Requests for a refresh that reached the token endpoint. */
    refreshes: async () =>
      (await sandbox.control<{ counters: Counters }>("GET", "/sandbox")).counters.refresh_token.received,
    /** Adds a fault; give it a `clientId`, so that it meets no other token of the file. */
    fault: (fault: FaultRequest) => sandbox.control("PUT", "/sandbox/faults", fault),
    heal: () => sandbox.control("DELETE", "/sandbox/faults"),
    register: (client: Client) => registered(sandbox, client),
    issue: (clientId: string) => sandbox.control<TokenResponse>("POST", "/sandbox/grants", { clientId }),
    /** True if an API of Webex accepts this token. */
    async accepts(token: string): Promise<boolean> {
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(`${sandbox.url}/v1/people/me`, { headers })).status === 200;
    },
    secrets: () => secretsIn(file),
  };
}

async function registered(sandbox: Sandbox, client: Client): Promise<Client> {
  await sandbox.control("POST", "/sandbox/clients", client);
  return client;
}

function secretsIn(file: string): string[] {
  const database = new DatabaseSync(file, { readOnly: true });
  const columns = ["token FROM access_tokens", "token FROM refresh_tokens", "code FROM codes"];
  const found = columns.flatMap((column) =>
    database
      .prepare(`SELECT ${column}`)
      .all()
      .flatMap((row) => Object.values(row).map(String)),
  );
  const clients = database.prepare("SELECT settings FROM clients").all();
  database.close();
  return [...found, ...clients.map(({ settings }) => (JSON.parse(String(settings)) as Client).clientSecret)];
}

let clients = 0;
/** A new integration, so that a fault can be aimed at it alone. */
export const newClient = (redirectUri: string): Client => ({
  clientId: `C-${++clients}`,
  clientSecret: `canary-client-secret-${clients}`,
  redirectUris: [redirectUri],
  scopes: ["cjp:config_read", "cjp:config_write"],
  orgId: "11111111-2222-3333-4444-555555555555",
  accessLifetime: LIFETIME,
  refreshLifetime: 60 * 24 * 60 * 60,
});

export type Deployed = ReturnType<typeof deploy>;

/** Starts functions on one store. */
export function deploy({ env, documents }: Place, webex: Webex) {
  const start = async (name: "lookup" | "refresher" | "setup", more: Record<string, string> = {}) => {
    const running = await startFunction(name, { WEBEX_URL: webex.url, ...env, ...more });
    started.push(running);
    return running;
  };
  return {
    documents,
    refresher: () => start("refresher"),
    setup: () => start("setup", { TOKEN_PASSPHRASE: PASSPHRASE }),
    lookup: (refresherUrl: string, more: Record<string, string> = {}) =>
      start("lookup", { TOKEN_PASSPHRASE: PASSPHRASE, REFRESHER_URL: refresherUrl, ...more }),

    /** The stored document. */
    async document(name: string): Promise<Snapshot> {
      const found = await documents.read("tokens", name);
      if (found === undefined) throw new Error(`there is no token "${name}"`);
      return found;
    },
    /** Sets fields, as an operator does in the console. */
    async type(name: string, fields: RawFields): Promise<void> {
      const found = await documents.read("tokens", name);
      const written = await documents.update("tokens", name, fields, found?.version ?? "");
      if (written === undefined) throw new Error(`token "${name}" could not be edited`);
    },
    /** Creates a document. */
    async put(name: string, fields: RawFields): Promise<void> {
      if ((await documents.create("tokens", name, fields)) === undefined) throw new Error(`"${name}" exists`);
    },
  };
}

/** A document with the eight fields of Cisco's sample only and `left` seconds of life. */
export async function sampleDocument(webex: Pick<Webex, "issue">, client: Client, left: number) {
  const live = await webex.issue(client.clientId);
  const accessExpires = Date.now() + left * SECOND;
  return {
    clientId: client.clientId,
    clientSecret: client.clientSecret,
    redirectUri: client.redirectUris[0] ?? "",
    accessToken: live.access_token,
    accessExpires,
    refreshToken: live.refresh_token,
    refreshExpires: Date.now() + live.refresh_token_expires_in * SECOND,
    lastRefresh: accessExpires - LIFETIME * SECOND,
  };
}

/** A due token with one of its twelve hours left, which is below its threshold. */
export async function ageingDocument(webex: Pick<Webex, "issue">, client: Client) {
  const document = await sampleDocument(webex, client, HOUR / SECOND);
  return { ...document, lifetime: LIFETIME, refreshAt: Date.now() - 1 };
}

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it freely
  body: any;
}

/** One request with the passphrase, and `more` headers; redirects followed. */
export async function ask(
  base: Running | string,
  target: string,
  method = "GET",
  more: Record<string, string> = {},
): Promise<Answer> {
  const url = `${typeof base === "string" ? base : base.url}${target}`;
  const response = await fetch(url, { method, headers: { "x-token-passphrase": PASSPHRASE, ...more } });
  return { status: response.status, headers: response.headers, body: jsonOf(await response.text()) };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The answer is the held token, which still has life. */
export function expectHeld(answer: Answer, token: string): void {
  expect(answer).toMatchObject({ status: 200, body: { status: "200", token } });
  expect(Number(answer.headers.get("x-token-expires-in"))).toBeGreaterThan(0);
}

/** Opens the address and allows, as a person does; gives the address that the browser is sent back to. */
export async function consent(address: string | URL): Promise<URL> {
  const page = await (await fetch(address)).text();
  const request = /name="request" value="([^"]+)"/.exec(page)?.[1] ?? "";
  const answer = await fetch(new URL("/v1/authorize/decision", address), {
    method: "POST",
    body: new URLSearchParams({ request, decision: "allow" }),
    redirect: "manual",
  });
  return new URL(answer.headers.get("location") ?? "nowhere:");
}

/** Waits until it holds. `what` names it where a hang ends the test. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  await eventuallyTrue(holds).catch((error: unknown) => {
    throw new Error(`${what} did not happen`, { cause: error });
  });
}
