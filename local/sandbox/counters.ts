import type { Database } from "./database.ts";

export type Tally = "received" | "granted" | "refused" | "faulted";
/** `other` is a request whose grant type was missing, unknown or unreadable. */
export type CountedGrant = "authorization_code" | "refresh_token" | "service_app" | "other";
/** Requests at the token endpoint, and for tokens of Service Apps. `faulted`: a fault answered in the authority's stead, and nothing changed. */
export type Counters = Record<CountedGrant, Record<Tally, number>>;

export function addOne(db: Database, grantType: CountedGrant, tally: Tally): void {
  const sql = "INSERT INTO counters VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1";
  db.change(sql, grantType, tally);
}

export function readCounters(db: Database): Counters {
  const none = () => ({ received: 0, granted: 0, refused: 0, faulted: 0 });
  const counters: Counters = {
    authorization_code: none(),
    refresh_token: none(),
    service_app: none(),
    other: none(),
  };
  type Row = { grant_type: CountedGrant; tally: Tally; count: number };
  for (const row of db.rows<Row>("SELECT * FROM counters")) counters[row.grant_type][row.tally] = row.count;
  return counters;
}
