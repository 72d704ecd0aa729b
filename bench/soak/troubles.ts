import { setTimeout as sleep } from "node:timers/promises";
import type { FaultRequest } from "../../local/sandbox/faults.ts";
import type { faultsOf } from "./authority.ts";
import { pick } from "./chance.ts";
import type { Ledger } from "./ledger.ts";
import type { Member } from "./member.ts";
import type { FreezingPlace } from "./place.ts";
import type { Planned, Trouble } from "./schedule.ts";
import { makeSpans } from "./spans.ts";

/** Everything that can be made to go wrong. */
export interface Victims {
  authority: ReturnType<typeof faultsOf>;
  place: FreezingPlace;
  refreshers: Member[];
  lookups: Member[];
  names: string[];
  ledger: Ledger;
  /** A killed process did not come back. */
  onDeath(error: Error): void;
}

/** Of a hundred tokens so many are refused. */
const REFUSED = 1;
const REFUSALS = ["invalid-request", "unauthorized", "webex-400"] as const;

/** Begins a trouble, and gives what ends it; `undefined`: it could not be had just now. */
type Begin = (victims: Victims, planned: Planned) => Promise<(() => Promise<void>) | undefined>;

const BEGIN: Record<Trouble, Begin> = {
  "authority down": misbehave(() => ({ fault: "down" })),
  "authority down for long": misbehave(() => ({ fault: "down" })),
  "authority hanging": misbehave(() => ({ fault: "hang" })),
  "authority slow": misbehave(({ chance }) => ({ fault: "slow", delayMs: 200 + Math.round(chance * 2800) })),
  "authority 429": misbehave(({ chance }) => ({ fault: "429", retryAfter: 2 + Math.round(chance * 3) })),
  "authority HTML with 200": misbehave(() => ({ fault: "html" })),
  "authority 500": misbehave(() => ({ fault: "500" })),
  "authority's answers lost": misbehave(() => ({ fault: "lost" })),
  "authority refusing some": async ({ authority, names }, planned) => {
    for (const clientId of refusedBy(planned, names))
      await authority.add({ fault: pick(REFUSALS, planned.chance), clientId, ...lasting(planned) });
    return async () => {};
  },
  "refresher killed": (victims, planned) => killOne(victims.refreshers, victims, planned),
  "lookup killed": (victims, planned) => killOne(victims.lookups, victims, planned),
  "store frozen": async ({ place, ledger }) => {
    if (ledger.troubles.get("store frozen")?.isOpen()) return undefined;
    if (place.hidesReads) ledger.storeAway.begin(Date.now());
    place.freeze();
    return async () => {
      place.thaw();
      if (place.hidesReads) ledger.storeAway.end(Date.now());
    };
  },
};

/** It ends by the authority's own clock: others that are on meanwhile are left alone. */
const lasting = ({ from, until }: Planned) => ({ seconds: (until - from) / 1000 });

function misbehave(fault: (planned: Planned) => FaultRequest): Begin {
  return async ({ authority }, planned) => {
    await authority.add({ ...fault(planned), ...lasting(planned) });
    return async () => {};
  };
}

/** The tokens that the authority refuses: always the same for the same plan. */
export function refusedBy({ chance }: Planned, names: readonly string[]): string[] {
  const first = Math.floor(chance * names.length);
  const count = Math.max(2, Math.round((names.length * REFUSED) / 100));
  return Array.from({ length: count }, (_, index) => names[(first + index) % names.length] ?? "");
}

async function killOne(members: Member[], { ledger, onDeath }: Victims, { chance }: Planned) {
  const alive = members.filter((member) => member.process() !== undefined);
  if (alive.length === 0) return undefined;
  const member = pick(alive, chance);
  const lookup = member.process();
  await member.kill();
  if (lookup !== undefined) ledger.forget(lookup);
  return () => member.start().catch(onDeath);
}

/** Carries out the plan; resolves when the last trouble is over. `signal` ends it early, and what is wrong by then. */
export async function makeTrouble(plan: Planned[], victims: Victims, signal: AbortSignal): Promise<void> {
  const { troubles } = victims.ledger;
  const began = Date.now();
  const until = (instant: number) =>
    sleep(Math.max(0, began + instant - Date.now()), undefined, { signal }).catch(() => "it ends early");
  await Promise.all(
    plan.map(async (planned) => {
      await until(planned.from);
      if (signal.aborted) return;
      const end = await BEGIN[planned.trouble](victims, planned);
      if (end === undefined) return;
      const spans = troubles.get(planned.trouble) ?? makeSpans();
      troubles.set(planned.trouble, spans);
      spans.begin(Date.now());
      await until(planned.until);
      await end();
      spans.end(Date.now());
    }),
  );
}
