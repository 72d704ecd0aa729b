import { InputError, objectWith } from "./input.ts";

/** A registered integration. Lifetimes are seconds; `redirectUris` may be empty (a Service App has none). */
export interface Client {
  clientId: string;
  clientSecret: string;
  redirectUris: string[];
  scopes: string[];
  orgId: string;
  accessLifetime: number;
  refreshLifetime: number;
  requirePkce?: boolean;
}

const LONGEST_LIFETIME = 315_360_000; // s, ten years

/** A copy of `input` as a client, every field checked; throws an InputError that names the first bad one. */
export function checkedClient(input: unknown): Client {
  const it = objectWith(input, [
    ...["clientId", "clientSecret", "redirectUris", "scopes", "orgId"],
    ...["accessLifetime", "refreshLifetime", "requirePkce"],
  ]);
  if (it.requirePkce !== undefined && typeof it.requirePkce !== "boolean") {
    throw new InputError("requirePkce", "must be true or false");
  }
  const printable = "must be 1 to 200 printable characters";
  return {
    clientId: text(it, "clientId", /^[\x21-\x7e]{1,200}$/, printable),
    clientSecret: text(it, "clientSecret", /^[\x21-\x7e]{1,200}$/, printable),
    redirectUris: list(
      it,
      "redirectUris",
      0,
      isRedirectUri,
      "must be distinct http(s) URIs without a fragment",
    ),
    scopes: list(it, "scopes", 1, isScope, "must be one or more distinct scopes (RFC 6749 §3.3)"),
    orgId: text(it, "orgId", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, "must be a UUID"),
    accessLifetime: seconds(it, "accessLifetime"),
    refreshLifetime: seconds(it, "refreshLifetime"),
    ...(it.requirePkce === undefined ? {} : { requirePkce: it.requirePkce }),
  };
}

type Fields = Record<string, unknown>;

function text(it: Fields, field: string, pattern: RegExp, rule: string): string {
  const value = it[field];
  if (typeof value !== "string" || !pattern.test(value)) throw new InputError(field, rule);
  return value;
}

function list(
  it: Fields,
  field: string,
  least: number,
  good: (item: string) => boolean,
  rule: string,
): string[] {
  const value = it[field];
  const whole = Array.isArray(value) && value.length >= least && new Set(value).size === value.length;
  if (!whole || !value.every((item) => typeof item === "string" && good(item))) {
    throw new InputError(field, rule);
  }
  return [...value];
}

function seconds(it: Fields, field: string): number {
  const value = it[field];
  const good = Number.isSafeInteger(value) && Number(value) > 0 && Number(value) <= LONGEST_LIFETIME;
  if (!good) throw new InputError(field, "must be whole seconds, more than 0");
  return Number(value);
}

const isScope = (scope: string) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope);
const isRedirectUri = (uri: string) =>
  /^https?:\/\/([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d+)?([/?][\x21\x22\x24-\x7e]*)?$/.test(uri) &&
  URL.canParse(uri);
