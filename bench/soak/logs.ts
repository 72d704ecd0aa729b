import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { PASSPHRASE } from "../deployed.ts";
import { SECRET_MARK } from "./authority.ts";
import type { Verdict } from "./judge.ts";

/** Every access and refresh token has it, every client secret, and the passphrase is what it is. */
const SECRETS = ["_PF84_", SECRET_MARK, PASSPHRASE];
/** Events that must not be. */
const BUGS = ["bug", "service.stopped"];

export interface Logged {
  /** How often each event was logged. */
  events: ReadonlyMap<string, number>;
  verdicts: Verdict[];
}

/** Looks through all that the functions wrote. */
export async function readLogs(files: string[]): Promise<Logged> {
  const events = new Map<string, number>();
  const verdicts: Verdict[] = [];
  for (const file of files)
    for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      const event = eventOf(line);
      if (event !== undefined) events.set(event, (events.get(event) ?? 0) + 1);
      const wrong = wrongIn(line, event);
      if (wrong !== undefined) verdicts.push(wrong);
    }
  return { events, verdicts };
}

function wrongIn(line: string, event: string | undefined): Verdict | undefined {
  // That line is not repeated.
  if (SECRETS.some((secret) => line.includes(secret)))
    return { is: "broken", promise: "logs", why: "a secret stands in it" };
  if (event === undefined || !BUGS.includes(event)) return undefined;
  return { is: "broken", promise: "logs", why: `it tells of "${event}"`, details: line.slice(0, 500) };
}

function eventOf(line: string): string | undefined {
  try {
    const { event } = JSON.parse(line) as { event?: unknown };
    return typeof event === "string" ? event : undefined;
  } catch {
    return undefined;
  }
}
