import type { Failure, TokenDocument } from "./document.ts";
import type { StoredToken } from "./store.ts";
import { isLeased, isRenewable, lifeOf, type Need, UNCHANGED_CODE } from "./time.ts";

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
  const { static: fixed, failure } = document;
  const lives = lifeOf(document, now) > 0;
  if (fixed) return lives ? "static" : "ended";
  if (!isRenewable(document)) return lives ? "static" : "not authorized";
  if (failure?.permanent) return "needs a person";
  if (isLeased(document, now)) return "refreshing";
  if (failure !== undefined && failure.code !== UNCHANGED_CODE) return "retrying";
  return lives ? "working" : "ended";
}

/** Why a token needs a person, and what that person does. */
export function needText(token: Needy, need: Need): string {
  const text = mendingText(token, need);
  const untold = token.mistyped.filter((field) => !text.includes(field));
  return untold.length === 0 ? text : `${text}; of a wrong kind in its document: ${untold.join(", ")}`;
}

type Needy = Pick<StoredToken, "name" | "document" | "mistyped">;

function mendingText({ name, document, mistyped }: Needy, need: Need): string {
  const run = (command: string) => `run "npm run tokens -- ${command} ${name}"`;
  const consent = `${run("authorize")} and open the address it prints`;
  switch (need) {
    case "not_authorized":
      if (mistyped.includes("refreshToken"))
        return `the refreshToken of token "${name}" is no text: ${consent}`;
      return `token "${name}" is not authorized yet: ${consent}`;
    case "static_expired":
      return `the fixed access token "${name}" has ended: ${run("import --static")} with a new one`;
    case "refused":
      return refusalText(name, document, run, consent);
  }
}

/** Settings that are missing or mistyped: no request was sent. */
const UNASKED = /^(missing|mistyped)_(clientId|clientSecret|refreshToken)$/;

/** Webex itself said that these credentials will not do. */
export const isRefusedByWebex = ({ permanent, code }: Failure) =>
  permanent && !UNASKED.test(code) && code !== "foreign_organization";

function refusalText(
  name: string,
  { failure, redirectUri, serviceApp }: TokenDocument,
  run: (command: string) => string,
  consent: string,
): string {
  const code = failure?.code ?? "refused";
  if (serviceApp !== undefined && !UNASKED.test(code))
    return `Webex gives no tokens to the Service App of token "${name}" (${code}): see to its authorization in Control Hub and to its manager "${serviceApp.manager}", then ${run("refresh")}`;
  const [, problem, field] = UNASKED.exec(code) ?? [];
  if (problem === "missing") return `token "${name}" has no ${field}: ${run("add")} to set it`;
  if (problem === "mistyped") return `${field} of token "${name}" is no text: ${run("add")} to set it anew`;
  if (code === "foreign_organization")
    return `Webex answered the refresh of token "${name}" with a token of another organization: if that is meant, ${run("authorize --new-org")}`;
  // Without a redirect URI it was imported, as Service Apps are: a consent is not possible.
  const remedy = redirectUri === undefined ? `${run("import")} with a new refresh token` : consent;
  return `Webex refuses to refresh token "${name}" (${code}): ${remedy}`;
}
