import { fieldsOf } from "./document.ts";
import { LONGEST_LIFETIME, LONGEST_RETRY_AFTER, MINUTE, SECOND, UNCHANGED_CODE } from "./time.ts";

/** What Webex grants (RFC 6749 §5.1). Everything but the access token may be missing or null. */
export interface Grant {
  accessToken: string;
  /** Seconds, counted from the start of the request. */
  expiresIn?: number;
  refreshToken?: string;
  /** Seconds. */
  refreshTokenExpiresIn?: number;
  scope?: string;
}

/** `code` of a 429: Webex asks to be asked less. */
export const RATE_LIMITED = "rate_limited";

/** Why there is no grant. `code` names it in logs and in `failure.code`; it never holds text from outside. */
export interface Refusal {
  code: string;
  /** True: asking again with the same credentials will not help. */
  permanent: boolean;
  /** ms that Webex asked to wait (`Retry-After`). */
  retryAfter?: number;
}

export type Verdict = { grant: Grant; refusal?: never } | { refusal: Refusal; grant?: never };

/** An answer of the token endpoint as it arrived; or why none did. */
export type EndpointAnswer =
  | { status: number; retryAfter?: string; body: string }
  | { error: "timeout" | "network" };

/** The token endpoint of Webex. It sends; `judge` decides what the answer means. */
export interface TokenEndpoint {
  /** Authorization code → tokens (RFC 6749 §4.1.3). */
  exchange(request: ExchangeRequest): Promise<EndpointAnswer>;
  /** Refresh token → tokens (RFC 6749 §6). `patient`: no reader waits, so a dropped request may be sent once more. */
  refresh(request: RefreshRequest, patient: boolean): Promise<EndpointAnswer>;
  /** A manager's access token → tokens of a Service App (`POST /v1/applications/{id}/token`). */
  issue(request: IssueRequest): Promise<EndpointAnswer>;
}

export interface IssueRequest {
  applicationId: string;
  clientId: string;
  clientSecret: string;
  targetOrg: string;
  /** The manager's: it holds `spark:applications_token`. */
  accessToken: string;
}

export interface RefreshRequest {
  clientId: string;
  clientSecret: string;
  refreshToken: string;
}

export interface ExchangeRequest {
  clientId: string;
  clientSecret: string;
  redirectUri: string;
  code: string;
  /** PKCE (RFC 7636 §4.5); absent: the state was made without. */
  verifier?: string;
}

/**
 * What an answer of the token endpoint means. A refusal is final only as JSON with a `final` status, in either of Webex's
 * two shapes, and only where it asks for no retry. Everything else is transient: an HTML page, a redirect, 403, 5xx, an
 * answer with `Retry-After`, and the error words of `TRANSIENT` whatever their status.
 */
export function judge(answer: EndpointAnswer, now: number, final: readonly number[] = [400, 401]): Verdict {
  if ("error" in answer) return refused(answer.error);
  const { status } = answer;
  const body = jsonOf(answer.body);
  const retryAfter = retryAfterOf(answer.retryAfter, now);
  if (status === 429) return refused(RATE_LIMITED, retryAfter ?? 0);
  const granted = GRANTED.includes(status);
  if (granted && body === undefined) return refused("not_json");
  if (body === undefined) return refused(`http_${status}`, retryAfter);
  if (granted && (tokenOf(body.access_token) !== undefined || wordOf(body) === undefined))
    return judgeGrant(body);
  // A refusal that came as 200 is judged by its error word, which some gateways do not turn into a status.
  const code = errorCode(body, status);
  const mayBeFinal = granted || final.includes(status);
  if (mayBeFinal && !TRANSIENT.includes(code) && !answer.retryAfter?.trim())
    return { refusal: { code, permanent: true } };
  return refused(mayBeFinal || TRANSIENT.includes(code) ? code : `http_${status}`, retryAfter);
}

/** 201 and 203 carry a grant as 200 does: the token exists, and asking again would only make another. */
const GRANTED = [200, 201, 203];

/** Error words that say "later" (RFC 6749 §4.1.2.1; RFC 8628 §3.5): never a reason to call a person. */
const TRANSIENT = ["temporarily_unavailable", "server_error", "slow_down"];

/**
 * Seconds or an HTTP date (RFC 9110 §10.2.3) → ms. Decimal seconds are rounded up, although the RFC has whole ones only.
 * `undefined`: absent or, as Webex sends at times, nonsense.
 */
export function retryAfterOf(header: string | undefined, now: number): number | undefined {
  const value = header?.trim();
  if (value === undefined || value === "") return undefined;
  if (/^\d+(\.\d+)?$/.test(value)) return Math.min(Math.ceil(Number(value)) * SECOND, LONGEST_RETRY_AFTER);
  // "rand(30),add(30)" was seen in public code: a template that was never filled in. It means 30 to 60 s.
  if (/^rand\(\d+\)/.test(value)) return MINUTE;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.min(Math.max(0, date - now), LONGEST_RETRY_AFTER);
}

/** The organization and cluster written into an access token, where its third part is an organization's id. */
export function ownerOf(accessToken: string): { orgId: string; cluster: string } | undefined {
  const [orgId, cluster] = accessToken.split("_").reverse();
  if (cluster === undefined || orgId === undefined || !UUID.test(orgId)) return undefined;
  return { orgId: orgId.toLowerCase(), cluster };
}

/**
 * The organization that a document's tokens belong to, in lower case: the recorded one where that is an organization's id,
 * else the one in the access token. `undefined`: unknown.
 */
export const organizationOf = ({ orgId = "", accessToken = "" }: { orgId?: string; accessToken?: string }) =>
  UUID.test(orgId) ? orgId.toLowerCase() : ownerOf(accessToken)?.orgId;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function judgeGrant(body: Record<string, unknown>): Verdict {
  const accessToken = tokenOf(body.access_token);
  if (accessToken === undefined) return refused("no_access_token");
  const expiresIn = secondsOf(body.expires_in);
  // A token without life could not be served, and every reader would ask for a refresh.
  if (expiresIn !== undefined && expiresIn < 1) return refused("no_lifetime");
  const refreshToken = tokenOf(body.refresh_token);
  const refreshTokenExpiresIn = secondsOf(body.refresh_token_expires_in);
  const scope = scopeOf(body.scope);
  return {
    grant: {
      accessToken,
      ...(expiresIn !== undefined && { expiresIn }),
      ...(refreshToken !== undefined && { refreshToken }),
      ...(refreshTokenExpiresIn !== undefined && refreshTokenExpiresIn > 0 && { refreshTokenExpiresIn }),
      ...(scope !== undefined && { scope }),
    },
  };
}

const refused = (code: string, retryAfter?: number): Verdict => ({
  refusal: { code, permanent: false, ...(retryAfter !== undefined && { retryAfter }) },
});

function jsonOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) || typeof value !== "object" || value === null ? undefined : fieldsOf(value);
  } catch {
    return undefined;
  }
}

/** The identity broker's `error` word (RFC 6749 §5.2), else the status. Other text of the answer is never kept. */
const errorCode = (body: Record<string, unknown>, status: number) => wordOf(body) ?? `http_${status}`;

function wordOf({ error }: Record<string, unknown>): string | undefined {
  const isWord = typeof error === "string" && /^[a-z_]{1,40}$/.test(error) && !OWN_WORDS.includes(error);
  return isWord ? error : undefined;
}

/** Codes that mean something else here. */
const OWN_WORDS = [RATE_LIMITED, UNCHANGED_CODE, "timeout", "network"];

/** A token as it can travel in a header (RFC 6750 §2.1); `undefined` where there is none. */
function tokenOf(value: unknown): string | undefined {
  const text = typeof value === "string" ? value.trim() : "";
  return text.length <= LONGEST_TEXT && /^[\x21-\x7e]+$/.test(text) ? text : undefined;
}

/** RFC 6749 §3.3. What a store could not hold must not keep a token from being stored. */
function scopeOf(value: unknown): string | undefined {
  const text = typeof value === "string" ? value.trim() : "";
  return text.length <= LONGEST_TEXT && /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}

/** Characters: more fits into no header. */
const LONGEST_TEXT = 16_384;

function secondsOf(value: unknown): number | undefined {
  if (typeof value === "string" && value.trim() === "") return undefined;
  const seconds = typeof value === "string" ? Number(value) : value;
  return typeof seconds === "number" && seconds <= LONGEST_LIFETIME / SECOND ? seconds : undefined;
}
