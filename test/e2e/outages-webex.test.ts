import { afterAll, beforeAll, expect, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import type { RawFields } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { DAY, HOUR, MINUTE } from "../../functions/core/time.ts";
import { type Running, stopAll } from "../support/processes.ts";
import { ask, consent, type Deployed, type Place } from "./deployed.ts";
import {
  type Authority,
  deployWith,
  expectAll,
  IN_TIME,
  onEachStore,
  openAuthority,
  read,
  readers,
  sweep,
} from "./outages.ts";

afterAll(stopAll);

onEachStore((open) => {
  let webex: Authority;
  let place: Place;
  let deployed: Deployed;
  let setup: Running;
  let refresher: Running;
  let lookup: Running;
  beforeAll(async () => {
    webex = await openAuthority();
    place = await open();
    deployed = deployWith(place, webex);
    [setup, refresher] = await Promise.all([deployed.setup(), deployed.refresher()]);
    lookup = await deployed.lookup(refresher.url);
  });
  afterAll(async () => {
    await Promise.all([setup, refresher, lookup].map((running) => running?.stop()));
    await place?.documents.close();
    await webex?.close();
  });

  /** A token that works, and the client it is of. */
  async function hold(name: string, left = 6 * HOUR, more: RawFields = {}) {
    const client = webex.client();
    const document = { ...webex.due(client, left), refreshAt: Date.now() + HOUR, ...more };
    await deployed.put(name, document);
    return { client, document };
  }

  /** The address at which a person consents, with a state that was made for this token. */
  async function addressFor(name: string, pkce = true): Promise<URL> {
    const store = tokenStore(place.documents, runtime.now);
    const token = await store.read(name);
    if (token === undefined) throw new Error(`there is no token "${name}"`);
    const options = { webexUrl: webex.url, pkce, newOrg: false };
    const withScopes = { ...token, document: { ...token.document, scopes: "cjp:config_read" } };
    return startAuthorization(withScopes, options, { store, runtime });
  }

  const stateOf = (address: URL) => address.searchParams.get("state") ?? "";
  const callback = (query: Record<string, string>) => ask(setup, `/callback?${new URLSearchParams(query)}`);

  /** Refused as the caller's fault; the document is what it was; so many codes went to Webex. */
  async function expectRefused(name: string, asked: number, come: () => ReturnType<typeof callback>) {
    const before = await deployed.document(name);
    const exchanges = webex.exchanges();
    const answer = await come();
    expect([400, 404, 409]).toContain(answer.status);
    expect(answer.body).toMatchObject({ status: String(answer.status), reference: expect.any(String) });
    expect(webex.exchanges() - exchanges, "codes that went to Webex").toBe(asked);
    const { fields, version } = await deployed.document(name);
    expect({ fields, version }).toEqual({ fields: before.fields, version: before.version });
  }

  test.for<[string, Record<string, string>]>([
    ["a state that was never made", { code: "canary-made-up-code", state: "canary-made-up-state" }],
    ["the plain name of a token that works", { code: "canary-made-up-code", state: "forged" }],
    [
      "the hash of a state in its place",
      { code: "canary-made-up-code", state: sha256("canary-made-up-state") },
    ],
    ["no state", { code: "canary-made-up-code" }],
    ["no code", { state: "forged" }],
    ["a refusal in the person's name", { error: "access_denied", state: "forged" }],
  ])("10. forged callbacks: %s", async ([, query]) => {
    if ((await place.documents.read("tokens", "forged")) === undefined) await hold("forged");
    await expectRefused("forged", 0, () => callback(query));
  });

  test("10. replayed callbacks: of ten at once one is good, and none after that", async () => {
    await hold("replayed");
    const { search } = await consent(await addressFor("replayed"));
    const exchanges = webex.exchanges();
    const come = () => ask(setup, `/callback${search}`);
    const statuses = (await Promise.all(Array.from({ length: 10 }, come))).map(({ status }) => status);
    expect(statuses.sort()).toEqual([200, ...Array(9).fill(400)]);
    expect(webex.exchanges() - exchanges).toBe(1);
    await expectRefused("replayed", 0, come);
    const state = new URLSearchParams(search).get("state") ?? "";
    await expectRefused("replayed", 0, () => callback({ code: "canary-another-code", state }));
  });

  test("10. expired callbacks: a person who came back too late", async () => {
    await hold("expired");
    const back = await consent(await addressFor("expired"));
    const id = sha256(stateOf(back));
    const made = await place.documents.read("authorizations", id);
    const late = { expires: new Date(Date.now() - 1) };
    await place.documents.update("authorizations", id, late, made?.version ?? "");
    await expectRefused("expired", 0, () => ask(setup, `/callback${back.search}`));
  });

  test("10. foreign callbacks: the code of another integration, and of another browser", async () => {
    await hold("foreign");
    await hold("stranger");
    for (const owner of ["stranger", "foreign"]) {
      const code = (await consent(await addressFor(owner))).searchParams.get("code") ?? "";
      const state = stateOf(await addressFor("foreign"));
      await expectRefused("foreign", 1, () => callback({ code, state }));
    }
  });

  test("10. foreign callbacks: the consent of somebody in another organization", async () => {
    const { client } = await hold("emigrant");
    webex.client({ ...client, orgId: "99999999-2222-3333-4444-555555555555" });
    const { search } = await consent(await addressFor("emigrant"));
    await expectRefused("emigrant", 1, () => ask(setup, `/callback${search}`));
  });

  test("11. a thundering herd after an outage: spread by jitter and concurrency limit", async () => {
    const client = webex.client();
    const names = Array.from({ length: 80 }, (_, index) => `herd ${index}`);
    const held = webex.due(client, HOUR);
    await Promise.all(names.map((name) => deployed.put(name, { ...held, refreshAt: Date.now() - DAY })));
    const nextTries = async () => {
      const found = await Promise.all(names.map((name) => deployed.document(name)));
      return found.map(({ fields }) => Number(fields.refreshAt)).sort((a, b) => a - b);
    };

    webex.faults.add({ fault: "500", clientId: client.clientId });
    webex.gate.reset();
    expect((await sweep(refresher)).body).toMatchObject({ due: 80, failed: 80, remaining: 0 });
    expect(webex.gate.counts().asked).toBe(80);
    expect(webex.gate.counts().most).toBeLessThanOrEqual(10);
    const again = await nextTries();
    expect(again[0], "nobody comes back at once").toBeGreaterThan(Date.now() + 10_000);
    expect(Number(again.at(-1)) - Number(again[0]), "nor all together").toBeGreaterThan(9_000);
    expectAll((await Promise.all(names.map((name) => read(lookup, name)))).flat(), held.accessToken, IN_TIME);
    expect(webex.gate.counts().asked, "nor for readers").toBe(80);

    webex.faults.clear();
    webex.faults.add({ fault: "slow", delayMs: 100, clientId: client.clientId });
    for (const name of names) await deployed.type(name, { refreshAt: Date.now() - 1 });
    webex.gate.reset();
    const crowd = Promise.all(names.flatMap((name) => [read(lookup, name), read(lookup, name)]));
    const sweeps = await Promise.all([sweep(refresher), sweep(refresher)]);
    for (const { status } of await crowd) expect(status).toBe(200);
    webex.faults.clear();
    for (const { body } of sweeps) expect(body).toMatchObject({ failed: 0, remaining: 0 });
    expect(webex.gate.counts().asked, "each once").toBe(80);
    expect(webex.gate.counts().most).toBeLessThanOrEqual(10);
    const next = await nextTries();
    expect(Number(next.at(-1)) - Number(next[0])).toBeGreaterThan(20 * MINUTE);
    const inOneMinute = next.map((from) => next.filter((at) => at >= from && at < from + MINUTE).length);
    expect(Math.max(...inOneMinute), "due in one minute, the next time").toBeLessThan(10);
  });

  /** A wrong secret, refused for the fourth time: the next try would be tomorrow's. */
  async function longRefused(name: string, left: number) {
    const { client, document } = await hold(name, left, {
      clientSecret: "canary-wrong-client-secret",
      refreshAt: 0,
    });
    expect((await ask(refresher, `/?name=${name}`, "POST")).body).toMatchObject({ permanent: true });
    const { failure } = (await deployed.document(name)).fields;
    await deployed.type(name, {
      failure: { ...(failure as object), count: 4, at: Date.now() - 4 * HOUR },
      refreshAt: Date.now() + 20 * HOUR,
    });
    webex.gate.reset();
    return { client, document };
  }

  test("16. the operator fixes a wrong secret after a long backoff: the next ask tries at once", async () => {
    const { client } = await longRefused("ended", -HOUR);
    for (const answer of await readers(5, lookup, "ended", "&wait=0")) expect(answer.status).toBe(409);
    await sweep(refresher);
    expect(webex.gate.counts().asked, "until then nobody is bothered").toBe(0);

    await deployed.type("ended", { clientSecret: client.clientSecret });
    const [answer] = await readers(1, lookup, "ended");
    expect(answer?.status).toBe(200);
    expect(webex.accepts(answer?.body.token)).toBe(true);
    expect(webex.gate.counts().asked).toBe(1);
    expect((await deployed.document("ended")).fields).not.toHaveProperty("failure");
  });

  test("16. the operator fixes a wrong secret after a long backoff: while the old token still serves", async () => {
    const { client, document } = await longRefused("ageing", HOUR);
    expect(await read(lookup, "ageing")).toMatchObject({
      status: 200,
      body: { token: document.accessToken },
    });
    await deployed.type("ageing", { clientSecret: client.clientSecret });
    expect((await ask(refresher, "/?name=ageing", "POST")).body).toEqual({ outcome: "refreshed" });
    expect(webex.gate.counts().asked).toBe(1);
  });

  test("16. the operator fixes a wrong secret after a long backoff: and nobody reads", async () => {
    const { client } = await longRefused("unread", HOUR);
    await deployed.type("unread", { clientSecret: client.clientSecret });
    expect((await ask(refresher, "/census", "POST")).body).toMatchObject({ adopted: 1 });
    expect((await sweep(refresher)).body).toMatchObject({ due: 1, refreshed: 1 });
    expect(webex.gate.counts().asked).toBe(1);
  });
});
