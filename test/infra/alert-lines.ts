import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { type Handler, serve } from "../../functions/adapters/http.ts";
import { jsonLog } from "../../functions/adapters/log.ts";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import { openSealer } from "../../functions/adapters/seal.ts";
import { makeLookup } from "../../functions/core/lookup.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { makeRefresher } from "../../functions/core/refresher.ts";
import { formatSealKeys } from "../../functions/core/seal.ts";
import { makeSetup } from "../../functions/core/setup.ts";
import { type DocumentStore, StoreUnavailable, tokenReader, tokenStore } from "../../functions/core/store.ts";
import { DAY, DEFAULT_THRESHOLD, HOUR, MINUTE } from "../../functions/core/time.ts";
import { fakeClock } from "../support/clock.ts";
import { requestEntry, writtenEntry } from "../support/log-entry.ts";
import type { Entry } from "../support/logging-query.ts";
import { printed } from "../support/prints.ts";
import { startFunction, temporaryFolder } from "../support/processes.ts";
import { sealerOf, sealKey } from "../support/sealing.ts";
import { CLIENT, OLD, openWorld, READER, SETTINGS } from "../support/world.ts";

/** What a deployment in trouble logs: the three functions over HTTP, on one store, with a clock that tests move. */

const PASSPHRASE = "canary-passphrase-of-the-flow";

export const SERVICES = { lookup: "token-lookup", refresher: "token-refresher", setup: "token-setup" };
type Service = keyof typeof SERVICES;

/** Days that tokens have left, by name. */
export const ENDINGS: Readonly<Record<string, number>> = {
  "ends in 16 days": 15.5,
  "ends in 14 days": 13.9,
  "ends in 7 days": 6.5,
  "ends in 3 days": 2.5,
  "ends in a day": 0.5,
  "fixed, ends in 7 days": 6.9,
  "fixed, ends in 16 days": 15.1,
};

/** All that was logged, in the order of what was done. */
export async function troubledLines(): Promise<Entry[]> {
  const parts = [deployment, unsavedLines, unreadableLines, stoppedLines, buggyLines];
  return (await Promise.all(parts.map((part) => part()))).flat();
}

const entriesOf = (service: Service, lines: readonly string[]) =>
  lines.map((line) => writtenEntry(SERVICES[service], line));

/** The lines of one function, through the functions' own log. */
function lineKeeper() {
  const lines: string[] = [];
  const log = jsonLog((line) => {
    lines.push(line.trim());
    printed(line);
  });
  return { lines, log };
}

/** Serves over HTTP, and notes each request as Cloud Run does. */
async function serveAt(service: Service, handler: Handler) {
  const requests: Entry[] = [];
  const server = createServer((request, response) => {
    const { url = "/", method = "GET" } = request;
    const noted = { url: `https://${SERVICES[service]}.example${url}`, method };
    response.once("finish", () =>
      requests.push(requestEntry(SERVICES[service], { ...noted, status: response.statusCode })),
    );
    void handler(request, response);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    requests,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

type Open = Awaited<ReturnType<typeof open>>;

async function open() {
  const [clock, keys] = [fakeClock(), path.join(await temporaryFolder(), "seal-keys.json")];
  await writeFile(keys, formatSealKeys({ primary: sealKey("k-now"), all: [sealKey("k-now")] }));
  const logs = { refresher: lineKeeper(), lookup: lineKeeper(), setup: lineKeeper() };
  const sealer = await openSealer({ keys }, logs.refresher.log, clock.now);
  const world = await openWorld({ clock, sealer });
  // Lookup never gives up waiting: its answer comes after the refresher's.
  const runtime = { ...world.runtime, sleep: () => new Promise<void>(() => {}) };
  const common = { runtime, threshold: DEFAULT_THRESHOLD, anyMethod: false };
  const passphrases = await openPassphrases({ text: PASSPHRASE }, logs.lookup.log, clock.now);
  const { log } = logs.refresher;
  const refresher = await serveAt("refresher", serve({ handle: makeRefresher(world.sweeper({ log })), log }));
  const askRefresher = refresherAt(refresher.url, {
    identityToken: () => Promise.reject(new Error("asked")),
  });
  const reader = tokenReader(world.documents, clock.now);
  const lookup = await serveAt(
    "lookup",
    serve({
      handle: makeLookup({ ...common, ...logs.lookup, reader, askRefresher, passphrases }),
      ...logs.lookup,
    }),
  );
  const { store, endpoint } = world;
  const setup = await serveAt(
    "setup",
    serve({
      handle: makeSetup({ ...common, ...logs.setup, store, endpoint, passphrases, plainStates: true }),
      ...logs.setup,
    }),
  );
  return {
    ...world,
    keys,
    logs,
    setup,
    sweep: () => fetch(refresher.url, { method: "POST" }),
    census: () => fetch(`${refresher.url}/census`, { method: "POST" }),
    /** One read of lookup, with the right passphrase unless another one is given. */
    read: (target: string, passphrase = PASSPHRASE) =>
      fetch(`${lookup.url}${target}`, { headers: { "x-token-passphrase": passphrase } }),
    requests: () => refresher.requests,
    async close() {
      for (const server of [refresher, lookup, setup]) server.close();
      await world.close();
    },
  };
}

async function deployment(): Promise<Entry[]> {
  const deployed = await open();
  await refusals(deployed);
  await publishing(deployed);
  await endings(deployed);
  await wrongPassphrases(deployed);
  await reading(deployed);
  // Last: from here on nothing can be decrypted.
  await lostKeys(deployed);
  await deployed.close();
  const { logs, requests } = deployed;
  const written = (Object.keys(SERVICES) as Service[]).flatMap((name) => entriesOf(name, logs[name].lines));
  return [...written, ...requests()];
}

/** Webex refuses one client for good, twice; another one's refresh fails once. */
async function refusals({ sandbox, add, granted, sweep, edit, documents, clock }: Open): Promise<void> {
  for (const name of ["refused", "blip", "good"]) {
    const client = { ...CLIENT, clientId: `C-${name}`, clientSecret: `canary-client-secret-of-${name}` };
    sandbox.authority.registerClient(client);
    await add(name, granted(OLD, client));
  }
  sandbox.faults.add({ fault: "invalid-request", clientId: "C-refused" });
  sandbox.faults.add({ fault: "500", clientId: "C-blip" });
  await sweep();
  const refused = await documents.read("tokens", "refused");
  const before = clock.now() - HOUR;
  const failure = { ...(refused?.fields.failure as object), at: before, since: before };
  await edit("refused", { failure, refreshAt: clock.now() - 1 });
  await sweep();
  sandbox.faults.clear();
}

/** Two tokens can't be published: the token that should write one is gone, the other's has ended and may come back. */
async function publishing({ add, granted, sweep, clock }: Open): Promise<void> {
  const fields = { ...granted(), refreshAt: clock.now() + HOUR };
  await add("ended", SETTINGS);
  for (const [name, via] of Object.entries({ unpublished: "gone", "published later": "ended" }))
    await add(name, {
      ...fields,
      publish: { variables: ["cad-made-up"], region: "us1", via, nextAt: clock.now() - 1 },
    });
  await sweep();
}

async function endings({ add, census, clock }: Open): Promise<void> {
  for (const [name, days] of Object.entries(ENDINGS)) {
    const end = clock.now() + days * DAY;
    const tokens = name.startsWith("fixed")
      ? { accessToken: "canary-access-token", accessExpires: end, static: true }
      : {
          accessToken: "canary-access-token",
          accessExpires: clock.now() + 12 * HOUR,
          refreshToken: "canary-refresh-token",
          refreshExpires: end,
          refreshAt: clock.now() + 6 * HOUR,
        };
    await add(name, { ...SETTINGS, ...tokens });
  }
  await census();
  await census();
}

async function wrongPassphrases({ read, setup }: Open): Promise<void> {
  const wrong = "canary-passphrase-that-is-wrong";
  await read("/?name=good", wrong);
  await fetch(`${setup.url}/init?name=good`, { headers: { "x-token-passphrase": wrong } });
  await read("/?name=good", "");
  await read("/?name=missing");
  await read("/");
}

/** A read for which lookup asks the refresher. */
async function reading({ add, granted, read }: Open): Promise<void> {
  await add("read", granted(OLD));
  await read("/?name=read");
}

async function lostKeys({ add, clock, keys, sweep }: Open): Promise<void> {
  const spot = { token: "unopened", field: "refreshToken" } as const;
  const refreshToken = await sealerOf("k-lost").seal("canary-refresh-token", spot);
  const now = clock.now();
  await add("unopened", { ...SETTINGS, refreshToken, accessExpires: now + HOUR, refreshAt: now - 1 });
  await rm(keys);
  await sweep();
}

/** The store fails once a refresh has begun. */
async function unsavedLines(): Promise<Entry[]> {
  const { lines, log } = lineKeeper();
  const world = await openWorld();
  await world.add("unsaved", world.granted(OLD));
  let isAway = false;
  const documents: DocumentStore = {
    ...bound(world.documents),
    async update(...change) {
      if (isAway) throw new StoreUnavailable("made up");
      isAway = true;
      return world.documents.update(...change);
    },
  };
  const store = tokenStore(documents, world.runtime.now);
  await refresh("unsaved", READER, world.refresher({ store, log }));
  await world.close();
  return entriesOf("refresher", lines);
}

function bound(store: DocumentStore): DocumentStore {
  return {
    read: (...how) => store.read(...how),
    create: (...how) => store.create(...how),
    update: (...how) => store.update(...how),
    remove: (...how) => store.remove(...how),
    upTo: (...how) => store.upTo(...how),
    count: (...how) => store.count(...how),
    list: (...how) => store.list(...how),
    close: () => store.close(),
  };
}

/** The file of passphrases is gone when it is read again, a minute later. */
async function unreadableLines(): Promise<Entry[]> {
  const { lines, log } = lineKeeper();
  const file = path.join(await temporaryFolder(), "passphrase");
  await writeFile(file, PASSPHRASE);
  let now = Date.now();
  const passphrases = await openPassphrases({ file }, log, () => now);
  await rm(file);
  now += 2 * MINUTE;
  await passphrases.live();
  return entriesOf("lookup", lines);
}

/** Setup without its settings ends before it serves; what it logged is in the error. */
async function stoppedLines(): Promise<Entry[]> {
  const said = await startFunction("setup", {}).then(
    () => "",
    (error: Error) => error.message,
  );
  return entriesOf(
    "setup",
    said.split("\n").filter((line) => line.startsWith("{")),
  );
}

async function buggyLines(): Promise<Entry[]> {
  const { lines, log } = lineKeeper();
  const handle = () => Promise.reject(new Error("made up"));
  const lookup = await serveAt("lookup", serve({ handle, log }));
  await fetch(`${lookup.url}/?name=met%20by%20a%20bug`);
  lookup.close();
  return entriesOf("lookup", lines);
}
