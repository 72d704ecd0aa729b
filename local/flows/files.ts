import { callApi } from "./call-api.ts";
import { exportFlow } from "./export.ts";
import { getToken } from "./get-token.ts";

/** What Flow Designer imports: file, from the root of the project → content. */
export const FLOWS = {
  "docs/flows/get-token.subflow.json": () => exportFlow(getToken("connector")),
  "docs/flows/get-token-passphrase.subflow.json": () => exportFlow(getToken("passphrase")),
  "docs/flows/call-api.flow.json": () => exportFlow(callApi),
} as const;
