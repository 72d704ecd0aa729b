/** Tells by how many ms this process was late at worst in a span of time: the machine was busy, or it was itself. */
export interface Lateness {
  between(from: number, until: number): number;
  /** How much of the whole time was lost so, and the worst; in ms. */
  whole(): { lost: number; worst: number };
  stop(): void;
}

interface Stall {
  from: number;
  until: number;
}

const TICK = 20;
/** Less is no news. */
const LEAST = 20;
const KEPT = 60_000;

export function watchLateness(): Lateness {
  let stalls: Stall[] = [];
  const whole = { lost: 0, worst: 0 };
  let last = Date.now();
  const timer = setInterval(() => {
    const now = Date.now();
    const late = now - last - TICK;
    if (late > LEAST) {
      stalls.push({ from: last + TICK, until: now });
      whole.lost += late;
      whole.worst = Math.max(whole.worst, late);
    }
    if (stalls[0] !== undefined && stalls[0].until < now - KEPT)
      stalls = stalls.filter(({ until }) => until >= now - KEPT);
    last = now;
  }, TICK);
  return {
    between(from, until) {
      // The one that is just ending: the timer has not seen it yet.
      const current = { from: last + TICK, until: Math.max(last + TICK, Date.now()) };
      return [...stalls, current]
        .filter((stall) => stall.until >= from && stall.from <= until)
        .reduce((worst, stall) => Math.max(worst, stall.until - stall.from), 0);
    },
    whole: () => whole,
    stop: () => clearInterval(timer),
  };
}
