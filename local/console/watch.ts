import type { Runtime } from "../../functions/core/runtime.ts";
import { readSweeps } from "../../functions/core/status.ts";
import { type DocumentStore, tokenStore } from "../../functions/core/store.ts";
import type { Sweep } from "../../functions/core/sweep.ts";
import { SECOND } from "../../functions/core/time.ts";
import { type Row, rowOf } from "./row.ts";

/** What changed since a page asked last. */
export interface Changes {
  /** What the page says next time, to be told what changes from here on. */
  mark: string;
  /** All rows there are come with this; what the page had is void. */
  whole: boolean;
  rows: Row[];
  /** Names that are there no more. */
  gone: string[];
  /** ms: the store's clock. */
  now: number;
  sweeps: { last: number; list: (Sweep & { at: number })[] };
  /** ms after which it is worth asking again. */
  again: number;
}

/** Keeps the last look at the store, for all pages that are open. */
export interface Watch {
  /** `since`: the mark of the page's last answer. Throws `StoreUnavailable`. */
  changes(since: string | undefined): Promise<Changes>;
  /** Something was written here: the next answer has it. */
  stir(): void;
}

export interface WatchOptions {
  documents: DocumentStore;
  runtime: Pick<Runtime, "now" | "secret">;
  /** ms: upper bound of the threshold. */
  threshold: number;
  /** Each document that is read is paid for. */
  metered: boolean;
}

const PAGE = 500;

/** No secret is opened for this: sealed ones stay as they are. */
export function makeWatch({ documents, runtime, threshold, metered }: WatchOptions): Watch {
  const store = tokenStore(documents, runtime.now);
  const epoch = runtime.secret().slice(0, 8);
  const known = new Map<string, { text: string; row: Row; at: number }>();
  const gone = new Map<string, number>();
  let revision = 0;
  let looked = Number.NEGATIVE_INFINITY;
  let ahead = 0;
  let sweeps: Changes["sweeps"] = { last: 0, list: [] };
  let looking: Promise<void> | undefined;
  let stirred = 0;

  /** On Firestore a look costs a read a token: many tokens are looked at less often. */
  const pause = () => (metered ? Math.max(5 * SECOND, known.size * 10) : Math.max(SECOND, known.size / 5));

  const look = async () => {
    const before = stirred;
    const next = revision + 1;
    const seen = new Set<string>();
    for await (const page of store.pages(PAGE))
      for (const token of page) {
        ahead = token.ahead;
        const row = rowOf(token, runtime.now() + ahead, threshold);
        const text = JSON.stringify(row);
        seen.add(row.name);
        gone.delete(row.name);
        if (known.get(row.name)?.text !== text) known.set(row.name, { text, row, at: next });
      }
    for (const name of known.keys())
      if (!seen.has(name)) {
        known.delete(name);
        gone.set(name, next);
      }
    const { last, sweeps: list } = await readSweeps(documents);
    [sweeps, revision] = [{ last, list }, next];
    // What was written meanwhile may have been passed over.
    if (before === stirred) looked = runtime.now();
  };

  return {
    async changes(since) {
      for (let turn = 0; turn < 2 && runtime.now() - looked >= pause(); turn++) {
        looking ??= look().finally(() => {
          looking = undefined;
        });
        await looking;
      }
      const [from, number] = since?.split(".") ?? [];
      const whole = from !== epoch;
      const after = whole ? -1 : Number(number);
      const rows = [...known.values()].filter(({ at }) => at > after).map(({ row }) => row);
      const removed = whole ? [] : [...gone].filter(([, at]) => at > after).map(([name]) => name);
      const now = runtime.now() + ahead;
      return { mark: `${epoch}.${revision}`, whole, rows, gone: removed, now, sweeps, again: pause() };
    },
    stir() {
      stirred++;
      looked = Number.NEGATIVE_INFINITY;
    },
  };
}
