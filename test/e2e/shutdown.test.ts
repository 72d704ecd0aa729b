import { afterAll, beforeAll, expect, test } from "vitest";
import { HOUR } from "../../functions/core/time.ts";
import { type Running, stopAll } from "../support/processes.ts";
import { relayTo } from "../support/relay.ts";
import { ask, type Deployed, type Place, sqlitePlace, until } from "./deployed.ts";
import { type Authority, deployWith, openAuthority } from "./failures.ts";
import { PATIENT } from "./patient.ts";

/** The platform ends an instance with SIGTERM, and 10 s later with SIGKILL. */

const TOKENS = 25;

let webex: Authority;
let way: Awaited<ReturnType<typeof relayTo>>;
let place: Place;
let deployed: Deployed;
beforeAll(async () => {
  webex = await openAuthority();
  way = await relayTo(new URL(webex.url).host);
  place = await sqlitePlace();
  deployed = deployWith(place, `http://${way.host}/v1`, PATIENT);
  const client = webex.client();
  for (let index = 0; index < TOKENS; index++) await deployed.put(`t${index}`, webex.due(client, HOUR));
  await deployed.put("ended", webex.due(webex.client(), -HOUR, { refreshAt: Date.now() + HOUR }));
});
afterAll(async () => {
  await stopAll();
  await way?.close();
  await place?.documents.close();
  await webex?.close();
});

/** SIGTERM; resolves when the process refuses new requests. */
async function terminate({ pid, url }: Running): Promise<void> {
  process.kill(pid, "SIGTERM");
  await until("the end of listening", () =>
    fetch(`${url}/health`, { headers: { connection: "close" } }).then(
      () => false,
      () => true,
    ),
  );
}

test("on SIGTERM, refresher stores the refreshes in flight, starts no other, reports the rest, and exits with 0", async () => {
  const refresher = await deployed.refresher();
  way.holdAnswers();
  const answer = ask(refresher, "/", "POST");
  await until("ten requests to Webex", async () => webex.refreshes() === 10);
  await terminate(refresher);
  way.resume();
  expect(await refresher.exited).toEqual({ code: 0, signal: null });
  const { status, body } = await answer;
  expect(status).toBe(200);
  expect(webex.refreshes()).toBe(10);
  expect(body).toMatchObject({ refreshed: 10, failed: 0 });
  expect(body.refreshed + body.deferred + body.remaining).toBe(TOKENS);
  expect(body.remaining).toBeGreaterThan(0);
  const tokens = await place.documents.list("tokens", TOKENS + 1);
  expect(tokens.filter(({ fields }) => Number(fields.accessExpires) > Date.now() + 2 * HOUR)).toHaveLength(
    10,
  );
  expect(tokens.filter(({ fields }) => fields.lease !== undefined)).toEqual([]);
});

test("on SIGTERM, lookup answers the waiting read, refuses new connections, and exits with 0 although connections are kept alive", async () => {
  const refresher = await deployed.refresher();
  const lookup = await deployed.lookup(refresher.url);
  expect((await ask(lookup, "/health")).status).toBe(200);
  const before = webex.refreshes();
  way.holdAnswers();
  const waiting = ask(lookup, "/?name=ended&wait=20");
  await until("a request to Webex", async () => webex.refreshes() > before);
  await terminate(lookup);
  way.resume();
  expect(await lookup.exited).toEqual({ code: 0, signal: null });
  expect((await waiting).status).toBe(200);
});

test("setup ends on SIGTERM before its first request", async () => {
  const setup = await deployed.setup();
  process.kill(setup.pid, "SIGTERM");
  // Without a request the framework's own listener ends the process.
  expect((await setup.exited).signal).not.toBe("SIGKILL");
});
