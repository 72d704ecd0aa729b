import { setTimeout as sleep } from "node:timers/promises";
import { processorSeconds, residentMegabytes } from "../processes.ts";
import type { Growth } from "./judge.ts";
import type { Running } from "./member.ts";

/** When a process counts as warm, and for how long it must have lived for its growth to be judged; in ms. */
const WARM = 35_000;
const LONG_ENOUGH = 75_000;
/** Garbage is collected and its memory given back within this, in ms. */
const MOMENT = 1000;

/** What one process used. */
export interface Used extends Growth {
  /** MB when it was ready. */
  start: number;
  /** Seconds of processor time, and of its whole life. */
  processor: number;
  life: number;
}

export interface Usage {
  sample(running: Running): void;
  /** The last sample of these, without garbage. */
  conclude(running: Running[]): Promise<void>;
  /** Of every process that ever was there. */
  all(): Used[];
  /** MB of these together, by the last samples. */
  total(running: Running[]): number;
}

interface Sample {
  at: number;
  megabytes: number;
  processor: number;
}

interface Watched {
  since: number;
  first: Sample;
  last: Sample;
  /** It was told to collect its garbage: the next sample is what it holds when warm. */
  told: boolean;
  settled?: number;
}

/** Watches memory and processor time of processes. Where the system does not tell it, there is nothing to see. */
export function watchUsage(): Usage {
  const seen = new Map<string, Watched>();
  const sample = (running: Running) => {
    const now = sampleOf(running.pid);
    if (now === undefined) return;
    const { id, since } = running;
    const own: Watched = seen.get(id) ?? { since, first: now, last: now, told: false };
    seen.set(id, own);
    own.last = now;
    if (own.told) own.settled ??= now.megabytes;
    else if (now.at >= since + WARM) own.told = running.collect();
  };
  return {
    sample,
    async conclude(running) {
      if (running.every(({ id }) => seen.get(id)?.settled === undefined)) return;
      for (const one of running) one.collect();
      await sleep(MOMENT);
      running.forEach(sample);
    },
    all: () => [...seen].map(([title, watched]) => usedBy(title, watched)),
    total: (running) => running.reduce((sum, { id }) => sum + (seen.get(id)?.last.megabytes ?? 0), 0),
  };
}

function usedBy(title: string, { since, first, last, settled }: Watched): Used {
  return {
    title,
    start: first.megabytes,
    settled: last.at >= since + LONG_ENOUGH ? settled : undefined,
    end: last.megabytes,
    processor: last.processor,
    life: (last.at - since) / 1000,
  };
}

function sampleOf(pid: number): Sample | undefined {
  try {
    return { at: Date.now(), megabytes: residentMegabytes(pid), processor: processorSeconds(pid) };
  } catch {
    return undefined;
  }
}
