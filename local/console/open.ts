import { readSettings } from "../../functions/adapters/env.ts";
import { runtime } from "../../functions/adapters/runtime.ts";
import { openSealer } from "../../functions/adapters/seal.ts";
import { unsealed } from "../../functions/core/seal.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { findDeployment } from "../deployment.ts";
import { startConsole } from "./server.ts";

export interface ConsoleOptions {
  port?: number;
  project?: string;
  live?: boolean;
}

/** A console on the tokens that the environment and the options name. `bug` gets the place of each bug. */
export async function openConsole(
  { port, project, live = false }: ConsoleOptions,
  given: Record<string, string | undefined>,
  bug: (where: string) => void,
) {
  const env = { ...given, ...(project !== undefined && { GOOGLE_CLOUD_PROJECT: project }) };
  const found = findDeployment(env, live);
  // The page stays with its store, even if an npm start with another store begins.
  const here = found.store.kind === "sqlite" ? { ...env, STORE: found.store.file } : env;
  const deployment = () => findDeployment(here, live);
  const documents = await found.open({ create: true });
  const page = await startConsole({
    documents,
    deployment,
    runtime,
    port: port ?? readSettings(env, []).port + 2,
    anyPort: port === undefined,
    metered: found.store.kind === "firestore",
    bug,
    async open() {
      const { sealing } = deployment();
      const sealer = sealing === undefined ? unsealed : await openSealer(sealing, () => {}, runtime.now);
      return tokenStore(documents, runtime.now, sealer);
    },
  }).catch(async (error: unknown) => {
    await documents.close();
    throw error;
  });
  return {
    where: found.where,
    url: page.url,
    async close() {
      await page.close();
      await documents.close();
    },
  };
}
