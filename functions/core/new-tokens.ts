import type { ServiceApp } from "./document.ts";
import {
  judge,
  organizationOf,
  ownerOf,
  RATE_LIMITED,
  type RefreshRequest,
  type Refusal,
  type Verdict,
} from "./grant.ts";
import type { Gate } from "./pauses.ts";
import type { Refresher } from "./refresh.ts";
import { type StoredToken, StoreUnavailable } from "./store.ts";
import { lifeOf } from "./time.ts";

type Asker = Pick<Refresher, "store" | "endpoint" | "runtime" | "log" | "pauses">;

/**
 * Asks Webex for new tokens: with the refresh token, and where that is refused for good, or missing, as the Service App
 * that the token names. A grant for another organization is a refusal: only a consent changes the organization.
 * `patient`: no reader waits, so a dropped refresh may be sent once more.
 */
export async function newTokens(
  token: StoredToken,
  patient: boolean,
  asker: Asker,
  gate: Gate,
): Promise<Verdict> {
  const verdict = await anyTokens(token, patient, asker, gate);
  const before = organizationOf(token.document);
  const granted = ownerOf(verdict.grant?.accessToken ?? "")?.orgId;
  const isForeign = before !== undefined && granted !== undefined && granted !== before;
  return isForeign ? { refusal: { code: "foreign_organization", permanent: true } } : verdict;
}

async function anyTokens(token: StoredToken, patient: boolean, asker: Asker, gate: Gate): Promise<Verdict> {
  for (const [field, reason] of Object.entries(token.unopened))
    asker.log("token.unopened", { token: token.name, field, reason });
  const { serviceApp } = token.document;
  const client = clientOf(token);
  if ("refusal" in client) return client;
  const { name } = token;
  if (serviceApp !== undefined && isKnownDead(token)) return asServiceApp(name, serviceApp, client, asker);
  const verdict = await byRefreshToken(token, client, patient, asker, gate);
  if (serviceApp === undefined || !verdict.refusal?.permanent) return verdict;
  return asServiceApp(name, serviceApp, client, asker);
}

type Client = Pick<RefreshRequest, "clientId" | "clientSecret">;

function clientOf({ document, mistyped, unopened }: StoredToken): Client | { refusal: Refusal } {
  const { clientId, clientSecret } = document;
  const [sealed] = Object.keys(unopened);
  // It is the keys that are wrong: with the right ones all is well again.
  if (sealed !== undefined) return { refusal: { code: `unopened_${sealed}`, permanent: false } };
  if (!isUsable(clientId)) return lacking("clientId", clientId, mistyped);
  if (!isUsable(clientSecret)) return lacking("clientSecret", clientSecret, mistyped);
  return { clientId, clientSecret };
}

async function byRefreshToken(
  { document: { refreshToken }, mistyped }: StoredToken,
  client: Client,
  patient: boolean,
  { endpoint, runtime }: Asker,
  gate: Gate,
): Promise<Verdict> {
  if (!isUsable(refreshToken)) return lacking("refreshToken", refreshToken, mistyped);
  const verdict = judge(await endpoint.refresh({ ...client, refreshToken }, patient), runtime.now());
  gate.leave(endingOf(verdict));
  return verdict;
}

function endingOf({ refusal }: Verdict): Parameters<Gate["leave"]>[0] {
  if (refusal?.code === RATE_LIMITED) return { throttled: refusal.retryAfter ?? 0 };
  return refusal?.code === "timeout" || refusal?.code === "network" ? "unknown" : "answered";
}

/** RFC 6749 appendix A: a line break, a space or an accent came along with a copy. */
const isUsable = (value: string | undefined): value is string =>
  value !== undefined && /^[\x21-\x7e]+$/.test(value);

function lacking(field: string, value: string | undefined, mistyped: string[]): { refusal: Refusal } {
  const problem = value !== undefined || mistyped.includes(field) ? "mistyped" : "missing";
  return { refusal: { code: `${problem}_${field}`, permanent: true } };
}

/** What the answers of `POST /v1/applications/{id}/token` that are final have for a status. */
const FINAL = [400, 401, 403, 404];

/**
 * The manager's token is used as it is held and refreshed by its own schedule alone, so managers of managers cannot recurse.
 * Webex limits these requests by manager: a 429 pauses what this manager asks for, not the app's own client.
 */
async function asServiceApp(
  name: string,
  { applicationId, targetOrg, manager }: ServiceApp,
  client: Client,
  { store, endpoint, runtime, pauses }: Asker,
): Promise<Verdict> {
  const held = await heldBy(manager, { store, runtime });
  if ("refusal" in held) return held;
  const { accessToken } = held;
  const gate = pauses.gate(name);
  const until = gate.enter(`manager ${manager}`);
  if (until !== undefined)
    return { refusal: { code: RATE_LIMITED, permanent: false, retryAfter: until - runtime.now() } };
  const verdict = judge(
    await endpoint.issue({ ...client, applicationId, targetOrg, accessToken }),
    runtime.now(),
    FINAL,
  );
  gate.leave(endingOf(verdict));
  const { refusal } = verdict;
  if (refusal === undefined || refusal.code === RATE_LIMITED) return verdict;
  return { refusal: { ...refusal, code: `${PREFIX}${refusal.code}` } };
}

/** How the codes begin of what went wrong on the way through the manager. */
const PREFIX = "app_";

/** The refresh token was refused, and only the way through the manager could not be had just now. */
const isKnownDead = ({ document: { failure }, inputs }: StoredToken): boolean =>
  failure !== undefined && !failure.permanent && failure.code.startsWith(PREFIX) && failure.inputs === inputs;

async function heldBy(
  manager: string,
  { store, runtime }: Pick<Asker, "store" | "runtime">,
): Promise<{ accessToken: string } | { refusal: Refusal }> {
  const refused = (what: string, permanent: boolean) => ({
    refusal: { code: `${PREFIX}manager_${what}`, permanent },
  });
  try {
    const token = await store.read(manager);
    if (token === undefined) return refused("missing", true);
    const { accessToken } = token.document;
    const lives = lifeOf(token.document, runtime.now() + token.ahead) > 0;
    return accessToken !== undefined && lives ? { accessToken } : refused("ended", false);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    return refused("unread", false);
  }
}
