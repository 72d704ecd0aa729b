import type { HttpFunction } from "@google-cloud/functions-framework";
import { boot } from "./adapters/boot.ts";
import { openReader } from "./adapters/open-reader.ts";
import { openPassphrases } from "./adapters/passphrases.ts";
import { refresherAt } from "./adapters/refresher-client.ts";
import { runtime } from "./adapters/runtime.ts";
import { serveLookup } from "./adapters/serve-lookup.ts";
import { tokenReader } from "./core/store.ts";

/** The public function: `GET /?name=` answers a token that works. It can only read. */
export const lookup: HttpFunction = boot(["store", "passphrase", "refresherUrl"], async (booted) => {
  const { settings, metadata, log } = booted;
  const reader = tokenReader(await openReader(booted), runtime.now);
  const passphrases = await openPassphrases(settings.passphrase, log, runtime.now);
  const askRefresher = refresherAt(settings.refresherUrl, metadata);
  return serveLookup({ reader, passphrases, askRefresher, log }, settings);
});
