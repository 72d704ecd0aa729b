import type { Problem, ProblemCode, Reply } from "./reply.ts";

/** What Cisco's sample says in each case, for flows that test for its words (`COMPAT=sample`). */
const WORDS: Record<ProblemCode, string> = {
  no_name: "Missing Token Name",
  no_passphrase: "Missing Passphrase",
  wrong_passphrase: "Invalid Token Passphrase",
  not_found: "Access Token not found",
  bad_request: "Access Token not found",
  wrong_method: "Access Token not found",
  store_unavailable: "Access Token not found",
  needs_person: "Refresh Token expired",
  nothing_yet: "Token refresh failed",
  bug: "Token refresh failed",
  unset_state: "Set state to your Token Name",
  consent_refused: "An error occured",
  state_refused: "Failed to create tokens",
  settings_missing: "Failed to create tokens",
  code_refused: "Failed to create tokens",
  foreign_organization: "Failed to create tokens",
  settings_changed: "Failed to create tokens",
  not_saved: "Failed to create tokens",
  webex_unavailable: "Failed to create tokens",
  already_set_up: "Failed to initialize token document",
};

/** Those after which the sample adds what happened. */
const EXPLAINED: ProblemCode[] = ["consent_refused"];

/** Every problem as the sample tells it: HTTP 500 and a short message. */
export function sampleProblem({ code, message }: Problem): Reply {
  const words = WORDS[code];
  const failed = words.startsWith("Failed") ? `${words}, error: ${message}` : words;
  return {
    status: 500,
    body: { status: "500", message: EXPLAINED.includes(code) ? `${words}: ${message}` : failed },
  };
}

/** The sample's answer to a preflight, from any origin. */
export const SAMPLE_CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST",
  "access-control-allow-headers": "Content-Type, Accept, x-token-passphrase",
};
