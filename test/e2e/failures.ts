import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import type { Lease, RawFields } from "../../functions/core/document.ts";
import { SECOND } from "../../functions/core/time.ts";
import type { Client } from "../../local/sandbox/authority.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import type { Running } from "../support/processes.ts";
import { relayTo } from "../support/relay.ts";
import {
  type Answer,
  ask,
  deploy,
  newClient,
  type Place,
  sqlitePlace,
  until,
  type Webex,
} from "./deployed.ts";
import { PATIENT } from "./patient.ts";

/** What the tests of the rows of the list of failures share. */

export type Authority = Awaited<ReturnType<typeof openAuthority>>;

/** The sandbox in place of Webex, in this process; `now` is its clock. */
export async function openAuthority(now: () => number = Date.now) {
  let back = 0;
  const sandbox = createSandbox({ file: ":memory:", clock: () => now() - back });
  return {
    /** What `WEBEX_URL` is set to. */
    url: `http://127.0.0.1:${await sandbox.listen()}/v1`,
    faults: sandbox.faults,
    /** Registers a new integration. */
    client(settings: Partial<Client> = {}): Client {
      const client = { ...newClient("http://127.0.0.1:8080/callback"), ...settings };
      sandbox.authority.registerClient(client);
      return client;
    },
    issue: (clientId: string) => sandbox.authority.issue(clientId),
    /** Requests for a refresh that reached it. */
    refreshes: () => sandbox.authority.counters().refresh_token.received,
    /** True if an API of Webex accepts this token. */
    accepts: (token: unknown) => sandbox.authority.holder(String(token))?.live === true,
    /** A due token with `left` ms of life, in the document and at Webex. */
    due(client: Client, left: number, more: RawFields = {}) {
      const { clientId, clientSecret, redirectUris, accessLifetime, refreshLifetime } = client;
      back = accessLifetime * SECOND - left;
      const { access_token, refresh_token } = sandbox.authority.issue(clientId);
      const lastRefresh = now() - back;
      back = 0;
      return {
        clientId,
        clientSecret,
        redirectUri: redirectUris[0] ?? "",
        accessToken: access_token,
        refreshToken: refresh_token,
        accessExpires: now() + left,
        refreshExpires: lastRefresh + refreshLifetime * SECOND,
        lastRefresh,
        lifetime: accessLifetime,
        refreshAt: now() - 1,
        ...more,
      };
    },
    close: () => sandbox.close(),
  };
}

/** Functions on one store, all of them with the environment `more`. */
export const deployWith = ({ env, documents }: Place, url: string, more: Record<string, string> = {}) =>
  deploy({ env: { ...env, ...more }, documents }, { url } as Webex);

export type Scene = Awaited<ReturnType<typeof openScene>>;

/** An SQLite file that a test can lock, Webex, and functions between them. */
export async function openScene() {
  const [place, webex] = await Promise.all([sqlitePlace(), openAuthority()]);
  const way = await relayTo(new URL(webex.url).host);
  const lock = new DatabaseSync(place.env.STORE ?? "", { timeout: 5_000 });
  return {
    webex,
    /** The way to Webex of the refreshers that `late` starts. */
    way,
    /** Keeps every process from writing until `thaw`. */
    freeze: () => lock.exec("BEGIN EXCLUSIVE"),
    thaw() {
      if (lock.isTransaction) lock.exec("COMMIT");
    },
    /** Writes to the frozen store; `undefined` deletes a field. */
    overtake(name: string, fields: RawFields): void {
      const patch = JSON.stringify(fields, (_, value) => (value === undefined ? null : value));
      const sql = "UPDATE documents SET fields = json_patch(fields, ?), version = version + 1 WHERE id = ?";
      lock.prepare(sql).run(patch, name);
    },
    ...deployWith(place, webex.url),
    refresher: deployWith(place, webex.url, PATIENT).refresher,
    late: deployWith(place, `http://${way.host}/v1`, PATIENT).refresher,
    async close(): Promise<void> {
      lock.close();
      await Promise.all([way.close(), place.documents.close(), webex.close()]);
    },
  };
}

export const sweep = (refresher: Running) => ask(refresher, "/", "POST");
export const read = (lookup: Running, name: string, more = "") =>
  ask(lookup, `/?name=${encodeURIComponent(name)}${more}`);

/** A read that is not answered from the cache: the rejected token is none of this document's. */
export const readAgain = (lookup: Running, name: string) =>
  ask(lookup, `/?name=${encodeURIComponent(name)}`, "GET", { "x-token-rejected": "canary-other-token" });

/** The outcome of refreshing one token, or `cut off` when no answer came. */
export const refreshOne = (refresher: Running, name: string): Promise<unknown> =>
  ask(refresher, `/?name=${encodeURIComponent(name)}`, "POST").then(
    ({ body }) => body,
    () => "cut off",
  );

/** Starts a refresh; resolves when Webex has processed it and its answer is held on the way. */
export async function refreshUpToAnswer({ way }: Pick<Scene, "way">, refresher: Running, name: string) {
  way.holdAnswers();
  const outcome = refreshOne(refresher, name);
  await until("Webex's answer", async () => way.held().answers > 0);
  return { outcome };
}

/** Starts a refresh; resolves when Webex's answer has arrived and waits to be written to the frozen store. */
export async function refreshUpToWrite(scene: Scene, refresher: Running, name: string) {
  const { outcome } = await refreshUpToAnswer(scene, refresher, name);
  scene.freeze();
  scene.way.resume();
  await until("the write", () => isWriting(refresher));
  return { outcome };
}

/**
 * True while this process waits for the frozen store: SQLite waits in the thread that called it, so the process answers
 * no request. A process that is only slow passes for one: what follows must be right for both.
 */
export const isWriting = ({ url }: Running): Promise<boolean> =>
  fetch(url, { signal: AbortSignal.timeout(300) }).then(
    () => false,
    () => true,
  );

/** Lets the lease run out without waiting for it. */
export async function endLease({ document, type }: Scene, name: string): Promise<void> {
  const lease = (await document(name)).fields.lease as Lease;
  await type(name, { lease: { ...lease, expires: Date.now() - 1 } });
}

interface Line {
  severity: string;
  event: string;
  token?: string;
}

/** The log lines of these processes that have the `wanted` values. */
export const lines = (running: readonly Running[], wanted: Partial<Line>): Line[] =>
  running
    .flatMap((one) => one.output())
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Line)
    .filter((line) => Object.entries(wanted).every(([key, value]) => line[key as keyof Line] === value));

/** `count` answers, each 200 with one of these tokens. */
export function expectAll(answers: readonly Answer[], count: number, tokens: readonly unknown[]): void {
  const others = answers.filter(({ status, body }) => status !== 200 || !tokens.includes(body.token));
  expect(others.map(({ status, body }) => [status, body])).toEqual([]);
  expect(answers).toHaveLength(count);
}
