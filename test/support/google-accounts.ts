import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { createServer, type IncomingMessage, request as plainRequest, type RequestOptions } from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import type { AddressInfo } from "node:net";

/**
 * Stand-ins for Google's token endpoints, and for a private Cloud Run service that checks what they give. Every https request of
 * this process goes to them; Google's own library makes those to Google.
 */
export interface Accounts {
  /** Addresses that were asked, oldest first. */
  asked(): string[];
  /** What is asked of this host from now on is answered like that. */
  answers(host: string, status: number, body?: object): void;
  /** As at the start. */
  clear(): void;
  close(): Promise<void>;
}

/** Made up, and known to the stand-ins. */
export const PERSON = { client: "made-up.apps.googleusercontent.com", refreshToken: "canary-google-refresh" };
export const ACCOUNT = "operator@made-up.iam.gserviceaccount.com";
/** Where the private service is: the audience of its callers' tokens. */
export const SERVICE = "https://token-refresher-abc123-ew.a.run.app";

interface Reply {
  status: number;
  body: object;
}

/** `publicKey`: of the service account's key, in PEM. */
export async function startAccounts(publicKey: string): Promise<Accounts> {
  const key = createPublicKey(publicKey);
  const replies = new Map<string, Reply>();
  let asked: string[] = [];
  const server = createServer(async (request, response) => {
    const { host = "", authorization = "" } = request.headers;
    asked.push(`${host}${request.url}`);
    const { status, body } =
      replies.get(host) ?? answer(host, request.url ?? "", authorization, await textOf(request), key);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const restore = redirectHttps(port);
  return {
    asked: () => asked,
    answers: (host, status, body = {}) => void replies.set(host, { status, body }),
    clear() {
      replies.clear();
      asked = [];
    },
    async close() {
      restore();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Both forms that node has, as far as they are used: an address and options, or options alone. */
function redirectHttps(port: number): () => void {
  const { request } = https;
  https.request = ((first: string | URL | RequestOptions, ...rest: unknown[]) => {
    const apart = typeof first === "string" || first instanceof URL;
    const given = (apart ? rest.shift() : first) as RequestOptions;
    const url = apart ? new URL(first) : undefined;
    const host = url?.host ?? given.hostname ?? given.host ?? "";
    const path = given.path ?? (url ? `${url.pathname}${url.search}` : "/");
    const headers = { ...(given.headers as object), host };
    const { method } = given;
    const plain = plainRequest({ host: "127.0.0.1", port, path, headers, ...(method && { method }) });
    const callback = rest[0];
    if (typeof callback === "function") plain.once("response", (response) => callback(response));
    return plain;
  }) as typeof https.request;
  syncBuiltinESMExports();
  return () => {
    https.request = request;
    syncBuiltinESMExports();
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  return text;
}

const refused = (status: number, error: string): Reply => ({
  status,
  body: { error, error_description: "canary" },
});
const given = (body: object): Reply => ({ status: 200, body });

function answer(host: string, path: string, authorization: string, text: string, key: KeyObject): Reply {
  switch (host) {
    case "oauth2.googleapis.com":
      return tokenFor(new URLSearchParams(text), key);
    case "sts.googleapis.com":
      return given({
        access_token: "canary-federated",
        expires_in: 3600,
        token_type: "Bearer",
        issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
      });
    case "iamcredentials.googleapis.com":
      return impersonated(path, authorization, text);
    case new URL(SERVICE).host:
      return called(authorization);
    default:
      return refused(404, "nobody is there");
  }
}

function tokenFor(form: URLSearchParams, key: KeyObject): Reply {
  if (form.get("grant_type") === "refresh_token") {
    if (form.get("refresh_token") !== PERSON.refreshToken) return refused(400, "invalid_grant");
    // Google makes it for the OAuth client that the person logged in with, whatever audience is asked for.
    const id_token = tokenOf(PERSON.client, "person@example.com");
    return given({ access_token: "canary-access", expires_in: 3600, id_token });
  }
  const claims = claimsOf(form.get("assertion") ?? "", key);
  if (claims === undefined) return refused(400, "invalid_grant");
  const { target_audience: audience, iss } = claims;
  if (typeof audience !== "string") return given({ access_token: "canary-access", expires_in: 3600 });
  return given({ id_token: tokenOf(audience, String(iss)) });
}

function impersonated(path: string, authorization: string, text: string): Reply {
  if (!/^Bearer canary-/.test(authorization)) return refused(401, "unauthenticated");
  const [, account, act] = /\/serviceAccounts\/([^:]+):(\w+)$/.exec(path) ?? [];
  if (account !== ACCOUNT) return refused(404, "not found");
  if (act === "generateAccessToken")
    return given({
      accessToken: "canary-impersonated",
      expireTime: new Date(Date.now() + 3_600_000).toISOString(),
    });
  return given({ token: tokenOf(JSON.parse(text).audience, ACCOUNT) });
}

/** Cloud Run: a token for its own address, or one of gcloud's client. */
function called(authorization: string): Reply {
  const [, payload = ""] = authorization.replace("Bearer ", "").split(".");
  const { aud } = JSON.parse(Buffer.from(payload, "base64url").toString("utf8") || "{}");
  return aud === SERVICE || aud === PERSON.client ? given({ outcome: "refreshed" }) : refused(401, "no");
}

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
const tokenOf = (aud: string, email: string) =>
  [part({ alg: "none" }), part({ aud, email, exp: Math.floor(Date.now() / 1000) + 3600 }), "canary"].join(
    ".",
  );

/** RFC 7523; `undefined`: it was not signed with the account's key. */
function claimsOf(assertion: string, key: KeyObject): Record<string, unknown> | undefined {
  const [head, payload = "", signature = ""] = assertion.split(".");
  const signed = Buffer.from(`${head}.${payload}`);
  if (!verify("sha256", signed, key, Buffer.from(signature, "base64url"))) return undefined;
  return JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
}
