import { EVENTS, type Log } from "../core/log.ts";

/**
 * Writes one JSON line an event, in the form that Cloud Logging reads (`severity`, `message`; the rest is searchable
 * as `jsonPayload`). `details` are names, codes and numbers by contract.
 */
export function jsonLog(write: (line: string) => void = (line) => process.stdout.write(line)): Log {
  return (event, details = {}) =>
    write(
      `${JSON.stringify({ ...details, severity: EVENTS[event], message: messageOf(event, details), event })}\n`,
    );
}

const messageOf = (event: string, details: Readonly<Record<string, unknown>>) =>
  [
    event,
    ...Object.entries(details)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}=${value}`),
  ].join(" ");
