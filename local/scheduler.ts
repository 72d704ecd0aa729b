import type { Log } from "../functions/core/log.ts";
import { StoreUnavailable } from "../functions/core/store.ts";

/** A task that comes round again until it is ended. */
export interface Schedule {
  /** Resolves when the run that is under way has finished. */
  end(): Promise<void>;
}

/** Runs a task at once, and again `every` ms after it ended. A store that does not answer is tried next time. */
export function repeat(task: () => Promise<unknown>, every: number, log: Log): Schedule {
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  let ended = false;
  const run = () => {
    running = task()
      .catch((error: unknown) => {
        if (!(error instanceof StoreUnavailable)) throw error;
        log("store.unavailable", { reason: error.message });
      })
      .then(() => {
        if (!ended) timer = setTimeout(run, every);
      });
  };
  run();
  return {
    end() {
      ended = true;
      clearTimeout(timer);
      return running;
    },
  };
}
