import { fieldsOf, type RawFields } from "../../functions/core/document.ts";
import type { Reply } from "../../functions/core/reply.ts";
import { SECOND } from "../../functions/core/time.ts";
import type { Authority } from "./authority.ts";
import type { Process } from "./process.ts";
import type { Requests } from "./requests.ts";
import type { Writes } from "./writes.ts";

/** A read as it was answered. Instants are ms of true time. */
export interface Answered {
  by: Process;
  name: string;
  from: number;
  until: number;
  /** ms that the reader is ready to wait where nothing is held. */
  wait: number;
  rejected: string | undefined;
  reply: Reply;
}

/**
 * Clocks that differ by less than three seconds are taken for the same (the adapter of lookup), and a token with less
 * than one second of life for dead: so late may a dead one be answered.
 */
const LATE = 2 * SECOND;
/** The other way round: what has more life than this must be taken for alive. */
const LIVES = 5 * SECOND;
/** How long a name is believed missing. */
const MISSING = 6 * SECOND;
/** So old may be what a reader knows who is told no: a read of the store on its way. */
const LAST_LOOK = 3 * SECOND;
/** How long a reader with a live token in memory may have to wait. */
const HELD_DEADLINE = 1600;
/** What a read may take beyond its wait: three reads of a store that does not answer. */
const MARGIN = 7600;
/** What a reader is told to wait where nobody knows better. */
const TRY_AGAIN = 5 * SECOND;
/** A pause between two looks at the store, and what a look takes. */
const SLACK = 4 * SECOND;

interface RepliesOptions {
  report(rule: string): void;
  authority: Authority;
  writes: Writes;
  requests: Requests;
}

/** What must hold of every answer. */
export function makeReplies({ report, authority, writes, requests }: RepliesOptions) {
  const isLive = (fields: RawFields | undefined, until: number) =>
    fields?.accessToken !== undefined && Number(fields.accessExpires) >= until + LIVES;

  /** It was frozen, or its clock was set, while this was served, or while a read that it shares was under way. */
  const isAstray = ({ by, from }: Answered) => Math.max(by.thawed, by.jumped) >= from - LAST_LOOK;

  const checkToken = ({ by, name, until, rejected, reply }: Answered) => {
    const { token } = reply.body as { token?: string };
    const known = authority.accessToken(token);
    if (known === undefined || known.grant.name !== name)
      return report(`${by.name} answered what is no token of ${name}`);
    if (until > known.expires + LATE && !known.astray)
      report(`${by.name} answered a token of ${name} that was dead for ${until - known.expires} ms`);
    if (!(Number(reply.headers?.["x-token-expires-in"]) >= 1))
      report(`${by.name} answered a token of ${name} and said that it has no life left`);
    if (token === rejected && reply.headers?.["x-token-unchanged"] !== "true")
      report(`${by.name} answered the rejected token of ${name} and did not say so`);
  };

  /** The store has held a live token for so long, and said so to whoever asked. */
  const isHeld = ({ by, name, from, until }: Answered, ms: number) => {
    const stood = writes
      .historyOf(name)
      .filter((version) => version.until > until - ms && version.from <= until);
    return by.troubled < from && stood.every(({ fields }) => isLive(fields, until));
  };

  const checkError = (answered: Answered) => {
    const { by, name, reply } = answered;
    if (isAstray(answered)) return;
    if (isHeld(answered, reply.status === 404 ? MISSING : LAST_LOOK))
      report(`${by.name} answered ${reply.status} while the store held a live token of ${name}`);
    if (remembers(answered))
      report(`${by.name} answered ${reply.status} with a live token of ${name} in memory`);
  };

  /** Memory held a live token when the request came, and nothing that was read since says otherwise. */
  const remembers = ({ by, name, from, until }: Answered) => {
    const reads = by.seen.filter((seen) => seen.name === name && seen.ended <= until);
    const held = reads.findLast(({ ended }) => ended < from);
    if (held === undefined || by.jumped >= held.began) return false;
    const minded = reads.filter(({ ended, began }) => ended >= from || began >= held.began);
    return minded.every(({ snapshot }) => isLive(snapshot?.fields, until));
  };

  /** Somebody who is told to come back later could not have been helped earlier. */
  const checkPatience = (answered: Answered) => {
    const { by, name, from, until, wait, reply } = answered;
    const told = reply.headers?.["retry-after"];
    if (told === undefined || isAstray(answered) || by.troubled >= from) return;
    const stood = writes.historyOf(name).filter((version) => version.until > from - LAST_LOOK);
    const instants = stood.flatMap(({ fields }) => [
      Number(fields?.refreshAt ?? 0),
      Number(fieldsOf(fields?.lease).expires ?? 0),
    ]);
    const next = Math.max(requests.pausedUntil(name), ...instants);
    if (until < from + wait - SLACK && next < from + wait - SLACK)
      report(`${by.name} gave up waiting for ${name} after ${until - from} ms of ${wait}`);
    if (until + Number(told) * SECOND > Math.max(next, until + TRY_AGAIN) + SLACK)
      report(`${by.name} says that ${name} is worth no try for ${told} s`);
  };

  const checkTime = (answered: Answered) => {
    const { by, name, from, until, wait } = answered;
    if (isAstray(answered)) return;
    const took = until - from;
    if (took > wait + MARGIN) report(`${by.name} took ${took} ms to answer for ${name}`);
    if (took > 2 * LAST_LOOK && isHeld(answered, 2 * LAST_LOOK))
      report(`${by.name} took ${took} ms to answer while the store held a live token of ${name}`);
    if (took > HELD_DEADLINE && remembers(answered))
      report(`${by.name} took ${took} ms with a live token of ${name} in memory`);
  };

  return {
    answered(answered: Answered): void {
      const { status } = answered.reply;
      if (status === 200) checkToken(answered);
      else checkError(answered);
      checkPatience(answered);
      checkTime(answered);
    },
  };
}
