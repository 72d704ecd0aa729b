import type { ServiceApp } from "../../functions/core/document.ts";
import { findToken } from "../commands/stored.ts";
import { detailsOf } from "../commands/view.ts";
import type { Advice } from "./advice.ts";
import { adviceOf } from "./advice.ts";
import type { Endpoints, Parts } from "./api.ts";
import { inputOf } from "./input.ts";
import { type Row, rowOf } from "./row.ts";
import type { Changes } from "./watch.ts";

/** Where the page works. */
export interface About {
  where: string;
  /** The sandbox stands in for Webex. */
  sandbox: boolean;
  /** Base address of lookup. `null`: no service is known. */
  lookup: string | null;
  /** How a shell gets the shared passphrase. `null`: unknown. */
  passphraseFile: string | null;
  redirectUri: string | null;
}

/** All about one token but its secrets. */
export interface Details {
  row: Row;
  advice: Advice | null;
  clientId: string | null;
  redirectUri: string | null;
  scope: string | null;
  scopes: string | null;
  /** Where new tokens come from when the refresh token is refused. `null`: from a person. */
  serviceApp: ServiceApp | null;
  static: boolean;
  holds: { clientSecret: boolean; refreshToken: boolean; accessToken: boolean };
  /** ms: the store's clock. */
  now: number;
}

/** What the page looks at. */
export const VIEWS: Endpoints = {
  "GET about": async ({ deployment }: Parts): Promise<About> => {
    const { where, service, redirectUri } = deployment();
    return {
      where,
      sandbox: service?.sandboxUrl !== undefined,
      // One base address serves them all: lookup sends /callback on to setup.
      lookup: service?.url ?? redirectUri?.replace(/\/callback$/, "") ?? null,
      passphraseFile: service?.passphrase ?? null,
      redirectUri: redirectUri ?? null,
    };
  },

  "GET tokens": ({ watch }, { query }): Promise<Changes> => watch.changes(query.get("since") ?? undefined),

  "GET token": async (parts, { query }): Promise<Details> => {
    const { runtime, open, deployment } = parts;
    const input = inputOf(Object.fromEntries(query));
    const name = input.name();
    input.check();
    const token = await findToken(name, await open());
    const now = runtime.now() + token.ahead;
    const { clientId, redirectUri, scope, scopes, static: fixed, holds, serviceApp } = detailsOf(token, now);
    return {
      row: rowOf(token, now, deployment().threshold),
      advice: adviceOf(token, now) ?? null,
      ...{ clientId, redirectUri, scope, scopes, serviceApp, holds, static: fixed, now },
    };
  },
};
