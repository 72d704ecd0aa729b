import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import { type Running, stopAll } from "../support/processes.ts";
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
  sampleDocument,
  startWebex,
  until,
  type Webex,
} from "./deployed.ts";

let webex: Webex;
beforeAll(async () => {
  webex = await startWebex();
});
afterAll(stopAll);

/** Secrets that are in no record of the sandbox. */
const canaries = [PASSPHRASE];

const emulator = inject("firestoreEmulator");
describe.skipIf(emulator === undefined)(
  `the built functions on Firestore${emulator === undefined ? " (SKIPPED: no emulator)" : ""}`,
  () => {
    let deployed: Deployed;
    let refreshers: Running[];
    let lookups: Running[];
    beforeAll(async () => {
      deployed = deploy(await firestorePlace(emulator ?? ""), webex);
      const [setup, ...both] = await Promise.all([
        deployed.setup(),
        deployed.refresher(),
        deployed.refresher(),
      ]);
      refreshers = both;
      const start = ({ url }: Running) => deployed.lookup(url, { SETUP_URL: setup.url });
      lookups = await Promise.all(both.map(start));
      // The first answer of a process may take longer than its own time limit on a slow machine.
      await Promise.all(both.map(sweep));
      await until("setup's first answer", async () => (await ask(setup, "/init?name=first")).status === 200);
    });
    afterAll(() => deployed?.documents.close());
    const lookup = (index = 0) => lookups[index % lookups.length] as Running;
    const refresher = (index = 0) => refreshers[index] as Running;
    /** Sweeps as the Scheduler does: again, when the store did not answer in time. */
    const sweep = async (running: Running) => {
      let answer = await ask(running, "/", "POST");
      while (answer.status === 503) answer = await ask(running, "/", "POST");
      expect(answer.status).toBe(200);
      return answer.body;
    };
    /** Reads as a flow does: again, when no token came in time. */
    const readUntilServed = async (target: string, index = 0) => {
      let answer = await ask(lookup(index), target);
      while (answer.status === 503) answer = await ask(lookup(index), target);
      return answer;
    };
    const client = (redirectUri = "http://127.0.0.1:8080/callback") => webex.register(newClient(redirectUri));

    describe("the set-up of the original sample", () => {
      test("authorizes a token through lookup's address alone, as the sample does", async () => {
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
        expect(await readUntilServed("/?name=x")).toMatchObject({ status: 409 });
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

        const answer = await readUntilServed("/?name=x");
        expect(answer).toMatchObject({ status: 200, body: { status: "200", token: expect.any(String) } });
        expect(Object.keys(answer.body)).toEqual(["status", "token"]);
        expect(await webex.accepts(answer.body.token)).toBe(true);
        expect(await ask(base, "/init?name=x")).toMatchObject({ status: 409 });
        expect(await ask(back.origin, `${back.pathname}${back.search}`)).toMatchObject({ status: 400 });
      });

      test("is refused without the passphrase on both sides of the redirect", async () => {
        for (const target of ["/init?name=unknown", "/?name=unknown"])
          expect((await fetch(`${lookup().url}${target}`)).status).toBe(401);
        expect(await deployed.documents.read("tokens", "unknown")).toBeUndefined();
      });

      test("authorizes a token through a PKCE address that works once", async () => {
        const base = lookup().url;
        const settings = await client(`${base}/callback`);
        const { clientId, clientSecret } = settings;
        const redirectUri = `${base}/callback`;
        await deployed.put("pkce", { clientId, clientSecret, redirectUri, scopes: "cjp:config_read" });
        const store = tokenStore(deployed.documents, runtime.now);
        const token = await store.read("pkce");
        if (token === undefined) throw new Error("no token pkce");
        const options = { webexUrl: webex.url, pkce: true, newOrg: false };
        const address = await startAuthorization(token, options, { store, runtime });
        const state = address.searchParams.get("state") ?? "";
        const authorization = await deployed.documents.read("authorizations", sha256(state));
        canaries.push(state, String(authorization?.fields.verifier));
        const back = await consent(address);

        const { status } = await fetch(back, { headers: { accept: "text/html" } });
        expect(status).toBe(200);
        const answer = await readUntilServed("/?name=pkce&details=true");
        expect(answer).toMatchObject({ status: 200, body: { scope: "cjp:config_read", cluster: "PF84" } });
        expect(await webex.accepts(answer.body.token)).toBe(true);
        expect((await fetch(back)).status).toBe(400);
      });
    });

    describe("a document that Cisco's sample wrote", () => {
      test("is served and not changed while it is fresh", async () => {
        const document = await sampleDocument(webex, await client(), (6 * HOUR) / SECOND);
        await deployed.put("sample served", document);
        const answer = await readUntilServed("/?name=sample%20served");
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
        // A refresh that takes longer than a read waits is served by a later read.
        let token = "";
        await until("the new token", async () => {
          const { status, body } = await readUntilServed(`/?name=${encodeURIComponent(name)}`);
          expect(status).toBe(200);
          token = body.token;
          return token !== document.accessToken;
        });
        expect(await webex.accepts(token)).toBe(true);
        await expectRefreshed(name, document);
      });

      test("is scheduled by the census, and refreshed by the sweep when it is due", async () => {
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
        expect(await sweep(refresher())).toMatchObject({ failed: 0, remaining: 0 });

        for (const [name, document] of documents) {
          if (name !== "census fresh") await expectRefreshed(name, document);
          else {
            const { refreshAt, ...fields } = (await deployed.document(name)).fields;
            expect(fields).toEqual(document);
            expect(refreshAt).toBeGreaterThan(Date.now());
          }
        }
        expect(await sweep(refresher()), "nothing is due any more").toMatchObject({ due: 0, refreshed: 0 });
        expect((await ask(refresher(), "/census", "POST")).body.adopted).toBe(0);
      });

      type RawSample = Awaited<ReturnType<typeof sampleDocument>>;
      /** The document holds new tokens in the sample's own units, so that the sample could continue with it. */
      async function expectRefreshed(name: string, before: RawSample): Promise<void> {
        const { fields } = await deployed.document(name);
        const { clientId, clientSecret, redirectUri } = before;
        expect(fields).toMatchObject({ clientId, clientSecret, redirectUri, lifetime: LIFETIME });
        const { accessToken, accessExpires, refreshExpires, lastRefresh } = fields;
        expect(await webex.accepts(String(accessToken))).toBe(true);
        expect(Number(lastRefresh)).toBeGreaterThan(before.lastRefresh);
        expect(Number(lastRefresh)).toBeLessThanOrEqual(Date.now());
        expect(Number(accessExpires) - Number(lastRefresh)).toBe(LIFETIME * SECOND);
        expect(Number(refreshExpires)).toBeGreaterThan(Date.now() + 59 * 24 * HOUR);
        expect(fields).not.toHaveProperty("lease");
        expect(fields).not.toHaveProperty("failure");
      }
    });

    describe("many at once", () => {
      test.for([
        ["due", HOUR / SECOND],
        ["ended", -60],
      ] as const)(
        "100 reads of a token that is %s over two lookups, and a sweep, make one request to Webex (row 1)",
        async ([how, left]) => {
          const name = `herd, ${how}`;
          const document = await sampleDocument(webex, await client(), left);
          await deployed.put(name, { ...document, lifetime: LIFETIME, refreshAt: Date.now() - 1 });
          await webex.fault({ fault: "slow", delayMs: 300, clientId: document.clientId });
          await webex.reset();
          const target = `/?name=${encodeURIComponent(name)}`;
          const reads = Array.from({ length: 100 }, (_, index) => readUntilServed(target, index));
          const [swept, ...answers] = await Promise.all([sweep(refresher(1)), ...reads]);
          await until("the refresh", async () => (await deployed.document(name)).fields.lease === undefined);
          await webex.heal();

          expect(swept).toMatchObject({ failed: 0 });
          const { accessToken } = (await deployed.document(name)).fields;
          expect(accessToken).not.toBe(document.accessToken);
          const good = left > 0 ? [document.accessToken, accessToken] : [accessToken];
          const others = answers.filter(({ status, body }) => status !== 200 || !good.includes(body.token));
          expect(others.map(({ status, body }) => [status, body])).toEqual([]);
          expect(await webex.refreshes()).toBe(1);
          await until("the new token", async () => (await ask(lookup(), target)).body.token === accessToken);
        },
      );

      test("two refreshers that sweep 20 due tokens at once refresh each once (row 1)", async () => {
        const shared = await client();
        const names = Array.from({ length: 20 }, (_, index) => `race ${index}`);
        await Promise.all(names.map(async (name) => deployed.put(name, await ageingDocument(webex, shared))));
        await webex.fault({ fault: "slow", delayMs: 300, clientId: shared.clientId });
        await webex.reset();
        const sweeps = await Promise.all(refreshers.map(sweep));
        await webex.heal();

        expect(sweeps).toMatchObject([{ failed: 0 }, { failed: 0 }]);
        expect(await webex.refreshes()).toBe(20);
        for (const name of names) {
          const { fields } = await deployed.document(name);
          expect(fields).not.toHaveProperty("lease");
          expect(Number(fields.refreshAt)).toBeGreaterThan(Date.now());
        }
        expect(await sweep(refresher())).toMatchObject({ due: 0, remaining: 0 });
      });
    });

    test("the held token is served while Webex answers HTML with 500", async () => {
      const name = "unwell";
      const document = await ageingDocument(webex, await client());
      await deployed.put(name, document);
      await webex.fault({ fault: "html-500", clientId: document.clientId });
      const failed = async () => (await deployed.document(name)).fields.failure !== undefined;
      await until("a failed try", async () => {
        expectHeld(await readUntilServed(`/?name=${name}`), document.accessToken);
        return failed();
      });
      expectHeld(await readUntilServed(`/?name=${name}`), document.accessToken);
      await webex.heal();
    });

    test("no process prints a token, secret, passphrase, code or state, or a line that is not JSON", async () => {
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
  },
);
