import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { Authority, type TokenResponse } from "../../local/sandbox/authority.ts";
import type { FaultRequest } from "../../local/sandbox/faults.ts";

/** Seconds that every token lives. */
export const LIFETIME = 60;
/** ms that the sandbox may take to do as it is told. */
const PATIENCE = 30_000;
const ORGANIZATION = "11111111-2222-3333-4444-555555555555";
const REDIRECT_URI = "https://example.com/callback";
/** In every client secret: no log may hold it. */
export const SECRET_MARK = "canary-client-secret";

export const secretOf = (name: string) => `${SECRET_MARK}-${name}`;

/** The sandbox's own file, which this process reads and writes beside the sandbox. */
export interface Records {
  /** Registers a client of the token's name, and grants it tokens; the access token lives `lifetime` s. */
  enrol(name: string, lifetime: number): TokenResponse;
  /** New tokens, as after a person's consent. */
  consent(name: string): TokenResponse;
  /** ms: until when the authority takes this access token; `undefined`: it never gave it to this client. */
  endOf(name: string, accessToken: string): number | undefined;
  close(): void;
}

export function openRecords(file: string): Records {
  const authority = new Authority(file, Date.now);
  const database = new DatabaseSync(file, { readOnly: true });
  const ends = database.prepare(
    "SELECT expires FROM access_tokens WHERE token = ? AND client_id = ? AND revoked = 0",
  );
  const register = (name: string, accessLifetime: number) =>
    authority.registerClient({
      clientId: name,
      clientSecret: secretOf(name),
      redirectUris: [REDIRECT_URI],
      scopes: ["cjp:config_read"],
      orgId: ORGANIZATION,
      accessLifetime,
      refreshLifetime: 60 * 24 * 60 * 60,
    });
  return {
    enrol(name, lifetime) {
      register(name, lifetime);
      const tokens = authority.issue(name);
      register(name, LIFETIME);
      return tokens;
    },
    consent: (name) => authority.issue(name),
    endOf(name, accessToken) {
      const row = ends.get(accessToken, name);
      return row && Number(row.expires);
    },
    close() {
      database.close();
      authority.close();
    },
  };
}

/** What a token's document holds after a grant, as setup writes it. */
export function documentOf(name: string, tokens: TokenResponse) {
  const now = Date.now();
  const accessExpires = now + tokens.expires_in * 1000;
  return {
    clientId: name,
    clientSecret: secretOf(name),
    redirectUri: REDIRECT_URI,
    accessToken: tokens.access_token,
    accessExpires,
    refreshToken: tokens.refresh_token,
    refreshExpires: now + tokens.refresh_token_expires_in * 1000,
    lastRefresh: now,
    authorizedAt: now,
    lifetime: LIFETIME,
    scope: tokens.scope,
    // Half a life, and an eighth ahead of it: when the refresher itself would have its turn.
    refreshAt: accessExpires - LIFETIME * 625,
  };
}

/** Tells a running sandbox to misbehave, or to stop that. */
export function faultsOf(url: string) {
  const send = async (method: string, body?: object) => {
    const signal = AbortSignal.timeout(PATIENCE);
    // A connection of its own: one that was kept may be closed just as it is used again.
    const sending = request(`${url}/sandbox/faults`, { method, agent: false, signal });
    sending.end(body && JSON.stringify(body));
    const [answer] = (await once(sending, "response")) as [IncomingMessage];
    const told = await text(answer);
    if (answer.statusCode !== 200) throw new Error(`the sandbox answered ${answer.statusCode}: ${told}`);
  };
  return { add: (fault: FaultRequest) => send("PUT", fault), clear: () => send("DELETE") };
}
