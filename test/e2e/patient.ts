/**
 * The environment of a process whose timers last a hundred times as long: no time limit of its own ends what a test holds
 * back, however slow the machine is.
 */
export const PATIENT = { NODE_OPTIONS: `--import=${import.meta.url}`, PATIENT: "yes" };

// Only where a process preloads this file.
if (process.env.PATIENT !== undefined) {
  const { setTimeout: timer } = globalThis;
  const patient = (work: (...given: unknown[]) => void, ms = 0, ...given: unknown[]) =>
    timer(work, ms * 100, ...given);
  const made = Object.defineProperties(patient, Object.getOwnPropertyDescriptors(timer));
  globalThis.setTimeout = made as unknown as typeof setTimeout;
}
