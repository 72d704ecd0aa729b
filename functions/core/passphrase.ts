import { timingSafeEqual } from "node:crypto";
import { sha256 } from "./hash.ts";
import { Problem, type Request } from "./reply.ts";

/** One or two passphrases that open every token without one of its own. */
export interface Passphrases {
  /** Those that are live now; a promise only where they are just read again from their file. */
  live(): readonly string[] | Promise<readonly string[]>;
}

const LONGEST_PASSPHRASE_LIST = 2;

/** Lines of a secret: trimmed, blanks dropped. Throws where there is none, or more than two. */
export function parsePassphrases(text: string): string[] {
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (lines.length === 0) throw new Error("it holds no passphrase");
  if (lines.length > LONGEST_PASSPHRASE_LIST)
    throw new Error(
      `it holds ${lines.length} passphrases, one a line; at most two may be live (the new and the old one)`,
    );
  // Node reads headers as Latin-1: anything else would never be recognized.
  if (lines.some((line) => !/^[\x20-\x7e]+$/.test(line)))
    throw new Error("a passphrase may hold only letters without accents, digits, signs and spaces (ASCII)");
  return lines;
}

/** Who may read: judged before the document is known, and again once it is. */
export interface Caller {
  /** One of the shared passphrases was given. */
  shared: boolean;
  /** sha256 hex of what was given. */
  hash: string;
}

/** RFC 9110 §15.5.2: some clients send Basic credentials only when they are told that these are taken. */
const CHALLENGE = { "www-authenticate": 'Basic realm="token service"' };

/** The passphrase of a request: the header of old, or the password of Basic credentials, as connectors hold them. */
export function identify(request: Request, live: readonly string[]): Caller {
  const given = request.headers["x-token-passphrase"]?.trim() || basicPassword(request.headers.authorization);
  if (given === undefined || given === "")
    throw new Problem(
      "no_passphrase",
      'no passphrase: send it as the header "x-token-passphrase", or as the password of Basic credentials',
      CHALLENGE,
    );
  const hash = sha256(given);
  // Every one is compared, so that the time taken does not tell which was close.
  const shared = live.map((passphrase) => sameHash(sha256(passphrase), hash)).includes(true);
  return { shared, hash };
}

/** Throws unless this caller may read a token whose own passphrase hashes to `own` (`undefined`: it has none). */
export function admit(caller: Caller, own: string | undefined): void {
  const welcome = own === undefined ? caller.shared : sameHash(own.toLowerCase(), caller.hash);
  if (!welcome) throw new Problem("wrong_passphrase", "the passphrase does not open this token", CHALLENGE);
}

/** Compares two sha256 hex values in constant time. */
function sameHash(left: string, right: string): boolean {
  const [one, other] = [Buffer.from(left, "hex"), Buffer.from(right, "hex")];
  return one.length === 32 && other.length === 32 && timingSafeEqual(one, other);
}

/** RFC 7617: the part after the first colon. */
function basicPassword(authorization: string | undefined): string | undefined {
  const [, credentials] = /^Basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(authorization ?? "") ?? [];
  if (credentials === undefined) return undefined;
  const text = Buffer.from(credentials, "base64").toString("utf8");
  return text.slice(text.indexOf(":") + 1).trim();
}
