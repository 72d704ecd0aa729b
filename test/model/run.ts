import { DAY, MINUTE, SECOND } from "../../functions/core/time.ts";
import { type History, type Lookup, NAMES, type Refresher } from "./history.ts";
import { makeWorld, type World } from "./world.ts";

const LOOKUPS: Lookup[] = ["lookup 1", "lookup 2"];
/** Pauses that Webex asked for, leases, waits, and frozen processes: all are over after this. */
const QUIET = 15 * MINUTE;
/** A daily try with its jitter. */
const LONGEST_BACKOFF = 1.2 * DAY + MINUTE;
const ROUNDS = 8;

/** Lets a history happen, ends all faults, and lets time pass. Gives the rules that were broken; none: all is well. */
export async function run(history: History, trace?: (line: string) => void): Promise<string[]> {
  const world = makeWorld(history, trace);
  const { broken } = world;
  const ends = (reason: unknown) => world.report(`a rejection that nobody took ends a process: ${reason}`);
  process.on("unhandledRejection", ends);
  try {
    await world.begin();
    for (const step of history.steps) {
      await world.take(step);
      if (broken.length > 0) return broken;
    }
    await recover(world);
  } catch (error) {
    world.report(error instanceof Error ? String(error.stack) : String(error));
  } finally {
    process.off("unhandledRejection", ends);
  }
  return broken;
}

/** After the faults end and time passes, every token that can recover has recovered, and nothing hangs. */
async function recover(world: World): Promise<void> {
  const { scheduler, report, works } = world;
  world.endFaults();
  await scheduler.pass(QUIET);
  for (const { what, process } of works) report(`${what} of ${process.name} never ended`);
  await world.take({ do: "census", by: "refresher 1", pace: 0 });
  await scheduler.pass(MINUTE);
  for (const name of NAMES) {
    const { refreshToken, refreshAt } = world.fieldsOf(name) ?? {};
    if (refreshToken !== undefined && typeof refreshAt !== "number")
      report(`no sweep will ever find ${name}`);
  }
  // What somebody deleted by hand is not due before its time; readers miss it earlier.
  for (const name of NAMES)
    await world.take({ do: "read", by: "lookup 1", name, ask: "plain", wait: 0, pace: 0 });
  await scheduler.pass(MINUTE);
  for (let round = 0; round < ROUNDS; round++) {
    const waiting = NAMES.filter((name) => world.conditionOf(name) === "waiting");
    if (waiting.length === 0) break;
    const due = Math.min(...waiting.map(world.dueAt));
    const wait = Math.max(0, due - scheduler.now());
    if (wait > LONGEST_BACKOFF && world.astray() < 0) report(`nothing is due for ${wait} ms`);
    await scheduler.pass(wait + world.behind() + MINUTE);
    const by: Refresher = round % 2 === 0 ? "refresher 1" : "refresher 2";
    await world.take({ do: "sweep", by, pace: 0 });
    await scheduler.pass(30 * SECOND);
  }
  const conditions = NAMES.map((name) => ({ name, condition: world.conditionOf(name) }));
  for (const { name, condition } of conditions) {
    if (condition === "waiting") report(`${name} did not recover: ${JSON.stringify(world.fieldsOf(name))}`);
    for (const by of LOOKUPS) {
      const reply = world.read({ do: "read", by, name, ask: "plain", wait: 8, pace: 0 });
      await scheduler.pass(30 * SECOND);
      const { status } = await reply;
      if (condition === "well" && status !== 200)
        report(`${by} answers ${status} for ${name}, which is well`);
    }
  }
}
