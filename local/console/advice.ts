import { stateOf } from "../../functions/core/state.ts";
import type { StoredToken } from "../../functions/core/store.ts";
import { durationText } from "../commands/durations.ts";

/** What is wrong with a token, and what its operator does about it on the page. */
export interface Advice {
  problem: string;
  todo: string;
  /** The action that mends it. Absent: waiting does, or something outside the page. */
  remedy?: "authorize" | "import" | "settings";
}

/** `undefined`: all is well. `now` is the store's clock, in ms. */
export function adviceOf(token: StoredToken, now: number): Advice | undefined {
  const [unread] = Object.entries(token.unopened);
  if (unread !== undefined)
    return {
      problem: `Its ${unread[0]} can't be read: ${unread[1]}.`,
      todo: "Name the right sealing keys in SEAL_KEYS, and start the console and the service again.",
    };
  switch (stateOf(token, now)) {
    case "needs a person":
      return refused(token);
    case "not authorized":
      return unauthorized(token);
    case "ended":
      return ended(token);
    case "retrying":
      return retrying(token, now);
    default:
      return undefined;
  }
}

function refused({ document: { failure, redirectUri, serviceApp } }: StoredToken): Advice {
  const code = failure?.code ?? "refused";
  const [, problem, field = ""] = /^(missing|mistyped)_(\w+)$/.exec(code) ?? [];
  if (problem !== undefined && field !== "refreshToken")
    return {
      problem: `Its ${field} ${problem === "missing" ? "is missing" : "is no text"}.`,
      todo: "Give the client settings again.",
      remedy: "settings",
    };
  if (serviceApp !== undefined)
    return {
      problem: `Webex gives no tokens to its Service App (${code}).`,
      todo: `See to its authorization in Control Hub, to its client secret and to its manager "${serviceApp.manager}"; then refresh it now.`,
    };
  const said = `Webex refuses to refresh it (${code}).`;
  // Without a redirect URI it was imported, as Service Apps are: nobody can consent to it.
  if (redirectUri === undefined)
    return {
      problem: said,
      todo: "Make new tokens for the Service App at Webex, and give them here. Where the client secret was changed there, give that, too.",
      remedy: "import",
    };
  return {
    problem: said,
    todo: "Authorize it again. Where the client secret was changed at Webex, give the new one first.",
    remedy: "authorize",
  };
}

function unauthorized({ document: { redirectUri }, mistyped }: StoredToken): Advice {
  const why = mistyped.includes("refreshToken")
    ? "Its refreshToken is no text."
    : "Nobody has authorized it yet.";
  if (redirectUri === undefined)
    return {
      problem: why,
      todo: "Give the client settings and their redirect URI first.",
      remedy: "settings",
    };
  return {
    problem: why,
    todo: "Authorize it: somebody allows at Webex what it asks for.",
    remedy: "authorize",
  };
}

function ended({ document }: StoredToken): Advice {
  if (document.static)
    return {
      problem: "Its fixed access token has ended.",
      todo: "Give new tokens, or authorize it so that it is refreshed by itself.",
      remedy: "import",
    };
  return {
    problem: "Its access token has ended, and it was not refreshed.",
    todo: "Refresh it now. Where this keeps happening, see whether the service runs: the last sweep should be minutes old.",
  };
}

function retrying({ document }: StoredToken, now: number): Advice {
  const { failure, refreshAt, serviceApp } = document;
  const next = refreshAt !== undefined && refreshAt > now ? `in ${durationText(refreshAt - now)}` : "now";
  if (serviceApp !== undefined && failure?.code === "app_manager_ended")
    return {
      problem: `Its manager "${serviceApp.manager}" has no live token (${failure.code}).`,
      todo: `See to "${serviceApp.manager}" first: then all goes on by itself. The next try comes ${next}.`,
    };
  return {
    problem: `Webex gave no usable answer (${failure?.code}).`,
    todo: `Nothing is to be done: the service tries again ${next}, and serves the token that it holds until that ends.`,
  };
}
