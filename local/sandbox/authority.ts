import { randomBytes } from "node:crypto";
import { type Application, checkedApplication } from "./application.ts";
import type { AuthorizationRequest } from "./authorization-request.ts";
import { type Client, checkedClient } from "./client.ts";
import { addOne, type CountedGrant, type Counters, readCounters, type Tally } from "./counters.ts";
import { type Database, openDatabase } from "./database.ts";
import {
  exchange,
  type Granter,
  type GrantRequest,
  newTokens,
  type RefreshMode,
  refresh,
  type TokenResponse,
} from "./grants.ts";
import { InputError } from "./input.ts";
import { Refusal } from "./refusal.ts";
import { checkedVariable, type Variable } from "./variable.ts";

/** What its methods take and give. */
export type { Client, Counters, TokenResponse };

const CODE_LIFETIME = 600_000; // ms; RFC 6749 §4.1.2 recommends ten minutes at most

/** The state of a stand-in for Webex: it survives a restart, and several processes may share the file. */
export class Authority {
  readonly #clock: () => number;
  readonly #db: Database;
  readonly #granter: Granter;

  /** `clock` gives ms since epoch. A file that cannot be read or written throws an Error that names it. */
  constructor(file: string, clock: () => number) {
    this.#clock = clock;
    this.#db = openDatabase(file);
    this.#granter = { db: this.#db, clock };
  }

  /** Registers or replaces a client; codes and tokens already given stay as they are. */
  registerClient(client: Client): void {
    const good = checkedClient(client);
    this.#db.change("INSERT OR REPLACE INTO clients VALUES (?, ?)", good.clientId, JSON.stringify(good));
  }

  client(clientId: string): Client | undefined {
    const sql = "SELECT settings FROM clients WHERE client_id = ?";
    const row = this.#db.rows<{ settings: string }>(sql, clientId)[0];
    return row && (JSON.parse(row.settings) as Client);
  }

  clients(): Client[] {
    const rows = this.#db.rows<{ settings: string }>("SELECT settings FROM clients ORDER BY client_id");
    return rows.map((row) => JSON.parse(row.settings) as Client);
  }

  /** Tokens for all of a client's scopes without anybody's consent; unknown client: InputError. */
  issue(clientId: string): TokenResponse {
    const client = this.client(clientId);
    if (!client) throw new InputError("clientId", "no such client");
    return newTokens(this.#granter, client, client.scopes.join(" "));
  }

  /** Remembers what a person is being asked, for ten minutes; returns the id that their answer must bear. */
  ask(request: AuthorizationRequest): string {
    const id = randomBytes(32).toString("base64url");
    const expires = this.#clock() + CODE_LIFETIME;
    this.#db.change("INSERT INTO consents VALUES (?, ?, ?)", id, JSON.stringify(request), expires);
    return id;
  }

  /** A person's answer, taken once: the request and, if allowed, its code. Undefined: not asked, or too late. */
  answer(id: string, allowed: boolean): { request: AuthorizationRequest; code?: string } | undefined {
    return this.#db.transaction(() => {
      const asked = "DELETE FROM consents WHERE id = ? RETURNING request, expires";
      const row = this.#db.rows<{ request: string; expires: number }>(asked, id)[0];
      if (!row || row.expires <= this.#clock()) return undefined;
      const request = JSON.parse(row.request) as AuthorizationRequest;
      if (!allowed) return { request };
      const code = randomBytes(32).toString("hex");
      const expires = this.#clock() + CODE_LIFETIME;
      const given = "INSERT INTO codes VALUES (?, ?, ?, ?, NULL)";
      this.#db.change(given, code, request.clientId, row.request, expires);
      return { request, code };
    });
  }

  /** Judges a token request; throws a Refusal. `mode` bends refreshes only. */
  grant(request: GrantRequest, mode: RefreshMode = "usual"): TokenResponse {
    const client = this.client(request.clientId);
    if (client?.clientSecret !== request.clientSecret) {
      throw new Refusal("invalid_client", "The client id or client secret is wrong.");
    }
    if (request.grantType === "refresh_token")
      return refresh(this.#granter, client, request.refreshToken, mode);
    return exchange(this.#granter, client, request);
  }

  /** Whose access token this is, what it allows, and whether it lives; undefined for one never issued. */
  holder(accessToken: string): { client: Client; scopes: string[]; live: boolean } | undefined {
    const sql = `SELECT a.client_id, a.expires, a.revoked, r.scope FROM access_tokens a
      JOIN refresh_tokens r ON r.token = a.refresh_token WHERE a.token = ?`;
    type Row = { client_id: string; expires: number; revoked: number; scope: string };
    const row = this.#db.rows<Row>(sql, accessToken)[0];
    const client = row && this.client(row.client_id);
    if (!client) return undefined;
    return { client, scopes: row.scope.split(" "), live: !row.revoked && row.expires > this.#clock() };
  }

  /** Makes or replaces a global variable of an organization's contact centre. */
  putVariable(orgId: string, input: unknown): void {
    const variable = checkedVariable(input);
    const sql = "INSERT OR REPLACE INTO variables VALUES (?, ?, ?)";
    this.#db.change(sql, orgId, variable.id, JSON.stringify(variable));
  }

  variable(orgId: string, id: string): Variable | undefined {
    return this.variables().find((one) => one.orgId === orgId && one.variable.id === id)?.variable;
  }

  variables(): { orgId: string; variable: Variable }[] {
    const sql = "SELECT org_id, variable FROM variables ORDER BY org_id, id";
    const rows = this.#db.rows<{ org_id: string; variable: string }>(sql);
    return rows.map((row) => ({ orgId: row.org_id, variable: JSON.parse(row.variable) as Variable }));
  }

  /** Makes or replaces a Service App; its client is registered by itself. */
  registerApplication(input: unknown): void {
    const application = checkedApplication(input);
    const { applicationId } = application;
    const sql = "INSERT OR REPLACE INTO applications VALUES (?, ?)";
    this.#db.change(sql, applicationId, JSON.stringify(application));
  }

  application(applicationId: string): Application | undefined {
    const sql = "SELECT settings FROM applications WHERE application_id = ?";
    const row = this.#db.rows<{ settings: string }>(sql, applicationId)[0];
    return row && (JSON.parse(row.settings) as Application);
  }

  /** Ends tokens before their time, of one client or of all; returns how many lived until then. */
  revoke(what: { clientId?: string; refreshTokens?: boolean; accessTokens?: boolean } = {}) {
    const { clientId, refreshTokens = true, accessTokens = false } = what;
    if (clientId !== undefined && !this.client(clientId)) throw new InputError("clientId", "no such client");
    const end = (table: "refresh_tokens" | "access_tokens") =>
      this.#db.change(
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
    addOne(this.#db, grantType, tally);
  }

  counters(): Counters {
    return readCounters(this.#db);
  }

  resetCounters(): void {
    this.#db.change("DELETE FROM counters");
  }

  close(): void {
    this.#db.close();
  }
}
