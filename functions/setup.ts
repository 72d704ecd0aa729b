import type { HttpFunction } from "@google-cloud/functions-framework";
import { boot } from "./adapters/boot.ts";
import { sampleCors } from "./adapters/cors.ts";
import { serve } from "./adapters/http.ts";
import { openStore } from "./adapters/open-store.ts";
import { openPassphrases } from "./adapters/passphrases.ts";
import { runtime } from "./adapters/runtime.ts";
import { webexEndpoint } from "./adapters/webex.ts";
import { sampleProblem } from "./core/compat.ts";
import { makeSetup, setupProblem } from "./core/setup.ts";
import { tokenStore } from "./core/store.ts";

/** The function that a browser comes back to from consent: authorization code → tokens. */
export const setup: HttpFunction = boot(["store", "passphrase"], async (booted) => {
  const { settings, log } = booted;
  const { legacySetup, sample, threshold, webexUrl } = settings;
  return serve({
    handle: makeSetup({
      store: tokenStore(await openStore(booted), runtime.now),
      endpoint: webexEndpoint(webexUrl),
      passphrases: await openPassphrases(settings.passphrase, log, runtime.now),
      runtime,
      log,
      threshold,
      legacy: legacySetup,
      plainStates: legacySetup,
      anyMethod: sample,
    }),
    log,
    ...(sample ? { tell: sampleProblem, cors: sampleCors } : { tell: setupProblem }),
  });
});
