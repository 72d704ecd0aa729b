/**
 * How long a test waits for something that must happen, in ms. It only ends hangs: five minutes are enough on a machine
 * that is busy with other work, so no test depends on speed.
 */
export const HANG = 300_000;
