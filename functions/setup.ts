import type { HttpFunction } from "@google-cloud/functions-framework";
import { boot } from "./adapters/boot.ts";
import { openTokens } from "./adapters/open-tokens.ts";
import { openPassphrases } from "./adapters/passphrases.ts";
import { runtime } from "./adapters/runtime.ts";
import { serveSetup } from "./adapters/serve-setup.ts";
import { webexEndpoint } from "./adapters/webex.ts";

/** The function that a browser comes back to from consent: authorization code → tokens. */
export const setup: HttpFunction = boot(["store", "sealing", "passphrase"], async (booted) => {
  const { settings, log } = booted;
  const store = await openTokens(booted);
  const passphrases = await openPassphrases(settings.passphrase, log, runtime.now);
  const endpoint = webexEndpoint(settings.webexUrl);
  return serveSetup({ store, endpoint, passphrases, log }, settings);
});
