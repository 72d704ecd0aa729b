import { randomInt } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { RawFields } from "../core/document.ts";
import {
  type Collection,
  type DocumentStore,
  INDEXED,
  type Indexed,
  indexedValue,
  type Snapshot,
  StoreUnavailable,
  type UpTo,
} from "../core/store.ts";

/** How long a write waits for another process's write, in ms. */
const BUSY = 1000;

const SQLITE_BUSY = 5;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS documents (
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    fields TEXT NOT NULL,
    version INTEGER NOT NULL,
    written_at INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
  ) STRICT;
  ${INDEXED.map(indexOn).join("\n")}
`;

function indexOn(field: Indexed): string {
  const name = field.replace(".", "_").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return `CREATE INDEX IF NOT EXISTS documents_${name} ON documents (collection, ${pathOf(field)}, id)
    WHERE ${pathOf(field)} IS NOT NULL;`;
}

function pathOf(field: Indexed): string {
  return `json_extract(fields, '$.${field}')`;
}

/**
 * The store in one SQLite file, for any number of processes on one machine. Its clock is this machine's.
 * Throws, with a sentence that names the file, where that can't be opened.
 */
export function openSqlite(file: string, now: () => number): DocumentStore {
  try {
    // Made before SQLite makes it, readable for its owner alone; its companions take after it.
    if (file !== ":memory:") closeSync(openSync(file, "a", 0o600));
    const database = new DatabaseSync(file, { timeout: BUSY });
    patiently(() => database.exec("PRAGMA journal_mode = WAL"));
    database.exec("PRAGMA synchronous = FULL");
    database.exec(SCHEMA);
    return new SqliteStore(database, now);
  } catch (error) {
    const why = error instanceof Error ? error.message : "unknown reason";
    throw new Error(
      `can't open the token store ${file} (${why}): is it a SQLite file, and may it be written?`,
    );
  }
}

/** SQLite does not wait for its own switch to WAL while another process is just making the file; so we do. */
function patiently(work: () => void): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let left = BUSY; ; left -= 20) {
    try {
      work();
      return;
    } catch (error) {
      if ((error as { errcode?: unknown }).errcode !== SQLITE_BUSY || left <= 0) throw error;
      Atomics.wait(pause, 0, 0, 20);
    }
  }
}

class SqliteStore implements DocumentStore {
  readonly #database: DatabaseSync;
  readonly #now: () => number;

  constructor(database: DatabaseSync, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  async read(collection: Collection, id: string) {
    const sql = "SELECT * FROM documents WHERE collection = ? AND id = ?";
    return this.#snapshots(sql, collection, id)[0];
  }

  async create(collection: Collection, id: string, fields: RawFields) {
    // A random start: a document that was removed and made again never has a version that somebody still holds.
    const version = randomInt(2 ** 47);
    const sql = "INSERT INTO documents (collection, id, fields, version, written_at) VALUES (?, ?, ?, ?, ?)";
    const written = this.#run(
      `${sql} ON CONFLICT DO NOTHING`,
      collection,
      id,
      encode(fields),
      version,
      this.#now(),
    );
    return written === 1 ? String(version) : undefined;
  }

  async update(collection: Collection, id: string, fields: RawFields, version: string) {
    const current = await this.read(collection, id);
    if (current?.version !== version) return undefined;
    const next = Number(version) + 1;
    // The version is compared again as it is written: another process may have come in between.
    const written = this.#run(
      "UPDATE documents SET fields = ?, version = ?, written_at = ? WHERE collection = ? AND id = ? AND version = ?",
      encode({ ...current.fields, ...fields }),
      next,
      this.#now(),
      collection,
      id,
      Number(version),
    );
    return written === 1 ? String(next) : undefined;
  }

  async remove(collection: Collection, id: string) {
    return this.#run("DELETE FROM documents WHERE collection = ? AND id = ?", collection, id) === 1;
  }

  async upTo(query: UpTo, limit: number, after?: Snapshot) {
    const { where, field, values } = range(query, after);
    return this.#snapshots(
      `SELECT * FROM documents WHERE ${where} ORDER BY ${field}, id LIMIT ?`,
      ...values,
      limit,
    );
  }

  async count(query: UpTo, after?: Snapshot) {
    const { where, values } = range(query, after);
    const [row] = this.#all(`SELECT count(*) AS count FROM documents WHERE ${where}`, ...values);
    return Number(row?.count);
  }

  async list(collection: Collection, limit: number, after = "") {
    const sql = "SELECT * FROM documents WHERE collection = ? AND id > ? ORDER BY id LIMIT ?";
    return this.#snapshots(sql, collection, after, limit);
  }

  async close() {
    this.#database.close();
  }

  #snapshots(sql: string, ...values: SQLInputValue[]): Snapshot[] {
    const readAt = this.#now();
    return this.#all(sql, ...values).map((row) => ({
      id: String(row.id),
      fields: JSON.parse(String(row.fields)),
      version: String(row.version),
      writtenAt: Number(row.written_at),
      readAt,
    }));
  }

  #all(sql: string, ...values: SQLInputValue[]) {
    return answered(() => this.#database.prepare(sql).all(...values));
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return answered(() => Number(this.#database.prepare(sql).run(...values).changes));
  }
}

/** Busy for too long, full disk, file gone: SQLite says what happened, the caller only that there was no answer. */
function answered<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { errcode, message } = error as { errcode?: unknown; message?: unknown };
    throw new StoreUnavailable(`the SQLite store failed (${errcode ?? "no code"})`, String(message));
  }
}

function range({ collection, field: name, until }: UpTo, after?: Snapshot) {
  const field = pathOf(name);
  const where = `collection = ? AND ${field} <= ?`;
  if (after === undefined) return { field, where, values: [collection, until] };
  return {
    field,
    where: `${where} AND (${field}, id) > (?, ?)`,
    values: [collection, until, Number(indexedValue(after.fields, name)), after.id],
  };
}

/** Instants are kept as ms; a field that is undefined is left out. */
const encode = (fields: RawFields) =>
  JSON.stringify(
    Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, value instanceof Date ? value.getTime() : value]),
    ),
  );
