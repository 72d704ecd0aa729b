import { styleText } from "node:util";
import { printable } from "../narrate.ts";
import type { Examined, Verdict } from "./check.ts";

const SIGNS: Record<Verdict, [sign: string, colour: Parameters<typeof styleText>[0]]> = {
  well: ["✓", "green"],
  warning: ["!", "yellow"],
  broken: ["✗", "red"],
  skipped: ["-", "dim"],
};

/** `width`: of the longest title. Colours only where standard output is a terminal that wants them. */
export function lineOf({ title, verdict, says, remedy }: Examined, width: number): string {
  const [sign, colour] = SIGNS[verdict];
  const head = styleText(colour, `${sign} ${verdict.padEnd(7)}`, { stream: process.stdout });
  const text = remedy === undefined ? says : `${says}; run: ${remedy}`;
  return `${head}  ${title.padEnd(width)}  ${printable(text)}`;
}
