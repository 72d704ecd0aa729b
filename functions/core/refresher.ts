import { census } from "./census.ts";
import { idProblem } from "./document.ts";
import { refresh } from "./refresh.ts";
import { onlyMethods, Problem, type Reply, type Request, seconds, single } from "./reply.ts";
import { type Sweeper, sweep } from "./sweep.ts";
import type { AskByHash } from "./time.ts";

/**
 * Makes the handler of the private function: `POST /` sweeps, `POST /census` counts, `POST /?name=` sees to one token.
 * It answers 200 whatever became of the tokens, and never with a token: the caller reads the store.
 */
export const makeRefresher =
  (sweeper: Sweeper) =>
  async (request: Request): Promise<Reply> => {
    const { path, query } = request;
    onlyMethods(request, "POST");
    if (path === "/census") return { status: 200, body: await census(sweeper) };
    if (path !== "/") throw new Problem("not_found", "there is nothing here: POST to / or /census");
    const name = single(query, "name");
    if (name === undefined) return { status: 200, body: await sweep(sweeper) };
    const problem = idProblem(name);
    if (problem !== undefined) throw new Problem("bad_request", `no token can have this name: ${problem}`);
    const outcome = await sweeper.limit(() => refresh(name, askOf(query), sweeper));
    return { status: 200, body: outcome };
  };

function askOf(query: URLSearchParams): AskByHash {
  const ifToken = single(query, "ifToken");
  if (ifToken !== undefined && !/^[0-9a-f]{64}$/.test(ifToken))
    throw new Problem("bad_request", '"ifToken" must be a sha256 in lower-case hex');
  const minTtl = seconds(query, "minTtl");
  return {
    by: "reader",
    ...(ifToken !== undefined && { ifToken }),
    ...(minTtl !== undefined && { minTtl }),
  };
}
