import { setTimeout as sleep } from "node:timers/promises";
import { fieldsOf } from "../../functions/core/document.ts";
import { SECOND } from "../../functions/core/time.ts";
import { type Identity, isAway } from "./google.ts";

/** A request to Google that takes longer, in ms, is given up. */
const PATIENCE = 15 * SECOND;
/** How often a job that runs is looked at, in ms. */
const LOOK = SECOND;
/** A sweep or a census of a new service is a matter of seconds; of a large one, of minutes. In ms. */
const LONGEST = 120 * SECOND;

/** How a job ended. `code`: as gRPC has it, 0 is well; `undefined`: it did not end in time. */
export type Ending = { ended: true; code: number | undefined } | { ended: false; problem: Problem };

/** Why it could not even be run. `paused`: somebody paused it. */
export type Problem = "denied" | "missing" | "away" | "paused" | "failed";

/** Google Cloud's Scheduler, as far as it is needed to try a deployment. */
export interface Scheduler {
  /** Runs a job now, and waits for its end. `name`: `projects/…/locations/…/jobs/…`. */
  run(name: string): Promise<Ending>;
}

/** The Scheduler calls as its own account: what it can do is what the service lives on, and nobody else must be let in. */
export function schedulerOf(
  identity: Identity,
  env: Readonly<Record<string, string | undefined>>,
): Scheduler {
  // As Pulumi's provider has it, for projects that reach Google by addresses of their own.
  const base = env.GOOGLE_CLOUD_SCHEDULER_CUSTOM_ENDPOINT ?? "https://cloudscheduler.googleapis.com/v1/";
  const request = async (method: "GET" | "POST", path: string) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: { ...(await identity()), "content-type": "application/json" },
      ...(method === "POST" && { body: "{}" }),
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (!response.ok) throw new Refused(response.status);
    return fieldsOf(await response.json());
  };
  return {
    async run(name) {
      try {
        const before = await request("GET", name);
        if (before.state === "PAUSED") return { ended: false, problem: "paused" };
        await request("POST", `${name}:run`);
        for (const deadline = Date.now() + LONGEST; Date.now() < deadline; await sleep(LOOK)) {
          const { lastAttemptTime, status } = await request("GET", name);
          const { code = 0 } = fieldsOf(status);
          if (lastAttemptTime !== before.lastAttemptTime) return { ended: true, code: Number(code) };
        }
        return { ended: true, code: undefined };
      } catch (error) {
        return { ended: false, problem: problemOf(error) };
      }
    },
  };
}

class Refused extends Error {
  override name = "Refused";
  readonly status: number;

  constructor(status: number) {
    super(`Google answered ${status}`);
    this.status = status;
  }
}

function problemOf(error: unknown): Problem {
  if (error instanceof Refused) {
    if (error.status === 401 || error.status === 403) return "denied";
    return error.status === 404 ? "missing" : "failed";
  }
  return isAway(error) || (error as Error).name === "TimeoutError" ? "away" : "failed";
}
