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
    /** Waits until a limit number `index` is set, and lets it pass. */
    async expire(index: number): Promise<void> {
      const { controller } = await eventuallyTrue(() => set[index]);
      controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    },
  };
}
