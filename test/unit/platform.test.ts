import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { corsFor, sampleCors } from "../../functions/adapters/cors.ts";
import { jsonLog } from "../../functions/adapters/log.ts";
import { type Metadata, metadataServer } from "../../functions/adapters/metadata.ts";
import { ask } from "../../functions/adapters/platform-http.ts";
import { refresherAt } from "../../functions/adapters/refresher-client.ts";
import { EVENTS, type Event } from "../../functions/core/log.ts";

/** What the functions need of the platform: the metadata server, one another, and the log. */

type Responder = (request: IncomingMessage, response: ServerResponse) => void;

const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server on loopback; what it was asked is in `asked`. */
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
  test("is asked for the project with its own header", async () => {
    const { host, asked } = await answering((_, response) => response.end("my-project\n"));
    expect(await metadataServer(host, () => START).project()).toBe("my-project");
    expect(asked[0]).toMatchObject({ method: "GET", url: "/computeMetadata/v1/project/project-id" });
    expect(asked[0]?.headers["metadata-flavor"]).toBe("Google");
  });

  test("is asked for an identity token for the audience, percent-encoded", async () => {
    const token = jwt({ exp: START / 1000 + 3600 });
    const { host, asked } = await answering((_, response) => response.end(`${token}\n`));
    expect(await metadataServer(host, () => START).identityToken("https://refresher.example")).toBe(token);
    expect(asked[0]?.url).toBe(
      "/computeMetadata/v1/instance/service-accounts/default/identity?audience=https%3A%2F%2Frefresher.example",
    );
    expect(asked[0]?.headers["metadata-flavor"]).toBe("Google");
  });

  test("is asked once by concurrent asks, and once per audience", async () => {
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

  test("is asked again shortly before the identity token ends, not earlier", async () => {
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

  test("that failed is asked again: a failure is not kept", async () => {
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
    ["claims that are no JSON", "a.%%%.c"],
    ["nothing at all", ""],
  ])("that answers a token with %s: it is not kept, and no rejection goes unhandled", async (_, token) => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown) => unhandled.push(reason);
    const others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", listener);
    try {
      const { host, asked } = await answering((_, response) => response.end(token));
      const metadata = metadataServer(host, () => START);
      await metadata.identityToken("https://a.example").catch(() => "refused");
      await new Promise((resolve) => setTimeout(resolve, 5));
      await metadata.identityToken("https://a.example").catch(() => "refused");
      expect(asked).toHaveLength(2);
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", listener);
      for (const other of others) process.on("unhandledRejection", other);
    }
  });

  test("without exp: the token is used, and not kept", async () => {
    const { host, asked } = await answering((_, response) => response.end(jwt({})));
    const metadata = metadataServer(host, () => START);
    await metadata.identityToken("https://a.example");
    await metadata.identityToken("https://a.example");
    expect(asked).toHaveLength(2);
  });

  test("that is not there rejects", async () => {
    const metadata = metadataServer("127.0.0.1:1", () => START);
    await expect(metadata.project()).rejects.toThrow();
    await expect(metadata.identityToken("https://a.example")).rejects.toThrow();
  });
});

describe("a request to the platform", () => {
  test("gives status, headers and the whole body, and sends what it is given", async () => {
    const { host, asked } = await answering((_, response) => {
      response.writeHead(207, { "x-answer": "yes" });
      response.write("gr");
      response.end("üße");
    });
    const url = new URL(`http://${host}/path?a=b%20c`);
    const request = { method: "POST", headers: { "x-ask": "1" }, body: "body", patience: 1000 } as const;
    const answer = await ask(url, request);
    expect(answer).toMatchObject({ status: 207, body: "grüße" });
    expect(answer.headers["x-answer"]).toBe("yes");
    expect(asked[0]).toMatchObject({ method: "POST", url: "/path?a=b%20c", body: "body" });
    expect(asked[0]?.headers["x-ask"]).toBe("1");
  });

  test("a character cut in two by packets arrives whole", async () => {
    const bytes = Buffer.from("ü");
    const { host } = await answering((_, response) => {
      response.write(bytes.subarray(0, 1));
      setTimeout(() => response.end(bytes.subarray(1)), 20);
    });
    expect((await ask(new URL(`http://${host}/`), { method: "GET", patience: 1000 })).body).toBe("ü");
  });

  test("a redirect is an answer, and not followed", async () => {
    const { host, asked } = await answering((_, response) => {
      response.writeHead(302, { location: "/elsewhere" });
      response.end();
    });
    expect((await ask(new URL(`http://${host}/`), { method: "GET", patience: 1000 })).status).toBe(302);
    expect(asked).toHaveLength(1);
  });

  test.each<[string, Responder]>([
    ["no answer", () => {}],
    ["headers without a body", (_, response) => response.writeHead(200).flushHeaders()],
    ["half a body", (_, response) => response.writeHead(200, { "content-length": "100" }).write("half")],
  ])("%s within the patience rejects, in time", async (_, respond) => {
    const { host } = await answering(respond);
    const started = performance.now();
    await expect(ask(new URL(`http://${host}/`), { method: "GET", patience: 100 })).rejects.toThrow();
    expect(performance.now() - started).toBeLessThan(600);
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
  ])("a connection that ends %s rejects", async (_, respond) => {
    const { host } = await answering(respond);
    await expect(ask(new URL(`http://${host}/`), { method: "GET", patience: 1000 })).rejects.toThrow();
  });

  test("what is no HTTP rejects", async () => {
    const server: Server = createTcpServer((socket) => socket.end("SSH-2.0-OpenSSH\r\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => server.close());
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await expect(ask(url, { method: "GET", patience: 1000 })).rejects.toThrow();
  });

  test("an https address is spoken to in TLS", async () => {
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
    await expect(ask(url, { method: "GET", patience: 1000 })).rejects.toThrow();
    expect(first).toBe(0x16);
  });
});

describe("the refresher's client", () => {
  /** Counts who asks for which audience. */
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

  test("POSTs the name and what is asked for, without metadata for an http address", async () => {
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

  test("leaves out what is not asked for", async () => {
    const { host, asked } = await answering((_, response) => response.end('{"outcome":"fresh"}'));
    const { metadata } = metadataOf(() => Promise.reject(new Error("no metadata server")));
    await refresherAt(`http://${host}`, metadata)("flow", { by: "reader" });
    expect(asked[0]?.url).toBe("/?name=flow");
  });

  test("an https address: an identity token whose audience is the origin", async () => {
    const { metadata, audiences } = metadataOf(async () => "identity");
    const failing = refresherAt("https://127.0.0.1:1/refresher", metadata)("flow", { by: "reader" });
    await expect(failing).rejects.toThrow();
    expect(audiences).toEqual(["https://127.0.0.1:1"]);
  });

  test("an https address without metadata server rejects and asks nobody", async () => {
    const { metadata } = metadataOf(() => Promise.reject(new Error("no metadata server")));
    const failing = refresherAt("https://127.0.0.1:1", metadata)("flow", { by: "reader" });
    await expect(failing).rejects.toThrow("no metadata server");
  });

  test.each([201, 302, 401, 403, 404, 500, 503])("%i rejects", async (status) => {
    const { host } = await answering((_, response) => {
      response.statusCode = status;
      response.end('{"outcome":"refreshed"}');
    });
    const { metadata } = metadataOf(async () => "identity");
    const failing = refresherAt(`http://${host}`, metadata)("flow", { by: "reader" });
    await expect(failing).rejects.toThrow(`the refresher answered ${status}`);
  });

  test.each(["", "<html>canary-page</html>", '{"outcome":'])("200 with %j rejects", async (body) => {
    const { host } = await answering((_, response) => response.end(body));
    const { metadata } = metadataOf(async () => "identity");
    await expect(refresherAt(`http://${host}`, metadata)("flow", { by: "reader" })).rejects.toThrow();
  });

  test("200 with JSON that is no outcome rejects: whoever answered is not the refresher", async () => {
    const { host } = await answering((_, response) => response.end('{"status":"200"}'));
    const { metadata } = metadataOf(async () => "identity");
    await expect(refresherAt(`http://${host}`, metadata)("flow", { by: "reader" })).rejects.toThrow();
  });

  test("nobody there rejects", async () => {
    const { metadata } = metadataOf(async () => "identity");
    await expect(refresherAt("http://127.0.0.1:1", metadata)("flow", { by: "reader" })).rejects.toThrow();
  });
});

describe("CORS", () => {
  test("is off where no origin is listed", () => {
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

  test("as the sample does it: any origin, its methods and headers", () => {
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

  test("is one line of JSON an event, whatever stands in a name", () => {
    const token = 'a\nb\r\u2028"}\u0000\ud800';
    const [line = "", ...more] = logged(["refresh.done", { token, count: 1, missing: undefined }]);
    expect(more).toEqual([]);
    expect(line.endsWith("\n")).toBe(true);
    expect(line.slice(0, -1)).not.toMatch(/[\n\r]/);
    expect(JSON.parse(line)).toMatchObject({ event: "refresh.done", token, count: 1 });
    expect(JSON.parse(line)).not.toHaveProperty("missing");
    expect(JSON.parse(line).message).not.toContain("missing");
  });

  test("takes each event's severity from the list, one of Cloud Logging's", () => {
    const events = Object.keys(EVENTS) as Event[];
    const lines = logged(...events.map((event): [Event] => [event])).map((line) => JSON.parse(line));
    expect(lines.map(({ event, severity }) => [event, severity])).toEqual(Object.entries(EVENTS));
    for (const { severity, message, event } of lines) {
      expect(["INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]).toContain(severity);
      expect(message).toBe(event);
    }
  });

  test("cannot be made to say another severity or event by a detail's name", () => {
    const [line = ""] = logged(["bug", { severity: "DEBUG", event: "sweep.done", message: "all is well" }]);
    expect(JSON.parse(line)).toMatchObject({ severity: "CRITICAL", event: "bug" });
  });
});
