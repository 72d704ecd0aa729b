import type { Context } from "./context.ts";
import { environment, type FunctionName, HEADERS, startFunction } from "./deployed.ts";
import type { Server } from "./processes.ts";
import { firestorePlace, liveToken } from "./stores.ts";

/** The three that are compared: what they are called in the page, and their function. */
export const CONTESTANTS = {
  "hello-world": "hello",
  lookup: "lookup",
  "plain SDK handler": "plain",
} as const satisfies Record<string, FunctionName>;

export type Contestant = keyof typeof CONTESTANTS;
export const NAMES = Object.keys(CONTESTANTS) as Contestant[];

/** The request that all three are sent. */
export const TARGET = "/?name=sales";

/** Something for each of the three, in their order. */
export function forEach<T>(make: (name: Contestant) => T): Record<Contestant, T> {
  return Object.fromEntries(NAMES.map((name) => [name, make(name)])) as Record<Contestant, T>;
}

/** The environment of the three: one live token in the emulator. */
export async function liveEnvironment(context: Context): Promise<Record<string, string>> {
  const place = await firestorePlace(await context.emulator(), { sales: liveToken("sales") });
  return environment(place.env);
}

/** Starts all three and makes sure that each answers what it should. */
export async function startAll({ folder }: Context, env: Record<string, string>) {
  const servers = {} as Record<Contestant, Server>;
  for (const name of NAMES) {
    servers[name] = await startFunction(folder, CONTESTANTS[name], env);
    const answer = await fetch(`${servers[name].url}${TARGET}`, { headers: HEADERS });
    const text = await answer.text();
    const good = name === "hello-world" ? text.startsWith("Hello") : text.includes('"token":"');
    if (answer.status !== 200 || !good) throw new Error(`${name} answered ${answer.status}: ${text}`);
  }
  return servers;
}

export const stopAll = (servers: Record<Contestant, Server>) =>
  Promise.all(Object.values(servers).map((server) => server.stop()));
