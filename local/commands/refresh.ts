import { setTimeout as sleep } from "node:timers/promises";
import { sha256 } from "../../functions/core/hash.ts";
import { makePauses } from "../../functions/core/pauses.ts";
import { type Outcome, type Refresher, refresh as refreshToken } from "../../functions/core/refresh.ts";
import { needText } from "../../functions/core/state.ts";
import type { StoredToken, TokenStore } from "../../functions/core/store.ts";
import { LEASE_TIME, type Need, SECOND } from "../../functions/core/time.ts";
import type { Deployment } from "../deployment.ts";
import { type Context, examples, jsonOption, type Register, tokenName, withTokens } from "./context.ts";
import { durationText } from "./durations.ts";
import { CommandError } from "./errors.ts";
import { findToken } from "./stored.ts";
import { prospects, viewOf } from "./view.ts";

/** `refresh`: asks Webex now, whatever the schedule says. */
export const refresh: Register = (program, context) => {
  program
    .command("refresh")
    .argument("<name>", "name of the token", tokenName)
    .description("refresh a token now, and say what came of it")
    .option("--remote", "by the deployed refresher, whose address is in REFRESHER_URL, not by this machine")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      `
As a rule this machine asks Webex itself, for which it needs the sealing keys (SEAL_KEYS). --remote needs none of them,
but your own Google credentials (gcloud auth application-default login) must be those of somebody who may call the
refresher ("Cloud Run Invoker"). Google makes identity tokens for service accounts, also for one that you impersonate
(gcloud auth application-default login --impersonate-service-account ACCOUNT); a person's carries gcloud's own
audience, and an organization may refuse those.`,
    )
    .addHelpText(
      "after",
      examples(
        ["refresh sales", "asks Webex for a new access token"],
        ["refresh sales --remote", "has the refresher of the deployment do it"],
        ["refresh sales --json", "the outcome and the token's state, for programs"],
      ),
    )
    .action((name: string, options: { remote?: boolean; json?: boolean }) =>
      withTokens(
        context,
        async (store, deployment) => {
          const token = await findToken(name, store);
          const result = options.remote
            ? await refreshThere(token, store, deployment)
            : await refreshNow(name, store, deployment, context);
          if (options.json) context.terminal.json(resultView(result, context));
          const { text, well } = outcomeText(result, context);
          if (!well) throw new CommandError(text);
          if (!options.json) context.terminal.print(text);
        },
        { writesSecrets: !options.remote },
      ),
    );
};

/**
 * By the deployed refresher, as if an API had refused the token that is held: it then asks Webex, unless it did so in the last
 * half minute or was refused for good.
 */
async function refreshThere(
  { name, document }: StoredToken,
  store: TokenStore,
  { refresherUrl }: Deployment,
): Promise<Result> {
  if (refresherUrl === undefined)
    throw new CommandError(
      "where the refresher is is not known: set REFRESHER_URL to its address (npx pulumi stack output refresherUri --cwd infra)",
    );
  const { deployedRefresher } = await import("../google/deployed-refresher.ts");
  const { accessToken } = document;
  const about = accessToken === undefined ? {} : { ifToken: sha256(accessToken) };
  const outcome = await deployedRefresher(refresherUrl)(name, { by: "operator", ...about });
  return { outcome, token: await findToken(name, store) };
}

/** What came of a refresh, and the token as it is now. */
export interface Result {
  outcome: Outcome;
  token: StoredToken;
}

/** An operator's refresh. Where somebody else has the lease, what they come to is waited for. */
export async function refreshNow(
  name: string,
  store: TokenStore,
  deployment: Pick<Deployment, "webexUrl" | "threshold">,
  { runtime, signal }: Pick<Context, "runtime" | "signal">,
): Promise<Result> {
  const { webexEndpoint } = await import("../../functions/adapters/webex.ts");
  const refresher: Refresher = {
    store,
    endpoint: webexEndpoint(deployment.webexUrl()),
    runtime,
    log: () => {},
    threshold: deployment.threshold,
    pauses: makePauses(runtime.now),
  };
  const asked = runtime.now();
  let outcome = await refreshToken(name, { by: "operator" }, refresher);
  while (outcome.outcome === "leased" && runtime.now() < asked + LEASE_TIME && !signal.aborted) {
    await sleep(SECOND / 4);
    const token = await findToken(name, store);
    const { lease } = token.document;
    if (lease === undefined) outcome = othersOutcome(token, asked + token.ahead);
    else if (lease.expires <= runtime.now() + token.ahead)
      outcome = await refreshToken(name, { by: "operator" }, refresher);
  }
  return { outcome, token: await findToken(name, store) };
}

/** What the one who had the lease came to, as far as the document tells. */
function othersOutcome({ document }: StoredToken, asked: number): Outcome {
  const { failure, lastRefresh = 0 } = document;
  if (failure !== undefined && failure.at >= asked)
    return { outcome: "failed", code: failure.code, permanent: failure.permanent };
  return { outcome: lastRefresh + LEASE_TIME >= asked ? "refreshed" : "discarded" };
}

/** For programs. */
export function resultView({ outcome, token }: Result, { runtime }: Pick<Context, "runtime">) {
  const { outcome: word } = outcome;
  return {
    outcome: word,
    ...(outcome.outcome === "failed" && { code: outcome.code, permanent: outcome.permanent }),
    token: viewOf(token, runtime.now() + token.ahead),
  };
}

/** For a person. `well`: the token is what was asked for. */
export function outcomeText(
  { outcome, token }: Result,
  { runtime }: Pick<Context, "runtime">,
): { text: string; well: boolean } {
  const now = runtime.now() + token.ahead;
  const its = `token "${token.name}"`;
  const well = (text: string) => ({ text, well: true });
  const ill = (text: string) => ({ text, well: false });
  switch (outcome.outcome) {
    case "refreshed":
      return well(`${its} is refreshed: ${prospects(token, now)}`);
    case "unchanged":
      return well(
        `Webex returned the token it was meant to replace, so ${its} stays: ${prospects(token, now)}`,
      );
    case "fresh":
      return ill(
        `${its} has no refresh token, so it can't be refreshed: it lives until its access token ends`,
      );
    case "leased":
      return ill(`${its} is being refreshed by somebody else: try again in ${left(outcome.until, now)}`);
    case "deferred":
      if (token.document.failure?.permanent) return ill(needText(token, "refused"));
      return ill(`${its} was tried just now: try again in ${left(outcome.until, now)}`);
    case "held":
      return ill(`Webex asked to wait: try ${its} again in ${left(outcome.until, now)}`);
    case "discarded":
      return ill(`${its} was changed while it was refreshed, and the change wins: try again`);
    case "unsaved":
      return ill(`Webex refreshed ${its}, but the store could not be written: try again`);
    case "missing":
      return ill(`${its} was removed meanwhile`);
    case "failed":
      return ill(
        outcome.permanent ? needText(token, needFor(outcome.code)) : transientText(outcome.code, its),
      );
  }
}

const left = (until: number, now: number) => durationText(Math.max(SECOND, until - now));

function needFor(code: string): Need {
  return code === "not_authorized" || code === "static_expired" ? code : "refused";
}

const transientText = (code: string, its: string) =>
  `Webex gave no usable answer (${code}): ${its} keeps what it holds, and is tried again by the service`;
