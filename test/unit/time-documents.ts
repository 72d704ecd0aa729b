import fc from "fast-check";
import type { Failure, TokenDocument } from "../../functions/core/document.ts";
import { type Ask, DAY, DEFAULT_THRESHOLD, decide, HOUR, MINUTE } from "../../functions/core/time.ts";

export const NOW = 1_800_000_000_000;
export const INPUTS = "hash of the credentials";
export const READER: Ask = { by: "reader" };
export const SWEEP: Ask = { by: "sweep" };
export const OPERATOR: Ask = { by: "operator" };
export const REJECTED: Ask = { by: "reader", rejected: true };

/** A 12-hour token, refreshed an hour ago. */
export const WELL: TokenDocument = {
  clientId: "made-up-client",
  clientSecret: "made-up-secret",
  accessToken: "made-up-access-token",
  refreshToken: "made-up-refresh-token",
  accessExpires: NOW + 11 * HOUR,
  refreshExpires: NOW + 60 * DAY,
  lastRefresh: NOW - HOUR,
  lifetime: 12 * 60 * 60,
  refreshAt: NOW + 8 * HOUR,
};
/** The same with this much life left, and not due. */
export const withLife = (life: number, more: TokenDocument = {}): TokenDocument => ({
  ...WELL,
  accessExpires: NOW + life,
  ...more,
});
export const failed = (more: Partial<Failure> = {}): Failure => ({
  count: 1,
  code: "http_503",
  since: NOW - MINUTE,
  at: NOW - MINUTE,
  permanent: false,
  inputs: INPUTS,
  ...more,
});
export const refusal = (more: Partial<Failure> = {}) =>
  failed({ permanent: true, code: "invalid_grant", ...more });
export const judge = (document: TokenDocument, ask: Ask = READER, now = NOW, threshold = DEFAULT_THRESHOLD) =>
  decide({ document, inputs: INPUTS }, ask, now, threshold);
export const without = (field: keyof TokenDocument, document: TokenDocument = WELL): TokenDocument => {
  const { [field]: _, ...rest } = document;
  return rest;
};

/** Of a token, in s. */
export const lifetimes = fc.oneof(
  fc.constantFrom(1, 10, 3600, 43_199, 14 * 86_400),
  fc.integer({ min: 1, max: 90 * 86_400 }),
);
