import { asNumber, fieldsOf, type RawFields } from "./document.ts";
import { type DocumentStore, type Snapshot, StoreUnavailable } from "./store.ts";
import type { Sweep } from "./sweep.ts";

// What the service remembers of its own work, in `status/sweeps` and `status/census`. Losing it harms nothing.

export interface SweepHistory {
  /** ms: when the last sweep ended. */
  last: number;
  /** Those that did something, the newest last. */
  sweeps: (Sweep & { at: number })[];
}

const KEPT = 100;

/** Never throws: a sweep that worked is not undone by its diary. */
export function recordSweep(sweep: Sweep, now: number, documents: DocumentStore): Promise<void> {
  return amend("sweeps", documents, (fields) => {
    const { sweeps } = historyOf(fields);
    const busy = sweep.due > 0 || sweep.remaining > 0;
    return { last: now, sweeps: busy ? [...sweeps, { ...sweep, at: now }].slice(-KEPT) : sweeps };
  });
}

/** The last sweeps; none where none was recorded. Throws `StoreUnavailable`. */
export async function readSweeps(documents: DocumentStore): Promise<SweepHistory> {
  return historyOf((await documents.read("status", "sweeps"))?.fields ?? {});
}

/** Remembers when the last whole census began, in ms. Never throws. */
export function recordCensus(began: number, documents: DocumentStore): Promise<void> {
  return amend("census", documents, () => ({ last: began }));
}

/** ms: when the last whole census began; `undefined` where none was. Throws `StoreUnavailable`. */
export async function readCensus(documents: DocumentStore): Promise<number | undefined> {
  return asNumber((await documents.read("status", "census"))?.fields.last);
}

async function amend(
  id: string,
  documents: DocumentStore,
  change: (fields: RawFields) => RawFields,
): Promise<void> {
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      const snapshot: Snapshot | undefined = await documents.read("status", id);
      const fields = change(snapshot?.fields ?? {});
      const written =
        snapshot === undefined
          ? await documents.create("status", id, fields)
          : await documents.update("status", id, fields, snapshot.version);
      if (written !== undefined) return;
    }
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}

function historyOf({ last, sweeps }: RawFields): SweepHistory {
  return {
    last: asNumber(last) ?? 0,
    sweeps: Array.isArray(sweeps) ? sweeps.filter(isEntry) : [],
  };
}

function isEntry(sweep: unknown): sweep is Sweep & { at: number } {
  const { at } = fieldsOf(sweep);
  return typeof at === "number" && asNumber(at) !== undefined;
}
