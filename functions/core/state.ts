import type { StoredToken } from "./store.ts";
import { isLeased, lifeOf, type Need, UNCHANGED_CODE } from "./time.ts";

/** How a token is, in the words that census, command line and page share. */
export const STATES = [
  "working",
  "refreshing",
  "retrying",
  "needs a person",
  "static",
  "ended",
  "not authorized",
] as const;

export type State = (typeof STATES)[number];

/** `now` is the store's clock, in ms. */
export function stateOf({ document }: Pick<StoredToken, "document">, now: number): State {
  const { static: fixed, refreshToken, failure } = document;
  const lives = lifeOf(document, now) > 0;
  if (fixed) return lives ? "static" : "ended";
  if (refreshToken === undefined) return lives ? "static" : "not authorized";
  if (failure?.permanent) return "needs a person";
  if (isLeased(document, now)) return "refreshing";
  if (failure !== undefined && failure.code !== UNCHANGED_CODE) return "retrying";
  return "working";
}

/** What is wrong with a token that only a person can mend, and what that person does. */
export function needText(
  { name, document, mistyped }: Pick<StoredToken, "name" | "document" | "mistyped">,
  need: Need,
): string {
  const run = (command: string) => `run "npm run tokens -- ${command} ${name}"`;
  switch (need) {
    case "not_authorized":
      if (mistyped.includes("refreshToken")) return refusalText(name, "mistyped_refreshToken", run);
      return `token "${name}" is not authorized yet: ${run("authorize")} and open the address it prints`;
    case "static_expired":
      return `the fixed access token "${name}" has ended: ${run("import --static")} with a new one`;
    case "refused":
      return refusalText(name, document.failure?.code ?? "refused", run);
  }
}

function refusalText(name: string, code: string, run: (command: string) => string): string {
  const [, problem, field] = /^(missing|mistyped)_(clientId|clientSecret|refreshToken)$/.exec(code) ?? [];
  if (problem === "missing") return `token "${name}" has no ${field}: ${run("add")} to set it`;
  if (problem === "mistyped") return `${field} of token "${name}" is no text: ${run("add")} to set it anew`;
  return `Webex refuses to refresh token "${name}" (${code}): ${run("authorize")} and open the address it prints`;
}
