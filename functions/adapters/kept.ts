import { MINUTE } from "../core/time.ts";

/** What was read from outside is read again when it is this old: a rotation needs no restart. */
const FRESH = MINUTE;

/** Something that was read from outside. */
export interface Kept<T> {
  /** As it stood a minute ago at most; a promise only where it is just read again. */
  current(): T | Promise<T>;
  /** As it stands now. */
  again(): Promise<T>;
}

/** Reads at once, and lazily again. What can't be read again stays as it was, and `failed` is told. */
export async function keep<T>(
  read: () => Promise<T>,
  now: () => number,
  failed: (error: Error) => void,
): Promise<Kept<T>> {
  let value = await read();
  let readAt = now();
  const again = async () => {
    readAt = now();
    try {
      value = await read();
    } catch (error) {
      failed(error as Error);
    }
    return value;
  };
  return { current: () => (Math.abs(now() - readAt) < FRESH ? value : again()), again };
}
