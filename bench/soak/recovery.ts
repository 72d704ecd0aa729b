import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";
import { pick } from "./chance.ts";
import { allHeld } from "./held.ts";
import { judgeReturn, whyNotBack } from "./judge.ts";
import { read } from "./reader.ts";
import type { Run } from "./run.ts";
import { take } from "./take.ts";

/** How long all tokens may take to come back after the last trouble, and how often that is looked at; in ms. */
const COME_BACK = 60_000;
const EVERY = 500;
const AT_A_TIME = 20;

/** Waits until every token is as it should be, judges those that are not in time, and reads each of them once. */
export async function recover(run: Run): Promise<void> {
  const { world, tally, ending } = run;
  const { documents } = world.place;
  for (const deadline = Date.now() + COME_BACK; !ending.aborted; await sleep(EVERY)) {
    const now = Date.now();
    const left = (await allHeld(documents)).filter(({ held }) => whyNotBack(held, now) !== undefined);
    if (left.length === 0) break;
    if (now < deadline) continue;
    for (const { held } of left) tally.add(judgeReturn(held, now), { what: "token, at the end" });
    break;
  }
  await readAll(run);
}

async function readAll(run: Run): Promise<void> {
  const { names, lookups } = run.world;
  const agent = new Agent({ keepAlive: true });
  const limit = pLimit(AT_A_TIME);
  const readOne = async (name: string, index: number) => {
    if (run.ending.aborted) return;
    const member = pick(lookups, index / names.length);
    const answer = await read({ name, member, kind: "plain", agent });
    await take(answer, run);
    if (answer.status === 200 || run.ending.aborted) return;
    const why = `the last read of it was answered ${answer.status}`;
    run.tally.add({ is: "broken", promise: "back", why }, { what: "token, at the end", who: name });
  };
  await Promise.all(names.map((name, index) => limit(readOne, name, index)));
  agent.destroy();
}
