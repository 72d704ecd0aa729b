import { fieldsOf, type RawFields } from "../../functions/core/document.ts";
import type { Authority } from "./authority.ts";
import type { Process } from "./process.ts";
import type { Requests } from "./requests.ts";
import { opened } from "./sealer.ts";
import type { Documents } from "./store.ts";

/** What stood in the store from `from` until `until`, in ms. `fields` is absent where nothing did. */
export interface Version {
  from: number;
  until: number;
  version: string | undefined;
  fields: RawFields | undefined;
}

/** How far the instants by which a later consent is known may lag, by how quick the store answers, in ms. */
const LAG = { usual: 2000, most: 6000 };
/** How long a slow answer is felt, in ms. */
const FELT = 60_000;

export type Writes = ReturnType<typeof makeWrites>;

interface WritesOptions {
  now(): number;
  report(rule: string): void;
  documents: Documents;
  authority: Authority;
  requests: Requests;
  /** When a call to the store took long last, in ms. */
  slowed(): number;
}

/** Watches what is written over tokens: nothing newer is ever overwritten by something older. */
export function makeWrites(options: WritesOptions) {
  const { now, report, documents, authority, requests } = options;
  const histories = new Map<string, Version[]>();
  const historyOf = (name: string) => {
    const history = histories.get(name) ?? [];
    histories.set(name, history);
    return history;
  };
  /** Notes what stands there now. Gives it, and what stood there before, where it changed. */
  const note = (
    name: string,
  ): { before: RawFields | undefined; after: RawFields | undefined } | undefined => {
    const history = historyOf(name);
    const last = history.at(-1);
    const found = documents.read("tokens", name);
    if (found?.version === last?.version) return undefined;
    if (last !== undefined) last.until = now();
    const until = Number.POSITIVE_INFINITY;
    history.push({ from: now(), until, version: found?.version, fields: found?.fields });
    return { before: last?.fields, after: found?.fields };
  };
  /** The first was made before the second was even asked for. */
  const isOlder = (one: { made: number } | undefined, other: { asked: number } | undefined) => {
    const lag = options.slowed() > now() - FELT ? LAG.most : LAG.usual;
    return one !== undefined && other !== undefined && one.made < other.asked - lag;
  };

  const check = (name: string, by: Process, before: RawFields, after: RawFields) => {
    const [was, is] = [opened(before), opened(after)];
    for (const field of ["clientId", "clientSecret", "redirectUri", "scopes"] as const)
      if (was[field] !== is[field]) report(`${by.name} changed the ${field} of ${name}`);
    const [grantBefore, grantAfter] = [
      authority.grantOf(was.refreshToken),
      authority.grantOf(is.refreshToken),
    ];
    if (isOlder(grantAfter, grantBefore)) report(`${by.name} put an older grant of ${name} back`);
    for (const field of ["accessToken", "refreshToken"] as const)
      if (is[field] === undefined && was[field] !== undefined)
        report(`${by.name} took the ${field} of ${name} away`);
    const [one, other] = [authority.accessToken(is.accessToken), authority.accessToken(was.accessToken)];
    if (one?.grant === other?.grant ? isOlder(one, other) : isOlder(one?.grant, other?.grant))
      report(`${by.name} put an older access token of ${name} back`);
    const isGranted = is.accessToken !== was.accessToken;
    const isOnTime = requests.isGrantedUnder(name, fieldsOf(before.lease).id, is.accessToken, by);
    if (isGranted && isOnTime && after.lease !== undefined)
      report(`${by.name} left a lease beside a new token of ${name}`);
    if (isGranted && after.failure !== undefined)
      report(`${by.name} left a failure beside a new token of ${name}`);
    if (one !== undefined && isGranted && one.refreshToken !== is.refreshToken)
      report(`${by.name} stored an access token of ${name} without the refresh token that came with it`);
    if (after.failure !== undefined && after.failure !== before.failure) checkFailure(name, by, before, is);
  };
  /** A failure is noted only with the credentials that were refused. */
  const checkFailure = (name: string, by: Process, before: RawFields, is: RawFields) => {
    const sent = requests.sentUnder(name, fieldsOf(before.lease).id);
    if (sent === undefined || is.clientSecret === undefined || is.refreshToken === undefined) return;
    if (sent.clientSecret !== is.clientSecret || sent.refreshToken !== is.refreshToken)
      report(`${by.name} noted a failure of ${name} with credentials that it did not send`);
  };

  return {
    historyOf,
    /** To be called after whatever a process may have written. */
    written(name: string, by: Process): void {
      const change = note(name);
      if (change?.before === undefined || change.after === undefined) return;
      check(name, by, change.before, change.after);
      if (by.name === "setup") {
        requests.disturbed(name);
        requests.unleased(name);
        return;
      }
      const { before, after } = change;
      const isGranted = after.accessToken !== before.accessToken;
      // A grant that comes after its lease, where nothing newer stands, comes in between whoever has the lease now.
      if (isGranted && !requests.isGrantedUnder(name, fieldsOf(before.lease).id, after.accessToken, by))
        requests.disturbed(name);
      requests.written(name, by, before, after);
    },
    /** To be called after a person wrote it. `credentials`: more than a mere remark. */
    edited(name: string, credentials: boolean): void {
      const change = note(name);
      if (change === undefined) return;
      if (credentials) requests.disturbed(name);
      if (change.after?.lease === undefined) requests.unleased(name);
    },
  };
}
