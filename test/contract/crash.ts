import type { TokenEndpoint } from "../../functions/core/grant.ts";
import type { Log } from "../../functions/core/log.ts";
import type { Runtime } from "../../functions/core/runtime.ts";
import { type DocumentStore, tokenStore } from "../../functions/core/store.ts";
import type { GlobalVariables } from "../../functions/core/variable.ts";
import type { Clock } from "../support/clock.ts";
import type { World } from "../support/world.ts";
import { type Call, intercepted } from "./troubled.ts";

/** A step is one call that leaves a process: to the store, to Webex, a pause, a question. */
export interface Kill {
  /** Counted from 0. */
  step: number;
  /** `after`: the step has its effect, and its caller does not get the result. */
  when: "before" | "after";
}

/** The result of a killed process. */
export const KILLED = "killed";

/** From `kill` on no call goes out and no result comes back, as after SIGKILL. */
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
    /** The steps taken so far, the last one perhaps only tried. */
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
    /** The work's result, or `KILLED`. */
    live: <T>(work: Promise<T>): Promise<T | typeof KILLED> => Promise.race([death, work]),
  };
}

const never = () => new Promise<never>(() => {});

export type Mortal = ReturnType<typeof mortalProcess>;

/** One process over the parts of a world. `documents`: the store as this process sees it. */
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
  const published = <T>(send: () => Promise<T>) => life.step("the contact centre is asked", send);
  const variables: GlobalVariables = {
    read: (...given) => published(() => world.variables.read(...given)),
    write: (...given) => published(() => world.variables.write(...given)),
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
  if (collection === "status") return `the status is ${method === "read" ? "read" : "written"}`;
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

/** Every way to kill a process that takes these steps, each with a title such as "after the lease was written". */
export const kills = (steps: readonly string[]) =>
  steps.flatMap((what, step): [title: string, kill: Kill][] => {
    const earlier = steps.slice(0, step).filter((one) => one === what).length;
    const again = earlier === 0 ? "" : ` (${earlier + 1})`;
    return [
      [`before ${what}${again}`, { step, when: "before" }],
      [`after ${what.replace(" is ", " was ")}${again}`, { step, when: "after" }],
    ];
  });

/** The machine's clock plus what it was advanced by. */
export function movableClock(): Clock {
  let moved = 0;
  return {
    now: () => Date.now() + moved,
    advance: (ms) => {
      moved += ms;
    },
  };
}
