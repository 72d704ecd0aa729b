import { createServer } from "node:http";
import { freePort } from "../test/support/processes.ts";

/**
 * A server that gives what the emulator has of one token, at once and to every request: what is measured against it is
 * lookup's own time, without the emulator's. `env`: that of functions on the emulator.
 */
export async function startPromptStore(env: Record<string, string>, token: string) {
  const { FIRESTORE_EMULATOR_HOST: emulator, GOOGLE_CLOUD_PROJECT: project } = env;
  const document = `projects/${project}/databases/(default)/documents/tokens/${token}`;
  const headers = { authorization: "Bearer owner" };
  const answer = await (await fetch(`http://${emulator}/v1/${document}`, { headers })).text();
  const server = createServer((_request, response) => {
    response.setHeader("content-type", "application/json").end(answer);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    env: { ...env, FIRESTORE_EMULATOR_HOST: `127.0.0.1:${port}` },
    stop: () => void server.close().closeAllConnections(),
  };
}
