import { DatabaseSync } from "node:sqlite";
import pLimit from "p-limit";
import { openFirestore } from "../functions/adapters/firestore.ts";
import { openSqlite } from "../functions/adapters/sqlite.ts";
import type { RawFields } from "../functions/core/document.ts";
import type { DocumentStore } from "../functions/core/store.ts";
import { freshProject } from "../test/support/emulator.ts";

const HOUR = 3_600_000;
/** Seconds that a contact-centre token lives. */
const LIFETIME = 43_199;

/** Documents by name. */
export type Tokens = Record<string, RawFields>;

/** A token with `hours` of its twelve left, and when it is due: in `dueIn` hours, or since (below 0). */
export function tokenDocument(name: string, hours: number, dueIn: number): RawFields {
  const now = Date.now();
  const secret = Buffer.from(`${name} of the bench`.padEnd(63, ".")).toString("base64url");
  return {
    clientId: `C${name}`,
    clientSecret: secret.slice(0, 64),
    redirectUri: "https://example.com/callback",
    accessToken: `${secret}_PF84_11111111-2222-3333-4444-555555555555`,
    accessExpires: now + hours * HOUR,
    refreshToken: `refresh-${secret}`,
    refreshExpires: now + 60 * 24 * HOUR,
    lastRefresh: now - (12 - hours) * HOUR,
    lifetime: LIFETIME,
    refreshAt: now + Math.round(dueIn * HOUR),
    scope: "cjp:config_read cjp:config_write",
  };
}

/** Far from its end. */
export const liveToken = (name: string) => tokenDocument(name, 11, 8);
/** An hour left: below the threshold, and due for a minute. */
export const dueToken = (name: string) => tokenDocument(name, 1, -1 / 60);

/** A store that functions reach through `env` and this process through `open`. */
export interface Place {
  env: Record<string, string>;
  open(): DocumentStore;
}

/** A SQLite file with these tokens, all put there in one transaction. */
export async function sqlitePlace(file: string, tokens: Tokens): Promise<Place> {
  await openSqlite(file, Date.now).close();
  const database = new DatabaseSync(file);
  const insert = database.prepare("INSERT INTO documents VALUES ('tokens', ?, ?, 1, ?)");
  database.exec("BEGIN");
  for (const [name, fields] of Object.entries(tokens)) insert.run(name, JSON.stringify(fields), Date.now());
  database.exec("COMMIT");
  database.close();
  return { env: { STORE: file }, open: () => openSqlite(file, Date.now) };
}

/** A project of its own in the emulator, with these tokens. */
export async function firestorePlace(emulator: string, tokens: Tokens): Promise<Place> {
  const project = freshProject();
  // Google's library reads these; it looks for a metadata server although the emulator wants no credentials.
  const here = { FIRESTORE_EMULATOR_HOST: emulator, METADATA_SERVER_DETECTION: "none" };
  Object.assign(process.env, here);
  const open = () => openFirestore({ project, database: "(default)" });
  const store = open();
  const limit = pLimit(50);
  const puts = Object.entries(tokens).map(([name, fields]) =>
    limit(() => store.create("tokens", name, fields)),
  );
  await Promise.all(puts);
  await store.close();
  return { env: { GOOGLE_CLOUD_PROJECT: project, ...here }, open };
}
