import { readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

/** A clock that a test moves, for the processes that it starts with `env`. */
export interface MovableClock {
  readonly env: { NODE_OPTIONS: string; CLOCK_FILE: string };
  /** ms since epoch, by this clock. */
  now(): number;
  /** Moves by `ms`, forwards or backwards, in all these processes at once. */
  jump(ms: number): void;
  /** Goes back to the true time. */
  reset(): void;
}

/** A clock that is right until it is moved; `folder` is an empty one. */
export function movableClock(folder: string): MovableClock {
  const file = path.join(folder, "offset");
  let ahead = 0;
  const set = (ms: number) => {
    ahead = ms;
    // Renamed, so that no process reads half a number.
    writeFileSync(`${file}.new`, String(ahead));
    renameSync(`${file}.new`, file);
  };
  set(0);
  return {
    env: { NODE_OPTIONS: `--import=${import.meta.url}`, CLOCK_FILE: file },
    now: () => Date.now() + ahead,
    jump: (ms) => set(ahead + ms),
    reset: () => set(0),
  };
}

// In a process that preloads this file: moves the time of day only, not timers nor `performance.now()`.
const { CLOCK_FILE } = process.env;
if (CLOCK_FILE !== undefined) {
  const trueTime = Date.now;
  const now = () => trueTime() + Number(readFileSync(CLOCK_FILE, "utf8"));
  Date.now = now;
  globalThis.Date = new Proxy(Date, {
    construct: (date, given, made) => Reflect.construct(date, given.length === 0 ? [now()] : given, made),
  });
}
