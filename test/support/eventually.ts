import { vi } from "vitest";
import { HANG } from "./hang.ts";

/** Repeats `check` until it returns without throwing, and gives its value; throws its last error after `HANG` ms. */
export const eventually = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: HANG, interval: 20 });

/** Repeats `check` until it gives something truthy, and gives that; throws after `HANG` ms. */
export const eventuallyTrue = <T>(check: () => T | Promise<T>) =>
  vi.waitUntil(check, { timeout: HANG, interval: 20 });
