import type { HttpFunction } from "@google-cloud/functions-framework";
import { boot } from "./adapters/boot.ts";
import { corsFor, sampleCors } from "./adapters/cors.ts";
import { serve } from "./adapters/http.ts";
import { openReader } from "./adapters/open-reader.ts";
import { openPassphrases } from "./adapters/passphrases.ts";
import { refresherAt } from "./adapters/refresher-client.ts";
import { runtime } from "./adapters/runtime.ts";
import { sampleProblem } from "./core/compat.ts";
import { makeLookup } from "./core/lookup.ts";
import { tokenReader } from "./core/store.ts";

/** The public function: `GET /?name=` answers a token that works. It can only read. */
export const lookup: HttpFunction = boot(["store", "passphrase", "refresherUrl"], async (booted) => {
  const { settings, metadata, log } = booted;
  const { sample, corsOrigins, refresherUrl = "", setupUrl, threshold } = settings;
  return serve({
    handle: makeLookup({
      reader: tokenReader(await openReader(booted), runtime.now),
      askRefresher: refresherAt(refresherUrl, metadata),
      passphrases: await openPassphrases(settings.passphrase, log, runtime.now),
      runtime,
      log,
      threshold,
      setupUrl,
      anyMethod: sample,
    }),
    log,
    ...(sample ? { tell: sampleProblem, cors: sampleCors } : { cors: corsFor(corsOrigins) }),
  });
});
