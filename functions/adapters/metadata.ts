import { ask } from "./platform-http.ts";

/** How long the metadata server may take, in ms. It is on the same machine; where it is not, nothing answers. */
const PATIENCE = 2000;
/** Identity tokens live an hour; this much before their end a new one is fetched, in ms. */
const EARLY = 5 * 60_000;

/** Google Cloud's metadata server, as far as this service needs it. */
export interface Metadata {
  /** The id of the project this runs in. Rejects where there is no metadata server. */
  project(): Promise<string>;
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
  const tokens = new Map<string, { token: Promise<string>; until: number }>();
  return {
    project: () => get("project/project-id"),
    identityToken(audience) {
      const known = tokens.get(audience);
      if (known !== undefined && known.until > now()) return known.token;
      const path = `instance/service-accounts/default/identity?audience=${encodeURIComponent(audience)}`;
      const entry = { token: get(path), until: Number.POSITIVE_INFINITY };
      tokens.set(audience, entry);
      entry.token.then(
        (token) => {
          entry.until = expiryOf(token) - EARLY;
        },
        () => tokens.delete(audience),
      );
      return entry.token;
    },
  };
}

/** ms: the `exp` claim. It is not verified here: whoever is shown the token does that. */
function expiryOf(token: string): number {
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  const { exp } = claims as { exp?: unknown };
  return typeof exp === "number" ? exp * 1000 : 0;
}
