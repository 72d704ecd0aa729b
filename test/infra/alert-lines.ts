import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { jsonLog } from "../../functions/adapters/log.ts";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { formatSealKeys } from "../../functions/core/seal.ts";
import { type DocumentStore, StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { DAY, HOUR, MINUTE } from "../../functions/core/time.ts";
import {
  ageingDocument,
  ask,
  type Deployed,
  deploy,
  newClient,
  PASSPHRASE,
  sqlitePlace,
  startWebex,
  type Webex,
} from "../e2e/deployed.ts";
import { requestEntry, writtenEntry } from "../support/log-entry.ts";
import type { Entry } from "../support/logging-query.ts";
import { printed } from "../support/prints.ts";
import { type Running, startFunction, startHandler, temporaryFolder } from "../support/processes.ts";
import { sealerOf, sealKey } from "../support/sealing.ts";
import { OLD, openWorld, READER } from "../support/world.ts";

/** What a deployment in trouble writes: the built functions in processes of their own, and what becomes of their lines. */

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
  const [inProcesses, unsaved, unreadable, stopped, buggy] = await Promise.all([
    deployment(),
    unsavedLines(),
    unreadableLines(),
    stoppedLines(),
    buggyLines(),
  ]);
  return [...inProcesses, ...unsaved, ...unreadable, ...stopped, ...buggy];
}

const entriesOf = (service: Service, lines: readonly string[]) =>
  lines.map((line) => writtenEntry(SERVICES[service], line));

async function deployment(): Promise<Entry[]> {
  const [place, webex, folder] = await Promise.all([sqlitePlace(), startWebex(), temporaryFolder()]);
  const keys = path.join(folder, "seal-keys.json");
  await writeFile(keys, formatSealKeys({ primary: sealKey("k-now"), all: [sealKey("k-now")] }));
  const deployed = deploy({ ...place, env: { ...place.env, SEAL_KEYS: keys } }, webex);
  const [refresher, setup] = await Promise.all([deployed.refresher(), deployed.setup()]);
  const way = await recorder(refresher);
  const lookup = await deployed.lookup(way.url);

  await refusals(deployed, webex, refresher);
  await publishing(deployed, webex, refresher);
  await endings(deployed, refresher);
  await wrongPassphrases(lookup, setup);
  await reading(deployed, webex, lookup);
  // Last: from here on nothing can be opened.
  await lostKeys(deployed, refresher, keys);

  await way.close();
  await deployed.documents.close();
  return [
    ...entriesOf("refresher", refresher.output()),
    ...entriesOf("lookup", lookup.output()),
    ...entriesOf("setup", setup.output()),
    ...way.requests(),
  ];
}

/** One client is refused for good, and asked for again; another's refresh meets a blip. */
async function refusals(deployed: Deployed, webex: Webex, refresher: Running): Promise<void> {
  const clients = await Promise.all(
    ["refused", "blip", "good"].map(async (name) => {
      const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
      await deployed.put(name, await ageingDocument(webex, client));
      return client.clientId;
    }),
  );
  const [refused = "", blip = ""] = clients;
  await webex.fault({ fault: "invalid-request", clientId: refused });
  await webex.fault({ fault: "500", clientId: blip });
  await ask(refresher, "/", "POST");
  const { fields } = await deployed.document("refused");
  const failure = { ...(fields.failure as object), at: Date.now() - HOUR, since: Date.now() - HOUR };
  await deployed.type("refused", { failure, refreshAt: Date.now() - 1 });
  await ask(refresher, "/", "POST");
  await webex.heal();
}

/** Two wishes that can't be granted: one token that should write is gone, another has ended and may come back. */
async function publishing({ put }: Deployed, webex: Webex, refresher: Running): Promise<void> {
  const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
  const fields = { ...(await ageingDocument(webex, client)), refreshAt: Date.now() + HOUR };
  await put("ended", { clientId: client.clientId, clientSecret: client.clientSecret });
  for (const [name, via] of Object.entries({ unpublished: "gone", "published later": "ended" }))
    await put(name, {
      ...fields,
      publish: { variables: ["cad-made-up"], region: "us1", via, nextAt: Date.now() - 1 },
    });
  await ask(refresher, "/", "POST");
}

async function endings({ put }: Deployed, refresher: Running): Promise<void> {
  for (const [name, days] of Object.entries(ENDINGS)) {
    const end = Date.now() + days * DAY;
    const credentials = { clientId: "C-made-up", clientSecret: "canary-client-secret-of-the-ending" };
    const tokens = name.startsWith("fixed")
      ? { accessToken: "canary-access-token", accessExpires: end, static: true }
      : {
          accessToken: "canary-access-token",
          accessExpires: Date.now() + 12 * HOUR,
          refreshToken: "canary-refresh-token",
          refreshExpires: end,
          refreshAt: Date.now() + 6 * HOUR,
        };
    await put(name, { ...credentials, ...tokens });
  }
  await ask(refresher, "/census", "POST");
  await ask(refresher, "/census", "POST");
}

async function wrongPassphrases(lookup: Running, setup: Running): Promise<void> {
  const wrong = { headers: { "x-token-passphrase": "canary-passphrase-that-is-wrong" } };
  await fetch(`${lookup.url}/?name=good`, wrong);
  await fetch(`${setup.url}/init?name=good`, wrong);
  await fetch(`${lookup.url}/?name=good`);
  await ask(lookup, "/?name=nobody");
  await ask(lookup, "/");
}

/** A read for which lookup asks the refresher. */
async function reading({ put }: Deployed, webex: Webex, lookup: Running): Promise<void> {
  const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
  await put("read", await ageingDocument(webex, client));
  await ask(lookup, "/?name=read");
}

async function lostKeys({ put }: Deployed, refresher: Running, keys: string): Promise<void> {
  const sealed = await sealerOf("k-lost").seal("canary-refresh-token", {
    token: "unopened",
    field: "refreshToken",
  });
  const now = Date.now();
  await put("unopened", {
    clientId: "C-made-up",
    clientSecret: "canary-client-secret-of-the-unopened",
    refreshToken: sealed,
    accessExpires: now + HOUR,
    refreshAt: now - 1,
  });
  await rm(keys);
  await ask(refresher, "/", "POST");
}

/** Passes requests on to the refresher, and notes them as Cloud Run does. */
async function recorder(refresher: Running) {
  const requests: Entry[] = [];
  const server = createServer(async (request, response) => {
    const { url = "/", method = "GET" } = request;
    const answer = await fetch(new URL(url, refresher.url), { method });
    requests.push(
      requestEntry(SERVICES.refresher, {
        url: `https://token-refresher.example${url}`,
        method,
        status: answer.status,
      }),
    );
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => requests,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Lines of code that runs in this process, through the functions' own log. */
function lineKeeper() {
  const lines: string[] = [];
  const log = jsonLog((line) => {
    lines.push(line.trim());
    printed(line);
  });
  return { lines, log };
}

/** A real process would take the half minute that a lease lasts. */
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

/** A file of passphrases is read again once a minute. */
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

/** A function that lacks its settings ends before it serves; what it wrote is in the error. */
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
  const source = path.resolve(import.meta.dirname, "../support/buggy.ts");
  const running = await startHandler("buggy", source, {});
  await fetch(`${running.url}/message?name=met%20by%20a%20bug`);
  await running.stop();
  return entriesOf("lookup", running.output());
}
