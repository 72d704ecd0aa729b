import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { Client } from "../../local/sandbox/client.ts";
import { createSandbox, type SandboxEvent } from "../../local/sandbox/server.ts";
import { fakeClock } from "../support/clock.ts";

export const ORG = "11111111-2222-3333-4444-555555555555";
export const CALLBACK = "http://127.0.0.1:8080/callback";
export const CLIENT: Client = {
  clientId: "C1",
  clientSecret: "s3cret-&=+",
  redirectUris: [CALLBACK, `${CALLBACK}?a=b`],
  scopes: ["cjp:config_read", "cjp:config_write"],
  orgId: ORG,
  accessLifetime: 3600,
  refreshLifetime: 86_400,
};
export const CREDENTIALS = { client_id: "C1", client_secret: CLIENT.clientSecret };
export const DEAD = {
  error: "invalid_request",
  error_description: "The refresh token provided is expired, revoked, malformed, or invalid.",
  trackingID: expect.any(String),
};
export const TOKEN_SHAPE = /^[^_]{64}_[A-Z0-9]{4}_[0-9a-f-]{36}$/;
export const ASKED = {
  response_type: "code",
  client_id: "C1",
  redirect_uri: CALLBACK,
  scope: "cjp:config_read",
  state: "s t&1",
};

export type Box = Awaited<ReturnType<typeof openBox>>;

/** A sandbox with one client, on a clock of its own and in a folder of its own, and who asks it over HTTP. */
export async function openBox() {
  const folder = mkdtempSync(join(tmpdir(), "sandbox-"));
  const file = join(folder, "new", "sandbox.sqlite");
  const clock = fakeClock();
  const events: SandboxEvent[] = [];
  const start = async () => {
    const sandbox = createSandbox({ file, clock: clock.now, onEvent: (event) => events.push(event) });
    return { sandbox, base: `http://127.0.0.1:${await sandbox.listen()}` };
  };
  let running = await start();
  running.sandbox.authority.registerClient(CLIENT);
  return {
    folder,
    file,
    clock,
    events,
    get sandbox() {
      return running.sandbox;
    },
    get base() {
      return running.base;
    },
    async restart(): Promise<void> {
      await running.sandbox.close();
      running = await start();
    },
    async close(): Promise<void> {
      await running.sandbox.close();
      rmSync(folder, { recursive: true });
    },
    ...caller(() => running.base),
  };
}

/** Requests as the service and a browser send them. */
function caller(base: () => string) {
  /** Any answer, its JSON body parsed where it is JSON. */
  const call = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(base() + path, { redirect: "manual", ...init });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    const { status, headers } = response;
    return { status, headers, text, body: isJson ? JSON.parse(text) : undefined };
  };
  const post = (parameters: Record<string, string> | string) =>
    call("/v1/access_token", { method: "POST", body: new URLSearchParams(parameters) });
  const authorize = (more: Record<string, string> = {}) =>
    call(`/v1/authorize?${new URLSearchParams({ ...ASKED, ...more })}`);
  const decide = (page: string, decision: string) => {
    const id = /name="request" value="([^"]+)"/.exec(page)?.[1] ?? "";
    const body = new URLSearchParams({ request: id, decision });
    return call("/v1/authorize/decision", { method: "POST", body });
  };
  return {
    call,
    post,
    authorize,
    decide,
    refresh: (refresh_token: string) => post({ grant_type: "refresh_token", ...CREDENTIALS, refresh_token }),
    exchange: (code: string, more: Record<string, string> = {}) =>
      post({ grant_type: "authorization_code", ...CREDENTIALS, code, redirect_uri: CALLBACK, ...more }),
    me: (token: string) => call("/v1/people/me", { headers: { authorization: `Bearer ${token}` } }),
    control: (method: string, path: string, input?: unknown) =>
      call(path, { method, ...(input === undefined ? {} : { body: JSON.stringify(input) }) }),
    async consentedCode(more: Record<string, string> = {}): Promise<string> {
      const page = await authorize(more);
      return target(await decide(page.text, "allow")).searchParams.get("code") ?? "";
    },
  };
}

/** Where an answer sends the browser. */
export function target(answer: { headers: Headers }): URL {
  return new URL(answer.headers.get("location") ?? "nowhere:");
}
