import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import { addressOf, globalVariables } from "../../functions/adapters/global-variables.ts";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import { REGIONS } from "../../functions/core/document.ts";
import { judgeVariable, type Place } from "../../functions/core/variable.ts";
import { driveTimers } from "../support/deadlines.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { HANG } from "../support/hang.ts";

/** Any server in place of the contact centre: none of its answers throws, counts as a variable, or is followed. */

/** A limit in ms that only `driveTimers` lets pass. */
const LIMIT = 7654;
const PLACE: Place = { region: "us1", orgId: "org-1", id: "cad-1" };
const TOKEN = "canary-access-token";
const VARIABLE = { id: "cad-1", variableType: "String", defaultValue: "" };

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const end of ends.splice(0)) await end();
});

async function serving(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a global variable is read and replaced at its address, with the token only in the bearer header", async () => {
  const seen: unknown[] = [];
  const base = await serving(async (request, response) => {
    const { method, url, headers } = request;
    let body = "";
    for await (const chunk of request) body += chunk;
    seen.push([method, url, headers.authorization, headers["content-type"], body]);
    response.end(JSON.stringify(VARIABLE));
  });
  const variables = globalVariables(base, HANG);
  expect(await variables.read(PLACE, TOKEN)).toEqual({ status: 200, body: JSON.stringify(VARIABLE) });
  await variables.write(PLACE, TOKEN, { ...VARIABLE, defaultValue: "new" });
  const path = "/organization/org-1/cad-variable/cad-1";
  expect(seen).toEqual([
    ["GET", path, `Bearer ${TOKEN}`, undefined, ""],
    [
      "PUT",
      path,
      `Bearer ${TOKEN}`,
      "application/json",
      JSON.stringify({ ...VARIABLE, defaultValue: "new" }),
    ],
  ]);
});

test.each(REGIONS)("a global variable in region %s is at Cisco's host, over https", (region) => {
  const { protocol, host, pathname } = new URL(addressOf({ ...PLACE, region }));
  expect([protocol, host]).toEqual(["https:", `api.wxcc-${region}.cisco.com`]);
  expect(pathname).toBe("/organization/org-1/cad-variable/cad-1");
});

describe("an answer in place of the contact centre's:", () => {
  test.each<[string, RequestListener, hangs?: "hangs"]>([
    ["a body without end", (_, response) => void response.write("x".repeat(4_000_000))],
    [
      "a body that inflates without end",
      (_, response) => {
        response.setHeader("content-encoding", "gzip");
        response.end(gzipSync("x".repeat(8_000_000)));
      },
    ],
    ["headers alone", (_, response) => response.flushHeaders(), "hangs"],
    ["silence", () => {}, "hangs"],
    ["a reset", (request) => request.socket.destroy()],
    ["no HTTP", (request) => void request.socket.end("made up\r\n\r\n")],
    ["a redirect", (_, response) => void response.writeHead(307, { location: "/elsewhere" }).end()],
    ["HTML", (_, response) => void response.end("<html></html>")],
    ["deep nesting", (_, response) => void response.end("[".repeat(100_000))],
  ])("%s is no variable", async (_, listener, hangs) => {
    let requests = 0;
    const base = await serving((request, response) => {
      requests++;
      listener(request, response);
    });
    const timers = driveTimers(LIMIT);
    const answering = globalVariables(base, LIMIT).write(PLACE, TOKEN, VARIABLE);
    await eventuallyTrue(() => requests === 1);
    if (hangs) timers.fire();
    const answer = await answering;
    expect(judgeVariable(answer, "cad-1", 0).trouble?.code).toMatch(/^(unavailable|invalid_response)$/);
    expect(JSON.stringify(answer)).not.toContain("canary");
    expect(requests).toBe(1);
  });

  test("a redirect to a Service App's tokens is not followed, and a broken connection not retried", async () => {
    let requests = 0;
    const base = await serving((request, response) => {
      requests++;
      if (requests > 1) request.socket.destroy();
      else response.writeHead(307, { location: "/elsewhere" }).end();
    });
    const request = {
      applicationId: "a/../b",
      clientId: "C",
      clientSecret: "canary-client-secret",
      targetOrg: "org-1",
      accessToken: TOKEN,
    };
    expect(await webexEndpoint(base, HANG).issue(request)).toMatchObject({ status: 307 });
    expect(await webexEndpoint(base, HANG).issue(request)).toEqual({ error: "network" });
    expect(requests).toBe(2);
  });
});
