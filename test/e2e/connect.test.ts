import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SECOND } from "../../functions/core/time.ts";
import { ANSWERS, type ConnectRequest, connectRequest, edgeOf, fill, REQUESTS } from "../../local/connect.ts";
import { description } from "../support/openapi.ts";
import { stopAll } from "../support/processes.ts";
import { newClient, PASSPHRASE, type Place, sampleDocument, sqlitePlace } from "./deployed.ts";
import { closeAll, type LocalWebex, openWebex, serveOn } from "./in-process.ts";

/** The requests of `docs/connect.json`, sent as Webex Connect would, to the functions. */

let webex: LocalWebex;
let place: Place;
let lookup: string;
let asSample: string;

beforeAll(async () => {
  [webex, place] = await Promise.all([openWebex(), sqlitePlace()]);
  const functions = serveOn(place, webex);
  const refresher = await functions.refresher();
  lookup = await functions.lookup(refresher);
  asSample = await functions.lookup(refresher, { COMPAT: "sample" });
  const client = () => webex.register(newClient("http://127.0.0.1:8080/callback"));
  const held = async () => sampleDocument(webex, await client(), 6 * 60 * 60);
  await place.documents.create("tokens", "held", await held());
  for (const name of ["the HTTP Request node", "the custom node"])
    await place.documents.create("tokens", name, {
      ...(await held()),
      accessToken: `canary-access-token-ended-for-${name}`,
    });
  await place.documents.create("tokens", "unauthorized", { clientId: "", clientSecret: "", redirectUri: "" });
  const ended = await sampleDocument(webex, await client(), -60);
  await place.documents.create("tokens", "ended", ended);
  await webex.fault({ fault: "hang", clientId: ended.clientId });
});
afterAll(async () => {
  await closeAll();
  await stopAll();
});

interface Values {
  lookup?: string;
  name?: string;
  passphrase?: string;
  rejected?: string;
}

/** What a flow sees of an answer: texts, empty where the answer has nothing at their path. */
interface Left {
  status: number;
  outputs: Record<string, string>;
  edge: string;
}

async function send(request: ConnectRequest, given: Values = {}): Promise<Left> {
  const values = { lookup, name: "held", passphrase: PASSPHRASE, rejected: "", ...given };
  const url = new URL(fill(request.url, { ...values, name: encodeURIComponent(values.name) }));
  for (const { name, value } of request.parameters) url.searchParams.append(name, fill(value, values));
  const headers = request.headers.map(({ name, value }): [string, string] => [name, fill(value, values)]);
  const { status, text } = await answerOf(url, { method: request.method, headers });
  const outputs = Object.fromEntries(request.outputs.map(({ name, path }) => [name, at(path, text)]));
  return { status, outputs, edge: edgeOf(request, status, outputs) };
}

async function answerOf(url: URL, init: RequestInit) {
  const response = await fetch(url, init);
  return { status: response.status, text: await response.text() };
}

/** Only members of the body itself are read by these requests. */
function at(path: string, text: string): string {
  const [, member = ""] = /^\$\.(\w+)$/.exec(path) ?? [];
  return String(JSON.parse(text)[member] ?? "");
}

const [httpRequest, customNode, ccep] = [
  connectRequest("http-request"),
  connectRequest("custom-node"),
  connectRequest("ccep"),
];
const tokenOf = ({ outputs }: Left) => outputs.webexToken ?? outputs.token ?? "";

describe.for(REQUESTS.map((request) => [request.title, request] as const))("%s", ([, request]) => {
  test("gets a token that Webex accepts, and leaves by its first edge", async () => {
    const left = await send(request);
    expect(left).toMatchObject({ status: 200, edge: request.edges[0]?.edge });
    expect(await webex.accepts(tokenOf(left))).toBe(true);
  });

  test("leaves by the other edge with a wrong passphrase", async () => {
    const left = await send(request, { passphrase: "canary-wrong-passphrase" });
    expect(left).toMatchObject({ status: 401, edge: request.edges[1]?.edge });
    expect(tokenOf(left)).toBe("");
  });
});

describe("the table of answers", () => {
  const provoke: Record<number, Values> = {
    200: {},
    400: { name: "a/b" },
    401: { passphrase: "" },
    404: { name: "nobody" },
    405: {},
    409: { name: "unauthorized" },
    500: { name: "nobody" },
    503: { name: "ended" },
  };

  test("has each status of the contract, and no other", () => {
    const inTable = ANSWERS.map(({ status }) => String(status));
    expect(inTable).toEqual(Object.keys(provoke));
    expect(inTable).toEqual(Object.keys(description.paths["/"]?.get?.responses ?? {}));
  });

  test.for(ANSWERS)("gives the edge by which a $status leaves", async ({ status }) => {
    const values = { lookup: status === 500 ? asSample : lookup, ...provoke[status] };
    for (const [request, edges, message, reference] of [
      [customNode, ["Success", "Error"], "message", "reference"],
      [httpRequest, ["Token", "NoToken"], "tokenMessage", "tokenReference"],
    ] as const) {
      if (status === 503 && request === httpRequest) continue; // it waits for eight seconds, and says the same
      const left = await send({ ...request, method: status === 405 ? "POST" : request.method }, values);
      expect(left).toMatchObject({ status, edge: edges[status === 200 ? 0 : 1] });
      expect(left.outputs[message] !== "").toBe(status !== 200);
      // The sample tells no reference.
      expect(left.outputs[reference] !== "").toBe(status !== 200 && status !== 500);
    }
  });
});

test("the custom node asks lookup to answer before it gives up itself", () => {
  const wait = customNode.parameters.find(({ name }) => name === "wait")?.value;
  expect(Number(wait) * SECOND).toBeLessThan(customNode.requestTimeout);
});

test.for([
  ["the HTTP Request node", httpRequest],
  ["the custom node", customNode],
] as const)("%s gets a new token for one that an API refused", async ([name, request]) => {
  const refused = tokenOf(await send(request, { name }));
  expect(await webex.accepts(refused)).toBe(false);
  const renewed = tokenOf(await send(request, { name, rejected: refused }));
  expect(await webex.accepts(renewed)).toBe(true);
});

describe("GetOAuthToken of CCEP", () => {
  test.for([
    ["as it is deployed", () => lookup, 404],
    ["with COMPAT=sample", () => asSample, 500],
  ] as const)("works unchanged %s", async ([, service, refusal]) => {
    const left = await send(ccep, { lookup: service() });
    expect(left.outputs.status).toBe("200");
    expect(await webex.accepts(tokenOf(left))).toBe(true);
    const refused = await send(ccep, { lookup: service(), name: "nobody" });
    expect(refused).toEqual({
      status: refusal,
      outputs: { status: String(refusal), token: "" },
      edge: "no token",
    });
  });
});
