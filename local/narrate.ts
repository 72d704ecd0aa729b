import { styleText } from "node:util";
import { type Details, EVENTS, type Event, type Log } from "../functions/core/log.ts";

/** Tells each event to the person in front of the terminal, in one short line. */
export function narrator(write: (line: string) => void): Log {
  return (event, details = {}) => {
    const sentence = sentenceOf(event, details);
    if (sentence === undefined) return;
    const time = new Date().toLocaleTimeString("en-GB");
    write(`${styleText("dim", time)}  ${styleText(colourOf(event), printable(sentence))}\n`);
  };
}

/** Names come from requests: none of them may command the terminal. */
export const printable = (text: string) => text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, "\ufffd");

function colourOf(event: Event) {
  const severity = EVENTS[event];
  if (severity === "CRITICAL" || severity === "ERROR") return "red";
  return severity === "WARNING" ? "yellow" : "reset";
}

/** `undefined`: nothing a person wants to see. */
function sentenceOf(event: Event, details: Details): string | undefined {
  const { token, code, count, reference } = details;
  switch (event) {
    case "refresh.done":
      return `${token}: refreshed, the new token lives ${lifetime(Number(details.lifetime))}`;
    case "refresh.unchanged":
      return `${token}: Webex sent the same token again (${count} in a row)`;
    case "refresh.failed":
      return `${token}: refresh failed (${code}), try ${count}; the held token is served to its end`;
    case "refresh.refused":
      return `${token}: Webex refused the refresh token (${code}): run "npm run tokens -- authorize ${token}"`;
    case "refresh.discarded":
      return `${token}: a newer consent or secret came in between and was kept`;
    case "refresh.unsaved":
      return `${token}: Webex granted a token, but the store could not be written`;
    case "setup.authorized":
      return `${token}: authorized`;
    case "setup.initialized":
      return `${token}: initialized`;
    case "request.refused":
    case "request.unauthorized":
      return `${token ?? "a request"}: told no (${code}), reference ${reference}`;
    case "token.ending":
      return `${token}: its ${details.kind} ${details.days === 0 ? "has ended" : `ends in ${details.days} d`}`;
    case "publish.done":
      return `${token}: published`;
    case "publish.failed":
    case "publish.stuck":
      return `${token}: publishing failed (${code}), try ${count}`;
    case "sweep.done":
      return Number(details.remaining) > 0
        ? `sweep: ${details.remaining} tokens left for the next`
        : undefined;
    case "census.done":
      return undefined;
    default:
      return [event, ...Object.entries(details).map(([name, value]) => `${name}=${value}`)].join(" ");
  }
}

const lifetime = (seconds: number) =>
  seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
