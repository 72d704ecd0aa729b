import type { Row } from "../row.ts";
import { barText, lifeLeft } from "./words.ts";

/** The life that is left of a whole life, the threshold, and where the next refresh comes. */
export function LifeBar({ row, now }: { row: Row; now: number }) {
  const { lifetime, threshold, refreshAt, accessExpires = 0, state } = row;
  const share = (ms: number) => Math.min(100, Math.max(0, (ms / lifetime) * 100));
  const life = share(lifeLeft(row, now));
  const next = refreshAt === undefined || refreshAt <= now ? undefined : share(accessExpires - refreshAt);
  const low = lifeLeft(row, now) < threshold || state === "needs a person";
  return (
    <svg class={low ? "bar low" : "bar"} viewBox="0 0 100 10" preserveAspectRatio="none" role="img">
      <title>{barText(row, now)}</title>
      <rect class="bar-track" width="100" height="10" />
      <rect class="bar-life" width={life} height="10" />
      {row.refreshes && <Mark kind="bar-threshold" at={share(threshold)} />}
      {next !== undefined && <Mark kind="bar-next" at={next} />}
    </svg>
  );
}

/** A line as thin as it is wherever the bar is drawn, however wide. */
const Mark = ({ kind, at }: { kind: string; at: number }) => (
  <line class={kind} x1={at} x2={at} y1="0" y2="10" vector-effect="non-scaling-stroke" />
);
