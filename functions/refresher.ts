import type { HttpFunction } from "@google-cloud/functions-framework";
import { boot } from "./adapters/boot.ts";
import { serve } from "./adapters/http.ts";
import { openStore } from "./adapters/open-store.ts";
import { runtime } from "./adapters/runtime.ts";
import { makeSweeper } from "./adapters/sweeper.ts";
import { webexEndpoint } from "./adapters/webex.ts";
import { makeRefresher } from "./core/refresher.ts";
import { tokenStore } from "./core/store.ts";

/** The private function: the Scheduler's sweep and census, and one token where lookup asks for it. */
export const refresher: HttpFunction = boot(["store"], async (booted) => {
  const { settings, log } = booted;
  const store = tokenStore(await openStore(booted), runtime.now);
  const endpoint = webexEndpoint(settings.webexUrl);
  return serve({ handle: makeRefresher(makeSweeper({ store, endpoint, log }, settings)), log });
});
