import type { RawFields } from "../../functions/core/document.ts";
import { fieldsOf } from "../../functions/core/document.ts";
import type { EndpointAnswer, RefreshRequest } from "../../functions/core/grant.ts";
import { DAY, HOUR, MINUTE, SECOND } from "../../functions/core/time.ts";
import type { Process } from "./process.ts";

/** The right to refresh a token, as it came to stand in the store. Instants are ms. */
interface Leased {
  by: Process;
  landed: number;
  /** It arrived so late that nobody waited for it any more. */
  late: boolean;
  /** Somebody from outside may end it earlier. */
  until: number;
}

/** A refresh that Webex is asked for. */
interface Sent {
  process: Process;
  name: string;
  request: RefreshRequest;
  at: number;
  /** `undefined`: it had none. */
  lease: Leased | undefined;
  answer: EndpointAnswer | undefined;
  /** ms. */
  answered: number;
}

/** Failures of one kind in a row, as they were noted in the store. */
interface Streak {
  kind: "permanent" | "unchanged" | "transient";
  count: number;
  /** ms: when Webex said so last. */
  at: number;
  /** ms that Webex asked to wait. */
  pause: number;
}

/** What is known of the requests for one token. */
interface Known {
  sent: Sent[];
  streak: Streak | undefined;
  /** When somebody changed credentials, lease or schedule from outside, in ms. */
  disturbed: number;
  /** Until when a reader may ask for more than the schedule gives. */
  forced: number;
  leases: Map<unknown, Leased>;
  /** By the process that Webex told to wait (429): from and until when, in ms. */
  paused: Map<Process, { since: number; until: number }>;
  /** By the id of the lease that each was sent under. */
  sentUnder: Map<unknown, Sent>;
}

/** The least between two requests for one token, whoever sends them: a backoff, or a lease that is left behind. */
const LEAST_GAP = 20 * SECOND;
/** The same for a token of which Webex said that it lives but a moment. */
const SHORTEST_GAP = 5 * SECOND;
/** How far the instants that the service noted may lag: by the way back of an answer of the store, usually and at most. */
const LAG = { usual: 2 * SECOND, most: 6 * SECOND };
/** How long a clock that was set is still felt: a claim, its request and what is noted of it. */
const FELT = 90 * SECOND;
const LEASE = 30 * SECOND;
const LONGEST_PAUSE = 10 * MINUTE;
const JITTER = 0.8;

export type Requests = ReturnType<typeof makeRequests>;

interface RequestsOptions {
  now(): number;
  report(rule: string): void;
  /** The token as it stands in the store. */
  fieldsOf(name: string): RawFields | undefined;
  /** When a clock was set last, or a process frozen, in ms: what it notes then is anybody's guess. */
  astray(): number;
  /** Whether this access token ever stood in the store. */
  wasStored(name: string, accessToken: unknown): boolean;
  /** When a call to the store took long last, in ms. */
  slowed(): number;
}

/** Watches what Webex is asked for: one refresh of a token at a time, and no more of them than the backoff allows. */
export function makeRequests(options: RequestsOptions) {
  const { now, report } = options;
  const tokens = new Map<string, Known>();
  const of = (name: string): Known => {
    const known = tokens.get(name) ?? {
      sent: [],
      streak: undefined,
      disturbed: Number.NEGATIVE_INFINITY,
      forced: Number.NEGATIVE_INFINITY,
      leases: new Map(),
      paused: new Map(),
      sentUnder: new Map(),
    };
    tokens.set(name, known);
    return known;
  };

  /** ms: as Webex told it last, or as it is usually. */
  const lifetimeOf = (name: string) => {
    const { lifetime } = options.fieldsOf(name) ?? {};
    return Number(lifetime ?? 12 * 3600) * SECOND;
  };

  const checkOneAtATime = (name: string, { sent }: Known, lease: Leased | undefined) => {
    if (hasRunOut(lease)) return;
    for (const other of sent) {
      const isUnderWay = other.answer === undefined && other.process.alive;
      const isLeased = now() < (other.lease?.until ?? 0);
      if (isUnderWay && isLeased && !felt(other.at))
        report(`two refreshes of ${name} at a time: ${other.process.name} is at it since ${other.at}`);
    }
  };
  const hasRunOut = (lease: Leased | undefined) => lease !== undefined && lease.until <= now();
  const felt = (since: number) => options.astray() >= since - FELT;
  const checkGap = (name: string, { sent, disturbed, streak, forced }: Known, lease: Leased | undefined) => {
    const last = sent.at(-1);
    if (last === undefined || hasRunOut(lease)) return;
    const claimed = Math.min(last.lease?.landed ?? last.at, lease?.landed ?? now());
    if (disturbed >= claimed || felt(claimed)) return;
    const gap = now() - last.at;
    const isTakenOver = lease !== undefined && (last.lease?.until ?? 0) <= lease.landed;
    const lag = options.slowed() >= claimed - FELT ? 2 * LAG.most : LAG.usual;
    const eighth = Math.max(SHORTEST_GAP, lifetimeOf(name) / 8);
    if (gap < Math.min(LEAST_GAP, JITTER * eighth) - lag && !isTakenOver)
      report(`Webex is asked for ${name} again after ${gap} ms`);
    if (streak === undefined || streak.at < last.at) return;
    const least = leastWait(streak, name, forced >= now()) - lag;
    if (now() - streak.at < least)
      report(`Webex is asked for ${name} ${now() - streak.at} ms after ${streak.kind} no. ${streak.count}`);
  };
  const leastWait = ({ kind, count, at, pause }: Streak, name: string, forced: boolean) => {
    const ends = Number(options.fieldsOf(name)?.accessExpires ?? 0);
    if (kind === "permanent") {
      // A try comes when the token ends, each hour for a day after that, and no later than half of its life before.
      const step = [10 * MINUTE, HOUR, 6 * HOUR][count - 1] ?? DAY;
      const short = ends > at ? Math.min(10 * MINUTE, lifetimeOf(name) / 8) : HOUR;
      return JITTER * Math.min(step, ends > at && ends <= now() ? 30 * SECOND : short, short);
    }
    if (kind === "unchanged") return JITTER * Math.min(MINUTE * 2 ** (count - 1), 10 * MINUTE);
    const lives = Number(options.fieldsOf(name)?.accessExpires ?? 0) > now() + LAG.most;
    const steps = forced || !lives ? 0 : count - 1;
    const eighth = Math.max(SHORTEST_GAP, lifetimeOf(name) / 8);
    return Math.max(pause, JITTER * Math.min(30 * SECOND * 2 ** steps, 10 * MINUTE, eighth));
  };
  const checkHold = (process: Process, name: string) => {
    const { since, until } = of(name).paused.get(process) ?? { since: 0, until: 0 };
    if (of(name).disturbed >= since) return;
    // What was claimed before it was known still goes out.
    if (now() > since + 2 * LAG.most && now() < until - LAG.most && !felt(since))
      report(`${process.name} asks Webex for ${name}, which wanted a pause until ${until}`);
  };

  const leased = (name: string, by: Process, { id, expires }: RawFields) => {
    const until = Number(expires);
    of(name).leases.set(id, { by, landed: now(), late: options.slowed() === now(), until });
    const left = until - now();
    const lag = options.slowed() >= now() - FELT ? 2 * LAG.most : LAG.usual;
    if ((left > LEASE + SECOND || left < LEASE - lag) && !felt(now()))
      report(`${by.name} takes a lease of ${name} for ${left} ms`);
  };
  return {
    /** Somebody changed it from outside: whatever was known of its schedule is void. */
    disturbed(name: string): void {
      const known = of(name);
      known.disturbed = now();
      known.streak = undefined;
    },
    /** Somebody took away whatever lease there was. */
    unleased(name: string): void {
      for (const lease of of(name).leases.values()) lease.until = Math.min(lease.until, now());
    },
    /** A reader asks for more than the schedule gives, for so many ms at most. */
    forced(name: string, ms: number): void {
      of(name).forced = Math.max(of(name).forced, now() + ms);
    },
    /** This access token is what came of the one request that this process sent, and sent under this lease. */
    isGrantedUnder(name: string, lease: unknown, accessToken: unknown, by: Process): boolean {
      const sent = of(name).sentUnder.get(lease);
      const others = of(name).sent.filter((other) => other !== sent && tokenOf(other.answer) === accessToken);
      return (
        accessToken !== undefined &&
        sent?.process === by &&
        tokenOf(sent.answer) === accessToken &&
        others.length === 0
      );
    },
    /** A process wrote the token. */
    written(name: string, by: Process, before: RawFields, after: RawFields): void {
      const known = of(name);
      if (after.lease !== undefined && after.lease !== before.lease) leased(name, by, fieldsOf(after.lease));
      if (after.failure === before.failure) return;
      if (after.failure === undefined) {
        known.streak = undefined;
        return;
      }
      const { permanent, code } = fieldsOf(after.failure);
      const kind = permanent ? "permanent" : code === "unchanged" ? "unchanged" : "transient";
      const count = known.streak?.kind === kind ? known.streak.count + 1 : 1;
      const { answer, answered: at = now() } = known.sentUnder.get(fieldsOf(before.lease).id) ?? {};
      known.streak = { kind, count, at, pause: pauseOf(answer) };
    },
    sent(process: Process, request: RefreshRequest): Sent {
      const name = request.clientId;
      const known = of(name);
      const lease = known.leases.get(process.lease);
      if (lease === undefined) report(`${process.name} asks Webex for ${name} without a lease`);
      checkOneAtATime(name, known, lease);
      if (process.name !== "operator") {
        checkGap(name, known, lease);
        checkHold(process, name);
      }
      const sent = { process, name, request, at: now(), lease, answer: undefined, answered: 0 };
      known.sent.push(sent);
      known.sentUnder.set(process.lease, sent);
      return sent;
    },
    answered(sent: Sent, answer: EndpointAnswer): void {
      Object.assign(sent, { answer, answered: now() });
      if (!("status" in answer) || answer.status !== 429) return;
      const until = now() + pauseOf(answer);
      const { paused } = of(sent.name);
      paused.set(sent.process, {
        since: now(),
        until: Math.max(until, paused.get(sent.process)?.until ?? 0),
      });
    },
    /** A process says what became of a refresh; of which one, where it was at several, it does not say. */
    told(process: Process, event: string, name: string): void {
      const meant = of(name).sent.filter((sent) => sent.process === process && sent.at > now() - FELT);
      if (meant.some(({ at }) => felt(at))) return;
      const isNone = (fits: (sent: Sent) => boolean) => meant.length > 0 && !meant.some(fits);
      const isDisturbed = ({ at, lease }: Sent) => of(name).disturbed >= (lease?.landed ?? at);
      const isOver = ({ lease }: Sent) => (lease?.until ?? 0) <= now() + SECOND;
      const isStored = ({ answer }: Sent) => options.wasStored(name, tokenOf(answer));
      if (
        event === "refresh.discarded" &&
        isNone((sent) => isDisturbed(sent) || isOver(sent) || isStored(sent))
      )
        report(`${process.name} discards a refresh of ${name}, though nobody came in between`);
      if (event === "refresh.unsaved" && isNone(isOver))
        report(`${process.name} gives up storing a refresh of ${name} before its lease is over`);
      if (event === "refresh.done" && isNone(isStored))
        report(`${process.name} says that ${name} is refreshed, and has not stored it`);
    },
    /** A process has done what it was asked for this token: whatever lease it took must be gone. */
    ended(process: Process, name: string): void {
      const { id } = fieldsOf(options.fieldsOf(name)?.lease);
      const lease = of(name).leases.get(id);
      if (lease?.by === process && !lease.late && lease.until > now() + LAG.usual && !felt(lease.landed))
        report(`${process.name} left its lease of ${name} behind`);
    },
    /** What was sent under this lease; `undefined`: nothing. */
    sentUnder: (name: string, lease: unknown) => of(name).sentUnder.get(lease)?.request,
    /** Until when some process may not ask Webex for this token, in ms. */
    pausedUntil: (name: string) => Math.max(0, ...[...of(name).paused.values()].map(({ until }) => until)),
    count: () => [...tokens.values()].reduce((sum, { sent }) => sum + sent.length, 0),
  };
}

/** The access token in an answer; `undefined`: none is. */
const tokenOf = (answer: EndpointAnswer | undefined) =>
  answer !== undefined && "status" in answer ? /"access_token":"([^"]+)"/.exec(answer.body)?.[1] : undefined;

/** ms that Webex asked to wait; a template that nobody filled in means a minute at most. */
function pauseOf(answer: EndpointAnswer | undefined): number {
  const told = answer !== undefined && "status" in answer ? answer.retryAfter : undefined;
  const seconds = told === undefined ? 0 : told.startsWith("rand") ? 60 : Number(told);
  return Math.min(seconds * SECOND, LONGEST_PAUSE);
}
