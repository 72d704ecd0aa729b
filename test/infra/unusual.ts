import { secret } from "@pulumi/pulumi";
import { formatSealKeys } from "../../functions/core/seal.ts";
import { runOffline } from "../../infra/offline.ts";
import { TokenService } from "../../infra/token-service.ts";
import { sealKey } from "../support/sealing.ts";

/** A deployment with its own secrets, an existing database and no public access. */

export const PROJECT = "made-up-project";

/** How Pulumi marks a secret on its way to the engine. */
export const SECRET = { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270" };

export const GIVEN = {
  passphrase: "canary-first-passphrase",
  sealKeys: formatSealKeys({ primary: sealKey("k-given"), all: [sealKey("k-given")] }),
  token: "canary-token-of-the-hook",
  password: "canary-password-of-the-hook",
};

let run: ReturnType<typeof declare> | undefined;

/** Runs once in a process; its test files share what came of it. */
export function runUnusual() {
  run ??= declare();
  return run;
}

const declare = () =>
  runOffline(
    () =>
      new TokenService("tokens", {
        project: PROJECT,
        region: "europe-west1",
        database: { name: "webex-tokens", location: "eur3", adopt: true, adoptRules: true },
        names: { lookup: "sample-lookup", refresher: "sample-refresher", setup: "sample-setup" },
        minInstances: 2,
        passphrase: secret(GIVEN.passphrase),
        sealKeys: secret(GIVEN.sealKeys),
        notify: {
          emails: ["oncall@example.com"],
          // From a stack's configuration they come as plain text.
          webhooks: [
            `https://hooks.example/incidents?auth_token=${GIVEN.token}`,
            `https://contact%40centre:${GIVEN.password}@hooks.example/basic`,
          ],
        },
        publicAccess: false,
      }),
  );
