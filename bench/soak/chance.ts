import { createHash } from "node:crypto";

/** Gives numbers in [0, 1), always the same ones for the same seed. */
export function chanceOf(seed: string): () => number {
  let drawn = 0;
  return () => createHash("sha256").update(`${seed} ${drawn++}`).digest().readUInt32BE(0) / 2 ** 32;
}

/** One of several, as `chance` has it. */
export function pick<T>(from: readonly T[], chance: number): T {
  const one = from[Math.floor(chance * from.length)];
  if (one === undefined) throw new Error("there is nothing to pick from");
  return one;
}
