import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";

/** A registered integration. Lifetimes are seconds; `redirectUris` may be empty (a Service App has none). */
export interface Client {
  clientId: string;
  clientSecret: string;
  redirectUris: string[];
  scopes: string[];
  orgId: string;
  accessLifetime: number;
  refreshLifetime: number;
  requirePkce?: boolean;
}

/** What a person is asked to allow. `challenge` is the PKCE S256 challenge (RFC 7636 §4.3). */
export interface AuthorizationRequest {
  clientId: string;
  redirectUri: string;
  scope: string;
  state: string;
  challenge?: string;
}

/** A token request whose parameters are well formed; whether they are true is for the authority to say. */
export type GrantRequest = { clientId: string; clientSecret: string } & (
  | { grantType: "authorization_code"; code: string; redirectUri: string; verifier?: string }
  | { grantType: "refresh_token"; refreshToken: string }
);

/** The token endpoint's success body (RFC 6749 §5.1); both `expires_in` are seconds, rounded down. */
export interface TokenResponse {
  access_token: string;
  expires_in: number;
  refresh_token: string;
  refresh_token_expires_in: number;
  token_type: "Bearer";
  scope: string;
}

/** How a refresh departs from Webex's usual conduct: the same access token again, or a new refresh token. */
export type RefreshMode = "usual" | "same-token" | "rotate";

type Tally = "received" | "granted" | "refused" | "faulted";
/** `other` is a request whose grant type was missing, unknown or unreadable. */
export type CountedGrant = "authorization_code" | "refresh_token" | "other";
/** Requests at the token endpoint. `faulted`: a fault answered in the authority's stead, and nothing changed. */
export type Counters = Record<CountedGrant, Record<Tally, number>>;

export type RefusalCode = "invalid_request" | "invalid_client" | "invalid_grant" | "unsupported_grant_type";

/** The authority says no (RFC 6749 §5.2). The message is the public `error_description`. */
export class Refusal extends Error {
  readonly code: RefusalCode;
  constructor(code: RefusalCode, description: string) {
    super(description);
    this.code = code;
  }
}

/** A setting given to the sandbox is unusable; the message begins with `field`. */
export class InputError extends Error {
  readonly field: string;
  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`);
    this.field = field;
  }
}

/** Word for word what Webex's identity broker says of an expired, revoked or unknown refresh token. */
export const DEAD_REFRESH_TOKEN = "The refresh token provided is expired, revoked, malformed, or invalid.";

const CODE_LIFETIME = 600_000; // ms; RFC 6749 §4.1.2 recommends ten minutes at most
const LONGEST_LIFETIME = 315_360_000; // s, ten years
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
  CREATE TABLE IF NOT EXISTS counters (grant_type TEXT, tally TEXT, count INTEGER NOT NULL,
    PRIMARY KEY (grant_type, tally));
  PRAGMA application_id = ${APPLICATION_ID};`;

/** `input` as an object that holds none but the `allowed` fields; else an InputError. */
export function objectWith(input: unknown, allowed: readonly string[]): Record<string, unknown> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw new InputError("body", "must be a JSON object");
  }
  const unknown = Object.keys(input).find((name) => !allowed.includes(name));
  if (unknown !== undefined) throw new InputError(unknown.slice(0, 60), "is not a known field");
  return { ...input };
}

/** A copy of `input` as a client, every field checked; throws an InputError that names the first bad one. */
export function checkedClient(input: unknown): Client {
  const it = objectWith(input, [
    ...["clientId", "clientSecret", "redirectUris", "scopes", "orgId"],
    ...["accessLifetime", "refreshLifetime", "requirePkce"],
  ]);
  const text = (field: string, pattern: RegExp, rule: string) => {
    const value = it[field];
    if (typeof value !== "string" || !pattern.test(value)) throw new InputError(field, rule);
    return value;
  };
  const list = (field: string, least: number, good: (item: string) => boolean, rule: string) => {
    const value: unknown = it[field];
    const whole = Array.isArray(value) && value.length >= least && new Set(value).size === value.length;
    if (!whole || !value.every((item) => typeof item === "string" && good(item))) {
      throw new InputError(field, rule);
    }
    return [...value] as string[];
  };
  const seconds = (field: string) => {
    const value = it[field];
    const good = Number.isSafeInteger(value) && Number(value) > 0 && Number(value) <= LONGEST_LIFETIME;
    if (!good) throw new InputError(field, "must be whole seconds, more than 0");
    return Number(value);
  };
  if (it.requirePkce !== undefined && typeof it.requirePkce !== "boolean") {
    throw new InputError("requirePkce", "must be true or false");
  }
  return {
    clientId: text("clientId", /^[\x21-\x7e]{1,200}$/, "must be 1 to 200 printable characters"),
    clientSecret: text("clientSecret", /^[\x21-\x7e]{1,200}$/, "must be 1 to 200 printable characters"),
    redirectUris: list("redirectUris", 0, isRedirectUri, "must be distinct http(s) URIs without a fragment"),
    scopes: list("scopes", 1, isScope, "must be one or more distinct scopes (RFC 6749 §3.3)"),
    orgId: text("orgId", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, "must be a UUID"),
    accessLifetime: seconds("accessLifetime"),
    refreshLifetime: seconds("refreshLifetime"),
    ...(it.requirePkce === undefined ? {} : { requirePkce: it.requirePkce }),
  };
}

const isScope = (scope: string) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope);
const isRedirectUri = (uri: string) =>
  /^https?:\/\/([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d+)?([/?][\x21\x22\x24-\x7e]*)?$/.test(uri) &&
  URL.canParse(uri);

/** The state of a stand-in for Webex: it survives a restart, and several processes may share the file. */
export class Authority {
  readonly #file: string;
  readonly #clock: () => number;
  readonly #db: DatabaseSync;

  /** `clock` gives ms since epoch. A file that cannot be read or written throws an Error that names it. */
  constructor(file: string, clock: () => number) {
    this.#file = file;
    this.#clock = clock;
    this.#db = this.#named(() => open(file));
  }

  /** Registers or replaces a client; codes and tokens already given stay as they are. */
  registerClient(client: Client): void {
    const good = checkedClient(client);
    this.#change("INSERT OR REPLACE INTO clients VALUES (?, ?)", good.clientId, JSON.stringify(good));
  }

  client(clientId: string): Client | undefined {
    const row = this.#rows<{ settings: string }>(
      "SELECT settings FROM clients WHERE client_id = ?",
      clientId,
    )[0];
    return row && (JSON.parse(row.settings) as Client);
  }

  clients(): Client[] {
    const rows = this.#rows<{ settings: string }>("SELECT settings FROM clients ORDER BY client_id");
    return rows.map((row) => JSON.parse(row.settings) as Client);
  }

  /** Tokens for all of a client's scopes without anybody's consent; unknown client: InputError. */
  issue(clientId: string): TokenResponse {
    const client = this.client(clientId);
    if (!client) throw new InputError("clientId", "no such client");
    return this.#transaction(() => this.#grant(client, client.scopes.join(" ")));
  }

  /** Remembers what a person is being asked, for ten minutes; returns the id that their answer must bear. */
  ask(request: AuthorizationRequest): string {
    const id = randomBytes(32).toString("base64url");
    this.#change(
      "INSERT INTO consents VALUES (?, ?, ?)",
      id,
      JSON.stringify(request),
      this.#clock() + CODE_LIFETIME,
    );
    return id;
  }

  /** A person's answer, taken once: the request and, if allowed, its code. Undefined: not asked, or too late. */
  answer(id: string, allowed: boolean): { request: AuthorizationRequest; code?: string } | undefined {
    return this.#transaction(() => {
      const sql = "DELETE FROM consents WHERE id = ? RETURNING request, expires";
      const row = this.#rows<{ request: string; expires: number }>(sql, id)[0];
      if (!row || row.expires <= this.#clock()) return undefined;
      const request = JSON.parse(row.request) as AuthorizationRequest;
      if (!allowed) return { request };
      const code = randomBytes(32).toString("hex");
      const expires = this.#clock() + CODE_LIFETIME;
      this.#change(
        "INSERT INTO codes VALUES (?, ?, ?, ?, NULL)",
        code,
        request.clientId,
        row.request,
        expires,
      );
      return { request, code };
    });
  }

  /** Judges a token request; throws a Refusal. `mode` bends refreshes only. */
  grant(request: GrantRequest, mode: RefreshMode = "usual"): TokenResponse {
    const client = this.client(request.clientId);
    if (client?.clientSecret !== request.clientSecret) {
      throw new Refusal("invalid_client", "The client id or client secret is wrong.");
    }
    if (request.grantType === "refresh_token") return this.#refresh(client, request.refreshToken, mode);
    return this.#exchange(client, request);
  }

  /** Whose access token this is, and whether it lives; undefined for one never issued. */
  holder(accessToken: string): { client: Client; live: boolean } | undefined {
    const sql = "SELECT client_id, expires, revoked FROM access_tokens WHERE token = ?";
    const row = this.#rows<{ client_id: string; expires: number; revoked: number }>(sql, accessToken)[0];
    const client = row && this.client(row.client_id);
    return client && { client, live: !row.revoked && row.expires > this.#clock() };
  }

  /** Ends tokens before their time, of one client or of all; returns how many lived until then. */
  revoke(what: { clientId?: string; refreshTokens?: boolean; accessTokens?: boolean } = {}) {
    const { clientId, refreshTokens = true, accessTokens = false } = what;
    if (clientId !== undefined && !this.client(clientId)) throw new InputError("clientId", "no such client");
    const end = (table: "refresh_tokens" | "access_tokens") =>
      this.#change(
        `UPDATE ${table} SET revoked = 1 WHERE revoked = 0 AND expires > ? AND (?2 IS NULL OR client_id = ?2)`,
        this.#clock(),
        clientId ?? null,
      );
    return {
      refreshTokens: refreshTokens ? end("refresh_tokens") : 0,
      accessTokens: accessTokens ? end("access_tokens") : 0,
    };
  }

  count(grantType: CountedGrant, tally: Tally): void {
    const sql = "INSERT INTO counters VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1";
    this.#change(sql, grantType, tally);
  }

  counters(): Counters {
    const none = () => ({ received: 0, granted: 0, refused: 0, faulted: 0 });
    const counters: Counters = { authorization_code: none(), refresh_token: none(), other: none() };
    type Row = { grant_type: CountedGrant; tally: Tally; count: number };
    for (const row of this.#rows<Row>("SELECT * FROM counters"))
      counters[row.grant_type][row.tally] = row.count;
    return counters;
  }

  resetCounters(): void {
    this.#change("DELETE FROM counters");
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
  }

  /** An authenticated client's try spends its code, even a wrong try: stricter than RFC 6749 asks. */
  #exchange(client: Client, request: GrantRequest & { grantType: "authorization_code" }): TokenResponse {
    const sql = `UPDATE codes SET used_at = ? WHERE code = ? AND client_id = ? AND used_at IS NULL
      RETURNING request, expires`;
    const now = this.#clock();
    const row = this.#rows<{ request: string; expires: number }>(sql, now, request.code, client.clientId)[0];
    if (!row || row.expires <= now) {
      throw new Refusal("invalid_grant", "The authorization code is expired, used, malformed, or invalid.");
    }
    const asked = JSON.parse(row.request) as AuthorizationRequest;
    if (asked.redirectUri !== request.redirectUri) {
      throw new Refusal("invalid_grant", "redirect_uri is not the one that the code was issued to.");
    }
    const proof = request.verifier && createHash("sha256").update(request.verifier).digest("base64url");
    if (proof !== asked.challenge) {
      throw new Refusal("invalid_grant", "code_verifier does not fit the code's challenge.");
    }
    return this.#transaction(() => this.#grant(client, asked.scope));
  }

  #refresh(client: Client, refreshToken: string, mode: RefreshMode): TokenResponse {
    return this.#transaction(() => {
      const now = this.#clock();
      const live =
        "SELECT scope, expires FROM refresh_tokens WHERE token = ? AND client_id = ? AND revoked = 0 AND expires > ?";
      const row = this.#rows<{ scope: string; expires: number }>(live, refreshToken, client.clientId, now)[0];
      if (!row) throw new Refusal("invalid_request", DEAD_REFRESH_TOKEN);
      if (mode === "rotate") {
        this.#change("UPDATE refresh_tokens SET revoked = 1 WHERE token = ?", refreshToken);
        return this.#grant(client, row.scope);
      }
      const latest = `SELECT token, expires FROM access_tokens WHERE refresh_token = ? AND revoked = 0
        AND expires >= ? ORDER BY expires DESC, rowid DESC LIMIT 1`;
      type Access = { token: string; expires: number };
      const held =
        mode === "same-token" ? this.#rows<Access>(latest, refreshToken, now + 1000)[0] : undefined;
      const access = held ?? this.#access(client, refreshToken);
      return response(access, { token: refreshToken, expires: row.expires }, row.scope, now);
    });
  }

  /** A new pair of tokens; the caller holds the transaction. */
  #grant(client: Client, scope: string): TokenResponse {
    const now = this.#clock();
    const refresh = { token: newToken(client.orgId), expires: now + client.refreshLifetime * 1000 };
    const sql = "INSERT INTO refresh_tokens (token, client_id, scope, expires) VALUES (?, ?, ?, ?)";
    this.#change(sql, refresh.token, client.clientId, scope, refresh.expires);
    return response(this.#access(client, refresh.token), refresh, scope, now);
  }

  #access(client: Client, refreshToken: string) {
    const access = { token: newToken(client.orgId), expires: this.#clock() + client.accessLifetime * 1000 };
    const sql = "INSERT INTO access_tokens (token, client_id, refresh_token, expires) VALUES (?, ?, ?, ?)";
    this.#change(sql, access.token, client.clientId, refreshToken, access.expires);
    return access;
  }

  #rows<Row>(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#named(() => this.#db.prepare(sql).all(...values) as Row[]);
  }

  #change(sql: string, ...values: SQLInputValue[]): number {
    return this.#named(() => Number(this.#db.prepare(sql).run(...values).changes));
  }

  #transaction<T>(work: () => T): T {
    this.#named(() => this.#db.exec("BEGIN IMMEDIATE"));
    try {
      const result = work();
      this.#named(() => this.#db.exec("COMMIT"));
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  /** SQLite's own messages ("file is not a database") leave out which file. */
  #named<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`the sandbox's database ${this.#file} cannot be used: ${reason}`);
    }
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

type Timed = { token: string; expires: number };

function response(access: Timed, refresh: Timed, scope: string, now: number): TokenResponse {
  return {
    access_token: access.token,
    expires_in: Math.floor((access.expires - now) / 1000),
    refresh_token: refresh.token,
    refresh_token_expires_in: Math.floor((refresh.expires - now) / 1000),
    token_type: "Bearer",
    scope,
  };
}

/** As Webex's: 64 characters (base64 of 48, so never `_`), the cluster, the organization; 106 in all. */
function newToken(orgId: string): string {
  const secret = Buffer.from(randomUUID() + randomBytes(6).toString("hex")).toString("base64");
  return `${secret}_PF84_${orgId}`;
}
