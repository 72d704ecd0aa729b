import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import type { FlowExport } from "../../local/flows/export.ts";
import { CONNECTOR } from "../../local/flows/get-token.ts";
import { type Asked, type Run, runFlow, type World } from "../support/flow-interpreter.ts";
import type { Value } from "../support/flow-templates.ts";
import { send } from "../support/flow-transport.ts";
import { HANG } from "../support/hang.ts";
import { freePort, stopAll } from "../support/processes.ts";
import { newClient, PASSPHRASE, type Place, sampleDocument, sqlitePlace } from "./deployed.ts";
import { closeAll, type LocalWebex, listen, openWebex, serveOn } from "./in-process.ts";

/** The flows of docs/flows, run as Flow Designer would, against the functions and the sandbox. */

const FOLDER = path.resolve(import.meta.dirname, "../../docs/flows");
const flowIn = (file: string) => JSON.parse(readFileSync(path.join(FOLDER, file), "utf8")) as FlowExport;
const callApi = flowIn("call-api.flow.json");
const getToken = flowIn("get-token.subflow.json");
const withPassphrase = flowIn("get-token-passphrase.subflow.json");

let webex: LocalWebex;
let place: Place;
let lookup: string;
beforeAll(async () => {
  [webex, place] = await Promise.all([openWebex(), sqlitePlace()]);
  const functions = serveOn(place, webex);
  lookup = await functions.lookup(await functions.refresher());
});
afterAll(async () => {
  await closeAll();
  await stopAll();
});

/** The flow with the values that an operator fills in after the import. */
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
  /** Requests to this address get no answer in time. */
  silent?: string;
  /** Gets each wait of the flow in ms; none is waited for. */
  waits?: number[];
  /** Gets each request. */
  requests?: Asked[];
}

/** No request is cut off by the flow's own 2 s, so that no test depends on speed. */
function worldOf(surroundings: Surroundings): World {
  const { lookupUrl = lookup, password = PASSPHRASE, subflow = getToken } = surroundings;
  const { silent, waits = [], requests = [] } = surroundings;
  return {
    connectors: { [CONNECTOR]: { url: lookupUrl, user: "flow", password } },
    subflows: { [getToken.name]: subflow },
    ask: async (asked) => {
      requests.push(asked);
      if (silent !== undefined && asked.url.startsWith(silent)) return undefined;
      return send({ ...asked, timeout: HANG });
    },
    sleep: async (duration) => void waits.push(duration),
    unknowns: { noAnswer: null, unread: "keeps its value" },
  };
}

const call = (name: string, api = `${webex.url}/people/me`, surroundings: Surroundings = {}) =>
  runFlow(callApi, worldOf(surroundings), { token_name: name, api_url: api });
const askToken = (given: Record<string, Value>, surroundings: Surroundings = {}) =>
  runFlow(getToken, worldOf(surroundings), given);
const times = ({ path }: Run, name: string) => path.filter((activity) => activity === name).length;

/** Stores a token with so many hours left, or ended so many hours ago, of a client of its own. */
async function stored(name: string, hours = 11) {
  const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
  const document = await sampleDocument(webex, client, (hours * HOUR) / SECOND);
  await place.documents.create("tokens", name, document);
  return { ...document, clientId: client.clientId };
}

type Answering = (response: ServerResponse) => void;
const status =
  (code: number, headers: Record<string, string> = {}): Answering =>
  (response) =>
    response.writeHead(code, headers).end();

/** An API that gives these answers in turn, then those of the sandbox; with `always` the last answer again. */
async function apiOf(answers: readonly Answering[], { always = false } = {}) {
  let calls = 0;
  const url = await listen(async (request, response) => {
    const answer = answers[always ? Math.min(calls, answers.length - 1) : calls];
    calls++;
    if (answer !== undefined) return answer(response);
    const { authorization = "" } = request.headers;
    const real = await fetch(`${webex.url}/people/me`, { headers: { authorization } });
    response.writeHead(real.status, { "content-type": "application/json" }).end(await real.text());
  });
  return { url: `${url}/`, calls: () => calls };
}

describe("the flow that calls an API", () => {
  test.each(["connector", "passphrase"] as const)(
    "gets a token by %s and the answer of the API",
    async (by) => {
      const values = { lookup_url: lookup, passphrase: PASSPHRASE };
      const subflow = by === "connector" ? getToken : filled(withPassphrase, values);
      const { accessToken } = await stored(`well by ${by}`);
      const run = await call(`well by ${by}`, undefined, { subflow });
      expect(run).toMatchObject({
        end: "Done",
        variables: { access_token: accessToken, token_status: "200", display_name: "Sandbox Person" },
      });
      expect([times(run, "AskToken"), times(run, "CallApi")]).toEqual([1, 1]);
    },
  );

  test("continues with a new token when the API refuses the first", async () => {
    const { accessToken, clientId } = await stored("revoked");
    await webex.revoke(clientId);
    const run = await call("revoked");
    expect(run).toMatchObject({ end: "Done", variables: { token_status: "200" } });
    const { access_token: token } = run.variables;
    expect(token).not.toBe(accessToken);
    expect(await webex.accepts(String(token))).toBe(true);
    expect([times(run, "AskToken"), times(run, "CallApi")]).toEqual([2, 2]);
  });

  test("ends when the API refuses the new token too", async () => {
    await stored("refused twice");
    const api = await apiOf([status(401)], { always: true });
    const run = await call("refused twice", api.url);
    expect(run).toMatchObject({ end: "ApiRefused", variables: { token_status: "200", asked_again: 1 } });
    expect(api.calls()).toBe(2);
  });

  test("does not call again with the refused token", async () => {
    const { accessToken, clientId } = await stored("unchanged");
    await webex.fault({ fault: "same-token", clientId });
    const api = await apiOf([status(401)], { always: true });
    const run = await call("unchanged", api.url);
    expect(run).toMatchObject({
      end: "ApiRefused",
      variables: { token_status: "unchanged", access_token: accessToken },
    });
    expect(api.calls()).toBe(1);
  });

  test("repeats a call once after a 500, and ends at the second 500", async () => {
    await stored("500");
    const [once, twice] = await Promise.all([apiOf([status(500)]), apiOf([status(500), status(500)])]);
    const runs = await Promise.all([call("500", once.url), call("500", twice.url)]);
    expect(runs.map(({ end }) => end)).toEqual(["Done", "ApiFailed"]);
    expect([once.calls(), twice.calls()]).toEqual([2, 2]);
  });

  test("ends without a call when there is no token, with the subflow's status", async () => {
    const api = await apiOf([]);
    const run = await call("nobody's", api.url);
    expect(run).toMatchObject({ end: "NoToken", variables: { token_status: "404", access_token: "" } });
    expect(api.calls()).toBe(0);
  });
});

describe("the subflow that gets a token", () => {
  test("returns the status, message and reference of each refusal", async () => {
    await place.documents.create("tokens", "without settings", {
      clientId: "",
      clientSecret: "",
      redirectUri: "",
    });
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

  test("returns 503 when Webex is down and no live token is held", async () => {
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
  ])("handles a %i of a proxy in between", async (code, end, says) => {
    const between = await apiOf([status(code)], { always: true });
    const run = await askToken({ token_name: "x" }, { lookupUrl: between.url });
    expect(run).toMatchObject({ end, variables: { status: says, access_token: "" } });
  });

  test("treats a page with status 200 as no answer", async () => {
    const page = await apiOf([(response) => response.end("<html>Sign in</html>")], { always: true });
    const run = await askToken({ token_name: "x" }, { lookupUrl: page.url });
    expect(run).toMatchObject({ end: "NoAnswer", variables: { status: "no answer", access_token: "" } });
  });

  test("returns the rejected token as unchanged while Webex is down", async () => {
    const { accessToken, clientId } = await stored("kept");
    await webex.fault({ fault: "down", clientId });
    const run = await askToken({ token_name: "kept", rejected_token: accessToken });
    expect(run).toMatchObject({
      end: "Unchanged",
      variables: { status: "unchanged", access_token: accessToken },
    });
  });
});

describe("the flow and a slow or throttled service:", () => {
  test.each(["Retry-After", "retry-after"])("waits as %s says, and calls again", async (header) => {
    await stored(`throttled ${header}`);
    const waits: number[] = [];
    const api = await apiOf([status(429, { [header]: "1" })]);
    const run = await call(`throttled ${header}`, api.url, { waits });
    expect(run).toMatchObject({ end: "Done", variables: { waited: 1, wait_seconds: 1 } });
    expect(waits).toEqual([1_000]);
    expect(api.calls()).toBe(2);
  });

  test("ends without a wait at a long Retry-After, and at a second 429", async () => {
    await stored("throttled long");
    const waits: number[] = [];
    const [long, twice] = await Promise.all([
      apiOf([status(429, { "retry-after": "600" })]),
      apiOf([status(429, { "retry-after": "1" })], { always: true }),
    ]);
    expect(await call("throttled long", long.url, { waits })).toMatchObject({ end: "ApiBusy" });
    expect([waits.length, long.calls()]).toEqual([0, 1]);
    expect(await call("throttled long", twice.url, { waits })).toMatchObject({ end: "ApiBusy" });
    expect([waits.length, twice.calls()]).toEqual([1, 2]);
  });

  test("ends if the API does not answer within 2 s", async () => {
    await stored("hanging");
    const [silent, requests] = ["http://api.invalid/", [] as Asked[]];
    const run = await call("hanging", silent, { silent, requests });
    expect(run).toMatchObject({ end: "ApiFailed", variables: { token_status: "200" } });
    expect(requests.map(({ timeout }) => timeout)).toEqual([2_000, 2_000]);
  });

  test("asks lookup for an answer within its 2 s, and gets a 503 while Webex hangs and no token is held", async () => {
    const { clientId } = await stored("ended and hanging", -1);
    await webex.fault({ fault: "hang", clientId });
    const requests: Asked[] = [];
    const run = await askToken({ token_name: "ended and hanging" }, { requests });
    expect(run).toMatchObject({ end: "TryLater", variables: { status: "503" } });
    for (const { url, timeout } of requests)
      expect(Number(new URL(url).searchParams.get("wait")) * SECOND).toBeLessThan(timeout);
  });

  test("ends its subflow if lookup does not answer, or nothing listens", async () => {
    const nothing = `http://127.0.0.1:${await freePort()}`;
    const silent = await askToken({ token_name: "x" }, { silent: lookup });
    const refused = await askToken({ token_name: "x" }, { lookupUrl: nothing });
    for (const run of [silent, refused])
      expect(run).toMatchObject({ end: "NoAnswer", variables: { status: "no answer", access_token: "" } });
  });
});
