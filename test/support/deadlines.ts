import { vi } from "vitest";
import { eventuallyTrue } from "./eventually.ts";

/**
 * Replaces `AbortSignal.timeout` until the mocks are restored: a limit ends when the test says so, however slow the
 * machine is.
 */
export function driveDeadlines() {
  const set: { ms: number; controller: AbortController }[] = [];
  vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
    const controller = new AbortController();
    set.push({ ms, controller });
    return controller.signal;
  });
  return {
    /** The limits set so far, in ms. */
    limits: () => set.map(({ ms }) => ms),
    /** Waits until limit number `index` is set, and lets it pass. */
    async expire(index: number): Promise<void> {
      const { controller } = await eventuallyTrue(() => set[index]);
      controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    },
  };
}

/** Keeps timers of just `ms` from firing until the mocks are restored. `fire` fires those set so far. */
export function driveTimers(ms: number) {
  const held: (() => void)[] = [];
  const real = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((
    callback: (...given: unknown[]) => void,
    delay?: number,
    ...given: unknown[]
  ) => {
    if (delay !== ms) return real(callback, delay, ...given);
    held.push(() => callback(...given));
    return real(() => {}, 0);
  }) as typeof setTimeout);
  return {
    fire: () => {
      for (const callback of held.splice(0)) callback();
    },
  };
}
