import { createHash } from "node:crypto";

const digest = (name: string) => createHash("sha256").update(name).digest("hex");

/** A UUID that is always the same for the same name (RFC 9562 §5.8: version 8). */
export function uuidOf(name: string): string {
  const hex = digest(name);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`];
  return [...parts, hex.slice(20, 32)].join("-");
}

/** The form of the ids that flows and their versions have: 24 hexadecimal digits. */
export const flowIdOf = (name: string): string => digest(name).slice(0, 24);
