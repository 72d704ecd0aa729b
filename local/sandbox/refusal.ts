export type RefusalCode = "invalid_request" | "invalid_client" | "invalid_grant" | "unsupported_grant_type";

/** The authority says no (RFC 6749 §5.2). The message is the public `error_description`. */
export class Refusal extends Error {
  readonly code: RefusalCode;
  constructor(code: RefusalCode, description: string) {
    super(description);
    this.code = code;
  }
}

/** Word for word what Webex's identity broker says of an expired, revoked or unknown refresh token. */
export const DEAD_REFRESH_TOKEN = "The refresh token provided is expired, revoked, malformed, or invalid.";
