import {
  type DocumentSnapshot,
  FieldPath,
  FieldValue,
  Firestore,
  type Query,
  Timestamp,
} from "@google-cloud/firestore";
import { GoogleAuth } from "google-auth-library";
import type { RawFields } from "../core/document.ts";
import {
  type Collection,
  type DocumentStore,
  indexedValue,
  type Snapshot,
  StoreUnavailable,
  type UpTo,
} from "../core/store.ts";

/** How long one call may take before its outcome counts as unknown, in ms. */
const PATIENCE = 5000;
/**
 * A connection can go silent without closing, and a call that runs out of time does not give it up. gRPC pings it after so
 * many ms and opens another one where no answer comes within `PING_TIMEOUT`.
 */
const PING_INTERVAL = 30_000;
const PING_TIMEOUT = 5000;

/** Status codes of gRPC that are answers, not failures. */
const NOT_FOUND = 5;
const ALREADY_EXISTS = 6;
const FAILED_PRECONDITION = 9;
const ABORTED = 10;

export interface FirestoreOptions {
  /** Google Cloud project id. */
  project: string;
  /** `(default)` unless the project has a database of its own for this. */
  database: string;
  /** ms between gRPC's keepalive pings; 30 s unless a test wants to see one. */
  pingInterval?: number;
}

/** The store in Firestore. `FIRESTORE_EMULATOR_HOST` in the environment is obeyed by the library itself. */
export function openFirestore(options: FirestoreOptions): DocumentStore {
  const { project, database, pingInterval = PING_INTERVAL } = options;
  const settings = {
    projectId: project,
    databaseId: database,
    ignoreUndefinedProperties: true,
    "grpc.keepalive_time_ms": pingInterval,
    "grpc.keepalive_timeout_ms": Math.min(PING_TIMEOUT, pingInterval),
  };
  return new FirestoreStore(new Firestore(settings));
}

/** Rejects where this machine has no Google credentials; the Firestore library would end the process instead. */
export async function requireCredentials(): Promise<void> {
  await new GoogleAuth({ scopes: "https://www.googleapis.com/auth/datastore" }).getApplicationDefault();
}

class FirestoreStore implements DocumentStore {
  readonly #firestore: Firestore;

  constructor(firestore: Firestore) {
    this.#firestore = firestore;
  }

  async read(collection: Collection, id: string) {
    const snapshot = await answered(this.#ref(collection, id).get());
    return snapshot.exists ? snapshotOf(snapshot) : undefined;
  }

  async create(collection: Collection, id: string, fields: RawFields) {
    const result = await answered(this.#ref(collection, id).create({ ...fields }), [ALREADY_EXISTS]);
    return result && versionOf(result.writeTime);
  }

  async update(collection: Collection, id: string, fields: RawFields, version: string) {
    const entries = Object.entries(fields).map(([name, value]) => [name, value ?? FieldValue.delete()]);
    const write = this.#ref(collection, id).update(Object.fromEntries(entries), {
      lastUpdateTime: timestampOf(version),
    });
    const result = await answered(write, [NOT_FOUND, FAILED_PRECONDITION, ABORTED]);
    return result && versionOf(result.writeTime);
  }

  async remove(collection: Collection, id: string) {
    const gone = await answered(this.#ref(collection, id).delete({ exists: true }), [NOT_FOUND]);
    return gone !== undefined;
  }

  async upTo(query: UpTo, limit: number, after?: Snapshot) {
    return found(this.#upTo(query, after).limit(limit));
  }

  async count(query: UpTo, after?: Snapshot) {
    const result = await answered(this.#upTo(query, after).count().get());
    return result.data().count;
  }

  async list(collection: Collection, limit: number, after?: string) {
    const all = this.#firestore.collection(collection).orderBy(FieldPath.documentId()).limit(limit);
    return found(after === undefined ? all : all.startAfter(after));
  }

  async close() {
    await this.#firestore.terminate();
  }

  #ref(collection: Collection, id: string) {
    return this.#firestore.collection(collection).doc(id);
  }

  #upTo({ collection, field, until }: UpTo, after?: Snapshot): Query {
    const query = this.#firestore
      .collection(collection)
      .where(field, "<=", until)
      .orderBy(field)
      .orderBy(FieldPath.documentId());
    return after === undefined ? query : query.startAfter(indexedValue(after.fields, field), after.id);
  }
}

async function found(query: Query): Promise<Snapshot[]> {
  const { docs } = await answered(query.get());
  return docs.map(snapshotOf);
}

function snapshotOf(snapshot: DocumentSnapshot): Snapshot {
  const { id, updateTime, readTime } = snapshot;
  if (updateTime === undefined) throw new Error(`document ${id} has no update time`);
  const entries = Object.entries(snapshot.data() ?? {});
  return {
    id,
    fields: Object.fromEntries(entries.map(([name, value]) => [name, plain(value)])),
    version: versionOf(updateTime),
    readAt: readTime.toMillis(),
    writtenAt: updateTime.toMillis(),
  };
}

/** The console offers timestamps where ms are meant. */
const plain = (value: unknown) => (value instanceof Timestamp ? value.toDate() : value);

const versionOf = ({ seconds, nanoseconds }: Timestamp) => `${seconds}.${nanoseconds}`;

function timestampOf(version: string): Timestamp {
  const [seconds, nanoseconds] = version.split(".").map(Number);
  return new Timestamp(seconds ?? 0, nanoseconds ?? 0);
}

/** What the call gives; `undefined` where it was answered with one of `expected`; else `StoreUnavailable`. */
function answered<T>(call: Promise<T>): Promise<T>;
function answered<T>(call: Promise<T>, expected: number[]): Promise<T | undefined>;
async function answered<T>(call: Promise<T>, expected: number[] = []): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new StoreUnavailable(`Firestore did not answer in ${PATIENCE} ms`)),
      PATIENCE,
    );
  });
  try {
    return await Promise.race([call, late]);
  } catch (error) {
    if (error instanceof StoreUnavailable) throw error;
    const { code, message } = error as { code?: unknown; message?: unknown };
    if (typeof code === "number" && expected.includes(code)) return undefined;
    throw new StoreUnavailable(`Firestore failed (${code ?? "no code"})`, String(message));
  } finally {
    clearTimeout(timer);
  }
}
