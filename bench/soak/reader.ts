import { Agent, request } from "node:http";
import { text } from "node:stream/consumers";
import { HEADERS } from "../deployed.ts";
import { chanceOf, pick } from "./chance.ts";
import type { Member, Running } from "./member.ts";

export const KINDS = ["plain", "rejected", "minTtl"] as const;
/** What a reader asks for: a token; a better one than that which it just got; one with so much life left. */
export type Kind = (typeof KINDS)[number];

/** One read as it ended. Instants are ms. */
export interface Answer {
  name: string;
  kind: Kind;
  member: Member;
  /** The process that was asked; `undefined`: there was none. */
  lookup: Running | undefined;
  sent: number;
  answered: number;
  /** 0: no whole answer. */
  status: number;
  /** Of a 200. */
  token: string | undefined;
  /** Seconds of life that it said the token has. */
  expiresIn: number;
}

/** No lookup takes longer for anything. */
const PATIENCE = 25_000;
/** How often a request is repeated that met the end of a kept connection. */
const AGAIN = 3;
const TICK = 20;
/** Reads under way at a time: what is beyond this is not sent. */
const MOST_OPEN = 5000;
/** Seconds that a reader with `minTtl` wants. */
const WANTED = [5, 55] as const;

export interface Readers {
  /** Reads that were not sent, because too many were under way. */
  skipped(): number;
  /** Sends no more, and waits until those under way have ended. */
  stop(): Promise<void>;
}

/** Random reads at a steady rate, whatever becomes of them: most plain, a seventh each of the other kinds. */
export function startReaders(
  { seed, rate, names, lookups }: { seed: string; rate: number; names: string[]; lookups: Member[] },
  onAnswer: (answer: Answer) => Promise<void>,
): Readers {
  const chance = chanceOf(`readers of ${seed}`);
  const agent = new Agent({ keepAlive: true });
  const open = new Set<Promise<void>>();
  const began = performance.now();
  let sent = 0;
  let skipped = 0;

  const visit = async () => {
    const name = pick(names, chance());
    const member = pick(lookups, chance());
    const kind = chance();
    const wanted = WANTED[0] + Math.floor(chance() * (WANTED[1] - WANTED[0]));
    if (kind < 1 / 6) return onAnswer(await read({ name, member, kind: "minTtl", agent, minTtl: wanted }));
    const first = await read({ name, member, kind: "plain", agent });
    await onAnswer(first);
    if (kind <= 5 / 6 || first.token === undefined) return;
    sent++;
    await onAnswer(await read({ name, member, kind: "rejected", agent, rejected: first.token }));
  };
  const timer = setInterval(() => {
    const owed = Math.floor(((performance.now() - began) * rate) / 1000);
    for (; sent < owed; sent++) {
      if (open.size >= MOST_OPEN) {
        skipped++;
        continue;
      }
      const visiting = visit().finally(() => open.delete(visiting));
      open.add(visiting);
    }
  }, TICK);
  return {
    skipped: () => skipped,
    async stop() {
      clearInterval(timer);
      await Promise.all(open);
      agent.destroy();
    },
  };
}

interface ReadOptions {
  name: string;
  member: Member;
  kind: Kind;
  agent: Agent;
  minTtl?: number;
  rejected?: string;
}

/** One read of one lookup. */
export async function read(options: ReadOptions): Promise<Answer> {
  const { name, member, kind, agent, minTtl, rejected } = options;
  const url = new URL(member.url);
  url.searchParams.set("name", name);
  if (minTtl !== undefined) url.searchParams.set("minTtl", String(minTtl));
  const headers = { ...HEADERS, ...(rejected !== undefined && { "x-token-rejected": rejected }) };
  const asked = { name, kind, member, lookup: member.process(), sent: Date.now() };
  let got = await get(url, agent, headers);
  // The server was just closing a connection that was kept: it has not seen this request.
  for (let left = AGAIN; got === "closed" && left > 0 && member.process() === asked.lookup; left--)
    got = await get(url, agent, headers);
  return { ...asked, answered: Date.now(), ...(typeof got === "object" ? got : NOTHING) };
}

type Got = Pick<Answer, "status" | "token" | "expiresIn">;
const NOTHING: Got = { status: 0, token: undefined, expiresIn: 0 };

/** "closed": a connection that was kept for it ended. `undefined`: no whole answer. */
function get(url: URL, agent: Agent, headers: Record<string, string>): Promise<Got | "closed" | undefined> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(PATIENCE);
    const sending = request(url, { agent, headers, signal }, async (response) => {
      const body = await text(response).catch(() => undefined);
      if (body === undefined) return resolve(undefined);
      const { statusCode: status = 0 } = response;
      const expiresIn = Number(response.headers["x-token-expires-in"] ?? 0);
      resolve({ status, token: status === 200 ? tokenIn(body) : undefined, expiresIn });
    });
    sending.once("error", () => resolve(sending.reusedSocket && !signal.aborted ? "closed" : undefined));
    sending.end();
  });
}

function tokenIn(body: string): string | undefined {
  try {
    const { token } = JSON.parse(body) as { token?: unknown };
    return typeof token === "string" ? token : undefined;
  } catch {
    return undefined;
  }
}
