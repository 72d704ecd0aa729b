import path from "node:path";
import { start } from "./processes.ts";

/** Starts the stand-in for Webex in a process of its own. `latency`: ms until each answer. */
export async function startAuthority(latency: number, folder: string) {
  const file = path.join(import.meta.dirname, "authority-process.ts");
  const server = await start((port) => [file, String(port), String(latency)], {}, folder);
  return {
    /** What `WEBEX_URL` is set to. */
    url: `${server.url}/v1`,
    /** Requests for a refresh that reached it. */
    asked: async () => Number(await (await fetch(server.url)).text()),
    stop: server.stop,
  };
}
