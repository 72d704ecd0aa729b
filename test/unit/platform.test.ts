import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { corsFor, sampleCors } from "../../functions/adapters/cors.ts";
import { jsonLog } from "../../functions/adapters/log.ts";
import { type Metadata, metadataServer } from "../../functions/adapters/metadata.ts";
import { ask } from "../../functions/adapters/platform-http.ts";
import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import { EVENTS, type Event } from "../../functions/core/log.ts";
import { driveDeadlines } from "../support/deadlines.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { HANG } from "../support/hang.ts";

/** The adapters to the platform: metadata server, refresher, CORS and log. */

type Responder = (request: IncomingMessage, response: ServerResponse) => void;

const closers: (() => void)[] = [];
/** No limit of a request ends by itself, so no test depends on the machine's speed. */
let deadlines: ReturnType<typeof driveDeadlines>;
beforeEach(() => {
  deadlines = driveDeadlines();
});

afterEach(() => {
  vi.restoreAllMocks();
  for (const close of closers.splice(0)) close();
});

/** A server on loopback, which records its requests in `asked`. */
async function answering(respond: Responder) {
  const asked: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    asked.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
    respond(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

const START = 1_750_000_000_000;

/** An identity token as the metadata server gives them; `exp` in seconds. */
function jwt(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part(claims)}.signature`;
}

describe("the metadata server", () => {
  test("gets a request for the project with the header Metadata-Flavor", async () => {
    const { host, asked } = await answering((_, response) => response.end("my-project\n"));
    expect(await metadataServer(host, () => START).project()).toBe("my-project");
    expect(asked[0]).toMatchObject({ method: "GET", url: "/computeMetadata/v1/project/project-id" });
    expect(asked[0]?.headers["metadata-flavor"]).toBe("Google");
  });

  test("gets a request for an identity token with the audience percent-encoded", async () => {
    const token = jwt({ exp: START / 1000 + 3600 });
    const { host, asked } = await answering((_, response) => response.end(`${token}\n`));
    expect(await metadataServer(host, () => START).identityToken("https://refresher.example")).toBe(token);
    expect(asked[0]?.url).toBe(
      "/computeMetadata/v1/instance/service-accounts/default/identity?audience=https%3A%2F%2Frefresher.example",
    );
    expect(asked[0]?.headers["metadata-flavor"]).toBe("Google");
  });

  test("gets one request for concurrent asks, and one for each audience", async () => {
    const { host, asked } = await answering((request, response) =>
      response.end(jwt({ aud: request.url, exp: START / 1000 + 3600 })),
    );
    const metadata = metadataServer(host, () => START);
    const tokens = await Promise.all(
      Array.from({ length: 20 }, () => metadata.identityToken("https://a.example")),
    );
    expect(new Set(tokens).size).toBe(1);
    expect(asked).toHaveLength(1);
    expect(await metadata.identityToken("https://b.example")).not.toBe(tokens[0]);
    expect(asked).toHaveLength(2);
  });

  test("gets the next request shortly before the identity token ends, not earlier", async () => {
    let now = START;
    let count = 0;
    const { host, asked } = await answering((_, response) =>
      response.end(jwt({ count: count++, exp: now / 1000 + 3600 })),
    );
    const metadata = metadataServer(host, () => now);
    const first = await metadata.identityToken("https://a.example");
    now = START + 50 * 60_000;
    expect(await metadata.identityToken("https://a.example")).toBe(first);
    expect(asked).toHaveLength(1);
    now = START + 59 * 60_000;
    expect(await metadata.identityToken("https://a.example")).not.toBe(first);
    expect(asked).toHaveLength(2);
  });

  test("gets another request after a failure, which is not cached", async () => {
    let down = true;
    const { host, asked } = await answering((_, response) => {
      response.statusCode = down ? 503 : 200;
      response.end(down ? "canary-body" : jwt({ exp: START / 1000 + 3600 }));
    });
    const metadata = metadataServer(host, () => START);
    const asks = [metadata.identityToken("https://a.example"), metadata.identityToken("https://a.example")];
    for (const failed of asks) await expect(failed).rejects.toThrow(/^the metadata server answered 503$/);
    down = false;
    expect(await metadata.identityToken("https://a.example")).toMatch(/\.signature$/);
    expect(asked).toHaveLength(2);
  });

  test.each([
    ["no claims", "abc"],
    ["claims that are not JSON", "a.%%%.c"],
    ["an empty body", ""],
  ])(
    "that answers a token with %s: the token is not cached, and no rejection goes unhandled",
    async (_, token) => {
      const unhandled: unknown[] = [];
      const listener = (reason: unknown) => unhandled.push(reason);
      const others = process.listeners("unhandledRejection");
      process.removeAllListeners("unhandledRejection");
      process.on("unhandledRejection", listener);
      try {
        const { host, asked } = await answering((_, response) => response.end(token));
        const metadata = metadataServer(host, () => START);
        await metadata.identityToken("https://a.example").catch(() => "refused");
        // Node reports unhandled rejections after the microtasks of a turn.
        await new Promise((resolve) => setImmediate(resolve));
        await metadata.identityToken("https://a.example").catch(() => "refused");
        expect(asked).toHaveLength(2);
        expect(unhandled).toEqual([]);
      } finally {
        process.off("unhandledRejection", listener);
        for (const other of others) process.on("unhandledRejection", other);
      }
    },
  );

  test("that answers a token without exp: the token is used, and not cached", async () => {
    const { host, asked } = await answering((_, response) => response.end(jwt({})));
    const metadata = metadataServer(host, () => START);
    await metadata.identityToken("https://a.example");
    await metadata.identityToken("https://a.example");
    expect(asked).toHaveLength(2);
  });

  test("that does not listen: each ask rejects", async () => {
    const metadata = metadataServer("127.0.0.1:1", () => START);
    await expect(metadata.project()).rejects.toThrow();
    await expect(metadata.identityToken("https://a.example")).rejects.toThrow();
  });
});

describe("a request to the platform", () => {
  test("sends its method, headers and body, and gives the status, headers and body of the answer", async () => {
    const { host, asked } = await answering((_, response) => {
      response.writeHead(207, { "x-answer": "yes" });
      response.write("gr");
      response.end("üße");
    });
    const url = new URL(`http://${host}/path?a=b%20c`);
    const request = { method: "POST", headers: { "x-ask": "1" }, body: "body", patience: HANG } as const;
    const answer = await ask(url, request);
    expect(answer).toMatchObject({ status: 207, body: "grüße" });
    expect(answer.headers["x-answer"]).toBe("yes");
    expect(asked[0]).toMatchObject({ method: "POST", url: "/path?a=b%20c", body: "body" });
    expect(asked[0]?.headers["x-ask"]).toBe("1");
  });

  test("decodes a character that two packets share", async () => {
    const bytes = Buffer.from("ü");
    const { host } = await answering((_, response) => {
      response.write(bytes.subarray(0, 1));
      setTimeout(() => response.end(bytes.subarray(1)), 20);
    });
    expect((await ask(new URL(`http://${host}/`), { method: "GET", patience: HANG })).body).toBe("ü");
  });

  test("gives a redirect as its answer, and does not follow it", async () => {
    const { host, asked } = await answering((_, response) => {
      response.writeHead(302, { location: "/elsewhere" });
      response.end();
    });
    expect((await ask(new URL(`http://${host}/`), { method: "GET", patience: HANG })).status).toBe(302);
    expect(asked).toHaveLength(1);
  });

  test.each<[string, Responder]>([
    ["no answer", () => {}],
    ["headers without a body", (_, response) => response.writeHead(200).flushHeaders()],
    ["half a body", (_, response) => response.writeHead(200, { "content-length": "100" }).write("half")],
  ])("rejects when its limit ends with %s", async (_, respond) => {
    const { host, asked } = await answering(respond);
    const answer = ask(new URL(`http://${host}/`), { method: "GET", patience: 100 });
    const rejected = expect(answer).rejects.toThrow("The operation was aborted");
    await eventuallyTrue(() => asked[0]);
    await deadlines.expire(0);
    await rejected;
    expect(deadlines.limits()).toEqual([100]);
  });

  test.each<[string, Responder]>([
    ["before the answer", (request) => request.socket.destroy()],
    [
      "in the middle of the body",
      (request, response) => {
        response.writeHead(200, { "content-length": "100" }).write("half");
        setTimeout(() => request.socket.destroy(), 10);
      },
    ],
  ])("rejects when the connection ends %s", async (_, respond) => {
    const { host } = await answering(respond);
    await expect(ask(new URL(`http://${host}/`), { method: "GET", patience: HANG })).rejects.toThrow();
  });

  test("rejects an answer that is not HTTP", async () => {
    const server: Server = createTcpServer((socket) => socket.end("SSH-2.0-OpenSSH\r\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => server.close());
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await expect(ask(url, { method: "GET", patience: HANG })).rejects.toThrow();
  });

  test("uses TLS for an https address", async () => {
    let first: number | undefined;
    const server: Server = createTcpServer((socket) =>
      socket.once("data", (bytes) => {
        first = bytes[0];
        socket.destroy();
      }),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => server.close());
    const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await expect(ask(url, { method: "GET", patience: HANG })).rejects.toThrow();
    expect(first).toBe(0x16);
  });
});

describe("the refresher's client", () => {
  /** Records the audiences of the identity tokens asked for. */
  function metadataOf(token: () => Promise<string>) {
    const audiences: string[] = [];
    const metadata: Pick<Metadata, "identityToken"> = {
      identityToken(audience) {
        audiences.push(audience);
        return token();
      },
    };
    return { metadata, audiences };
  }

  test("POSTs the name and the conditions, without an identity token to an http address", async () => {
    const { host, asked } = await answering((_, response) => response.end('{"outcome":"refreshed"}'));
    const { metadata, audiences } = metadataOf(() => Promise.reject(new Error("no metadata server")));
    const askRefresher = refresherAt(`http://${host}`, metadata);
    const hash = "0".repeat(64);
    expect(await askRefresher("größe & more", { by: "reader", ifToken: hash, minTtl: 0 })).toEqual({
      outcome: "refreshed",
    });
    const [request] = asked;
    expect(request?.method).toBe("POST");
    const url = new URL(request?.url ?? "", "http://x");
    expect(url.pathname).toBe("/");
    expect(Object.fromEntries(url.searchParams)).toEqual({
      name: "größe & more",
      ifToken: hash,
      minTtl: "0",
    });
    expect(request?.headers).not.toHaveProperty("authorization");
    expect(audiences).toEqual([]);
  });

  test("leaves out conditions that are not set", async () => {
    const { host, asked } = await answering((_, response) => response.end('{"outcome":"fresh"}'));
    const { metadata } = metadataOf(() => Promise.reject(new Error("no metadata server")));
    await refresherAt(`http://${host}`, metadata)("flow", { by: "reader" });
    expect(asked[0]?.url).toBe("/?name=flow");
  });

  test("sends an https address an identity token whose audience is the origin", async () => {
    const { metadata, audiences } = metadataOf(async () => "identity");
    const failing = refresherAt("https://127.0.0.1:1/refresher", metadata)("flow", { by: "reader" });
    await expect(failing).rejects.toThrow();
    expect(audiences).toEqual(["https://127.0.0.1:1"]);
  });

  test("rejects for an https address when there is no metadata server", async () => {
    const { metadata } = metadataOf(() => Promise.reject(new Error("no metadata server")));
    const failing = refresherAt("https://127.0.0.1:1", metadata)("flow", { by: "reader" });
    await expect(failing).rejects.toThrow("no metadata server");
  });

  test.each([201, 302, 401, 403, 404, 500, 503])("rejects status %i", async (status) => {
    const { host } = await answering((_, response) => {
      response.statusCode = status;
      response.end('{"outcome":"refreshed"}');
    });
    const { metadata } = metadataOf(async () => "identity");
    const failing = refresherAt(`http://${host}`, metadata)("flow", { by: "reader" });
    await expect(failing).rejects.toThrow(`the refresher answered ${status}`);
  });

  test.each(["", "<html>canary-page</html>", '{"outcome":'])("rejects 200 with the body %j", async (body) => {
    const { host } = await answering((_, response) => response.end(body));
    const { metadata } = metadataOf(async () => "identity");
    await expect(refresherAt(`http://${host}`, metadata)("flow", { by: "reader" })).rejects.toThrow();
  });

  test("rejects 200 with JSON that is not an outcome: another server answered", async () => {
    const { host } = await answering((_, response) => response.end('{"status":"200"}'));
    const { metadata } = metadataOf(async () => "identity");
    await expect(refresherAt(`http://${host}`, metadata)("flow", { by: "reader" })).rejects.toThrow();
  });

  test("rejects when nothing listens", async () => {
    const { metadata } = metadataOf(async () => "identity");
    await expect(refresherAt("http://127.0.0.1:1", metadata)("flow", { by: "reader" })).rejects.toThrow();
  });
});

describe("CORS", () => {
  test("is off without listed origins", () => {
    expect(corsFor([])).toBeUndefined();
  });

  test("permits the listed origins by name, and varies by origin in any case", () => {
    const cors = corsFor(["https://a.example", "https://b.example"]);
    expect(cors?.("https://b.example")).toMatchObject({
      vary: "origin",
      "access-control-allow-origin": "https://b.example",
      "access-control-allow-methods": "GET, HEAD",
    });
    for (const origin of [undefined, "", "null", "https://a.example.evil", "https://A.example", "*"])
      expect(cors?.(origin)).toEqual({ vary: "origin" });
  });

  test("never allows credentials", () => {
    const allowed = corsFor(["https://a.example"])?.("https://a.example") ?? {};
    expect(allowed).not.toHaveProperty("access-control-allow-credentials");
    expect(sampleCors("https://a.example")).not.toHaveProperty("access-control-allow-credentials");
  });

  test("of Cisco's sample allows any origin, its methods and headers", () => {
    for (const origin of [undefined, "https://any.example"])
      expect(sampleCors(origin)).toEqual({
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "Content-Type, Accept, x-token-passphrase",
      });
  });
});

describe("the log", () => {
  const logged = (...events: Parameters<ReturnType<typeof jsonLog>>[]) => {
    const lines: string[] = [];
    const log = jsonLog((line) => lines.push(line));
    for (const [event, details] of events) log(event, details);
    return lines;
  };

  test("writes one line of JSON for an event, whatever the token's name", () => {
    const token = 'a\nb\r\u2028"}\u0000\ud800';
    const [line = "", ...more] = logged(["refresh.done", { token, count: 1, missing: undefined }]);
    expect(more).toEqual([]);
    expect(line.endsWith("\n")).toBe(true);
    expect(line.slice(0, -1)).not.toMatch(/[\n\r]/);
    expect(JSON.parse(line)).toMatchObject({ event: "refresh.done", token, count: 1 });
    expect(JSON.parse(line)).not.toHaveProperty("missing");
    expect(JSON.parse(line).message).not.toContain("missing");
  });

  test("writes the severity of each event as Cloud Logging names it", () => {
    const events = Object.keys(EVENTS) as Event[];
    const lines = logged(...events.map((event): [Event] => [event])).map((line) => JSON.parse(line));
    expect(lines.map(({ event, severity }) => [event, severity])).toEqual(Object.entries(EVENTS));
    for (const { severity, message, event } of lines) {
      expect(["INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]).toContain(severity);
      expect(message).toBe(event);
    }
  });

  test("ignores details named severity, event and message", () => {
    const [line = ""] = logged(["bug", { severity: "DEBUG", event: "sweep.done", message: "all is well" }]);
    expect(JSON.parse(line)).toMatchObject({ severity: "CRITICAL", event: "bug" });
  });
});
