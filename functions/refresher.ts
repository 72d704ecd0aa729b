import type { HttpFunction } from "@google-cloud/functions-framework";
import { boot } from "./adapters/boot.ts";
import { globalVariables } from "./adapters/global-variables.ts";
import { serve } from "./adapters/http.ts";
import { openTokens } from "./adapters/open-tokens.ts";
import { makeSweeper } from "./adapters/sweeper.ts";
import { webexEndpoint } from "./adapters/webex.ts";
import { makeRefresher } from "./core/refresher.ts";

/** The private function: the Scheduler's sweep and census, and one token where lookup asks for it. */
export const refresher: HttpFunction = boot(["store", "sealing"], async (booted) => {
  const { settings, log, ending } = booted;
  const store = await openTokens(booted);
  const endpoint = webexEndpoint(settings.webexUrl);
  const variables = globalVariables(settings.wxccUrl);
  const sweeper = makeSweeper({ store, endpoint, variables, log }, settings);
  ending.addEventListener("abort", () => sweeper.pauses.drain());
  return serve({ handle: makeRefresher(sweeper), log });
});
