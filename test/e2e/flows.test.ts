import { readFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import type { FlowExport } from "../../local/flows/export.ts";
import { CONNECTOR } from "../../local/flows/get-token.ts";
import { type Run, runFlow, type World } from "../support/flow-interpreter.ts";
import type { Value } from "../support/flow-templates.ts";
import { send } from "../support/flow-transport.ts";
import { freePort, type Running, stopAll } from "../support/processes.ts";
import { relayTo } from "../support/relay.ts";
import {
  type Deployed,
  deploy,
  newClient,
  PASSPHRASE,
  sampleDocument,
  sqlitePlace,
  startWebex,
  type Webex,
} from "./deployed.ts";

/** The flows of docs/flows, run as Flow Designer would, against the built functions and the sandbox. */

const FOLDER = path.resolve(import.meta.dirname, "../../docs/flows");
const flowIn = (file: string) => JSON.parse(readFileSync(path.join(FOLDER, file), "utf8")) as FlowExport;
const callApi = flowIn("call-api.flow.json");
const getToken = flowIn("get-token.subflow.json");
const withPassphrase = flowIn("get-token-passphrase.subflow.json");

let webex: Webex;
let deployed: Deployed;
let refresher: Running;
let lookup: Running;
beforeAll(async () => {
  webex = await startWebex();
  deployed = deploy(await sqlitePlace(), webex);
  refresher = await deployed.refresher();
  lookup = await deployed.lookup(refresher.url);
}, 60_000);
afterAll(async () => {
  await deployed?.documents.close();
  await stopAll();
});

/** What a person fills in after the import. */
function filled(flow: FlowExport, values: Record<string, string>): FlowExport {
  const variables = flow.variables.map((variable) => ({
    ...variable,
    value: values[variable.name] ?? variable.value,
  }));
  return { ...flow, variables };
}

interface Surroundings {
  /** Where the connector leads. */
  lookupUrl?: string;
  password?: string;
  subflow?: FlowExport;
  /** How often its 2 s a request may take: a loaded machine may need more where nothing is slow by itself. */
  patience?: number;
}

function worldOf(surroundings: Surroundings): World {
  const { lookupUrl = lookup.url, password = PASSPHRASE, subflow = getToken, patience = 3 } = surroundings;
  return {
    connectors: { [CONNECTOR]: { url: lookupUrl, user: "flow", password } },
    subflows: { [getToken.name]: subflow },
    ask: (asked) => send({ ...asked, timeout: patience * asked.timeout }),
    sleep: async (duration) => void (await sleep(duration)),
    unknowns: { noAnswer: null, unread: "keeps its value" },
  };
}

const call = (name: string, api = `${webex.url}/people/me`, surroundings: Surroundings = {}) =>
  runFlow(callApi, worldOf(surroundings), { token_name: name, api_url: api });
const askToken = (given: Record<string, Value>, surroundings: Surroundings = {}) =>
  runFlow(getToken, worldOf(surroundings), given);
const times = ({ path }: Run, name: string) => path.filter((activity) => activity === name).length;

/** A token with so many hours left, or ended so many hours ago, and the client that it belongs to. */
async function stored(name: string, hours = 11) {
  const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
  const document = await sampleDocument(webex, client, (hours * HOUR) / SECOND);
  await deployed.put(name, document);
  return { ...document, clientId: client.clientId };
}

/** Webex ends an access token before its time. */
async function revoke(clientId: string): Promise<void> {
  const body = JSON.stringify({ clientId, accessTokens: true, refreshTokens: false });
  const headers = { "content-type": "application/json" };
  const answer = await fetch(new URL("/sandbox/revoke", webex.url), { method: "POST", headers, body });
  expect(answer.status).toBe(200);
}

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close().closeAllConnections();
});

type Answering = (response: ServerResponse) => void;
const status =
  (code: number, headers: Record<string, string> = {}): Answering =>
  (response) =>
    response.writeHead(code, headers).end();

/**
 * An API that answers what it is told, one after the other, and after that as the sandbox does; or the last of them
 * always. When each request came is in `at` (ms).
 */
async function apiOf(answers: readonly Answering[], { always = false } = {}) {
  const at: number[] = [];
  const server = createServer(async (request, response) => {
    const answer = answers[always ? Math.min(at.length, answers.length - 1) : at.length];
    at.push(performance.now());
    if (answer !== undefined) return answer(response);
    const { authorization = "" } = request.headers;
    const real = await fetch(`${webex.url}/people/me`, { headers: { authorization } });
    response.writeHead(real.status, { "content-type": "application/json" }).end(await real.text());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(server);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, at };
}

describe("the flow that calls an API", () => {
  test.each(["connector", "passphrase"] as const)("gets a token by a %s, and its answer", async (by) => {
    const values = { lookup_url: lookup.url, passphrase: PASSPHRASE };
    const subflow = by === "connector" ? getToken : filled(withPassphrase, values);
    const { accessToken } = await stored(`well by ${by}`);
    const run = await call(`well by ${by}`, undefined, { subflow });
    expect(run).toMatchObject({
      end: "Done",
      variables: { access_token: accessToken, token_status: "200", display_name: "Sandbox Person" },
    });
    expect([times(run, "AskToken"), times(run, "CallApi")]).toEqual([1, 1]);
  });

  test("goes on with a new token where the API refuses the one that it was given", async () => {
    const { accessToken, clientId } = await stored("revoked");
    await revoke(clientId);
    const run = await call("revoked");
    expect(run).toMatchObject({ end: "Done", variables: { token_status: "200" } });
    const { access_token: token } = run.variables;
    expect(token).not.toBe(accessToken);
    expect(await webex.accepts(String(token))).toBe(true);
    expect([times(run, "AskToken"), times(run, "CallApi")]).toEqual([2, 2]);
  });

  test("ends where the API refuses the new token, too", async () => {
    await stored("refused twice");
    const api = await apiOf([status(401)], { always: true });
    const run = await call("refused twice", api.url);
    expect(run).toMatchObject({ end: "ApiRefused", variables: { token_status: "200", asked_again: 1 } });
    expect(api.at).toHaveLength(2);
  });

  test("does not call again with the very token that was refused", async () => {
    const { accessToken, clientId } = await stored("unchanged");
    await webex.fault({ fault: "same-token", clientId });
    const api = await apiOf([status(401)], { always: true });
    const run = await call("unchanged", api.url);
    expect(run).toMatchObject({
      end: "ApiRefused",
      variables: { token_status: "unchanged", access_token: accessToken },
    });
    expect(api.at).toHaveLength(1);
  });

  test("has a 500 of the API asked once more, and ends at the second", async () => {
    await stored("500");
    const [once, twice] = await Promise.all([apiOf([status(500)]), apiOf([status(500), status(500)])]);
    const runs = await Promise.all([call("500", once.url), call("500", twice.url)]);
    expect(runs.map(({ end }) => end)).toEqual(["Done", "ApiFailed"]);
    expect([once.at.length, twice.at.length]).toEqual([2, 2]);
  });

  test("ends where there is no token, without a call, and holds the subflow's status", async () => {
    const api = await apiOf([]);
    const run = await call("nobody's", api.url);
    expect(run).toMatchObject({ end: "NoToken", variables: { token_status: "404", access_token: "" } });
    expect(api.at).toEqual([]);
  });
});

describe("the subflow that gets a token", () => {
  test("returns the status of each refusal, what lookup says of it, and what to quote", async () => {
    await deployed.put("without settings", { clientId: "", clientSecret: "", redirectUri: "" });
    const asked = [
      [await askToken({ token_name: "" }), "400", /no token name/],
      [await askToken({ token_name: "x" }, { password: "canary-wrong" }), "401", /passphrase/],
      [await askToken({ token_name: "nobody's" }), "404", /there is no token/],
      [await askToken({ token_name: "without settings" }), "409", /./],
    ] as const;
    for (const [{ end, variables }, code, says] of asked) {
      expect({ end, ...variables }).toMatchObject({ end: "Refused", status: code, access_token: "" });
      expect(variables.message).toMatch(says);
      expect(variables.reference).toMatch(/^\w{8,}/);
    }
  });

  test("returns 503 where Webex is down and nothing is held", async () => {
    const { clientId } = await stored("ended", -1);
    await webex.fault({ fault: "down", clientId });
    const { end, variables } = await askToken({ token_name: "ended" });
    expect({ end, ...variables }).toMatchObject({ end: "TryLater", status: "503", access_token: "" });
    expect(variables.message).toMatch(/try again/);
  });

  test.each([
    [405, "Refused", "405"],
    [500, "Refused", "500"],
    [429, "TryLater", "429"],
    [502, "NoAnswer", "no answer"],
    [307, "NoAnswer", "no answer"],
    [204, "NoAnswer", "no answer"],
  ])("returns what is to be known of a %i that something in between answers", async (code, end, says) => {
    const between = await apiOf([status(code)], { always: true });
    const run = await askToken({ token_name: "x" }, { lookupUrl: between.url });
    expect(run).toMatchObject({ end, variables: { status: says, access_token: "" } });
  });

  test("takes a page with status 200 for no token", async () => {
    const page = await apiOf([(response) => response.end("<html>Sign in</html>")], { always: true });
    const run = await askToken({ token_name: "x" }, { lookupUrl: page.url });
    expect(run).toMatchObject({ end: "NoAnswer", variables: { status: "no answer", access_token: "" } });
  });

  test("returns the held token, and says so, where there is no better one than the refused", async () => {
    const { accessToken, clientId } = await stored("kept");
    await webex.fault({ fault: "down", clientId });
    const run = await askToken({ token_name: "kept", rejected_token: accessToken });
    expect(run).toMatchObject({
      end: "Unchanged",
      variables: { status: "unchanged", access_token: accessToken },
    });
  });
});

// These mostly wait.
describe.concurrent("where somebody is slow,", () => {
  /** That much more than the 2 s of a request may a loaded machine take. */
  const SLACK = 5_000;

  test.each(["Retry-After", "retry-after"])("the flow waits as %s says, and calls again", async (header) => {
    await stored(`throttled ${header}`);
    const api = await apiOf([status(429, { [header]: "1" })]);
    const run = await call(`throttled ${header}`, api.url);
    expect(run).toMatchObject({ end: "Done", variables: { waited: 1, wait_seconds: 1 } });
    const [first = 0, second = 0] = api.at;
    expect(api.at).toHaveLength(2);
    expect(second - first).toBeGreaterThanOrEqual(990);
  });

  test("the flow ends where the API is throttled for long, without a wait, or for a second time", async () => {
    await stored("throttled long");
    const [long, twice] = await Promise.all([
      apiOf([status(429, { "retry-after": "600" })]),
      apiOf([status(429, { "retry-after": "1" })], { always: true }),
    ]);
    const runs = await Promise.all([call("throttled long", long.url), call("throttled long", twice.url)]);
    expect(runs.map(({ end }) => end)).toEqual(["ApiBusy", "ApiBusy"]);
    expect(runs.map((run) => times(run, "Wait"))).toEqual([0, 1]);
    expect([long.at.length, twice.at.length]).toEqual([1, 2]);
  });

  test("the flow ends after 2 s where the API does not answer", async () => {
    const { clientId } = await stored("hanging");
    await webex.fault({ fault: "hang", clientId });
    const begun = performance.now();
    const run = await call("hanging", undefined, { patience: 1 });
    expect(run).toMatchObject({ end: "ApiFailed", variables: { token_status: "200" } });
    expect(performance.now() - begun).toBeGreaterThan(1_900);
  });

  test("the subflow has its answer of lookup before its 2 s are over, although Webex hangs and nothing is held", async () => {
    const { clientId } = await stored("ended and hanging", -1);
    await webex.fault({ fault: "hang", clientId });
    // Of its own accord lookup would wait eight seconds: longer than even this patience.
    const run = await askToken({ token_name: "ended and hanging" });
    expect(run).toMatchObject({ end: "TryLater", variables: { status: "503" } });
  });

  test("the subflow ends after 2 s where lookup does not answer, and at once where nobody listens", async () => {
    const relay = await relayTo(new URL(lookup.url).host);
    relay.hang();
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const begun = performance.now();
    const hung = await askToken({ token_name: "x" }, { lookupUrl: `http://${relay.host}`, patience: 1 });
    const took = performance.now() - begun;
    await relay.close();
    const refused = await askToken({ token_name: "x" }, { lookupUrl: nobody });
    for (const run of [hung, refused])
      expect(run).toMatchObject({ end: "NoAnswer", variables: { status: "no answer", access_token: "" } });
    expect(took).toBeGreaterThan(1_900);
    expect(took).toBeLessThan(2_000 + SLACK);
  });
});
