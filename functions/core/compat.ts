import type { Problem, ProblemCode, Reply, Request } from "./reply.ts";

/** What Cisco's sample says of a read, for flows that test for its words (`COMPAT=sample`). */
const WORDS: Partial<Record<ProblemCode, string>> = {
  no_name: "Missing Token Name",
  no_passphrase: "Missing Passphrase",
  wrong_passphrase: "Invalid Token Passphrase",
  needs_person: "Refresh Token expired",
  nothing_yet: "Token refresh failed",
  bug: "Token refresh failed",
};

/** Every problem as the sample tells it: HTTP 500 and a short message. */
export function sampleProblem(problem: Problem, _reference: string, request: Request): Reply {
  return { status: 500, body: { status: "500", message: wordsFor(problem, request) } };
}

function wordsFor({ code, message }: Problem, { path, query }: Request): string {
  if (path === "/callback") {
    if (code === "unset_state") return "Set state to your Token Name";
    if (!query.get("code")) return `An error occured: ${query.get("error") ?? "undefined"}`;
    return `Failed to create tokens, error: ${message}`;
  }
  if (path === "/init" && !INIT_WORDS.includes(code))
    return `Failed to initialize token document, error: ${message}`;
  return WORDS[code] ?? "Access Token not found";
}

/** What the sample says of `/init` in the words of a read. */
const INIT_WORDS: readonly ProblemCode[] = ["no_name", "no_passphrase", "wrong_passphrase"];

/** The sample's answer to a preflight, from any origin. */
export const SAMPLE_CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST",
  "access-control-allow-headers": "Content-Type, Accept, x-token-passphrase",
};
