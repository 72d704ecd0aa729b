import { readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

/** The clock of a machine that a test moves. Processes that are started with `env` have it. */
export interface MovableClock {
  readonly env: { NODE_OPTIONS: string; CLOCK_FILE: string };
  /** ms since epoch, by this clock. */
  now(): number;
  /** Steps by so many ms, backwards too, at once and in every process that has it. */
  jump(ms: number): void;
  /** Shows the true time again. */
  reset(): void;
}

/** A clock that is right until it is moved. `folder`: an empty one. */
export function movableClock(folder: string): MovableClock {
  const file = path.join(folder, "offset");
  let ahead = 0;
  const set = (ms: number) => {
    ahead = ms;
    // Renamed: a process must never find half a number.
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

// Where a process preloads this file, its time of day is moved; how fast time passes, and its timers, are not.
const { CLOCK_FILE } = process.env;
if (CLOCK_FILE !== undefined) {
  const trueTime = Date.now;
  const now = () => trueTime() + Number(readFileSync(CLOCK_FILE, "utf8"));
  Date.now = now;
  globalThis.Date = new Proxy(Date, {
    construct: (date, given, made) => Reflect.construct(date, given.length === 0 ? [now()] : given, made),
  });
}
