import { idProblem } from "./document.ts";
import { sha256 } from "./hash.ts";
import { onlyMethods, Problem, type Reply, type Request, seconds, single } from "./reply.ts";
import { type AskByHash, SECOND } from "./time.ts";

/** Seconds. */
const WAIT = { usual: 8, most: 20 };

interface Surface {
  setupUrl?: string | undefined;
  anyMethod?: boolean;
}

/** What is not a lookup: `undefined` for all that is, whatever the path. */
export function route(request: Request, { setupUrl, anyMethod }: Surface): Reply | undefined {
  const { path, query } = request;
  if (path === "/health") return { status: 200, body: { status: "200" } };
  if (path === "/init" || path === "/callback") {
    if (setupUrl === undefined) throw new Problem("not_found", `${path} is served by the setup function`);
    const search = query.size > 0 ? `?${query}` : "";
    return { status: 307, headers: { location: `${setupUrl}${path}${search}` }, body: "" };
  }
  if (!anyMethod) onlyMethods(request, "GET", "HEAD");
  return undefined;
}

/** What a reader wants. */
export interface Wanted {
  /** As it was asked for. */
  name: string;
  /** The name without the blanks around it, to be looked up where there is none of the exact name; absent: the same. */
  trimmed?: string;
  ask: AskByHash;
  /** ms to wait at most when nothing valid is held. */
  wait: number;
  details: boolean;
}

/** Reads the request. Throws `Problem`. */
export function parse({ query, headers }: Request): Wanted {
  const asked = single(query, "name") ?? "";
  const trimmed = asked.trim();
  if (trimmed === "") throw new Problem("no_name", 'no token name: ask with "?name=NAME"');
  const name = idProblem(asked) === undefined ? asked : trimmed;
  const problem = idProblem(name);
  if (problem !== undefined) throw new Problem("bad_request", `no token can have this name: ${problem}`);
  const minTtl = seconds(query, "minTtl");
  const wait = seconds(query, "wait", WAIT.most) ?? WAIT.usual;
  const rejected = headers["x-token-rejected"]?.trim().replace(/^Bearer\s+/i, "");
  const ask: AskByHash = {
    by: "reader",
    ...(minTtl !== undefined && { minTtl }),
    ...(rejected && { ifToken: sha256(rejected) }),
  };
  return {
    name,
    ...(trimmed !== name && { trimmed }),
    ask,
    wait: wait * SECOND,
    details: single(query, "details") === "true",
  };
}
