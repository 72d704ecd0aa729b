import type { EndpointAnswer, ExchangeRequest, RefreshRequest } from "../../functions/core/grant.ts";
import { DAY, SECOND } from "../../functions/core/time.ts";

/** How a refresh departs from Webex's usual conduct. */
export type Conduct = "usual" | "same" | "rotate" | "omit";

/** When a token was asked for. */
export interface Asked {
  /** ms. */
  at: number;
  /** The clock of whoever asked was set a moment before: what it makes of the token's life is anybody's guess. */
  astray: boolean;
}

/** What somebody consented to; each consent, or import by an operator, begins a grant. */
interface Grant {
  name: string;
  /** ms: when it was asked for, and when it was made. */
  asked: number;
  made: number;
}

interface RefreshToken {
  grant: Grant;
  expires: number;
  revoked: boolean;
}

/** An access token as Webex knows it. */
export interface AccessToken {
  grant: Grant;
  refreshToken: string;
  asked: number;
  astray: boolean;
  made: number;
  expires: number;
}

const REFRESH_LIFETIME = 60 * DAY;

export type Authority = ReturnType<typeof makeAuthority>;

export interface AuthorityOptions {
  /** True time, in ms. */
  now(): number;
  /** Seconds that the access tokens of a client live. */
  lifetimeOf(name: string): number;
  /** A new consent ends the refresh tokens of those before it. */
  single: boolean;
}

/** Webex's token endpoint, in memory: true expiries, one client for each token name. */
export function makeAuthority({ now, lifetimeOf, single }: AuthorityOptions) {
  let made = 0;
  const secrets = new Map<string, string>();
  const codes = new Map<string, string>();
  const refreshTokens = new Map<string, RefreshToken>();
  const accessTokens = new Map<string, AccessToken>();

  const secretOf = (name: string) => secrets.get(name) ?? `secret-of-${name}`;
  const revoke = (name: string) => {
    for (const token of refreshTokens.values()) if (token.grant.name === name) token.revoked = true;
  };
  const newRefreshToken = (grant: Grant) => {
    const token = `refresh-${grant.name}-${++made}`;
    refreshTokens.set(token, { grant, expires: now() + REFRESH_LIFETIME, revoked: false });
    return token;
  };
  const newAccessToken = (refreshToken: string, grant: Grant, { at, astray }: Asked) => {
    const token = `access-${grant.name}-${++made}`;
    const expires = now() + lifetimeOf(grant.name) * SECOND;
    accessTokens.set(token, { grant, refreshToken, asked: at, astray, made: now(), expires });
    return token;
  };
  const issue = (name: string, asked: Asked) => {
    if (single) revoke(name);
    const grant = { name, asked: asked.at, made: now() };
    const refreshToken = newRefreshToken(grant);
    return { refreshToken, accessToken: newAccessToken(refreshToken, grant, asked) };
  };
  const latest = (refreshToken: string) =>
    [...accessTokens].findLast(
      ([, token]) => token.refreshToken === refreshToken && token.expires >= now() + SECOND,
    )?.[0];
  const answer = (accessToken: string, refreshToken: string): EndpointAnswer => ({
    status: 200,
    body: JSON.stringify({
      access_token: accessToken,
      expires_in: secondsLeft(accessTokens.get(accessToken)),
      refresh_token: refreshToken,
      refresh_token_expires_in: secondsLeft(refreshTokens.get(refreshToken)),
    }),
  });
  const secondsLeft = (token: { expires: number } | undefined) =>
    Math.floor(((token?.expires ?? 0) - now()) / SECOND);
  const refreshLives = (name: string, refreshToken: string) => {
    const token = refreshTokens.get(refreshToken);
    return token !== undefined && token.grant.name === name && !token.revoked && token.expires > now();
  };

  return {
    secretOf,
    /** The secret before is refused from now on. */
    renewSecret(name: string): void {
      secrets.set(name, `secret-${++made}-of-${name}`);
    },
    /** All refresh tokens end; access tokens live on. */
    revoke,
    /** A grant that was made elsewhere. */
    issue: (name: string) => issue(name, { at: now(), astray: false }),
    /** It was made a while ago: `left` ms are left of it. */
    age(accessToken: string, left: number): void {
      const token = accessTokens.get(accessToken);
      if (token !== undefined) token.expires = now() + left;
    },
    /** A person allowed it: serves once. */
    code(name: string): string {
      const code = `code-${++made}`;
      codes.set(code, name);
      return code;
    },
    exchange({ clientId, clientSecret, code }: ExchangeRequest, asked: Asked): EndpointAnswer {
      if (secretOf(clientId) !== clientSecret) return refusal("invalid_client");
      const name = codes.get(code);
      if (name !== clientId || !codes.delete(code)) return refusal("invalid_grant");
      const { accessToken, refreshToken } = issue(name, asked);
      return answer(accessToken, refreshToken);
    },
    refresh(request: RefreshRequest, conduct: Conduct, asked: Asked): EndpointAnswer {
      const { clientId, clientSecret, refreshToken } = request;
      if (secretOf(clientId) !== clientSecret) return refusal("invalid_client");
      const held = refreshTokens.get(refreshToken);
      if (held === undefined || !refreshLives(clientId, refreshToken)) return refusal("invalid_request");
      if (conduct === "rotate") held.revoked = true;
      const next = conduct === "rotate" ? newRefreshToken(held.grant) : refreshToken;
      const same = conduct === "same" ? latest(refreshToken) : undefined;
      const accessToken = same ?? newAccessToken(next, held.grant, asked);
      if (asked.astray) Object.assign(accessTokens.get(accessToken) ?? {}, { astray: true });
      if (conduct === "omit") return { status: 200, body: JSON.stringify({ access_token: accessToken }) };
      return answer(accessToken, next);
    },
    accessToken: (token: unknown) => accessTokens.get(String(token)),
    grantOf: (refreshToken: unknown) => refreshTokens.get(String(refreshToken))?.grant,
    /** Whether these credentials would be given a token now. */
    accepts: (name: string, clientSecret: unknown, refreshToken: unknown) =>
      clientSecret === secretOf(name) && refreshLives(name, String(refreshToken)),
  };
}

const refusal = (error: string): EndpointAnswer => ({
  status: 400,
  body: JSON.stringify({ error, error_description: "no" }),
});
