/** Whoever waits for an event: one that is dead never learns of it, one that is frozen learns of it later. */
export interface Waiter {
  alive: boolean;
  /** ms of true time. */
  frozenUntil: number;
}

interface Event {
  at: number;
  waiter: Waiter | undefined;
  /** Whom it comes from; a call that is lost on its way is taken out by this. */
  sender: Waiter | undefined;
  happen: () => void;
}

/** More than this in one history is a storm that never ends. */
const MOST_EVENTS = 20_000;

export type Scheduler = ReturnType<typeof makeScheduler>;

/**
 * Time that only passes when it is told to. Whatever is pending is an event at its own instant; between two of them
 * all that the first one set going runs until it waits again. So the instants decide the order, and nothing else.
 */
export function makeScheduler(start: number) {
  let now = start;
  let happened = 0;
  /** The next one last. */
  const events: Event[] = [];

  const insert = (event: Event) => {
    let place = events.length;
    while (place > 0 && (events[place - 1]?.at ?? 0) <= event.at) place--;
    events.splice(place, 0, event);
  };

  const next = async (): Promise<void> => {
    const event = events.pop();
    if (event === undefined) return;
    now = Math.max(now, event.at);
    const { waiter } = event;
    if (waiter !== undefined && !waiter.alive) return;
    if (waiter !== undefined && waiter.frozenUntil > now) return insert({ ...event, at: waiter.frozenUntil });
    if (++happened > MOST_EVENTS) throw new Error("a storm: it never ends");
    event.happen();
    await quiet();
  };

  return {
    /** True time, in ms. */
    now: () => now,
    /** After `ms`. `waiter`: whoever it happens to; `undefined`: it happens outside of every process. */
    after(ms: number, happen: () => void, waiter?: Waiter, sender?: Waiter): void {
      insert({ at: now + Math.max(0, ms), waiter, sender, happen });
    },
    /** What this one sent and what has not arrived yet never will. */
    lose(sender: Waiter): void {
      for (let place = events.length - 1; place >= 0; place--)
        if (events[place]?.sender === sender) events.splice(place, 1);
    },
    async pass(ms: number): Promise<void> {
      const until = now + ms;
      while ((events.at(-1)?.at ?? Number.POSITIVE_INFINITY) <= until) await next();
      now = Math.max(now, until);
    },
    /** So many events happen, whenever they do. */
    async step(count: number): Promise<void> {
      for (let done = 0; done < count; done++) await next();
    },
  };
}

/** All that can run without waiting for an event has run, and a rejection that nobody took was noticed as in a process. */
export const quiet = () => new Promise<void>((resolve) => setImmediate(resolve));
