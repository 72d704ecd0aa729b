import { setTimeout as sleep } from "node:timers/promises";
import { type Snapshot, StoreUnavailable } from "../../functions/core/store.ts";
import { documentOf } from "./authority.ts";
import { allHeld } from "./held.ts";
import { type Held, judgeFailure } from "./judge.ts";
import type { Member } from "./member.ts";
import type { Run } from "./run.ts";
import { refusedBy } from "./troubles.ts";
import type { Usage } from "./usage.ts";

const EVERY = 1000;
/** Ctrl-C reaches every process at once: an end that comes with it is no event. In ms. */
export const MOMENT = 300;

export interface Guard {
  /** Tokens that are due, by the last look at the store. */
  due(): number;
  stop(): Promise<void>;
}

/** Looks at the store and at every process once a second; the first look is over when this resolves. */
export async function standGuard(run: Run, usage: Usage): Promise<Guard> {
  const { world, ledger, ending } = run;
  const members = [...world.lookups, ...world.refreshers, world.sandbox];
  const seeTo = careOf(run);
  let due = 0;
  const look = async () => {
    for (const member of members) await seeToProcess(member, run, usage);
    const all = await allHeld(world.place.documents);
    const now = Date.now();
    due = all.filter(({ held }) => held.refreshAt <= now).length;
    for (const { held } of all) ledger.sawStored(held.name, held.until);
    for (const { held, snapshot } of all) await seeTo(held, snapshot);
  };
  await look();
  const stopping = new AbortController();
  const signal = AbortSignal.any([ending, stopping.signal]);
  const pause = () => sleep(EVERY, undefined, { signal }).catch(() => "it ends");
  const work = (async () => {
    for (await pause(); !signal.aborted; await pause()) await unlessAway(look);
  })();
  return {
    due: () => due,
    stop() {
      stopping.abort();
      return work;
    },
  };
}

/** A store that does not answer is looked at the next time. */
async function unlessAway(look: () => Promise<void>): Promise<void> {
  try {
    await look();
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}

async function seeToProcess(
  member: Member,
  { ledger, tally, onDeath, ending }: Run,
  usage: Usage,
): Promise<void> {
  const running = member.process();
  if (running === undefined) return;
  if (!running.isOver()) {
    usage.sample(running);
    return;
  }
  await sleep(MOMENT);
  if (ending.aborted || member.process() !== running) return;
  const now = Date.now();
  const during = ledger.during(now - EVERY, now);
  tally.add(
    { is: "broken", promise: "alive", why: "it ended" },
    { what: "process", who: running.id, during },
  );
  await member.kill();
  ledger.forget(running);
  await member.start().catch(onDeath);
}

/** Judges what the service thinks of a token, and plays the person whom a refused one needs. */
function careOf({ world, plan, ledger, tally }: Run) {
  const { names, place, records } = world;
  const refusals = plan.filter(({ trouble }) => trouble === "authority refusing some");
  const refused = new Set(refusals.flatMap((planned) => refusedBy(planned, names)));
  const told = new Set<string>();
  const isOn = (trouble: string) => ledger.troubles.get(trouble)?.isOpen() === true;
  return async (held: Held, { version }: Snapshot): Promise<void> => {
    const { name, failure } = held;
    if (failure?.permanent !== true) return;
    const verdict = judgeFailure(held, refused.has(name));
    const during = ledger.during(Date.now() - EVERY, Date.now());
    if (!told.has(name)) tally.add(verdict, { what: "token", during });
    if (verdict.is === "broken") told.add(name);
    if (isOn("authority refusing some") || isOn("store frozen")) return;
    const changes = { ...documentOf(name, records.consent(name)), failure: undefined, lease: undefined };
    await place.documents.update("tokens", name, changes, version);
  };
}
