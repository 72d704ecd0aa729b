import type { AskRefresher } from "../../functions/core/asker.ts";
import { makeState } from "../../functions/core/consent.ts";
import { fieldsOf, type RawFields } from "../../functions/core/document.ts";
import type { Log } from "../../functions/core/log.ts";
import { makeLookup } from "../../functions/core/lookup.ts";
import { makePauses } from "../../functions/core/pauses.ts";
import { type Outcome, type Refresher, refresh } from "../../functions/core/refresh.ts";
import { makeRefresher } from "../../functions/core/refresher.ts";
import { Problem, problemReply, type Reply, type Request } from "../../functions/core/reply.ts";
import { unsealed } from "../../functions/core/seal.ts";
import { makeSetup } from "../../functions/core/setup.ts";
import { StoreUnavailable, tokenReader, tokenStore } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD, HOUR, MINUTE, SECOND, UNCHANGED_CODE } from "../../functions/core/time.ts";
import { makeAuthority } from "./authority.ts";
import { type Faults, noFaults } from "./faults.ts";
import { type Edit, type History, NAMES, type Name, type Step } from "./history.ts";
import { delay, makeProcess, PROCESSES, type Process, type ProcessName, type Wires } from "./process.ts";
import { makeReplies } from "./replies.ts";
import { makeRequests } from "./requests.ts";
import { makeScheduler, quiet } from "./scheduler.ts";
import { makeSealer, opened } from "./sealer.ts";
import { asStore, makeDocuments } from "./store.ts";
import { makeWrites, type Writes } from "./writes.ts";

const START = 1_800_000_000_000;
const PASSPHRASE = "canary-passphrase-of-the-model";
/** How long lookup waits for a refresher, in ms; its adapter says so. */
const ASK_PATIENCE = 25 * SECOND;

/** A running process and what it serves. */
interface Running {
  process: Process;
  serve(request: Request): Reply | Promise<Reply>;
}

export type World = ReturnType<typeof makeWorld>;

/** All processes over one store and one Webex, as a history wants them to begin. */
export function makeWorld(told: History, trace?: (line: string) => void) {
  const broken: string[] = [];
  const scheduler = makeScheduler(START);
  const { now } = scheduler;
  const report = (rule: string) => {
    broken.push(`${rule} (at ${now() - START} ms)`);
    trace?.(`!!! ${rule}`);
  };
  const lifetimeOf = (name: string) => told.tokens[name as Name].lifetime;
  const faults: Faults = noFaults();
  const documents = makeDocuments(now);
  const authority = makeAuthority({ now, lifetimeOf, single: told.single });
  const fieldsOfToken = (name: string) => documents.read("tokens", name)?.fields;
  let slowed = Number.NEGATIVE_INFINITY;
  let astray = Number.NEGATIVE_INFINITY;
  const requests = makeRequests({
    now,
    report,
    fieldsOf: fieldsOfToken,
    astray: () => astray,
    slowed: () => slowed,
    wasStored: (name, token) => writes.historyOf(name).some(({ fields }) => fields?.accessToken === token),
  });
  const writes: Writes = makeWrites({ now, report, documents, authority, requests, slowed: () => slowed });
  const replies = makeReplies({ report, authority, writes, requests });
  const sealer = told.sealing ? makeSealer() : unsealed;
  let secrets = 0;
  const secret = () => `secret-${++secrets}`;
  const tell = (line: () => string) => trace?.(`${now() - START} ms: ${line()}`);
  const wires: Wires = {
    scheduler,
    documents,
    authority,
    faults,
    requests,
    written: writes.written,
    secret,
    slow: () => {
      slowed = now();
    },
    ...(trace !== undefined && { tell }),
  };
  const logOf =
    (process: Process): Log =>
    (event, details) => {
      tell(() => `${process.name} tells ${event} ${JSON.stringify(details)}`);
      if (process.name !== "setup") requests.told(process, event, String(details?.token));
    };
  const passphrases = { live: () => [PASSPHRASE] };

  /** What is under way: it must end, unless its process does. */
  const works = new Set<{ what: string; process: Process }>();
  const start = (what: string, process: Process, work: () => unknown) => {
    const entry = { what, process };
    works.add(entry);
    tell(() => `${process.name} begins ${what}`);
    Promise.try(work)
      .then((end) => tell(() => `${process.name} ends ${what}: ${JSON.stringify(end)}`))
      .catch((error: unknown) => {
        tell(() => `${process.name} ends ${what}: ${error}`);
        if (!(error instanceof Problem || error instanceof StoreUnavailable))
          report(`a bug in ${what}: ${error instanceof Error ? error.stack : error}`);
      })
      .finally(() => works.delete(entry));
  };

  const clocks = new Map<ProcessName, number>(PROCESSES.map((who, index) => [who, told.clocks[index] ?? 0]));
  const running = new Map<ProcessName, Running>();
  const runningAs = (who: ProcessName): Running => {
    const found = running.get(who);
    if (found === undefined) throw new Error(`${who} does not run`);
    return found;
  };
  const boot = (who: ProcessName) => {
    const process = makeProcess(who, clocks.get(who) ?? 0, wires);
    running.set(who, { process, serve: serving(process) });
  };
  const refresherOf = (process: Process): Refresher => ({
    store: tokenStore(process.documents, process.runtime.now, sealer),
    endpoint: process.endpoint,
    runtime: process.runtime,
    log: logOf(process),
    threshold: DEFAULT_THRESHOLD,
    pauses: makePauses(process.runtime.now),
  });
  const serving = (process: Process): Running["serve"] => {
    if (process.name.startsWith("lookup")) {
      const { documents: own, runtime } = process;
      return makeLookup({
        reader: tokenReader(own, runtime.now),
        askRefresher: askerOf(process),
        passphrases,
        runtime,
        log: logOf(process),
        threshold: DEFAULT_THRESHOLD,
      });
    }
    const refresher = refresherOf(process);
    if (process.name === "setup") return makeSetup({ ...refresher, passphrases, plainStates: true });
    const sweeping = { concurrency: 2, limit: <T>(work: () => Promise<T>) => work(), deadline: 9 * MINUTE };
    return makeRefresher({ ...refresher, ...sweeping, variables: NO_VARIABLES });
  };

  /** A process that has nothing else to do has done what it was asked for this token. */
  const ended = (process: Process, name: string) => {
    if ([...works].filter((work) => work.process === process).length === 1) requests.ended(process, name);
  };

  /** The way from a lookup to one of the refreshers. */
  const askerOf =
    (asking: Process): AskRefresher =>
    (name, { ifToken, minTtl }) =>
      new Promise<Outcome>((resolve, reject) => {
        const fail = (ms: number) => scheduler.after(ms, () => reject(new Error("no answer")), asking);
        const there = delay(asking);
        if (faults.refresher === "down") return fail(there);
        fail(ASK_PATIENCE);
        if (faults.refresher === "hangs") return;
        const query = new URLSearchParams({ name });
        if (ifToken !== undefined) query.set("ifToken", ifToken);
        if (minTtl !== undefined) query.set("minTtl", String(minTtl));
        const { process, serve } = runningAs(asking.calls % 2 === 0 ? "refresher 1" : "refresher 2");
        scheduler.after(
          there,
          () =>
            start(`the ask for ${name}`, process, async () => {
              try {
                const { body } = await serve(requestOf("POST", "/", query));
                ended(process, name);
                scheduler.after(delay(asking), () => resolve(body as Outcome), asking);
              } catch (error) {
                fail(0);
                throw error;
              }
            }),
          process,
          asking,
        );
      });

  const requestOf = (
    method: string,
    path: string,
    query: URLSearchParams,
    headers: Record<string, string> = {},
  ): Request => ({ method, path, query, headers });

  const read = async ({ by, name, ask, wait, pace }: Step & { do: "read" }) => {
    const { process, serve } = runningAs(by);
    paced(process, pace);
    const from = now();
    const tokens = writes.historyOf(name).flatMap(({ fields }) => fields?.accessToken ?? []);
    const rejected = ask === "rejected" ? tokens.at(-1) : ask === "older" ? tokens.at(0) : undefined;
    const query = new URLSearchParams({ name, wait: String(wait) });
    if (ask === "minTtl") query.set("minTtl", String(Math.floor(lifetimeOf(name) * 0.9)));
    if (ask !== "plain") requests.forced(name, MINUTE);
    const headers = {
      "x-token-passphrase": PASSPHRASE,
      ...(rejected !== undefined && { "x-token-rejected": String(rejected) }),
    };
    const reply = await Promise.try(serve, requestOf("GET", "/", query, headers)).catch(replyOf);
    replies.answered({
      by: process,
      name,
      from,
      until: now(),
      wait: wait * SECOND,
      rejected: rejected === undefined ? undefined : String(rejected),
      reply,
    });
    return reply;
  };

  const paced = (process: Process, pace: number) => {
    process.pace = pace;
    process.calls = 0;
  };

  const operator = tokenStore(asStore(documents), now, sealer);
  const fieldsGranted = (
    name: string,
    accessToken: string,
    refreshToken: string,
    left: number,
  ): RawFields => {
    const lifetime = lifetimeOf(name);
    const expires = now() + left;
    return {
      clientId: name,
      clientSecret: authority.secretOf(name),
      redirectUri: "https://service.example/callback",
      accessToken,
      refreshToken,
      accessExpires: expires,
      refreshExpires: now() + 60 * 24 * HOUR,
      lastRefresh: expires - lifetime * SECOND,
      lifetime,
      refreshAt: expires - Math.min(2.75 * HOUR, lifetime * SECOND * 0.7),
    };
  };
  const add = async (name: string) => {
    const { accessToken, refreshToken } = authority.issue(name);
    const whole = lifetimeOf(name) * SECOND;
    await operator.create(name, fieldsGranted(name, accessToken, refreshToken, whole));
  };

  /** What a person writes, at an instant. */
  const edited = async (name: string, edit: Edit, byHand: boolean) => {
    const token = await operator.read(name);
    if (edit === "add") await add(name);
    else if (token === undefined) return;
    else if (edit === "remove") await operator.remove(name);
    else {
      const changes = changesOf(name, edit);
      const renewed = { failure: undefined, lease: undefined, refreshAt: now() };
      if (byHand) documents.update("tokens", name, changes, token.version);
      else await operator.update(token, { ...changes, ...(edit !== "scopes" && renewed) });
    }
    writes.edited(name, edit !== "scopes");
  };
  const changesOf = (name: string, edit: Edit): RawFields => {
    switch (edit) {
      case "secret":
        return { clientSecret: authority.secretOf(name) };
      case "wrong secret":
        return { clientSecret: secret() };
      case "import":
        return {
          refreshToken: authority.issue(name).refreshToken,
          refreshExpires: undefined,
          authorizedAt: now(),
        };
      case "no access token":
        return { accessToken: undefined, accessExpires: undefined };
      case "no secret":
        return { clientSecret: undefined };
      case "no refreshAt":
        return { refreshAt: undefined };
      default:
        return { scopes: secret() };
    }
  };

  /** A person consents; then the browser comes back to setup. */
  const consent = async ({ name, plain, pace }: Step & { do: "consent" }) => {
    const token = await operator.read(name);
    if (token === undefined) return;
    const keeper = { store: operator, runtime: { now, sleep: () => Promise.resolve(), secret } };
    const { state } = plain
      ? { state: name }
      : await makeState(token, { webexUrl: "", pkce: false, newOrg: false }, keeper);
    const query = new URLSearchParams({ code: authority.code(name), state });
    const { process, serve } = runningAs("setup");
    paced(process, pace);
    const from = now();
    start(`the consent for ${name}`, process, async () => {
      await serve(requestOf("GET", "/callback", query));
      const grants = writes
        .historyOf(name)
        .map(({ fields }) => authority.grantOf(opened(fields ?? {}).refreshToken));
      if (!grants.some((grant) => grant !== undefined && grant.asked >= from))
        report(`setup said that ${name} is authorized, and stored nothing`);
    });
  };

  const crash = (who: ProcessName, arrives: boolean) => {
    const { process } = runningAs(who);
    process.alive = false;
    if (!arrives) scheduler.lose(process);
    for (const work of works) if (work.process === process) works.delete(work);
    boot(who);
  };

  const thresholdOf = (name: string) => Math.min(DEFAULT_THRESHOLD, (lifetimeOf(name) * SECOND) / 2);
  const instantOf = (name: string, what: "due" | "threshold" | "end") => {
    const { refreshAt, accessExpires } = fieldsOfToken(name) ?? {};
    if (what === "due") return Number(refreshAt ?? 0);
    return Number(accessExpires ?? 0) - (what === "threshold" ? thresholdOf(name) : 0);
  };

  const take = async (step: Step): Promise<void> => {
    switch (step.do) {
      case "pass":
        return scheduler.pass(step.ms);
      case "wait":
        return scheduler.pass(Math.max(0, instantOf(step.name, step.until) + step.ms - now()));
      case "messages":
        return scheduler.step(step.count);
      case "read":
        return start(`a read of ${step.name}`, runningAs(step.by).process, () => read(step));
      case "sweep":
      case "census": {
        const { process, serve } = runningAs(step.by);
        paced(process, step.pace);
        const path = step.do === "sweep" ? "/" : "/census";
        return start(step.do, process, () => serve(requestOf("POST", path, new URLSearchParams())));
      }
      case "sweeps":
        for (let minute = 0; minute < step.minutes; minute++) {
          await take({ do: "sweep", by: step.by, pace: 0 });
          await scheduler.pass(MINUTE);
        }
        return;
      case "refresh": {
        const { process } = runningAs("operator");
        paced(process, step.pace);
        return start("an operator's refresh", process, async () => {
          await refresh(step.name, { by: "operator" }, refresherOf(process));
          ended(process, step.name);
        });
      }
      case "consent":
        return consent(step);
      case "edit":
        return edited(step.name, step.edit, step.byHand);
      case "new secret":
        return authority.renewSecret(step.name);
      case "revoke":
        return authority.revoke(step.name);
      case "crash":
        return crash(step.who, step.arrives);
      case "freeze": {
        const { process } = runningAs(step.who);
        process.freeze(step.ms);
        astray = Math.max(astray, process.thawed);
        return;
      }
      case "clock": {
        clocks.set(step.who, step.ahead);
        const { process } = runningAs(step.who);
        process.setClock(step.ahead);
        astray = Math.max(astray, process.jumped);
        return;
      }
      case "store":
        faults[step.meets] = { fault: step.fault, left: step.times };
        return;
      case "webex":
        faults.webex = { fault: step.fault, left: step.times };
        return;
      case "refreshers":
        faults.refresher = step.are;
    }
  };

  return {
    broken,
    scheduler,
    report,
    works,
    requests,
    fieldsOf: fieldsOfToken,
    async begin(): Promise<void> {
      for (const who of PROCESSES) boot(who);
      for (const name of NAMES) {
        const { accessToken, refreshToken } = authority.issue(name);
        const left = Math.min(lifetimeOf(name), told.tokens[name].left) * SECOND;
        authority.age(accessToken, left);
        await operator.create(name, fieldsGranted(name, accessToken, refreshToken, left));
        writes.edited(name, true);
      }
    },
    async take(step: Step): Promise<void> {
      tell(() => `--- ${JSON.stringify(step)}`);
      await take(step);
      await quiet();
    },
    read,
    endFaults(): void {
      Object.assign(faults, noFaults());
      for (const { process } of running.values()) process.frozenUntil = 0;
    },
    /** What Webex would give for what is stored, and whether what is stored is as it should be. */
    conditionOf(name: Name): "hopeless" | "well" | "waiting" {
      const fields = opened(fieldsOfToken(name) ?? {});
      const { clientId, clientSecret, refreshToken, accessToken, failure } = fields;
      if (clientId !== name || !authority.accepts(name, clientSecret, refreshToken)) return "hopeless";
      const life = (authority.accessToken(accessToken)?.expires ?? 0) - now();
      const failed = failure !== undefined && fieldsOf(failure).code !== UNCHANGED_CODE;
      return life > (failed ? thresholdOf(name) : SECOND) ? "well" : "waiting";
    },
    dueAt(name: Name): number {
      const { refreshAt, lease } = fieldsOfToken(name) ?? {};
      return Math.max(Number(refreshAt ?? 0), Number(fieldsOf(lease).expires ?? 0));
    },
    /** The most by which a refresher's clock is behind, in ms. */
    behind: () => Math.max(0, ...[...clocks.values()].map((ahead) => -ahead)),
    astray: () => astray,
  };
}

/** As the edge answers what is thrown; a bug stays one. */
function replyOf(error: unknown): Reply {
  if (error instanceof Problem) return problemReply(error, "");
  if (error instanceof StoreUnavailable) return { status: 503, body: {} };
  throw error;
}

const nobodyPublishes = () => Promise.reject(new Error("nobody publishes"));
const NO_VARIABLES = { read: nobodyPublishes, write: nobodyPublishes };
