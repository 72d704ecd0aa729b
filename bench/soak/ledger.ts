import { type Circumstances, FAST, RECOVERY } from "./judge.ts";
import type { Member, Running } from "./member.ts";
import { makeSpans, type Spans } from "./spans.ts";

/** What this run has seen of the world, by its own clock. Instants are ms. */
export interface Ledger {
  /** A token with a life until then was seen in the store; what was seen is held until a longer life is. */
  sawStored(name: string, until: number): void;
  /** A lookup process answered a token with a life until then: it is in the store, and in that process's memory. */
  sawAnswered(name: string, until: number, lookup: Running): void;
  /** A lookup process is gone, and its memory with it. */
  forget(lookup: Running): void;
  /** The store does not answer reads. */
  storeAway: Spans;
  /** Something is wrong, by the run's own doing. */
  troubles: Map<string, Spans>;
  /** The troubles of this time; where there are none, which was over last. */
  during(from: number, until: number): string[];
  /** All that a judge must know of a read; `late`: by how much this process was late meanwhile. */
  around(asked: Asked): Circumstances;
}

export interface Asked {
  name: string;
  member: Member;
  /** Who was there when the read began; `undefined`: nobody. */
  lookup: Running | undefined;
  sent: number;
  answered: number;
  late: number;
}

/** A store that answers again needs a moment until everybody's connection is well. */
const AFTER_THAW = 2000;
/** How long a kill and a start are felt. */
const AFTER_START = 250;
/** No read lasts longer. */
const LONGEST_READ = 60_000;

interface Sighting {
  at: number;
  until: number;
}

export function openLedger(): Ledger {
  const troubles = new Map<string, Spans>();
  const stored = new Map<string, Sighting[]>();
  const remembered = new Map<string, Map<string, Sighting[]>>();
  const storeAway = makeSpans();

  const see = (sightings: Map<string, Sighting[]>, name: string, until: number) => {
    const at = Date.now();
    const known = (sightings.get(name) ?? []).filter((seen) => seen.until > at - LONGEST_READ);
    const longest = Math.max(0, ...known.map((seen) => seen.until));
    if (until > longest) known.push({ at, until });
    sightings.set(name, known);
  };
  const endOf = (sightings: Sighting[] = [], by: number) =>
    Math.max(0, ...sightings.filter((seen) => seen.at <= by).map((seen) => seen.until));
  const met = (from: number, until: number) =>
    [...troubles].filter(([, spans]) => spans.meets(from, until)).map(([name]) => name);

  return {
    storeAway,
    troubles,
    sawStored: (name, until) => see(stored, name, until),
    sawAnswered(name, until, lookup) {
      see(stored, name, until);
      const own = remembered.get(lookup.id) ?? new Map<string, Sighting[]>();
      remembered.set(lookup.id, own);
      see(own, name, until);
    },
    forget: ({ id }) => remembered.delete(id),
    during(from, until) {
      const now = met(from, until);
      if (now.length > 0) return now;
      const last = [...troubles].sort(([, a], [, b]) => (b.lastEnd() ?? 0) - (a.lastEnd() ?? 0))[0];
      return last?.[1].lastEnd() === undefined ? [] : [`after ${last[0]}`];
    },
    around: ({ name, member, lookup, sent, answered, late }) => ({
      heldUntil: endOf(stored.get(name), sent),
      cameUntil: endOf(stored.get(name), answered - FAST - late),
      rememberedUntil: endOf(lookup && remembered.get(lookup.id)?.get(name), sent),
      storeAway: storeAway.meets(sent - AFTER_THAW, answered),
      lookupDown: member.downs.meets(sent - AFTER_START, answered + AFTER_START),
      quiet: met(sent - RECOVERY, answered).length === 0,
    }),
  };
}
