/**
 * What several vitest projects share, started by the first that needs it. Vitest loads the setup files of each project
 * separately, so what was started is kept on the global object of the run's one main process.
 */
const main: typeof globalThis & { startedOnceARun?: Map<string, Promise<unknown>> } = globalThis;

/** Calls `start` for the first caller with this `name`; later callers get the same promise. */
export function onceARun<T>(name: string, start: () => Promise<T>): Promise<T> {
  const started = main.startedOnceARun ?? new Map<string, Promise<unknown>>();
  main.startedOnceARun = started;
  const running = (started.get(name) as Promise<T> | undefined) ?? start();
  started.set(name, running);
  return running;
}
