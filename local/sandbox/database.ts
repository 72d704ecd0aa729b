import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";

const APPLICATION_ID = 0x57425853;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS clients (client_id TEXT PRIMARY KEY, settings TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS consents (id TEXT PRIMARY KEY, request TEXT NOT NULL, expires INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS codes (code TEXT PRIMARY KEY, client_id TEXT NOT NULL, request TEXT NOT NULL,
    expires INTEGER NOT NULL, used_at INTEGER);
  CREATE TABLE IF NOT EXISTS refresh_tokens (token TEXT PRIMARY KEY, client_id TEXT NOT NULL,
    scope TEXT NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE IF NOT EXISTS access_tokens (token TEXT PRIMARY KEY, client_id TEXT NOT NULL,
    refresh_token TEXT NOT NULL, expires INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0);
  CREATE INDEX IF NOT EXISTS access_by_refresh ON access_tokens (refresh_token, expires);
  CREATE TABLE IF NOT EXISTS variables (org_id TEXT, id TEXT, variable TEXT NOT NULL, PRIMARY KEY (org_id, id));
  CREATE TABLE IF NOT EXISTS applications (application_id TEXT PRIMARY KEY, settings TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS counters (grant_type TEXT, tally TEXT, count INTEGER NOT NULL,
    PRIMARY KEY (grant_type, tally));
  PRAGMA application_id = ${APPLICATION_ID};`;

export type Database = ReturnType<typeof openDatabase>;

/** The sandbox's tables in `file`. A file that cannot be read or written throws an Error that names it. */
export function openDatabase(file: string) {
  const db = named(file, () => open(file));
  return {
    rows<Row>(sql: string, ...values: SQLInputValue[]): Row[] {
      return named(file, () => db.prepare(sql).all(...values) as Row[]);
    },
    /** How many rows were changed. */
    change(sql: string, ...values: SQLInputValue[]): number {
      return named(file, () => Number(db.prepare(sql).run(...values).changes));
    },
    /** All of `work`, or nothing of it where it throws. */
    transaction<T>(work: () => T): T {
      named(file, () => db.exec("BEGIN IMMEDIATE"));
      try {
        const result = work();
        named(file, () => db.exec("COMMIT"));
        return result;
      } catch (error) {
        if (db.isTransaction) db.exec("ROLLBACK");
        throw error;
      }
    },
    close(): void {
      if (db.isOpen) db.close();
    },
  };
}

/** SQLite's own messages ("file is not a database") leave out which file. */
function named<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`the sandbox's database ${file} cannot be used: ${reason}`);
  }
}

function open(file: string): DatabaseSync {
  if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true });
  const db = new DatabaseSync(file, { timeout: 5000 });
  try {
    const tables = db.prepare("SELECT count(*) AS count FROM sqlite_schema").get()?.count;
    const id = db.prepare("PRAGMA application_id").get()?.application_id;
    if (tables !== 0 && id !== APPLICATION_ID) throw new Error("it holds something else's tables");
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT`); // writes, so that a read-only file is found out now
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
