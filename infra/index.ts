import { RunError, runtime, secret } from "@pulumi/pulumi";
import { ArgsError, type TokenServiceArgs } from "./args.ts";
import { readConfig } from "./config.ts";
import { TokenService } from "./token-service.ts";

const args = configured();
const service = new TokenService("tokens", args);

export const { project, region } = args;

export const {
  baseUrl,
  redirectUri,
  refresherUri,
  curl,
  commandLine,
  openCommand,
  dashboard,
  passphrase,
  sealKeys,
  jobs,
  egressAddress,
} = service;

/** What is wrong with the configuration is told in one sentence, before anything is made. */
function configured(): TokenServiceArgs {
  try {
    return readConfig(runtime.allConfig(), secret);
  } catch (error) {
    throw error instanceof ArgsError ? new RunError(error.message) : error;
  }
}
