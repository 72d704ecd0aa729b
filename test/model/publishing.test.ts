import fc from "fast-check";
import { expect, test } from "vitest";
import { toPublish } from "../../functions/core/changes.ts";
import { parseDocument } from "../../functions/core/document.ts";
import type { EndpointAnswer } from "../../functions/core/grant.ts";
import { makePauses } from "../../functions/core/pauses.ts";
import { publish } from "../../functions/core/publish.ts";
import { StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import type { GlobalVariables } from "../../functions/core/variable.ts";
import { runs } from "../support/property.ts";
import { noFaults, STORE_FAULTS } from "./faults.ts";
import { makeProcess, type Process, type Wires } from "./process.ts";
import { makeScheduler } from "./scheduler.ts";
import { makeDocuments } from "./store.ts";

/** Two processes publish, tokens are replaced, and everything goes wrong: the contact centre never falls back for good. */

const START = Date.UTC(2026, 0, 5, 8);
const NAME = "t";
const REFRESHERS = ["refresher 1", "refresher 2"] as const;
/** How long a request may take before it is given up, and when at the latest it has arrived, in ms. */
const PATIENCE = 8000;

const by = fc.constantFrom(...REFRESHERS);
/** How requests to the contact centre go, one after the other. */
const COURSES = ["well", "well", "slow there", "slow there", "slow back", "lost", "refused", "429"] as const;
type Course = (typeof COURSES)[number];

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("sweep" as const), by }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("grant" as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("pass" as const),
      ms: fc.constantFrom(1, 30, 500, 2000, 12_000, 40_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("step" as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const), by }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("freeze" as const),
      by,
      ms: fc.constantFrom(1000, 9000, 25_000, 70_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("store" as const),
      kind: fc.constantFrom("reads" as const, "writes" as const),
      fault: fc.constantFrom(...STORE_FAULTS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("course" as const), course: fc.constantFrom(...COURSES) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("edit" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function makeWorld(clocks: readonly number[]) {
  const scheduler = makeScheduler(START);
  const documents = makeDocuments(scheduler.now);
  const faults = noFaults();
  const wires = {
    scheduler,
    documents,
    faults,
    written: () => undefined,
    secret: () => "made-up",
    slow: () => undefined,
  } as unknown as Wires;
  const booted = (index: number) =>
    makeProcess(REFRESHERS[index] ?? "refresher 1", clocks[index] ?? 0, wires);
  const processes = REFRESHERS.map((_, index) => booted(index));
  const centre = { value: "T0", writes: ["T0"], courses: [] as Course[] };

  /** One request on its way to the contact centre and back. */
  const request = (process: Process, perform: () => EndpointAnswer) =>
    new Promise<EndpointAnswer>((resolve) => {
      const course = centre.courses.shift();
      const [there, back] = [course === "slow there" ? 7500 : 40, course === "slow back" ? 12_000 : 40];
      scheduler.after(PATIENCE, () => resolve({ error: "timeout" }), process);
      const arrive = () => {
        if (course === "refused" || course === "429")
          return scheduler.after(
            back,
            () => resolve({ status: course === "429" ? 429 : 403, body: "" }),
            process,
          );
        const answer = perform();
        if (course !== "lost") scheduler.after(back, () => resolve(answer), process);
      };
      scheduler.after(there, arrive, undefined, process);
    });
  const whole = (): EndpointAnswer => ({
    status: 200,
    body: JSON.stringify({ id: "cad-1", variableType: "String", defaultValue: centre.value }),
  });
  const variablesOf = (process: Process): GlobalVariables => ({
    read: () => request(process, whole),
    write: (_, __, { defaultValue }) =>
      request(process, () => {
        centre.value = String(defaultValue);
        centre.writes.push(centre.value);
        return whole();
      }),
  });
  const sweep = async (process: Process) => {
    const { runtime } = process;
    const store = tokenStore(process.documents, runtime.now);
    const pauses = makePauses(runtime.now);
    const parts = { store, variables: variablesOf(process), runtime, log: () => undefined, pauses };
    try {
      for (const token of await store.due(runtime.now() + HOUR, 10, undefined, "publish.nextAt"))
        await publish(token, parts);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  };
  return { scheduler, documents, faults, processes, booted, centre, sweep };
}

async function run(steps: readonly Step[], clocks: readonly number[]): Promise<string[]> {
  const { scheduler, documents, faults, processes, booted, centre, sweep } = makeWorld(clocks);
  const broken: string[] = [];
  const works: Promise<void>[] = [];
  const begin = (process: Process | undefined) => {
    if (process !== undefined)
      works.push(sweep(process).catch((error: unknown) => void broken.push(`a bug: ${error}`)));
  };
  let grants = 0;
  documents.create("tokens", NAME, {
    accessToken: "T0",
    accessExpires: START + 30 * DAY,
    orgId: "org-1",
    publish: { variables: ["cad-1"], region: "us1", nextAt: START },
  });
  const write = (more: object) => {
    const found = documents.read("tokens", NAME);
    const { document } = parseDocument(found?.fields ?? {});
    documents.update(
      "tokens",
      NAME,
      { ...more, ...("accessToken" in more && toPublish(document, scheduler.now())) },
      found?.version ?? "",
    );
  };
  for (const one of steps) {
    const index = "by" in one ? REFRESHERS.indexOf(one.by) : 0;
    const process = processes[index];
    if (one.do === "sweep") begin(process);
    else if (one.do === "grant") write({ accessToken: `T${++grants}` });
    else if (one.do === "edit") write({ scopes: `${scheduler.now()}` });
    else if (one.do === "pass") await scheduler.pass(one.ms);
    else if (one.do === "step") await scheduler.step(one.count);
    else if (one.do === "freeze") process?.freeze(one.ms);
    else if (one.do === "store") faults[one.kind] = { fault: one.fault, left: 1 };
    else if (one.do === "course") centre.courses.push(one.course);
    else if (one.do === "crash" && process !== undefined) {
      process.alive = false;
      processes[index] = booted(index);
    }
  }
  Object.assign(faults, noFaults());
  centre.courses.length = 0;
  await scheduler.pass(2 * MINUTE);
  // A refusal is tried again after a day at the latest.
  for (let round = 0; round < 6; round++) {
    begin(processes[round % 2]);
    await scheduler.pass(round < 4 ? 2 * MINUTE : 1.3 * DAY);
  }
  const { accessToken, publish: wish } = parseDocument(documents.read("tokens", NAME)?.fields ?? {}).document;
  if (centre.value !== accessToken) broken.push(`${accessToken} is held, ${centre.value} is published`);
  if (wish?.nextAt !== undefined || wish?.failure !== undefined)
    broken.push(`${JSON.stringify(wish)} is left`);
  const ranks = centre.writes.map((value) => Number(value.slice(1)));
  if (ranks.some((rank, index) => rank < (ranks[index - 1] ?? 0)))
    broken.push(`an old token came after a newer one: ${centre.writes}`);
  return broken;
}

test("a global variable never goes back to an older token and ends with the held one after any history", async () => {
  const clock = fc.constantFrom(0, 0, -40 * SECOND, 70 * SECOND);
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 40, size: "max" }),
    fc.tuple(clock, clock),
    async (steps, clocks) => {
      expect(await run(steps, clocks)).toEqual([]);
    },
  );
  await fc.assert(property, runs(3_000, 30_000));
});
