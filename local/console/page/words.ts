import type { Publish } from "../../../functions/core/document.ts";
import type { State } from "../../../functions/core/state.ts";
import { DAY, SECOND, UNCHANGED_CODE } from "../../../functions/core/time.ts";
import { durationText, fromNow } from "../../commands/durations.ts";
import type { Row } from "../row.ts";
import type { Changes } from "../watch.ts";

export const STATE_WORDS: Record<State, string> = {
  "needs a person": "needs a person",
  ended: "ended",
  "not authorized": "not yet authorized",
  retrying: "retrying",
  refreshing: "refreshing",
  working: "working",
  static: "static",
};

/** What a state means for whoever looks at it: which sign and colour it has. */
export const MOODS: Record<State, "good" | "busy" | "warn" | "bad"> = {
  "needs a person": "bad",
  ended: "bad",
  "not authorized": "warn",
  retrying: "warn",
  refreshing: "busy",
  working: "good",
  static: "good",
};

/** How a token is, in words. */
export function stateText({ state, failure, accessExpires }: Row, now: number): string {
  if (state === "retrying" && failure !== undefined)
    return `retrying since ${instantText(failure.since, now)}`;
  if (state === "static" && accessExpires !== undefined)
    return `static until ${instantText(accessExpires, now)}`;
  return STATE_WORDS[state];
}

/** An instant as people write it: today the time, near today the date too, and far from it the date alone. */
export function instantText(instant: number, now: number): string {
  const [date, today] = [new Date(instant), new Date(now)];
  const time = { hour: "2-digit", minute: "2-digit" } as const;
  if (date.toDateString() === today.toDateString()) return date.toLocaleTimeString([], time);
  const day = { day: "numeric", month: "short" } as const;
  if (Math.abs(instant - now) < 3 * DAY) return date.toLocaleString([], { ...day, ...time });
  const year = date.getFullYear() === today.getFullYear() ? {} : ({ year: "numeric" } as const);
  return date.toLocaleDateString([], { ...day, ...year });
}

/** ms of life left; 0: none. */
export function lifeLeft({ accessExpires }: Row, now: number): number {
  const life = (accessExpires ?? 0) - now;
  return life >= SECOND ? life : 0;
}

export const lifeText = (row: Row, now: number): string => {
  const life = lifeLeft(row, now);
  if (life > 0) return `${durationText(life)} left`;
  return row.accessExpires === undefined ? "no token" : `ended ${fromNow(row.accessExpires, now)}`;
};

export function refreshText({ refreshes, refreshAt = 0 }: Row, now: number): string {
  if (!refreshes) return "never";
  return refreshAt <= now ? "due now" : fromNow(refreshAt, now);
}

/** The days that the refresh token has left. */
export function runwayText({ refreshes, refreshExpires, manager }: Row, now: number): string {
  if (!refreshes) return "none";
  if (refreshExpires === undefined) return manager === undefined ? "unknown" : "none needed";
  const left = refreshExpires - now;
  if (left <= 0) return "ended";
  if (left < 2 * DAY) return durationText(left);
  return `${Math.floor(left / DAY)} days`;
}

/** What the last try came to, and when that was. */
export function resultParts({ failure, lastRefresh }: Row, now: number): [what: string, when: string] {
  if (failure === undefined)
    return lastRefresh === undefined ? ["nothing yet", ""] : ["refreshed", fromNow(lastRefresh, now)];
  const what = failure.code === UNCHANGED_CODE ? "the same token again" : `failed (${failure.code})`;
  return [what, triesText(failure, now)];
}

const triesText = ({ count, at }: { count: number; at: number }, now: number) =>
  `${count > 1 ? `${count} times, ` : ""}${fromNow(at, now)}`;

export const resultText = (row: Row, now: number): string => {
  const [what, when] = resultParts(row, now);
  return when === "" ? what : `${what} ${when}`;
};

/** The same, where a refresh that works may hide that the token reaches no global variable. */
export function worstParts(row: Row, now: number): [what: string, when: string] {
  const { failure, publish } = row;
  if (failure !== undefined || publish?.failure === undefined) return resultParts(row, now);
  return [`not published (${publish.failure.code})`, triesText(publish.failure, now)];
}

/** What came of the last try to put the token into its global variables. */
export function publishedText({ failure, publishedAt, nextAt }: Publish, now: number): string {
  if (failure !== undefined) {
    const next = nextAt === undefined || nextAt <= now ? "now" : fromNow(nextAt, now);
    return `failed (${failure.code}) ${triesText(failure, now)}; the next try ${next}`;
  }
  return publishedAt === undefined ? "by the next sweep" : fromNow(publishedAt, now);
}

const RIGHTS =
  "Look at the scope and the role of the token that writes, at the variable's id and at the region.";

/** Why a global variable can't be written, and what to do about it; `undefined`: waiting mends it. */
export function publishRemedy({ failure, via }: Publish): string | undefined {
  switch (failure?.code) {
    case "unauthorized":
    case "forbidden":
    case "not_found":
      return RIGHTS;
    case "bad_request":
      return "The contact centre does not take its own variable back: look at it in Control Hub.";
    case "too_long":
      return "The token is longer than a global variable holds: let the flow ask lookup instead.";
    case "not_a_string":
      return "The global variable must be of the type String: name another one.";
    case "via_missing":
      return `There is no token "${via}" to write with: add it, or name another one.`;
    case "via_ended":
      return via && `The token "${via}" that writes has ended: mend that one first.`;
    case "no_organization":
      return "The token's organization is unknown: refresh it now, or authorize it again.";
    case "foreign_organization":
      return `The token "${via}" belongs to another organization: name one of the same organization.`;
    default:
      return undefined;
  }
}

/** The bar in words. */
export function barText(row: Row, now: number): string {
  const { lifetime, threshold, refreshAt, accessExpires = 0 } = row;
  if (lifeLeft(row, now) === 0) return "no life left";
  const next =
    refreshAt !== undefined && refreshAt > now
      ? `, refreshed with ${durationText(accessExpires - refreshAt)} left`
      : "";
  return `${durationText(lifeLeft(row, now))} of ${durationText(lifetime)} left, threshold ${durationText(threshold)}${next}`;
}

/** A service on one machine sweeps every few seconds, one on Google Cloud every minute. */
const SILENT = 5 * 60 * SECOND;

/** How the last sweeps were. `well`: false where somebody should look. */
export function sweepsText({ last, list }: Changes["sweeps"], now: number): { text: string; well: boolean } {
  if (last === 0) return { text: "No sweep yet: does the service run?", well: false };
  const silent = now - last > SILENT;
  const refreshed = list.reduce((sum, sweep) => sum + sweep.refreshed, 0);
  const failed = list.reduce((sum, sweep) => sum + sweep.failed, 0);
  const ended = `Last sweep ${fromNow(Math.min(last, now), now)}${silent ? ": does the service run?" : "."}`;
  const busy =
    list.length === 0 ? "" : ` The last ${list.length} with work: ${refreshed} refreshed, ${failed} failed.`;
  return { text: `${ended}${busy}`, well: !silent };
}

/** Names and codes come from outside: what can't be seen, or turns the text around it, is shown as U+FFFD. */
export const visible = (text: string) => text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, "\ufffd");
