import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Command } from "commander";
import { DEFAULT_THRESHOLD } from "../../functions/core/time.ts";
import type { Context, Register } from "../../local/commands/context.ts";
import { judgeAuthorization } from "../../local/sandbox/authorization-request.ts";
import { SETTINGS, type World } from "../support/world.ts";
import { type Kill, type Mortal, mortalProcess } from "./crash.ts";

/** What an operator types when asked, by the first words of the question. Who is asked to confirm does. */
export type Typed = Readonly<Record<string, string | undefined>>;

/** A command as it is typed. */
export interface Line {
  register: Register;
  args: string[];
  typed?: Typed;
}

/** One run of a command in its own process, perhaps killed, whose operator consents at the address it prints. */
export async function runCommand<T>(
  { register, args, typed = {} }: Line,
  world: World,
  kill: Kill | undefined,
  look: (process: Mortal, work: Promise<unknown>, printed: readonly string[]) => Promise<T>,
): Promise<T> {
  const process = mortalProcess(world, kill);
  const door = await doorToWebex(world, process);
  const printed: string[] = [];
  const answer = async (question: string) => {
    const [, value] = Object.entries(typed).find(([words]) => question.startsWith(words)) ?? [];
    return question.startsWith("the address") ? allowed(printed.at(-1) ?? "", world) : value;
  };
  const context: Context = {
    env: {},
    deployment: () => ({
      where: "a test",
      service: undefined,
      redirectUri: SETTINGS.redirectUri,
      threshold: DEFAULT_THRESHOLD,
      sealing: "off",
      sealKeys: undefined,
      refresherUrl: undefined,
      requireSealing: () => {},
      webexUrl: () => door.url,
      open: async () => process.documents,
    }),
    terminal: {
      interactive: true,
      print: (line) => void printed.push(line),
      json: (value) => void printed.push(JSON.stringify(value)),
      say: () => {},
      remark: () => {},
      secret: (question) => process.step("a question is answered", () => answer(question)),
      confirm: () => process.step("a question is answered", async () => true),
      piped: () => Promise.reject(new Error("nothing is piped")),
    },
    runtime: process.parts.runtime,
    signal: new AbortController().signal,
  };
  const program = new Command().exitOverride();
  register(program, context);
  try {
    return await look(process, program.parseAsync(args, { from: "user" }), printed);
  } finally {
    door.close();
  }
}

/** The way of one process to Webex: each request is a step of it. */
async function doorToWebex(world: World, process: Mortal): Promise<{ url: string; close(): void }> {
  const server: Server = createServer(async (request, response) => {
    const body = await text(request);
    const headers = { "content-type": request.headers["content-type"] ?? "" };
    const url = new URL(request.url ?? "", world.url);
    const answer = await process.step("Webex is asked", () => fetch(url, { method: "POST", headers, body }));
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${port}/v1`, close };
}

/** A person opens the address and allows: the address at which the browser ends. */
export function allowed(address: string, { sandbox: { authority } }: World): string {
  const { search } = new URL(address);
  const verdict = judgeAuthorization(search.slice(1), (id) => authority.client(id));
  if (!("ask" in verdict)) throw new Error(`no consent is asked for at ${address}`);
  const { code = "", request } = authority.answer(authority.ask(verdict.ask), true) ?? {};
  return `${verdict.ask.redirectUri}?${new URLSearchParams({ code, state: request?.state ?? "" })}`;
}
