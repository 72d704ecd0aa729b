import { fieldsOf, type RawFields } from "../../functions/core/document.ts";
import type { EndpointAnswer, TokenEndpoint } from "../../functions/core/grant.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { type DocumentStore, type Snapshot, StoreUnavailable } from "../../functions/core/store.ts";
import type { Authority } from "./authority.ts";
import { courseOf, type Faults, take } from "./faults.ts";
import type { Requests } from "./requests.ts";
import type { Scheduler, Waiter } from "./scheduler.ts";
import type { Documents } from "./store.ts";

export const PROCESSES = ["lookup 1", "lookup 2", "refresher 1", "refresher 2", "setup", "operator"] as const;
export type ProcessName = (typeof PROCESSES)[number];

/** A read of a token by a lookup that was answered. */
export interface Seen {
  name: string;
  began: number;
  ended: number;
  snapshot: Snapshot | undefined;
}

/** One life of one process: after a crash there is another. */
export interface Process extends Waiter {
  name: ProcessName;
  runtime: Runtime;
  documents: DocumentStore;
  endpoint: TokenEndpoint;
  /** Decides how quick its calls are; 0: all alike. */
  pace: number;
  calls: number;
  /** When its clock was set, in ms. */
  jumped: number;
  /** When a call of it to the store failed last. */
  troubled: number;
  /** When it was frozen last. */
  thawed: number;
  seen: Seen[];
  /** The lease in what the store told it last: whatever it does next, it does by this one. */
  lease: unknown;
  /** The machine's clock is so many ms ahead of the true time from now on; set back, it only counts after a crash. */
  setClock(ahead: number): void;
  freeze(ms: number): void;
}

/** What processes share. */
export interface Wires {
  scheduler: Scheduler;
  documents: Documents;
  authority: Authority;
  faults: Faults;
  requests: Requests;
  /** To be called after whatever may have written a token. */
  written(name: string, by: Process): void;
  secret(): string;
  /** To be called where a call to the store took long. */
  slow(): void;
  /** Tells what happens, for whoever looks into a history; absent: nobody does. */
  tell?: (line: () => string) => void;
}

const DELAYS = [5, 1, 2, 20, 60, 250, 700];
const SLOW = [900, 1800, 2600, 4000];
const SLOW_ANSWER = 900;
/** How long the adapters wait for a store, in ms: the one of lookup, and the one of all others. */
const READER_PATIENCE = 2500;
const PATIENCE = 5000;
/** Two clocks that differ by less are taken for the same by the adapter of lookup. */
const SAME_CLOCK = 2000;
/** How long Webex may take for one request, and after what time it is asked again. */
const WEBEX_PATIENCE = 8000;
const WEBEX_PAUSE = 500;
/** How long a clock that was set may lead a claim and its request astray, in ms. */
const ASTRAY = 60_000;

export function makeProcess(name: ProcessName, ahead: number, wires: Wires): Process {
  const { scheduler, secret } = wires;
  let shift = ahead;
  const clock = () => scheduler.now() + shift;
  const process: Process = {
    name,
    alive: true,
    frozenUntil: 0,
    runtime: {
      now: clock,
      sleep: (ms) => new Promise((resolve) => scheduler.after(ms, resolve, process)),
      secret,
    },
    pace: 0,
    calls: 0,
    jumped: Number.NEGATIVE_INFINITY,
    troubled: Number.NEGATIVE_INFINITY,
    thawed: Number.NEGATIVE_INFINITY,
    seen: [],
    lease: undefined,
    documents: undefined as unknown as DocumentStore,
    endpoint: undefined as unknown as TokenEndpoint,
    setClock(to) {
      if (to > shift) process.jumped = Math.max(scheduler.now(), process.frozenUntil);
      // As `Runtime` has it: never behind the time that has really passed.
      shift = Math.max(shift, to);
    },
    freeze(ms) {
      process.frozenUntil = Math.max(process.frozenUntil, scheduler.now() + ms);
      process.thawed = process.frozenUntil;
      if (process.jumped > scheduler.now() - ASTRAY) process.jumped = process.thawed;
    },
  };
  process.documents = name.startsWith("lookup") ? restReader(process, wires) : library(process, wires);
  process.endpoint = endpointOf(process, wires);
  return process;
}

/** How long the next message of this process takes one way, in ms. */
export function delay(process: Process, among: readonly number[] = DELAYS): number {
  if (process.pace === 0) return among[0] ?? 0;
  let mixed = Math.imul(process.pace * 31 + ++process.calls, 0x9e3779b1);
  mixed ^= mixed >>> 15;
  return among[(Math.imul(mixed, 0x85ebca6b) >>> 8) % among.length] ?? 0;
}

/** The store as a client library has it. */
function library(process: Process, wires: Wires): DocumentStore {
  const { documents, written } = wires;
  const hear = (fields: RawFields | undefined) => {
    process.lease = fieldsOf(fields?.lease).id;
  };
  const read = <T>(perform: () => T) => call(process, wires, "reads", PATIENCE, perform);
  const write = <T>(id: string, perform: () => T, hears?: () => void) => {
    const arrive = () => {
      const result = perform();
      written(id, process);
      return result;
    };
    return call(process, wires, "writes", PATIENCE, arrive, hears);
  };
  return {
    read: (...given) =>
      call(
        process,
        wires,
        "reads",
        PATIENCE,
        () => documents.read(...given),
        (found) => hear(found?.fields),
      ),
    create: (...given) => write(given[1], () => documents.create(...given)),
    update: (...given) =>
      write(
        given[1],
        () => documents.update(...given),
        () => hear(given[2]),
      ),
    remove: (...given) => write(given[1], () => documents.remove(...given)),
    upTo: (...given) => read(() => documents.upTo(...given)),
    count: (...given) => read(() => documents.count(...given)),
    list: (...given) => read(() => documents.list(...given)),
    close: async () => undefined,
  };
}

/** The store as lookup reads it: the store's clock is told in whole seconds. */
function restReader(process: Process, wires: Wires): DocumentStore {
  const { documents, scheduler } = wires;
  const clock = process.runtime.now;
  const never = () => Promise.reject(new Error("lookup only reads"));
  return {
    async read(collection, id) {
      const began = clock();
      const seen: Seen = { name: id, began: scheduler.now(), ended: 0, snapshot: undefined };
      const found = await call(process, wires, "reads", READER_PATIENCE, () =>
        documents.read(collection, id),
      );
      const ended = clock();
      process.seen.push(Object.assign(seen, { ended: scheduler.now(), snapshot: found }));
      if (found === undefined) return undefined;
      const told = Math.floor(found.readAt / 1000) * 1000;
      const same = told > began - SAME_CLOCK && told < ended + SAME_CLOCK;
      return { ...found, readAt: same ? ended : told + 1000 + (ended - began) };
    },
    create: never,
    update: never,
    remove: never,
    upTo: never,
    count: never,
    list: never,
    close: never,
  };
}

/** A call on its way to the store and back. */
function call<T>(
  process: Process,
  { scheduler, faults, tell, slow }: Wires,
  kind: "reads" | "writes",
  patience: number,
  perform: () => T,
  hears: (result: T) => void = () => undefined,
): Promise<T> {
  const { after } = scheduler;
  const fault = take(faults[kind]);
  const there = delay(process);
  const back = delay(process, fault === "slow" ? SLOW : DELAYS);
  const called = scheduler.now();
  return new Promise((resolve, reject) => {
    const fail = () => {
      process.troubled = scheduler.now();
      slow();
      tell?.(() => `${process.name}: the store does not answer (${kind})`);
      reject(new StoreUnavailable("no answer"));
    };
    if (fault === "down") return after(there + back, fail, process);
    if (fault === "hangs") return after(patience, fail, process);
    const isLost = fault === "lost" || fault === "late" || there + back > patience;
    if (isLost) after(fault === "lost" ? Math.min(patience, there + back) : patience, fail, process);
    const arrive = () => {
      if (fault === "late") slow();
      const result = perform();
      tell?.(() => `${process.name}: ${kind} ${JSON.stringify(result)}`);
      const answer = () => {
        // Whoever was frozen finds that the time is over before it finds the answer.
        if (scheduler.now() - called > patience) return fail();
        if (back >= SLOW_ANSWER) slow();
        hears(result);
        resolve(result);
      };
      if (!isLost) after(back, answer, process);
    };
    after(fault === "late" ? patience + there + back : there, arrive, undefined, process);
  });
}

function endpointOf(process: Process, wires: Wires): TokenEndpoint {
  const { scheduler, authority, requests } = wires;
  const askedNow = () => ({ at: scheduler.now(), astray: process.jumped > scheduler.now() - ASTRAY });
  return {
    exchange: (request) => {
      const asked = askedNow();
      return send(process, wires, () => authority.exchange(request, asked));
    },
    issue: () => Promise.reject(new Error("nobody has a Service App")),
    async refresh(request, patient) {
      const sent = requests.sent(process, request);
      const once = () => {
        const asked = askedNow();
        return send(process, wires, (conduct) => authority.refresh(request, conduct ?? "usual", asked));
      };
      let answer = await once();
      if ("error" in answer && patient) {
        await process.runtime.sleep(WEBEX_PAUSE);
        answer = await once();
      }
      requests.answered(sent, answer);
      return answer;
    },
  };
}

/** One request on its way to Webex and back. */
function send(
  process: Process,
  { scheduler, faults, tell }: Wires,
  ask: (conduct: ReturnType<typeof courseOf>["conduct"]) => EndpointAnswer,
): Promise<EndpointAnswer> {
  const { after } = scheduler;
  const course = courseOf(take(faults.webex));
  const there = course.there ?? delay(process);
  const back = course.back ?? delay(process);
  const called = scheduler.now();
  return new Promise((resolve) => {
    const end = (answer: EndpointAnswer) => {
      const late = scheduler.now() - called >= WEBEX_PATIENCE;
      resolve(late ? { error: "timeout" } : answer);
    };
    const late = there + back > WEBEX_PATIENCE;
    if (late) after(WEBEX_PATIENCE, () => end({ error: "timeout" }), process);
    const arrive = () => {
      const answer = course.instead ?? ask(course.conduct);
      tell?.(
        () => `Webex is asked by ${process.name}: ${JSON.stringify(answer)}${course.lost ? ", lost" : ""}`,
      );
      if (!late) after(back, () => end(course.lost ? { error: "network" } : answer), process);
    };
    after(there, arrive, undefined, process);
  });
}
