import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";

/**
 * Who may use the page: whoever opened it with the key, which is good once and becomes a cookie. Other pages in the same
 * browser are kept out by `Host` (DNS rebinding), `Sec-Fetch-Site` and `Origin`: another port of 127.0.0.1 is the same
 * site, so `SameSite` alone would not do.
 */
export interface Guard {
  /** What is wrong with where a request comes from; `undefined`: nothing. `api`: only the page itself asks for it. */
  misplaced(request: IncomingMessage, api: boolean): Misplaced | undefined;
  /** It bears the cookie. */
  knows(request: IncomingMessage): boolean;
  /** The cookie to set, for the key that was not used yet; `undefined` for any other. */
  redeem(key: string): string | undefined;
}

export type Misplaced = "host" | "site" | "origin";

interface GuardOptions {
  /** Where the page is served, such as `127.0.0.1:8082`. */
  host: string;
  /** 256 random bits each. */
  key: string;
  session: string;
}

export function makeGuard({ host, key, session }: GuardOptions): Guard {
  // Cookies know no ports: two consoles on one machine must not take each other's.
  const cookie = `console-${host.split(":").at(-1)}`;
  let used = false;
  return {
    misplaced({ method, headers }, api) {
      if (headers.host !== host) return "host";
      const reads = method === "GET" || method === "HEAD";
      if (!isFromHere(headers, api || !reads)) return "site";
      return isOwnOrigin(headers, host, !reads) ? undefined : "origin";
    },
    knows: ({ headers }) => {
      const sent = cookiesIn(headers).find(([name]) => name === cookie)?.[1];
      return sent !== undefined && same(sent, session);
    },
    redeem(given) {
      if (used || !same(given, key)) return undefined;
      used = true;
      return `${cookie}=${session}; Path=/; HttpOnly; SameSite=Strict`;
    },
  };
}

/** `strict`: only the page itself; else a person may have typed the address, too. */
function isFromHere(headers: IncomingHttpHeaders, strict: boolean): boolean {
  const site = headers["sec-fetch-site"];
  return site === "same-origin" || (!strict && (site === undefined || site === "none"));
}

/** Browsers send `Origin` with all that writes. */
function isOwnOrigin({ origin }: IncomingHttpHeaders, host: string, needed: boolean): boolean {
  return origin === undefined ? !needed : origin === `http://${host}`;
}

function cookiesIn({ cookie = "" }: IncomingHttpHeaders): [name: string, value: string][] {
  return cookie.split(";").map((pair) => {
    const [name = "", ...value] = pair.trim().split("=");
    return [name, value.join("=")];
  });
}

/** In constant time. */
const same = (one: string, other: string) => timingSafeEqual(digest(one), digest(other));

const digest = (text: string) => createHash("sha256").update(text).digest();
