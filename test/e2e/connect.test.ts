import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ANSWERS, type ConnectRequest, connectRequest, edgeOf, fill, REQUESTS } from "../../local/connect.ts";
import { description } from "../support/openapi.ts";
import { stopAll } from "../support/processes.ts";
import {
  deploy,
  newClient,
  PASSPHRASE,
  type Place,
  sampleDocument,
  sqlitePlace,
  startWebex,
  type Webex,
} from "./deployed.ts";

/** The requests of `docs/connect.json`, sent as Webex Connect would, to the built functions. */

let webex: Webex;
let place: Place;
let lookup: string;
let asSample: string;

beforeAll(async () => {
  [webex, place] = await Promise.all([startWebex(), sqlitePlace()]);
  const deployed = deploy(place, webex);
  const refresher = await deployed.refresher();
  const lookups = [deployed.lookup(refresher.url), deployed.lookup(refresher.url, { COMPAT: "sample" })];
  [lookup, asSample] = (await Promise.all(lookups)).map(({ url }) => url) as [string, string];
  const client = () => webex.register(newClient("http://127.0.0.1:8080/callback"));
  const held = async () => sampleDocument(webex, await client(), 6 * 60 * 60);
  await deployed.put("held", await held());
  for (const name of ["the HTTP Request node", "the custom node"])
    await deployed.put(name, { ...(await held()), accessToken: `canary-access-token-ended-for-${name}` });
  await deployed.put("unauthorized", { clientId: "", clientSecret: "", redirectUri: "" });
  const ended = await sampleDocument(webex, await client(), -60);
  await deployed.put("ended", ended);
  await webex.fault({ fault: "hang", clientId: ended.clientId });
}, 60_000);
afterAll(stopAll);
afterAll(() => place?.documents.close());

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
  const signal = AbortSignal.timeout(request.requestTimeout);
  const { status, text } = await answerOf(url, { method: request.method, headers, signal });
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
  test("gets a token that Webex takes, and leaves by its first edge", async () => {
    const left = await send(request);
    expect(left).toMatchObject({ status: 200, edge: request.edges[0]?.edge });
    expect(await webex.accepts(tokenOf(left))).toBe(true);
  });

  test("leaves by the other edge with a passphrase that is wrong", async () => {
    const left = await send(request, { passphrase: "canary-wrong-passphrase" });
    expect(left).toMatchObject({ status: 401, edge: request.edges[1]?.edge });
    expect(tokenOf(left)).toBe("");
  });
});

describe("each answer of the contract", () => {
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

  test("is in the table, and no other", () => {
    const inTable = ANSWERS.map(({ status }) => String(status));
    expect(inTable).toEqual(Object.keys(provoke));
    expect(inTable).toEqual(Object.keys(description.paths["/"]?.get?.responses ?? {}));
  });

  test.for(ANSWERS)("$status leaves by the edge that the table says", async ({ status }) => {
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

test("the custom node is answered before it gives up, though Webex hangs and nothing is held", async () => {
  const begun = performance.now();
  expect(await send(customNode, { name: "ended" })).toMatchObject({ status: 503, edge: "Error" });
  expect(performance.now() - begun).toBeLessThan(customNode.requestTimeout);
});

test.for([
  ["the HTTP Request node", httpRequest],
  ["the custom node", customNode],
] as const)("%s gets another token for one that an API refused", async ([name, request]) => {
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
