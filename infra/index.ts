import { readConfig } from "./config.ts";
import { TokenService } from "./token-service.ts";

const service = new TokenService("tokens", readConfig());

export const {
  baseUrl,
  redirectUri,
  refresherUri,
  curl,
  dashboard,
  passphrase,
  sealKeys,
  jobs,
  egressAddress,
} = service;
