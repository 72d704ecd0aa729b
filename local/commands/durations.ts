import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";

const UNITS = [
  ["d", DAY],
  ["h", HOUR],
  ["m", MINUTE],
  ["s", SECOND],
] as const;

/** ms as people say it, cut to two units: `2d 4h`, `59m 58s`, `0s`. */
export function durationText(ms: number): string {
  const first = UNITS.findIndex(([, size]) => ms >= size);
  if (first < 0) return "0s";
  const [unit, size] = UNITS[first] ?? ["s", SECOND];
  const [next, nextSize] = UNITS[first + 1] ?? [undefined, SECOND];
  const rest = Math.floor((ms % size) / nextSize);
  const whole = `${Math.floor(ms / size)}${unit}`;
  return next === undefined || rest === 0 ? whole : `${whole} ${rest}${next}`;
}

/** An instant as seen from `now`: `in 3h 2m`, `5m ago`, `now`. */
export function fromNow(instant: number, now: number): string {
  const ms = instant - now;
  if (Math.abs(ms) < SECOND) return "now";
  return ms > 0 ? `in ${durationText(ms)}` : `${durationText(-ms)} ago`;
}

/** `30s`, `5m`, `12h` or `14d` → ms; `undefined` for anything else, 0 included. */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text.trim()) ?? [];
  const size = UNITS.find(([name]) => name === unit)?.[1];
  const ms = Number(amount) * (size ?? Number.NaN);
  return ms > 0 ? ms : undefined;
}

/** A duration from `now`, or an ISO date or time (UTC where it names no zone) → ms since epoch. */
export function parseInstant(text: string, now: number): number | undefined {
  const duration = parseDuration(text);
  if (duration !== undefined) return now + duration;
  const [, date, time = "T00:00", zone = "Z"] =
    /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?$/i.exec(text.trim()) ?? [];
  const instant = Date.parse(`${date}${time}${zone}`);
  return Number.isNaN(instant) ? undefined : instant;
}
