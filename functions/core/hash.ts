import { hash } from "node:crypto";

/** In lower-case hex. What must be recognized, but not kept, is kept as this. */
export const sha256 = (text: string) => hash("sha256", text);
