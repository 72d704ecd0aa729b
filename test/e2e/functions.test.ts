import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import type { Lease } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import type { FaultRequest } from "../../local/sandbox/faults.ts";
import { freePort, type Running, stopAll } from "../support/processes.ts";
import {
  ageingDocument,
  allOutput,
  ask,
  consent,
  type Deployed,
  deploy,
  expectHeld,
  firestorePlace,
  LIFETIME,
  newClient,
  PASSPHRASE,
  type Place,
  sampleDocument,
  sqlitePlace,
  startWebex,
  until,
  type Webex,
} from "./deployed.ts";

let webex: Webex;
beforeAll(async () => {
  webex = await startWebex();
});
afterAll(stopAll);

/** What must never be written to a log, and is not in the sandbox's own records. */
const canaries = [PASSPHRASE];

/** Webex's ways to be of no help, each for one client. */
const TROUBLES: Record<string, Omit<FaultRequest, "clientId">> = {
  "is down": { fault: "down" },
  hangs: { fault: "hang" },
  "is too slow": { fault: "slow", delayMs: 2_500 },
  "answers 429": { fault: "429", retryAfter: 600 },
  "answers HTML with 200": { fault: "html" },
  "answers HTML with 500": { fault: "html-500" },
};

const emulator = inject("firestoreEmulator");
suite("SQLite", sqlitePlace);
suite(
  emulator === undefined ? "Firestore (SKIPPED: no emulator)" : "Firestore",
  () => firestorePlace(emulator ?? ""),
  emulator === undefined,
);

function suite(title: string, open: () => Promise<Place>, skipped = false): void {
  describe.skipIf(skipped)(`the built functions on ${title}`, () => {
    let deployed: Deployed;
    let refreshers: Running[];
    let lookups: Running[];
    beforeAll(async () => {
      deployed = deploy(await open(), webex);
      const [setup, ...five] = await Promise.all([
        deployed.setup(),
        ...Array.from({ length: 5 }, deployed.refresher),
      ]);
      refreshers = five;
      const [first] = five;
      const lookup = () => deployed.lookup(first?.url ?? "", { SETUP_URL: setup.url });
      lookups = await Promise.all([lookup(), lookup(), lookup()]);
    }, 60_000);
    afterAll(async () => {
      await Promise.all([...(refreshers ?? []), ...(lookups ?? [])].map((running) => running.stop()));
      await deployed?.documents.close();
    });
    const lookup = (index = 0) => lookups[index % lookups.length] as Running;
    const refresher = (index = 0) => refreshers[index] as Running;
    const client = (redirectUri = "http://127.0.0.1:8080/callback") => webex.register(newClient(redirectUri));
    /** A token that a read or a sweep would refresh. */
    const ageing = async (name: string) => {
      const document = await ageingDocument(webex, await client());
      await deployed.put(name, document);
      return document;
    };

    describe("the original sample's set-up", () => {
      test("works unchanged, all of it through lookup's address", async () => {
        const base = lookup().url;
        const { clientId, clientSecret, redirectUris } = await client(`${base}/callback`);
        const [redirectUri = ""] = redirectUris;

        expect(await ask(base, "/init?name=x")).toMatchObject({
          status: 200,
          body: { status: "200", message: "Token document initialized" },
        });
        expect((await deployed.document("x")).fields).toEqual({
          clientId: "",
          clientSecret: "",
          redirectUri: "",
        });
        expect(await ask(base, "/?name=x")).toMatchObject({ status: 409 });
        await deployed.type("x", {
          clientId: ` ${clientId}`,
          clientSecret: `${clientSecret}\n`,
          redirectUri,
        });

        const address = new URL(`${webex.url}/authorize`);
        address.search = String(
          new URLSearchParams({
            response_type: "code",
            client_id: clientId,
            redirect_uri: redirectUri,
            scope: "cjp:config_read",
            state: "x",
          }),
        );
        const back = await consent(address);
        expect(back.href).toMatch(`${base}/callback?code=`);
        expect(await ask(back.origin, `${back.pathname}${back.search}`)).toMatchObject({
          status: 200,
          body: { status: "200", message: "Access & Refresh tokens created" },
        });

        const answer = await ask(base, "/?name=x");
        expect(answer).toMatchObject({ status: 200, body: { status: "200", token: expect.any(String) } });
        expect(Object.keys(answer.body)).toEqual(["status", "token"]);
        expect(await webex.accepts(answer.body.token)).toBe(true);
        expect(await ask(base, "/init?name=x")).toMatchObject({ status: 409 });
        expect(await ask(back.origin, `${back.pathname}${back.search}`)).toMatchObject({ status: 400 });
      });

      test("is refused without the passphrase, on both sides of the redirect", async () => {
        for (const target of ["/init?name=nobody", "/?name=nobody"])
          expect((await fetch(`${lookup().url}${target}`)).status).toBe(401);
        expect(await deployed.documents.read("tokens", "nobody")).toBeUndefined();
      });

      test("gives way to addresses that are good once and made with PKCE", async () => {
        const base = lookup().url;
        const settings = await client(`${base}/callback`);
        const { clientId, clientSecret } = settings;
        const redirectUri = `${base}/callback`;
        await deployed.put("pkce", { clientId, clientSecret, redirectUri, scopes: "cjp:config_read" });
        const store = tokenStore(deployed.documents, runtime.now);
        const token = await store.read("pkce");
        if (token === undefined) throw new Error("it was just made");
        const options = { webexUrl: webex.url, pkce: true, newOrg: false };
        const address = await startAuthorization(token, options, { store, runtime });
        const state = address.searchParams.get("state") ?? "";
        const authorization = await deployed.documents.read("authorizations", sha256(state));
        canaries.push(state, String(authorization?.fields.verifier));
        const back = await consent(address);

        const { status } = await fetch(back, { headers: { accept: "text/html" } });
        expect(status).toBe(200);
        const answer = await ask(base, "/?name=pkce&details=true");
        expect(answer).toMatchObject({ status: 200, body: { scope: "cjp:config_read", cluster: "PF84" } });
        expect(await webex.accepts(answer.body.token)).toBe(true);
        expect((await fetch(back)).status).toBe(400);
      });
    });

    describe("a document that Cisco's sample wrote", () => {
      test("is served as it is, and left as it is", async () => {
        const document = await sampleDocument(webex, await client(), (6 * HOUR) / SECOND);
        await deployed.put("sample served", document);
        const answer = await ask(lookup(), "/?name=sample%20served");
        expect(answer).toMatchObject({ status: 200, body: { token: document.accessToken } });
        expect((await deployed.document("sample served")).fields).toEqual(document);
      });

      test.for([
        ["below its threshold", HOUR / SECOND],
        ["that has ended", -60],
      ] as const)("%s is refreshed by a read", async ([how, left]) => {
        const name = `sample ${how}`;
        const document = await sampleDocument(webex, await client(), left);
        await deployed.put(name, document);
        // On a machine with much else to do, the refresher may need more than a read waits.
        let token = "";
        await until("the new token", async () => {
          const { status, body } = await ask(lookup(), `/?name=${encodeURIComponent(name)}`);
          expect(status).toBe(200);
          token = body.token;
          return token !== document.accessToken;
        });
        expect(await webex.accepts(token)).toBe(true);
        await expectRefreshed(name, document);
      });

      test("is taken in by the census, and refreshed by the sweep when it is due", async () => {
        const documents = new Map<string, RawSample>();
        for (const [name, left] of [
          ["census fresh", 10 * HOUR],
          ["census ageing", HOUR],
          ["census ended", -HOUR],
        ] as const) {
          const document = await sampleDocument(webex, await client(), left / SECOND);
          documents.set(name, document);
          await deployed.put(name, document);
        }
        const census = await ask(refresher(), "/census", "POST");
        expect(census.status).toBe(200);
        expect(census.body.adopted).toBeGreaterThanOrEqual(3);
        const sweep = await ask(refresher(), "/", "POST");
        expect(sweep).toMatchObject({ status: 200, body: { failed: 0, remaining: 0 } });

        for (const [name, document] of documents) {
          if (name !== "census fresh") await expectRefreshed(name, document);
          else {
            const { refreshAt, ...fields } = (await deployed.document(name)).fields;
            expect(fields).toEqual(document);
            expect(refreshAt).toBeGreaterThan(Date.now());
          }
        }
        const again = await ask(refresher(), "/", "POST");
        expect(again.body, "nothing is due any more").toMatchObject({ due: 0, refreshed: 0 });
        expect((await ask(refresher(), "/census", "POST")).body.adopted).toBe(0);
      });

      type RawSample = Awaited<ReturnType<typeof sampleDocument>>;
      /** New tokens in the sample's own units, so that the sample could go on from there; the settings untouched. */
      async function expectRefreshed(name: string, before: RawSample): Promise<void> {
        const { fields } = await deployed.document(name);
        const { clientId, clientSecret, redirectUri } = before;
        expect(fields).toMatchObject({ clientId, clientSecret, redirectUri, lifetime: LIFETIME });
        const { accessToken, accessExpires, refreshExpires, lastRefresh } = fields;
        expect(await webex.accepts(String(accessToken))).toBe(true);
        expect(Math.abs(Number(lastRefresh) - Date.now())).toBeLessThan(30 * SECOND);
        expect(Number(accessExpires) - Number(lastRefresh)).toBe(LIFETIME * SECOND);
        expect(Number(refreshExpires)).toBeGreaterThan(Date.now() + 59 * 24 * HOUR);
        expect(fields).not.toHaveProperty("lease");
        expect(fields).not.toHaveProperty("failure");
      }
    });

    describe("many at once", () => {
      test("200 reads over three lookups, and a sweep: one request to Webex, 200 answers of 200", async () => {
        const document = await ageing("herd");
        await webex.fault({ fault: "slow", delayMs: 300, clientId: document.clientId });
        await webex.reset();
        const reads = Array.from({ length: 200 }, (_, index) => ask(lookup(index), "/?name=herd"));
        const [sweep, ...answers] = await Promise.all([ask(refresher(), "/", "POST"), ...reads]);
        await webex.heal();

        expect(sweep).toMatchObject({ status: 200, body: { due: 1, failed: 0 } });
        expect(answers.filter(({ status }) => status === 200)).toHaveLength(200);
        expect(await webex.refreshes()).toBe(1);
        const { accessToken } = (await deployed.document("herd")).fields;
        expect(accessToken).not.toBe(document.accessToken);
        const tokens = new Set(answers.map(({ body }) => body.token));
        expect(
          [...tokens].filter((token) => token !== document.accessToken && token !== accessToken),
        ).toEqual([]);
        expect((await ask(lookup(), "/?name=herd")).body.token).toBe(accessToken);
      });

      test("200 reads of a token that has ended: one request to Webex, 200 new tokens", async () => {
        const document = await sampleDocument(webex, await client(), -60);
        await deployed.put("ended herd", document);
        await webex.fault({ fault: "slow", delayMs: 300, clientId: document.clientId });
        await webex.reset();
        const read = (_: unknown, index: number) => ask(lookup(index), "/?name=ended%20herd");
        const answers = await Promise.all(Array.from({ length: 200 }, read));
        await webex.heal();

        const { accessToken } = (await deployed.document("ended herd")).fields;
        const wanted = JSON.stringify([200, { status: "200", token: accessToken }]);
        const others = answers.map(({ status, body }) => JSON.stringify([status, body]));
        expect(others.filter((other) => other !== wanted)).toEqual([]);
        expect(await webex.refreshes()).toBe(1);
      });

      test("five refreshers sweep 20 due tokens: each is refreshed once", async () => {
        const shared = await client();
        const { clientId } = shared;
        const names = Array.from({ length: 20 }, (_, index) => `race ${index}`);
        await Promise.all(names.map(async (name) => deployed.put(name, await ageingDocument(webex, shared))));
        await webex.fault({ fault: "slow", delayMs: 400, clientId });
        await webex.reset();
        const sweeps = await Promise.all(refreshers.map((running) => ask(running, "/", "POST")));
        await webex.heal();

        expect(sweeps.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
        const total = (key: string) => sweeps.reduce((sum, { body }) => sum + body[key], 0);
        expect({ refreshed: total("refreshed"), failed: total("failed") }).toEqual({
          refreshed: 20,
          failed: 0,
        });
        // Else they never met, and nothing was shown.
        expect(total("due")).toBeGreaterThan(20);
        expect(await webex.refreshes()).toBe(20);
        for (const name of names) {
          const { fields } = await deployed.document(name);
          expect(fields).not.toHaveProperty("lease");
          expect(Number(fields.refreshAt)).toBeGreaterThan(Date.now());
        }
        expect((await ask(refresher(), "/", "POST")).body).toMatchObject({ due: 0, remaining: 0 });
      });
    });

    describe("with an hour left, the held token is answered inside 2 s", () => {
      let afterLimit: Running;
      let withoutRefresher: Running;
      beforeAll(async () => {
        // A refresher that was answered 429 does not ask again for as long as that wanted: it is used for nothing else.
        const addresses = [refresher(4).url, `http://127.0.0.1:${await freePort()}`] as const;
        [afterLimit, withoutRefresher] = await Promise.all([
          deployed.lookup(addresses[0]),
          deployed.lookup(addresses[1]),
        ]);
      }, 60_000);
      afterAll(() => Promise.all([afterLimit?.stop(), withoutRefresher?.stop()]));
      /** A lookup that waited in vain does not ask again for 10 s: these two are used for nothing else any more. */
      const waited = new Map([
        ["hangs", 1],
        ["is too slow", 2],
      ]);
      const instance = (how: string) => (how === "answers 429" ? afterLimit : lookup(waited.get(how) ?? 0));
      /** An instance that has answered before. */
      const warm = async (running: Running) => {
        expect((await ask(running, "/?name=nothing")).status).toBe(404);
        return running;
      };

      /** What is left here would be due again in a later test. */
      const clear = async (names: string[]) => {
        await webex.heal();
        for (const name of names) await deployed.documents.remove("tokens", name);
      };

      test.for(Object.entries(TROUBLES))("when Webex %s", async ([how, fault]) => {
        onTestFinished(() => clear(how === "is too slow" ? [] : [how]));
        const document = await ageing(how);
        await webex.fault({ ...fault, clientId: document.clientId });
        await webex.reset();
        const running = await warm(instance(how));
        const target = `/?name=${encodeURIComponent(how)}`;
        expectHeld(await ask(running, target), document.accessToken);
        expect(await webex.refreshes(), "Webex was asked").toBe(1);
        for (const answer of await Promise.all(Array.from({ length: 10 }, () => ask(running, target))))
          expectHeld(answer, document.accessToken);
        expect(await webex.refreshes(), "it is not asked again by every read").toBe(1);
      });

      test("and where Webex was only too slow for the reader, the new one comes after that", async () => {
        const how = "is too slow";
        onTestFinished(() => clear([how]));
        await until("the refresh", async () => (await deployed.document(how)).fields.lease === undefined);
        const { accessToken } = (await deployed.document(how)).fields;
        expect(await webex.accepts(String(accessToken))).toBe(true);
        const answer = await ask(instance(how), "/?name=is%20too%20slow");
        expect(answer.body.token).toBe(accessToken);
        expect(Number(answer.headers.get("x-token-expires-in"))).toBeGreaterThan(LIFETIME - 60);
      });

      test("when the refresher is gone, which is said once", async () => {
        onTestFinished(() => clear(["refresher gone"]));
        const document = await ageing("refresher gone");
        const running = await warm(withoutRefresher);
        const read = () => ask(running, "/?name=refresher%20gone");
        expectHeld(await read(), document.accessToken);
        for (const answer of await Promise.all(Array.from({ length: 10 }, read)))
          expectHeld(answer, document.accessToken);
        expect(running.output().filter((line) => line.includes("lookup.refresher_failed"))).toHaveLength(1);
      });
    });

    describe("a refresher that was killed while Webex was answering", () => {
      test("keeps nobody from the held token, nor another from refreshing once its lease is out", async () => {
        const document = await ageing("killed");
        await webex.fault({ fault: "slow", delayMs: 5_000, clientId: document.clientId });
        await webex.reset();
        const cut = ask(refresher(2), "/?name=killed", "POST").catch(() => "cut off");
        await until("the request to Webex", async () => (await webex.refreshes()) === 1);
        await refresher(2).kill();
        expect(await cut).toBe("cut off");
        await webex.heal();

        const { lease } = (await deployed.document("killed")).fields as { lease: Lease };
        expect(lease.expires).toBeGreaterThan(Date.now());
        expectHeld(await ask(lookup(), "/?name=killed"), document.accessToken);
        const early = await ask(refresher(3), "/", "POST");
        expect(early.body).toMatchObject({ due: 1, refreshed: 0, deferred: 1 });
        expect(await webex.refreshes()).toBe(1);

        await deployed.type("killed", { lease: { ...lease, expires: Date.now() - 1 } });
        const late = await ask(refresher(3), "/", "POST");
        expect(late.body).toMatchObject({ due: 1, refreshed: 1 });
        expect(await webex.refreshes()).toBe(2);
        const { fields } = await deployed.document("killed");
        expect(fields).not.toHaveProperty("lease");
        const answer = await ask(lookup(), "/?name=killed");
        expect(answer.body.token).toBe(fields.accessToken);
        expect(await webex.accepts(answer.body.token)).toBe(true);
      });

      test("leaves a reader who holds nothing waiting for no longer than its lease", async () => {
        const document = await ageing("killed, ended");
        const lease = { id: "of a process that is no more", expires: Date.now() + 1_000 };
        await deployed.type("killed, ended", { lease, accessExpires: Date.now() - 1 });
        const answer = await ask(lookup(), "/?name=killed%2C%20ended");
        expect(Date.now()).toBeGreaterThan(lease.expires);
        expect(answer.status).toBe(200);
        expect(answer.body.token).not.toBe(document.accessToken);
        expect(await webex.accepts(answer.body.token)).toBe(true);
      });
    });
  });
}

test("nothing that any process wrote holds a token, secret, passphrase, code or state", async () => {
  const secrets = [...canaries, ...webex.secrets()];
  const lines = allOutput();
  expect(secrets.length).toBeGreaterThan(50);
  for (const event of ["refresh.done", "refresh.failed", "setup.authorized", "sweep.done"])
    expect(
      lines.some((line) => line.includes(`"event":"${event}"`)),
      event,
    ).toBe(true);
  expect(lines.filter((line) => secrets.some((secret) => line.includes(secret)))).toEqual([]);
  expect(
    lines.filter((line) => !/^\{.*\}$/.test(line)),
    "lines that are not JSON",
  ).toEqual([]);
});
