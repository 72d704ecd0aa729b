import { afterAll, beforeAll, describe, inject } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import type { TokenEndpoint } from "../../functions/core/grant.ts";
import type { Log } from "../../functions/core/log.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { type DocumentStore, type Snapshot, tokenStore } from "../../functions/core/store.ts";
import type { GlobalVariables } from "../../functions/core/variable.ts";
import { type Clock, runtimeOf } from "../support/clock.ts";
import { freshProject } from "../support/emulator.ts";
import { openWorld, type World } from "../support/world.ts";
import { type Call, intercepted } from "./troubled.ts";

/** A step is one call that leaves a process: to the store, to Webex, a pause, a question. It has an effect, or not. */
export interface Kill {
  /** Counted from 0. */
  step: number;
  /** Whether the step still has its effect; its caller learns of nothing. */
  when: "before" | "after";
}

/** What a killed process ends in. */
export const KILLED = "killed";

/** A life that ends at `kill`, or not at all: from then on nothing goes out and nothing comes back, as after SIGKILL. */
function mortal(kill?: Kill) {
  const { promise: death, resolve } = Promise.withResolvers<typeof KILLED>();
  const steps: string[] = [];
  let dead = false;
  const die = () => {
    dead = true;
    resolve(KILLED);
    return never();
  };
  return {
    /** What was done so far, or tried last. */
    steps,
    isDead: () => dead,
    async step<T>(what: string, perform: () => Promise<T>): Promise<T> {
      if (dead) return never();
      const last = steps.push(what) - 1 === kill?.step;
      if (last && kill?.when === "before") return die();
      const [end] = await Promise.allSettled([perform()]);
      if (last) return die();
      if (dead) return never();
      if (end.status === "rejected") throw end.reason;
      return end.value;
    },
    /** What comes of the work, or of the one who does it. */
    live: <T>(work: Promise<T>): Promise<T | typeof KILLED> => Promise.race([death, work]),
  };
}

const never = () => new Promise<never>(() => {});

export type Mortal = ReturnType<typeof mortalProcess>;

/** One process over the parts of a world. `documents`: the store as this process meets it. */
export function mortalProcess(world: World, kill?: Kill, documents = world.documents) {
  const life = mortal(kill);
  const mortalDocuments: DocumentStore = {
    ...intercepted(documents, (call, perform) => life.step(nameOf(call), perform)),
    close: async () => {},
  };
  const asked = <T>(send: () => Promise<T>) => life.step("Webex is asked", send);
  const endpoint: TokenEndpoint = {
    refresh: (request, patient) => asked(() => world.endpoint.refresh(request, patient)),
    exchange: (request) => asked(() => world.endpoint.exchange(request)),
    issue: (request) => asked(() => world.endpoint.issue(request)),
  };
  const told = <T>(send: () => Promise<T>) => life.step("the contact centre is asked", send);
  const variables: GlobalVariables = {
    read: (...given) => told(() => world.variables.read(...given)),
    write: (...given) => told(() => world.variables.write(...given)),
  };
  const runtime: Runtime = {
    ...world.runtime,
    sleep: (ms) => life.step("a pause is made", () => world.runtime.sleep(ms)),
  };
  const log: Log = (event, details) => {
    if (!life.isDead()) world.log(event, details);
  };
  const store = tokenStore(mortalDocuments, world.runtime.now);
  return { ...life, parts: { store, endpoint, variables, runtime, log }, documents: mortalDocuments };
}

function nameOf({ method, collection, fields = {} }: Call): string {
  if (method === "upTo") return "the page of due tokens is read";
  if (method === "list") return "every token is read";
  if (collection === "status") return `the diary is ${method === "read" ? "read" : "written"}`;
  const thing = collection === "tokens" ? "the token" : "the state";
  if (method === "read") return `${thing} is read`;
  if (method === "create") return `${thing} is created`;
  if (method === "remove") return `${thing} is removed`;
  return WRITTEN.find(([field]) => fields[field] !== undefined)?.[1] ?? `${thing} is changed`;
}

/** A write is named by the first of these fields that it sets. */
const WRITTEN: [field: string, name: string][] = [
  ["lease", "the lease is written"],
  ["failure", "the refusal is written"],
  ["static", "the fixed token is written"],
  ["lastRefresh", "the grant is written"],
  ["refreshToken", "the refresh token is written"],
  ["clientSecret", "the client secret is written"],
  ["scopes", "the scope is written"],
  ["refreshAt", "the place in the sweep is written"],
  ["publish", "the publishing is written"],
  ["usedAt", "the state is used up"],
  ["result", "the result is written"],
];

/** Ways to kill a process that would take these steps, each with its title, such as "after the lease was written". */
type Kills = (steps: readonly string[]) => [title: string, kill: Kill][];

const everyKill: Kills = (steps) =>
  steps.flatMap((what, step): ReturnType<Kills> => {
    const earlier = steps.slice(0, step).filter((one) => one === what).length;
    const again = earlier === 0 ? "" : ` (${earlier + 1})`;
    return [
      [`before ${what}${again}`, { step, when: "before" }],
      [`after ${what.replace(" is ", " was ")}${again}`, { step, when: "after" }],
    ];
  });

/** One for each state that a process can leave behind: before its first change, and after each. */
const tellingKills: Kills = (steps) => {
  const changes = everyKill(steps).filter(([, { step }]) => !CHANGES_NOTHING.test(steps[step] ?? ""));
  return changes.filter(([, { when }], index) => index === 0 || when === "after");
};

const CHANGES_NOTHING = / is (read|made|answered)$/;

const emulator = inject("firestoreEmulator");

/** Where the tests run. */
export interface Place {
  /** An empty world whose clock can be moved. */
  open: () => Promise<World>;
  kills: Kills;
  /** False: time is dear, and what can't depend on the store is left to another place. */
  thorough: boolean;
}

/** The same tests on SQLite and on Firestore, where nobody is killed twice between the same two changes. */
export function onEachStore(tests: (place: Place) => void): void {
  describe("on SQLite", () => tests({ open: openWorld, kills: everyKill, thorough: true }));
  const title = emulator === undefined ? "on Firestore (SKIPPED: no emulator)" : "on Firestore";
  describe.skipIf(emulator === undefined)(title, () => {
    let firestore: DocumentStore;
    beforeAll(() => {
      process.env.FIRESTORE_EMULATOR_HOST = emulator;
      firestore = openFirestore({ project: freshProject(), database: "(default)" });
    });
    afterAll(async () => {
      await firestore?.close();
    });
    const open = () => {
      const clock = movableClock();
      return openWorld({ documents: clocked(firestore, clock), clock, runtime: runtimeOf(clock) });
    };
    tests({ open, kills: tellingKills, thorough: false });
  });
}

/** The machine's clock, ahead by what it was moved. */
export function movableClock(): Clock & { moved(): number } {
  let moved = 0;
  return {
    now: () => Date.now() + moved,
    moved: () => moved,
    advance: (ms) => {
      moved += ms;
    },
  };
}

/** The same store, its clock moved along. Closed, it holds no token any more. */
function clocked(documents: DocumentStore, { moved }: { moved(): number }): DocumentStore {
  const later = (snapshot: Snapshot) => ({ ...snapshot, readAt: snapshot.readAt + moved() });
  const made = new Set<string>();
  return {
    ...intercepted(documents, (_, perform) => perform()),
    async read(collection, id) {
      const snapshot = await documents.read(collection, id);
      return snapshot && later(snapshot);
    },
    create(collection, id, fields) {
      if (collection === "tokens") made.add(id);
      return documents.create(collection, id, fields);
    },
    upTo: async (...query) => (await documents.upTo(...query)).map(later),
    list: async (...query) => (await documents.list(...query)).map(later),
    async close() {
      await Promise.all(made.values().map((id) => documents.remove("tokens", id)));
    },
  };
}
