import { type Authorizer, finishAuthorization } from "./authorization.ts";
import { redeemState } from "./consent.ts";
import { nameProblem } from "./document.ts";
import { pageReply } from "./page.ts";
import { admit, identify, type Passphrases } from "./passphrase.ts";
import { onlyMethods, Problem, problemReply, type Reply, type Request, single } from "./reply.ts";

export interface Setup extends Authorizer {
  passphrases: Passphrases;
  /** Take any method, as Cisco's sample does. */
  anyMethod?: boolean;
}

/** Makes the handler of `/callback`, and of `/init` where plain states are accepted too: both are the old set-up. */
export const makeSetup =
  (setup: Setup) =>
  async (request: Request): Promise<Reply> => {
    if (request.path === "/callback") return callback(request, setup);
    if (request.path === "/init" && setup.plainStates) return init(request, setup);
    throw new Problem("not_found", "there is nothing here: consent comes back to /callback");
  };

/** A person in front of a browser gets a page, a program JSON. */
export function setupProblem(problem: Problem, reference: string, request: Request): Reply {
  const reply = problemReply(problem, reference);
  if (!wantsPage(request)) return reply;
  const sentences = [sentence(problem.message), `Reference: ${reference}`];
  const page = pageReply(reply.status, "That did not work", ...sentences);
  return { ...page, headers: { ...reply.headers, ...page.headers } };
}

async function init(request: Request, { passphrases, store, log, anyMethod }: Setup): Promise<Reply> {
  if (!anyMethod) onlyMethods(request, "GET", "POST");
  const name = single(request.query, "name")?.trim();
  if (name === undefined || name === "")
    throw new Problem("no_name", 'no token name: call "/init?name=NAME"');
  admit(identify(request, await passphrases.live()), undefined);
  const wrong = nameProblem(name);
  if (wrong !== undefined) throw new Problem("bad_request", `no token can have this name: ${wrong}`);
  if (await store.create(name, { clientId: "", clientSecret: "", redirectUri: "" }))
    log("setup.initialized", { token: name });
  else {
    const token = await store.read(name);
    if (token !== undefined && (Object.keys(token.document).length > 0 || token.mistyped.length > 0))
      throw new Problem("already_set_up", `token "${name}" exists already and was left as it is`);
  }
  return { status: 200, body: { status: "200", message: "Token document initialized" } };
}

async function callback(request: Request, setup: Setup): Promise<Reply> {
  if (!setup.anyMethod) onlyMethods(request, "GET");
  const { query } = request;
  const error = single(query, "error");
  if (error !== undefined) {
    const description = single(query, "error_description");
    const refusal = new Problem(
      "consent_refused",
      description === undefined ? error : `${error}: ${description}`,
    );
    if (!query.has("code")) await tellWhoWaits(single(query, "state"), refusal, setup);
    throw refusal;
  }
  const code = single(query, "code");
  const state = single(query, "state");
  if (!code) throw new Problem("bad_request", "no authorization code came back from Webex");
  if (!state) throw new Problem("bad_request", "no state came back from Webex");
  const name = await finishAuthorization({ code, state }, setup);
  if (wantsPage(request))
    return pageReply(
      200,
      "Authorized",
      `Token "${name}" is authorized and will be kept fresh from now on.`,
      "You can close this page.",
    );
  return { status: 200, body: { status: "200", message: "Access & Refresh tokens created" } };
}

/** A consent that was refused uses its state up, so that whoever made it hears of that. */
async function tellWhoWaits(state: string | undefined, { message }: Problem, setup: Setup): Promise<void> {
  if (!state) return;
  const consent = await redeemState(state, false, setup).catch(() => "it stands for nothing");
  if (typeof consent !== "string") await consent.conclude(message);
}

const wantsPage = ({ path, headers }: Request) =>
  path === "/callback" && (headers.accept ?? "").includes("text/html");

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
