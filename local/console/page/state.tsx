import type { Row } from "../row.ts";
import { MOODS, stateText } from "./words.ts";

const SIGNS = { good: "✓", busy: "↻", warn: "!", bad: "✕" };

/** How a token is: a sign, a colour, and words that do without both. */
export function State({ row, now }: { row: Row; now: number }) {
  const mood = MOODS[row.state];
  return (
    <span class={`state ${mood}`}>
      <span aria-hidden="true">{SIGNS[mood]}</span> {stateText(row, now)}
    </span>
  );
}
