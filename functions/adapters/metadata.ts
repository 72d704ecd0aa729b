import { fieldsOf } from "../core/document.ts";
import { ask } from "./platform-http.ts";

/** How long the metadata server may take, in ms. It is on the same machine; where it is not, nothing answers. */
const PATIENCE = 1000;
/** Tokens live an hour; this long before their end a new one is fetched, in ms (the server makes one at 5 min). */
const EARLY = 3 * 60_000;
/** Tokens of Google live an hour, at most twelve: one that says more is not kept. In s. */
const LONGEST = 12 * 3600;

/** Google Cloud's metadata server, as far as this service needs it. */
export interface Metadata {
  /** The id of the project this runs in. Rejects where there is no metadata server. */
  project(): Promise<string>;
  /** An access token of the service account that this runs as. Cached; one fetch at a time. */
  accessToken(): Promise<string>;
  /** A token that tells a private function who is asking. Cached; one fetch at a time. */
  identityToken(audience: string): Promise<string>;
}

/** `host`: `GCE_METADATA_HOST`, else the address every Google machine has. */
export function metadataServer(host: string, now: () => number): Metadata {
  const get = async (path: string) => {
    const url = new URL(`http://${host}/computeMetadata/v1/${path}`);
    const { status, body } = await ask(url, {
      method: "GET",
      headers: { "metadata-flavor": "Google" },
      patience: PATIENCE,
    });
    if (status !== 200) throw new Error(`the metadata server answered ${status}`);
    return body.trim();
  };
  const cached = remembering(now);
  return {
    project: () => get("project/project-id"),
    accessToken: () =>
      cached("access", async () => {
        const asked = now();
        return accessTokenIn(await get("instance/service-accounts/default/token"), asked);
      }),
    identityToken: (audience) =>
      cached(audience, async () => {
        const query = `audience=${encodeURIComponent(audience)}`;
        return identityTokenIn(await get(`instance/service-accounts/default/identity?${query}`));
      }),
  };
}

interface Expiring {
  token: string;
  /** ms. */
  expires: number;
}

/**
 * One fetch at a time for each key; what it gave serves until shortly before its end, and where no new one can be had,
 * to its end. A failure is not kept.
 */
function remembering(now: () => number) {
  const held = new Map<string, Expiring>();
  const underWay = new Map<string, Promise<string>>();
  return async (key: string, fetch: () => Promise<Expiring>): Promise<string> => {
    const known = held.get(key);
    if (known !== undefined && known.expires - EARLY > now()) return known.token;
    const running = underWay.get(key);
    if (running !== undefined) return running;
    const work = fetch()
      .then((fresh) => {
        held.set(key, fresh);
        return fresh.token;
      })
      .catch((error: unknown) => {
        if (known !== undefined && known.expires > now()) return known.token;
        throw error;
      })
      .finally(() => underWay.delete(key));
    underWay.set(key, work);
    return work;
  };
}

function accessTokenIn(body: string, asked: number): Expiring {
  const { access_token: token, expires_in: seconds } = fieldsOf(jsonOf(body));
  if (!isSendable(token) || typeof seconds !== "number")
    throw new Error("the metadata server answered with no access token");
  return { token, expires: seconds <= LONGEST ? asked + seconds * 1000 : 0 };
}

/** The `exp` claim is not verified here: whoever is shown the token does that. */
function identityTokenIn(token: string): Expiring {
  if (!isSendable(token)) throw new Error("the metadata server answered with no identity token");
  const claims = Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8");
  const { exp } = fieldsOf(jsonOf(claims));
  return { token, expires: typeof exp === "number" ? exp * 1000 : 0 };
}

/** What can stand in a header (RFC 6750 §2.1). */
const isSendable = (token: unknown): token is string =>
  typeof token === "string" && /^[\x21-\x7e]+$/.test(token);

/** The parser's own error would quote what it was given. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("the metadata server answered with no JSON");
  }
}
