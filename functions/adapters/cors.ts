import { SAMPLE_CORS } from "../core/compat.ts";
import type { Cors } from "./http.ts";

/** CORS for the origins that are listed; `undefined`, and so off, where none is. */
export function corsFor(origins: readonly string[]): Cors | undefined {
  if (origins.length === 0) return undefined;
  return (origin) => ({
    vary: "origin",
    ...(origin !== undefined &&
      origins.includes(origin) && { ...ALLOWED, "access-control-allow-origin": origin }),
  });
}

/** As Cisco's sample does it: any origin. */
export const sampleCors: Cors = () => SAMPLE_CORS;

const ALLOWED = {
  "access-control-allow-methods": "GET, HEAD",
  "access-control-allow-headers": "authorization, content-type, x-token-passphrase, x-token-rejected",
  "access-control-expose-headers": "retry-after, x-token-expires-in, x-token-unchanged",
};
