import type { HttpFunction } from "@google-cloud/functions-framework";
import got from "got";
import { boot } from "../../functions/adapters/boot.ts";
import { serve } from "../../functions/adapters/http.ts";
import type { Reply, Request } from "../../functions/core/reply.ts";
import { StoreUnavailable } from "../../functions/core/store.ts";

/** Makes an error that quotes the secret. */
type Bug = (secret: string) => unknown;

const failure: Bug = (secret) => new Error(`can't use ${secret}`);

/** What a bug may throw while a request is answered; each quotes the secret in another way. */
const THROWN: Record<string, Bug> = {
  message: failure,
  lines: (secret) => new Error(`can't use\n    at ${secret}\n    ${secret}`),
  cause: (secret) => new Error("something failed", { cause: failure(secret) }),
  several: (secret) => new AggregateError([failure(secret), secret], secret),
  text: (secret) => secret,
  object: (secret) => ({ message: secret, stack: `    at ${secret}` }),
  renamed: (secret) => Object.assign(new Error(secret), { message: "something else" }),
  properties: (secret) => Object.assign(new Error("x"), { config: { headers: { authorization: secret } } }),
  store: (secret) => new StoreUnavailable("the store failed", secret),
  parsing: (secret) => JSON.parse(secret),
  address: (secret) => new URL(secret),
  header: (secret) => new Headers({ authorization: `${secret}\n` }),
  request: (secret) =>
    got.post("http://127.0.0.1:1/", {
      form: { secret },
      headers: { authorization: secret },
      retry: { limit: 0 },
    }),
  answer: (secret) => fetch(`data:application/json,${secret}`).then((response) => response.json()),
};

/** Errors outside of any request. */
const UNWATCHED: Record<string, (secret: string) => void> = {
  "uncaught-exception": (secret) => {
    throw failure(secret);
  },
  "unhandled-rejection": (secret) => {
    Promise.reject(failure(secret));
  },
};

/** A function of bugs: the path names one, the passphrase is the secret that it quotes. */
export const buggy: HttpFunction = boot([], async ({ log }) => {
  const { BUG_AT_START, BUG_SOON, TOKEN_PASSPHRASE = "" } = process.env;
  if (BUG_AT_START !== undefined) throw failure(TOKEN_PASSPHRASE);
  if (BUG_SOON !== undefined) setTimeout(UNWATCHED[BUG_SOON] ?? failure, 100, TOKEN_PASSPHRASE);
  const answer = serve({ handle, log });
  return (request, response) => {
    const unwatched = UNWATCHED[request.url?.slice(1) ?? ""];
    const secret = String(request.headers["x-token-passphrase"]);
    if (unwatched !== undefined) response.once("finish", () => setImmediate(unwatched, secret));
    return answer(request, response);
  };
});

async function handle({ path, headers }: Request): Promise<Reply> {
  const thrown = THROWN[path.slice(1)];
  if (thrown !== undefined) throw await thrown(headers["x-token-passphrase"] ?? "");
  return { status: 200, body: "" };
}
