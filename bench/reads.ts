import path from "node:path";
import pLimit from "p-limit";
import { globalVariables } from "../functions/adapters/global-variables.ts";
import { runtime } from "../functions/adapters/runtime.ts";
import { webexEndpoint } from "../functions/adapters/webex.ts";
import { makePauses } from "../functions/core/pauses.ts";
import type { DocumentStore } from "../functions/core/store.ts";
import { tokenStore } from "../functions/core/store.ts";
import { sweep } from "../functions/core/sweep.ts";
import { DEFAULT_THRESHOLD, MINUTE } from "../functions/core/time.ts";
import { startAuthority } from "./authority.ts";
import type { Context, Measurement, Report } from "./context.ts";
import { bars } from "./plots.ts";
import { dueToken, firestorePlace, liveToken, type Place, sqlitePlace } from "./stores.ts";

const DUE = 100;

export const reads: Measurement = { title: "Documents read by a sweep", run };

interface Counted {
  store: string;
  stored: number;
  /** To find and to refresh what is due. */
  read: number;
  /** To find what is to be published. */
  toPublish: number;
  written: number;
  refreshed: number;
}

async function run(context: Context): Promise<Report> {
  const { quick, folder } = context;
  const authority = await startAuthority(0, folder);
  const many = tokens(quick ? 10_000 : 100_000);
  const fewer = tokens(quick ? 500 : 2000);
  context.say(`${Object.keys(many).length} tokens in SQLite`);
  const sqlite = await sqlitePlace(path.join(folder, "reads.db"), many);
  const counted = [await counting("SQLite", many, sqlite, authority.url)];
  context.say(`${Object.keys(fewer).length} tokens in Firestore's emulator`);
  const firestore = await firestorePlace(await context.emulator(), fewer);
  counted.push(await counting("Firestore emulator", fewer, firestore, authority.url));
  await authority.stop();
  return report(counted);
}

/** `DUE` tokens that are due among many that are not. */
const tokens = (stored: number) =>
  Object.fromEntries(
    Array.from({ length: stored }, (_, index) => {
      const name = `token-${index}`;
      return [name, index % (stored / DUE) === 0 ? dueToken(name) : liveToken(name)];
    }),
  );

async function counting(store: string, all: object, place: Place, url: string): Promise<Counted> {
  const documents = place.open();
  const { counted, counts } = countingStore(documents);
  const concurrency = 10;
  const { refreshed } = await sweep({
    store: tokenStore(counted, runtime.now),
    endpoint: webexEndpoint(url),
    variables: globalVariables(new URL(url).origin),
    runtime,
    log: () => {},
    threshold: DEFAULT_THRESHOLD,
    pauses: makePauses(runtime.now),
    concurrency,
    limit: pLimit(concurrency),
    deadline: 5 * MINUTE,
  });
  await documents.close();
  return { store, stored: Object.keys(all).length, refreshed, ...counts };
}

/** The same store; every document that comes out of it, or is asked for and not there, counts as read. */
function countingStore(store: DocumentStore) {
  const counts = { read: 0, toPublish: 0, written: 0 };
  const many = async <T>(work: Promise<T[]>, field?: string) => {
    const found = await work;
    // Firestore bills a query without a result as one read.
    counts[field === "publish.nextAt" ? "toPublish" : "read"] += Math.max(1, found.length);
    return found;
  };
  const write = <T>(work: Promise<T>) => {
    counts.written++;
    return work;
  };
  const counted: DocumentStore = {
    read: (collection, id) => {
      counts.read++;
      return store.read(collection, id);
    },
    create: (...document) => write(store.create(...document)),
    update: (...change) => write(store.update(...change)),
    remove: (...document) => write(store.remove(...document)),
    upTo: (query, ...page) => many(store.upTo(query, ...page), query.field),
    list: (...query) => many(store.list(...query)),
    count: async (...query) => {
      const count = await store.count(...query);
      // Firestore bills a read for every thousand index entries that are counted.
      counts.read += Math.max(1, Math.ceil(count / 1000));
      return count;
    },
    close: () => store.close(),
  };
  return { counted, counts };
}

function report(counted: Counted[]): Report {
  return {
    goals: counted.map(({ store, stored, read }) => ({
      what: `documents read by a sweep to refresh, ${DUE} due of ${stored.toLocaleString("en")} (${store})`,
      goal: `≤ ${DUE + 1}`,
      measured: String(read),
      met: read <= DUE + 1,
    })),
    method:
      "The sweep of the refresher in this process, on a wrapper around the store that counts each document handed out or asked for in vain " +
      "(as Firestore bills: an empty query one read, a count one for each thousand entries). The one above what is due is `status/sweeps`, the sweep's diary. A conditional write reads nothing. " +
      "The query for what is to be published to global variables comes on top: one read where there is nothing.",
    tables: [
      {
        head: ["store", "tokens", "due", "refreshed", "documents read", "to publish", "writes"],
        rows: counted.map(({ store, stored, refreshed, read, toPublish, written }) => [
          store,
          stored.toLocaleString("en"),
          String(DUE),
          String(refreshed),
          String(read),
          String(toPublish),
          String(written),
        ]),
      },
    ],
    plots: [
      {
        file: "reads",
        title: "Documents read by a sweep",
        svg: bars(
          "documents (logarithmic)",
          counted.map(({ store }) => store),
          [
            { name: "stored", values: counted.map(({ stored }) => stored) },
            { name: "due", values: counted.map(() => DUE) },
            { name: "read", values: counted.map(({ read }) => read) },
          ],
          "log",
        ),
      },
    ],
  };
}
