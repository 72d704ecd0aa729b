import { describe, expect, inject } from "vitest";
import type { RawFields } from "../../functions/core/document.ts";
import { SECOND } from "../../functions/core/time.ts";
import type { Client } from "../../local/sandbox/authority.ts";
import { createSandbox } from "../../local/sandbox/server.ts";
import type { Running } from "../support/processes.ts";
import {
  type Answer,
  ask,
  deploy,
  firestorePlace,
  newClient,
  type Place,
  sqlitePlace,
  type Webex,
} from "./deployed.ts";
import { openGate } from "./gate.ts";
import type { MovableClock } from "./movable-clock.ts";

/** What the tests of outages share: each is one row of the list of how token brokers fail, and named by it. */

type Suite = (open: () => Promise<Place>, emulator: string | undefined) => void;

/** The same suite on SQLite and, wherever it can be had, on Firestore's emulator (`host:port`). */
export function onEachStore(suite: Suite): void {
  const emulator = inject("firestoreEmulator");
  describe("on SQLite", () => suite(sqlitePlace, undefined));
  const title = emulator === undefined ? "on Firestore (SKIPPED: no emulator)" : "on Firestore";
  const host = emulator ?? "";
  describe.skipIf(emulator === undefined)(title, () => suite(() => firestorePlace(host), host));
}

export type Authority = Awaited<ReturnType<typeof openAuthority>>;

/** The sandbox in place of Webex, in this process: its clock is `now`, and all who come to it pass a gate. */
export async function openAuthority(now: () => number = Date.now) {
  let back = 0;
  const granted = new Map<string, number>();
  const sandbox = createSandbox({
    file: ":memory:",
    clock: () => now() - back,
    onEvent({ kind, clientId = "" }) {
      if (kind === "refresh") granted.set(clientId, (granted.get(clientId) ?? 0) + 1);
    },
  });
  const gate = await openGate(`http://127.0.0.1:${await sandbox.listen()}`);
  return {
    gate,
    /** What `WEBEX_URL` is set to. */
    url: `${gate.url}/v1`,
    faults: sandbox.faults,
    /** An integration of its own, or a known one with other settings. */
    client(settings: Partial<Client> = {}): Client {
      const client = { ...newClient("http://127.0.0.1:8080/callback"), ...settings };
      sandbox.authority.registerClient(client);
      return client;
    },
    /** Requests for a refresh that reached it, answered well or not. */
    refreshes: () => sandbox.authority.counters().refresh_token.received,
    /** Authorization codes that reached it, good or not. */
    exchanges: () => sandbox.authority.counters().authorization_code.received,
    /** Refreshes that it granted to one client. */
    granted: (clientId: string) => granted.get(clientId) ?? 0,
    /** True where an API of Webex takes this token. */
    accepts: (token: unknown) => sandbox.authority.holder(String(token))?.live === true,
    /** A token that is due, with `left` ms of its life to come: here, and for Webex. */
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
    async close() {
      gate.close();
      await sandbox.close();
    },
  };
}

/**
 * Google's servers tell the time with each answer, the emulator does not: this stands before it and does. `env` is for
 * a lookup whose clock is moved.
 */
export async function timeOf(emulator: string | undefined) {
  if (emulator === undefined) return { env: {}, close: () => {} };
  const { url, close } = await openGate(`http://${emulator}`);
  return { env: { FIRESTORE_EMULATOR_HOST: new URL(url).host }, close };
}

/** The functions on one store, each with what `env` says too. */
export function deployWith({ env, documents }: Place, { url }: Authority, more: Record<string, string> = {}) {
  return deploy({ env: { ...env, ...more }, documents }, { url } as Webex);
}

/**
 * Lets time pass for all that have this clock. A store with a clock of its own can't be told: there, every instant in
 * the tokens moves into the past instead. Nobody may be writing meanwhile.
 */
export async function pass(ms: number, clock: MovableClock, { env, documents }: Place): Promise<void> {
  clock.jump(ms);
  if (env.STORE !== undefined) return;
  const tokens = await documents.list("tokens", 500);
  const earlier = (fields: RawFields, names: string[]) =>
    Object.fromEntries(names.flatMap((name) => (name in fields ? [[name, Number(fields[name]) - ms]] : [])));
  const instants = ["accessExpires", "refreshExpires", "lastRefresh", "refreshAt"];
  const moved = tokens.map(({ id, fields, version }) => {
    const failure = fields.failure as RawFields | undefined;
    const then = failure && { ...failure, ...earlier(failure, ["since", "at", "notBefore"]) };
    const changes = { ...earlier(fields, instants), ...(then && { failure: then }) };
    return documents.update("tokens", id, changes, version);
  });
  expect(await Promise.all(moved)).not.toContain(undefined);
}

/** Answers of `count` readers who come at the same time. */
export const readers = (count: number, lookup: Running, name: string, more = ""): Promise<Answer[]> =>
  Promise.all(Array.from({ length: count }, () => read(lookup, name, more)));

export const read = (lookup: Running, name: string, more = "") =>
  ask(lookup, `/?name=${encodeURIComponent(name)}${more}`);

export const sweep = (refresher: Running) => ask(refresher, "/", "POST");

/** All of them got this token, and before `within` ms were over. */
export function expectAll(answers: Answer[], token: unknown, within: number): void {
  for (const answer of answers) expect(answer).toMatchObject({ status: 200, body: { token } });
  expect(Math.max(...answers.map(({ took }) => took))).toBeLessThan(within);
}

/** ms: no more than a warm instance needs for what it holds, on a busy machine. */
export const AT_ONCE = 800;
/** ms: Flow Designer gives up then. */
export const IN_TIME = 2_000;
