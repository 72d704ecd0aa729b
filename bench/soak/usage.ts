import { processorSeconds, residentMegabytes } from "../processes.ts";
import type { Growth } from "./judge.ts";
import type { Running } from "./member.ts";

/** When a process counts as warm, and how much older it must be for its growth to be judged; in ms. */
const WARM = 30_000;
const OLDER = 30_000;

/** What one process used; its growth is told by what it holds without garbage. */
export interface Used extends Growth {
  /** Resident MB when it was ready, and at its end. Absent, as the one below: the system does not tell. */
  resident?: { first: number; last: number };
  /** Seconds of processor time. */
  processor?: number;
  /** Seconds that it was there. */
  life: number;
}

export interface Usage {
  /** Every second. */
  sample(running: Running): void;
  /** Asks these what they hold in the end. */
  conclude(running: Running[]): Promise<void>;
  /** Of every process that ever was there. */
  all(): Used[];
  /** Resident MB of these together, by the last samples. */
  total(running: Running[]): number;
}

/** Watches memory and processor time of processes. */
export function watchUsage(): Usage {
  const seen = new Map<string, Used & { asked: boolean }>();
  return {
    sample(running) {
      const { id, pid, since } = running;
      const own = seen.get(id) ?? { title: id, settled: undefined, end: undefined, life: 0, asked: false };
      seen.set(id, own);
      own.life = (Date.now() - since) / 1000;
      Object.assign(own, measured(pid, own.resident?.first));
      if (own.asked || own.life * 1000 < WARM) return;
      own.asked = true;
      void running.held().then((megabytes) => {
        own.settled = megabytes;
      });
    },
    async conclude(running) {
      const old = running.filter(({ since }) => Date.now() - since >= WARM + OLDER);
      await Promise.all(
        old.map(async (one) => {
          const own = seen.get(one.id);
          const end = await one.held();
          if (own !== undefined) own.end = end;
        }),
      );
    },
    all: () => [...seen.values()],
    total: (running) => running.reduce((sum, { id }) => sum + (seen.get(id)?.resident?.last ?? 0), 0),
  };
}

function measured(pid: number, first: number | undefined): Pick<Used, "resident" | "processor"> {
  try {
    const last = residentMegabytes(pid);
    return { resident: { first: first ?? last, last }, processor: processorSeconds(pid) };
  } catch {
    return {};
  }
}
