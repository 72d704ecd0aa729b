import type { HttpFunction } from "@google-cloud/functions-framework";
import got from "got";
import { boot } from "../../functions/adapters/boot.ts";
import { serve } from "../../functions/adapters/http.ts";
import type { Reply, Request } from "../../functions/core/reply.ts";
import { StoreUnavailable } from "../../functions/core/store.ts";

/** A secret that was being worked on, and an error that quotes it. */
type Bug = (secret: string) => unknown;

const failure: Bug = (secret) => new Error(`can't use ${secret}`);

/** What a bug may throw while a request is answered; each quotes the secret in its own way. */
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

/** What goes wrong where nobody waits for it. */
const UNWATCHED: Record<string, (secret: string) => void> = {
  "uncaught-exception": (secret) => {
    throw failure(secret);
  },
  "unhandled-rejection": (secret) => {
    Promise.reject(failure(secret));
  },
};

/** A function with nothing but bugs: the path names one, the passphrase is the secret that it meets. */
export const buggy: HttpFunction = boot([], async ({ log }) => {
  const { BUG_AT_START, BUG_SOON, TOKEN_PASSPHRASE = "" } = process.env;
  if (BUG_AT_START !== undefined) throw failure(TOKEN_PASSPHRASE);
  if (BUG_SOON !== undefined) setTimeout(UNWATCHED[BUG_SOON] ?? failure, 500, TOKEN_PASSPHRASE);
  return serve({ handle, log });
});

async function handle({ path, headers }: Request): Promise<Reply> {
  const secret = headers["x-token-passphrase"] ?? "";
  const name = path.slice(1);
  const unwatched = UNWATCHED[name];
  if (unwatched !== undefined) setTimeout(unwatched, 50, secret);
  else throw await THROWN[name]?.(secret);
  return { status: 200, body: "" };
}
