import { expect, test } from "vitest";
import { makePauses } from "../../functions/core/pauses.ts";
import { HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";

const START = Date.UTC(2026, 0, 5, 8);
const CLIENT = "client C1";

function pausing() {
  let now = START;
  const pauses = makePauses(() => now);
  const gate = (token: string, key = CLIENT) => {
    const opened = pauses.gate(token);
    return { until: opened.enter(key), leave: opened.leave };
  };
  return {
    pauses,
    gate,
    throttle: (token: string, retryAfter: number, key = CLIENT) =>
      gate(token, key).leave({ throttled: retryAfter }),
    pass: (ms: number) => {
      now += ms;
    },
  };
}

test("a client that was never throttled has any number of requests in flight", () => {
  const { gate } = pausing();
  expect(Array.from({ length: 50 }, (_, index) => gate(`t${index}`).until)).toEqual(
    Array(50).fill(undefined),
  );
});

test("after one 429 the client has one request in flight, and other clients go on", () => {
  const { gate, throttle } = pausing();
  throttle("a", MINUTE);
  const probe = gate("b");
  expect([probe.until, gate("c").until, gate("x", "client C2").until]).toEqual([
    undefined,
    START + SECOND,
    undefined,
  ]);
  probe.leave("unknown");
  expect(gate("c").until).toBeUndefined();
});

test("an answer that is no 429 opens the way again", () => {
  const { gate, throttle } = pausing();
  throttle("a", MINUTE);
  gate("b").leave("answered");
  expect([gate("c").until, gate("d").until]).toEqual([undefined, undefined]);
});

test("a request that began before the 429 does not open the way", () => {
  const { gate, throttle } = pausing();
  const before = gate("b");
  throttle("a", MINUTE);
  before.leave("answered");
  expect([gate("c").until, gate("d").until]).toEqual([undefined, START + SECOND]);
});

test("a second token throttled within ten seconds pauses the client, and one probe follows the pause (row 19)", () => {
  const { gate, throttle, pass } = pausing();
  throttle("a", 10 * MINUTE);
  pass(9 * SECOND);
  throttle("b", 10 * MINUTE);
  const until = START + 9 * SECOND + 10 * MINUTE;
  expect([gate("a").until, gate("c").until, gate("x", "client C2").until]).toEqual([until, until, undefined]);
  pass(10 * MINUTE);
  const probe = gate("c");
  expect([probe.until, gate("d").until]).toEqual([undefined, until + SECOND]);
  probe.leave({ throttled: 10 * MINUTE });
  expect(gate("d").until).toBe(until + 10 * MINUTE);
});

test("the same token throttled again, or another one later, does not pause the client", () => {
  const { gate, throttle, pass } = pausing();
  throttle("a", MINUTE);
  throttle("a", MINUTE);
  expect(gate("c").until).toBeUndefined();
  pass(11 * SECOND);
  const other = pausing();
  other.throttle("a", MINUTE);
  other.pass(11 * SECOND);
  other.throttle("b", MINUTE);
  expect(other.gate("c").until).toBeUndefined();
});

test("a pause without Retry-After lasts half a minute, and one for hours ten minutes", () => {
  for (const [retryAfter, lasts] of [
    [0, 30 * SECOND],
    [HOUR, 10 * MINUTE],
  ] as const) {
    const { gate, throttle } = pausing();
    throttle("a", retryAfter);
    throttle("b", retryAfter);
    expect(gate("c").until).toBe(START + lasts);
  }
});

test("the longer of two pauses stands", () => {
  const { gate, throttle } = pausing();
  const [one, other] = [gate("b"), gate("c")];
  throttle("a", MINUTE);
  one.leave({ throttled: 5 * MINUTE });
  other.leave({ throttled: 0 });
  expect(gate("d").until).toBe(START + 5 * MINUTE);
});

test("a pause does not last for hours when the clock is set back", () => {
  const { gate, throttle, pass } = pausing();
  throttle("a", MINUTE);
  throttle("b", MINUTE);
  pass(-HOUR);
  expect(gate("c").until).toBeUndefined();
});

test("a stopped process is draining from then on", () => {
  const { pauses } = pausing();
  expect(pauses.isDraining()).toBe(false);
  pauses.drain();
  expect(pauses.isDraining()).toBe(true);
});
