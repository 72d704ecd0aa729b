import { readConfig } from "./config.ts";
import { TokenService } from "./token-service.ts";

const service = new TokenService("tokens", readConfig());

export const {
  baseUrl,
  redirectUri,
  refresherUri,
  curl,
  openCommand,
  dashboard,
  passphrase,
  sealKeys,
  jobs,
  egressAddress,
} = service;
