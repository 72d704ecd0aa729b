import { DatabaseSync } from "node:sqlite";
import { describe, expect, inject, onTestFinished } from "vitest";
import { type Failure, fieldsOf, type Lease, type RawFields } from "../../functions/core/document.ts";
import type { Running } from "../support/processes.ts";
import { relayTo } from "../support/relay.ts";
import {
  type Answer,
  ageingDocument,
  ask,
  deploy,
  firestorePlace,
  newClient,
  PASSPHRASE,
  type Place,
  sqlitePlace,
  startWebex,
  until,
} from "./deployed.ts";

/** What the tests of the failures that token brokers are known for have in common. */

/** A store that can be frozen for the functions that work on it. */
interface Freezable extends Place {
  /** Nothing is written any more; on Firestore nothing is read either. */
  freeze(): void;
  /** Whatever is asked of it fails: on SQLite at once, on Firestore when its caller's patience (5 s) is over. */
  takeDown(): void;
  /** All is well again. */
  thaw(): void;
  /** What is asked of it is done, but on Firestore nobody is told. Until it is thawed. */
  muffle(): void;
  /** True where this process waits for the frozen store, on Firestore where anybody does who did not before. */
  isWaiting(running: Running): Promise<boolean>;
  /** Writes to the frozen store, before all that waits; `undefined` deletes a field. */
  overtake(name: string, fields: RawFields): Promise<void>;
  close(): Promise<void>;
}

async function freezableSqlite(): Promise<Freezable> {
  const place = await sqlitePlace();
  const lock = new DatabaseSync(place.env.STORE ?? "", { timeout: 5_000 });
  let isAway = false;
  return {
    ...place,
    freeze: () => lock.exec("BEGIN EXCLUSIVE"),
    takeDown() {
      lock.exec("ALTER TABLE documents RENAME TO elsewhere");
      isAway = true;
    },
    thaw() {
      if (lock.isTransaction) lock.exec("COMMIT");
      if (isAway) lock.exec("ALTER TABLE elsewhere RENAME TO documents");
      isAway = false;
    },
    muffle() {},
    // SQLite waits in the thread that called it: such a process answers nobody.
    isWaiting: ({ url }) =>
      fetch(url, { signal: AbortSignal.timeout(300) }).then(
        () => false,
        () => true,
      ),
    async overtake(name, fields) {
      const patch = JSON.stringify(fields, (_, value) => (value === undefined ? null : value));
      const sql = "UPDATE documents SET fields = json_patch(fields, ?), version = version + 1 WHERE id = ?";
      lock.prepare(sql).run(patch, name);
    },
    async close() {
      lock.close();
      await place.documents.close();
    },
  };
}

async function freezableFirestore(emulator: string): Promise<Freezable> {
  const [{ env, documents }, relay] = await Promise.all([firestorePlace(emulator), relayTo(emulator)]);
  let seen = 0;
  return {
    env: { ...env, FIRESTORE_EMULATOR_HOST: relay.host },
    documents,
    freeze: relay.hang,
    takeDown: relay.hang,
    thaw: relay.resume,
    muffle: relay.holdAnswers,
    async isWaiting() {
      const { requests } = relay.held();
      const more = requests > seen;
      seen = requests;
      return more;
    },
    async overtake(name, fields) {
      const found = await documents.read("tokens", name);
      await documents.update("tokens", name, fields, found?.version ?? "");
    },
    async close() {
      await Promise.all([relay.close(), documents.close()]);
    },
  };
}

/** The same suite on SQLite, and on Firestore where there is an emulator. */
export function onEachStore(suite: (open: () => Promise<Freezable>) => void): void {
  describe("on SQLite", () => suite(freezableSqlite));
  const emulator = inject("firestoreEmulator");
  if (emulator !== undefined) describe("on Firestore", () => suite(() => freezableFirestore(emulator)));
  else describe.skip("on Firestore (SKIPPED: no emulator)", () => suite(freezableSqlite));
}

export type Scene = Awaited<ReturnType<typeof openScene>>;

/** A store, Webex, and functions between them that can be kept from either. */
export async function openScene(open: () => Promise<Freezable>) {
  const [store, webex] = await Promise.all([open(), startWebex()]);
  const way = await relayTo(new URL(webex.url).host);
  const { documents } = store;
  const answers = () =>
    documents.read("status", "nothing").then(
      () => true,
      () => false,
    );
  // Its first answer can take longer on a busy machine than it may.
  await until("the store's first answer", answers);
  return {
    store,
    webex,
    /** The way to Webex of refreshers that were started by `late`. */
    way,
    ...deploy(store, webex),
    late: deploy(store, { ...webex, url: `http://${way.host}/v1` }).refresher,
    async close(): Promise<void> {
      await Promise.all([way.close(), store.close()]);
    },
  };
}

/** All is well again, whatever a test did, and its token is gone: a later sweep would find it. */
async function clear({ store, webex, way, documents }: Scene, name: string): Promise<void> {
  store.thaw();
  way.resume();
  await webex.heal();
  await documents.remove("tokens", name);
}

const CALLBACK = "http://127.0.0.1:8080/callback";

/** A token of a client of its own, with an hour left and due; `more` replaces fields. Gone after the test. */
export async function ageing(scene: Scene, name: string, more: RawFields = {}) {
  onTestFinished(() => clear(scene, name));
  const { webex } = scene;
  const client = await webex.register(newClient(String(more.redirectUri ?? CALLBACK)));
  const document = await ageingDocument(webex, client);
  await scene.put(name, { ...document, ...more });
  await webex.reset();
  return document;
}

export const sweep = (refresher: Running) => ask(refresher, "/", "POST");
export const read = (lookup: Running, name: string) => ask(lookup, `/?name=${encodeURIComponent(name)}`);

/**
 * A read that is not answered from memory alone, which would know nothing for up to 30 s of what a test did to the
 * document. That some other token was refused changes nothing else.
 */
export async function readAnew(lookup: Running, name: string): Promise<Answer> {
  const headers = { "x-token-passphrase": PASSPHRASE, "x-token-rejected": "canary-other-token" };
  const begun = performance.now();
  const response = await fetch(`${lookup.url}/?name=${encodeURIComponent(name)}`, { headers });
  const body = await response.json();
  return { status: response.status, headers: response.headers, body, took: performance.now() - begun };
}

/** The first answer of a process takes longer than those after it, on Firestore by far. */
export async function warmUp(refreshers: readonly Running[], lookups: readonly Running[]): Promise<void> {
  await Promise.all([...refreshers.map(sweep), ...lookups.map((lookup) => read(lookup, "nobody"))]);
}

/** What became of one token, by name; or that nobody answered. */
export const refreshOne = (refresher: Running, name: string): Promise<unknown> =>
  ask(refresher, `/?name=${encodeURIComponent(name)}`, "POST").then(
    ({ body }) => body,
    () => "cut off",
  );

/** Begins a refresh; resolves when Webex has done its part, and its answer is held on the way. */
export async function refreshUpToAnswer({ way }: Pick<Scene, "way">, refresher: Running, name: string) {
  way.holdAnswers();
  const outcome = refreshOne(refresher, name);
  await until("Webex's answer", async () => way.held().answers > 0);
  return { outcome };
}

/** Begins a refresh; resolves when Webex's answer is there and waits to be written to a frozen store. */
export async function refreshUpToWrite({ way, store }: Scene, refresher: Running, name: string) {
  const { outcome } = await refreshUpToAnswer({ way }, refresher, name);
  store.freeze();
  way.resume();
  await until("the write", () => store.isWaiting(refresher));
  return { outcome };
}

/** Webex ends the refresh tokens of a client. */
export async function revoke({ webex }: Scene, clientId: string): Promise<void> {
  const target = new URL("/sandbox/revoke", webex.url);
  const { ok } = await fetch(target, { method: "POST", body: JSON.stringify({ clientId }) });
  if (!ok) throw new Error(`${clientId} could not be revoked`);
}

/** The lease runs out, as by waiting. */
export async function endLease({ document, type }: Scene, name: string): Promise<void> {
  const lease = (await document(name)).fields.lease as Lease;
  await type(name, { lease: { ...lease, expires: Date.now() - 1 } });
}

const INSTANTS = ["accessExpires", "refreshExpires", "lastRefresh", "refreshAt"] as const;

/** Time goes by for a stored token: all its instants are that many ms longer ago. */
export async function pass({ document, type }: Scene, name: string, ms: number): Promise<void> {
  const { fields } = await document(name);
  const earlier = (some: RawFields, names: readonly string[]) =>
    Object.fromEntries(names.flatMap((name) => (name in some ? [[name, Number(some[name]) - ms]] : [])));
  const failure = fieldsOf(fields.failure);
  const past: (keyof Failure)[] = ["since", "at", "notBefore"];
  await type(name, {
    ...earlier(fields, INSTANTS),
    ...(fields.failure !== undefined && { failure: { ...failure, ...earlier(failure, past) } }),
  });
}

interface Line {
  severity: string;
  event: string;
  token?: string;
}

/** What these processes wrote about a token with this severity, or of this event. */
export const lines = (running: readonly Running[], wanted: Partial<Line>): Line[] =>
  running
    .flatMap((one) => one.output())
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Line)
    .filter((line) => Object.entries(wanted).every(([key, value]) => line[key as keyof Line] === value));

/** So many answers, each of them a 200 with one of these tokens. */
export function expectAll(answers: readonly Answer[], count: number, tokens: readonly unknown[]): void {
  const good = answers.filter(({ status, body }) => status === 200 && tokens.includes(body.token));
  expect(answers.map(({ status }) => status).filter((status) => status !== 200)).toEqual([]);
  expect(good).toHaveLength(count);
}
