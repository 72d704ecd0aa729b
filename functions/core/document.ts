/**
 * The token document `tokens/{name}`. The first eight fields are those of Cisco's sample, same names and units,
 * so that its documents work as they are.
 */
export interface TokenDocument {
  clientId?: string;
  clientSecret?: string;
  redirectUri?: string;
  accessToken?: string;
  refreshToken?: string;
  /** ms since epoch, as the two below. */
  accessExpires?: number;
  refreshExpires?: number;
  lastRefresh?: number;
  /** ms: since when these tokens are wanted; of two consents the later one wins. Absent: since always. */
  authorizedAt?: number;
  /** Seconds: `expires_in` of the last grant. */
  lifetime?: number;
  /** The scope that was granted. */
  scope?: string;
  /** The organization that owned the first grant. */
  orgId?: string;
  /** The scope asked for at consent. */
  scopes?: string;
  /** ms: when the refresher should next try. Absent while a refresh token is present: due now. */
  refreshAt?: number;
  /** The right to refresh that a process holds. Absent: none does. */
  lease?: Lease;
  /** What went wrong last. Absent: all is well. */
  failure?: Failure;
  /** Grants in a row that replaced a rejected token. Absent: none lately. */
  rejections?: Rejections;
  /** sha256 hex of the token's own passphrase. Absent: the shared ones open it. Blank or of a wrong kind: nothing does. */
  passphraseHash?: string;
  /** An access token without refresh. */
  static?: boolean;
  /** Where the access token is published after each refresh. Absent: nowhere. */
  publish?: Publish;
  /** Where new tokens come from when the refresh token is refused. Absent: from a person. */
  serviceApp?: ServiceApp;
}

/** Where the contact centre has its data centres. */
export const REGIONS = ["us1", "eu1", "eu2", "anz1", "ca1", "jp1", "sg1", "in1"] as const;

export type Region = (typeof REGIONS)[number];

/** Global variables of the contact centre that hold the access token. */
export interface Publish {
  /** Their ids. */
  variables: readonly string[];
  region: Region;
  /** Name of the token to write them with where this one lacks the scope for it. Absent: this one writes. */
  via?: string;
  /** ms: when the sweep should next publish. Absent: what is held is published. */
  nextAt?: number;
  /** What went wrong last. Absent: all is well. */
  failure?: PublishFailure;
  /** ms: when it was published last. */
  publishedAt?: number;
}

/** `count`: tries in a row that failed this way; `since` and `at`: ms, the first and the last of them. */
export type PublishFailure = Pick<Failure, "count" | "code" | "since" | "at">;

/** A Service App, for which a manager with the scope for it is given tokens without a person. */
export interface ServiceApp {
  applicationId: string;
  /** Id of the organization in which it acts. */
  targetOrg: string;
  /** Name of the token that asks for it. */
  manager: string;
}

/** The right to refresh one token until `expires` (ms, by the store's clock). */
export interface Lease {
  id: string;
  expires: number;
}

/** Fresh tokens were rejected too: the caller lacks a scope, or the API is out of order. */
export interface Rejections {
  /** Grants that a rejected read asked for, each soon after the one before. */
  count: number;
  /** ms: the last of them. */
  at: number;
}

export interface Failure {
  /** Tries in a row that failed this way. */
  count: number;
  code: string;
  /** ms: the first of them. */
  since: number;
  /** ms: the last of them. */
  at: number;
  /** True: Webex refused, or settings are missing, and only a person can help. */
  permanent: boolean;
  /** Hash of the credentials used; a different one makes the token due at once. */
  inputs: string;
  /** ms: Webex asked not to be asked before (`Retry-After`). Absent: it did not say. */
  notBefore?: number;
}

/** Fields to set; `undefined` deletes the field. Whose credentials a failure is about, the store knows. */
export type Changes = {
  [K in keyof TokenDocument]?: (K extends "failure" ? NewFailure : TokenDocument[K]) | undefined;
};

export type NewFailure = Omit<Failure, "inputs">;

/** What a store holds, as it came out of it. */
export type RawFields = Readonly<Record<string, unknown>>;

const STRINGS = [
  "clientId",
  "clientSecret",
  "redirectUri",
  "accessToken",
  "refreshToken",
  "scope",
  "orgId",
  "scopes",
  "passphraseHash",
] as const satisfies readonly (keyof TokenDocument)[];

const NUMBERS = [
  "accessExpires",
  "refreshExpires",
  "lastRefresh",
  "authorizedAt",
  "lifetime",
  "refreshAt",
] as const satisfies readonly (keyof TokenDocument)[];

/**
 * Reads a document as people type it: strings lose what a copy added around them, blank ones are absent, numbers may be
 * strings. `mistyped` names the fields of a wrong kind, and a blank `passphraseHash`; they are absent from `document`, so
 * one bad field never hides a live token.
 */
export function parseDocument(raw: RawFields): { document: TokenDocument; mistyped: string[] } {
  const document: TokenDocument = {};
  const mistyped: string[] = [];
  const take = <K extends keyof TokenDocument>(
    field: K,
    read: (value: unknown) => TokenDocument[K] | undefined,
  ) => {
    const value = raw[field];
    if (value === undefined || value === null || asString(value) === "") return;
    const parsed = read(value);
    if (parsed === undefined) mistyped.push(field);
    else document[field] = parsed;
  };
  for (const field of STRINGS) take(field, asString);
  // A blank hash is no permission: the shared passphrases must not open what had a passphrase of its own.
  if (raw.passphraseHash !== undefined && !document.passphraseHash && !mistyped.includes("passphraseHash"))
    mistyped.push("passphraseHash");
  for (const field of NUMBERS) take(field, asNumber);
  take("static", asBoolean);
  take("lease", asLease);
  take("failure", asFailure);
  take("rejections", asRejections);
  take("publish", asPublish);
  take("serviceApp", asServiceApp);
  return { document, mistyped };
}

/** Why no stored token can have this name (Firestore's rules for document ids); `undefined`: one can. */
export function idProblem(name: string): string | undefined {
  if (name.trim() === "") return "the name is empty";
  if (name.includes("/")) return 'the name contains "/"';
  if (name === "." || name === "..") return `the name is "${name}"`;
  if (/^__.*__$/s.test(name)) return 'the name begins and ends with "__"';
  if (!name.isWellFormed()) return "the name is not valid Unicode";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(name)) return "the name contains a control character";
  if (Buffer.byteLength(name) > 1500) return "the name is longer than 1500 bytes";
  return undefined;
}

/**
 * Why no new token may have this name; `undefined`: it may. Stricter than `idProblem`: a name with an invisible character
 * looks like another one, and one with a control character could command the terminal that lists it.
 */
export function nameProblem(name: string): string | undefined {
  const problem = idProblem(name);
  if (problem !== undefined) return problem;
  if (name !== name.trim()) return "the name begins or ends with a space";
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name)) return "the name contains an invisible character";
  return undefined;
}

const asString = (value: unknown) => (typeof value === "string" ? bare(value) : undefined);

/** The text without what comes along with a copy: blanks, signs of no width, and a pair of quotes. */
function bare(text: string): string {
  const trimmed = text.replace(/[\u200b-\u200f\u2060\ufeff]/g, "").trim();
  const [, , inner] = /^(["'])(.*)\1$/s.exec(trimmed) ?? [];
  return inner === undefined ? trimmed : inner.trim();
}

/** The year 9999 in ms: beyond it no store and no calendar goes. */
const LATEST = Date.UTC(9999, 11, 31);

/** A number or an instant in ms, however it was typed; `undefined` for all else. */
export function asNumber(value: unknown): number | undefined {
  if (value instanceof Date) return asNumber(value.getTime());
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && number >= 0 && number <= LATEST ? number : undefined;
}

function asBoolean(value: unknown): boolean | undefined {
  const word = typeof value === "string" ? value.trim() : value;
  if (word === true || word === "true") return true;
  if (word === false || word === "false") return false;
  return undefined;
}

function asLease(value: unknown): Lease | undefined {
  const { id, expires } = fieldsOf(value);
  const until = asNumber(expires);
  return typeof id === "string" && until !== undefined ? { id, expires: until } : undefined;
}

function asFailure(value: unknown): Failure | undefined {
  const fields = fieldsOf(value);
  const count = asNumber(fields.count);
  const since = asNumber(fields.since);
  const at = asNumber(fields.at);
  if (count === undefined || since === undefined || at === undefined) return undefined;
  const { code, inputs } = fields;
  if (typeof code !== "string" || typeof inputs !== "string") return undefined;
  const notBefore = asNumber(fields.notBefore);
  return {
    count,
    code,
    since,
    at,
    permanent: fields.permanent === true,
    inputs,
    ...(notBefore !== undefined && { notBefore }),
  };
}

function asRejections(value: unknown): Rejections | undefined {
  const fields = fieldsOf(value);
  const count = asNumber(fields.count);
  const at = asNumber(fields.at);
  return count === undefined || at === undefined ? undefined : { count, at };
}

function asPublish(value: unknown): Publish | undefined {
  const fields = fieldsOf(value);
  const named = asString(fields.region);
  const region = REGIONS.find((known) => known === named);
  const variables: unknown[] | undefined = Array.isArray(fields.variables)
    ? fields.variables.map(asString)
    : undefined;
  if (region === undefined || variables === undefined || !variables.every(isId)) return undefined;
  const via = asString(fields.via);
  const nextAt = asNumber(fields.nextAt);
  const failure = asPublishFailure(fields.failure);
  const publishedAt = asNumber(fields.publishedAt);
  return {
    variables,
    region,
    ...(via && { via }),
    ...(nextAt !== undefined && { nextAt }),
    ...(failure !== undefined && { failure }),
    ...(publishedAt !== undefined && { publishedAt }),
  };
}

function asPublishFailure(value: unknown): PublishFailure | undefined {
  const { count, code, since, at } = asFailure({ inputs: "", ...fieldsOf(value) }) ?? {};
  if (count === undefined || code === undefined || since === undefined || at === undefined) return undefined;
  return { count, code, since, at };
}

/** `undefined`: it is none that can be asked for. */
export function asServiceApp(value: unknown): ServiceApp | undefined {
  const fields = fieldsOf(value);
  const [applicationId, targetOrg, manager] = [fields.applicationId, fields.targetOrg, fields.manager].map(
    asString,
  );
  if (!isId(applicationId) || !isId(targetOrg) || manager === undefined || idProblem(manager) !== undefined)
    return undefined;
  return { applicationId, targetOrg, manager };
}

/** An id as Webex gives them, which can stand in an address: a UUID, or base64. */
export const isId = (value: unknown): value is string =>
  typeof value === "string" && /^[\w=-]{1,200}$/.test(value);

/** The fields of an object; none for anything else. */
export const fieldsOf = (value: unknown): RawFields =>
  typeof value === "object" && value !== null ? (value as RawFields) : {};
