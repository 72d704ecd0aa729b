import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { AuthorizationRequest } from "./authorization-request.ts";
import type { Client } from "./client.ts";
import type { Database } from "./database.ts";
import { DEAD_REFRESH_TOKEN, Refusal } from "./refusal.ts";

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

/** `clock` gives ms since epoch. */
export interface Granter {
  db: Database;
  clock: () => number;
}

/** An authenticated client's try spends its code, even a wrong try: stricter than RFC 6749 asks. */
export function exchange(
  granter: Granter,
  client: Client,
  request: GrantRequest & { grantType: "authorization_code" },
): TokenResponse {
  const { db, clock } = granter;
  const sql = `UPDATE codes SET used_at = ? WHERE code = ? AND client_id = ? AND used_at IS NULL
    RETURNING request, expires`;
  const now = clock();
  const row = db.rows<{ request: string; expires: number }>(sql, now, request.code, client.clientId)[0];
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
  return newTokens(granter, client, asked.scope);
}

/** A live refresh token's tokens, as `mode` has it; any other token is a Refusal. */
export function refresh(
  granter: Granter,
  client: Client,
  refreshToken: string,
  mode: RefreshMode,
): TokenResponse {
  const { db, clock } = granter;
  return db.transaction(() => {
    const now = clock();
    const live =
      "SELECT scope, expires FROM refresh_tokens WHERE token = ? AND client_id = ? AND revoked = 0 AND expires > ?";
    const row = db.rows<{ scope: string; expires: number }>(live, refreshToken, client.clientId, now)[0];
    if (!row) throw new Refusal("invalid_request", DEAD_REFRESH_TOKEN);
    if (mode === "rotate") {
      db.change("UPDATE refresh_tokens SET revoked = 1 WHERE token = ?", refreshToken);
      return pair(granter, client, row.scope);
    }
    const held = mode === "same-token" ? latestAccess(db, refreshToken, now + 1000) : undefined;
    const access = held ?? newAccess(granter, client, refreshToken);
    return response(access, { token: refreshToken, expires: row.expires }, row.scope, now);
  });
}

/** A new access token and a new refresh token. */
export function newTokens(granter: Granter, client: Client, scope: string): TokenResponse {
  return granter.db.transaction(() => pair(granter, client, scope));
}

/** The caller holds the transaction. */
function pair(granter: Granter, client: Client, scope: string): TokenResponse {
  const { db, clock } = granter;
  const now = clock();
  const refresh = { token: newToken(client.orgId), expires: now + client.refreshLifetime * 1000 };
  const sql = "INSERT INTO refresh_tokens (token, client_id, scope, expires) VALUES (?, ?, ?, ?)";
  db.change(sql, refresh.token, client.clientId, scope, refresh.expires);
  return response(newAccess(granter, client, refresh.token), refresh, scope, now);
}

type Timed = { token: string; expires: number };

function newAccess({ db, clock }: Granter, client: Client, refreshToken: string): Timed {
  const access = { token: newToken(client.orgId), expires: clock() + client.accessLifetime * 1000 };
  const sql = "INSERT INTO access_tokens (token, client_id, refresh_token, expires) VALUES (?, ?, ?, ?)";
  db.change(sql, access.token, client.clientId, refreshToken, access.expires);
  return access;
}

/** The access token that lives longest, if it lives until `least` (ms since epoch). */
function latestAccess(db: Database, refreshToken: string, least: number): Timed | undefined {
  const sql = `SELECT token, expires FROM access_tokens WHERE refresh_token = ? AND revoked = 0
    AND expires >= ? ORDER BY expires DESC, rowid DESC LIMIT 1`;
  return db.rows<Timed>(sql, refreshToken, least)[0];
}

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
