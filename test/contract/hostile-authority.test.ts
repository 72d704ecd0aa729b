import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import { judge, type Verdict } from "../../functions/core/grant.ts";
import { driveTimers } from "../support/deadlines.ts";
import { eventuallyTrue } from "../support/eventually.ts";
import { HANG } from "../support/hang.ts";
import { runs } from "../support/property.ts";

/** Any bytes in place of Webex's answer are a transient refusal, and fill no memory. */

/** A limit in ms that only `driveTimers` lets pass. */
const LIMIT = 7654;
const CREDENTIALS = {
  clientId: "made-up-client",
  clientSecret: "canary-client-secret",
  refreshToken: "canary-refresh-token",
};
const GRANT = '{"access_token":"made-up","expires_in":43199}';
const OK = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const whole = `${OK}content-length: ${GRANT.length}\r\n\r\n${GRANT}`;
/** A grant up to its first value. */
const BEGUN = '{"access_token":';

const closers: (() => void)[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const close of closers.splice(0)) close();
});

type Answering = (socket: Socket) => void;

/** A server that answers each whole request with `answer`. */
async function authority(answer: Answering) {
  const sockets: Socket[] = [];
  const seen = { requests: 0 };
  const server = createServer((socket) => {
    sockets.push(socket);
    let request = "";
    socket
      .on("error", () => {})
      .on("data", (text) => {
        request += text;
        if (!request.includes("grant_type=")) return;
        request = "";
        seen.requests++;
        answer(socket);
      });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  return { url, seen, sent: () => sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0) };
}

/** The verdict on the answer. `again`: a request without an answer may be sent twice. */
async function refreshed(url: string, { patience = HANG, again = false } = {}): Promise<Verdict> {
  const answer = await webexEndpoint(url, patience).refresh(CREDENTIALS, again);
  expect(JSON.stringify(answer)).not.toMatch(/canary/);
  return judge(answer, Date.now());
}

const passing = (code: unknown) => ({
  refusal: expect.objectContaining({ code, permanent: false }),
});

/** Writes the beginning, and then the same text until the connection closes. */
const trickles =
  (beginning: string, text: string): Answering =>
  (socket) => {
    socket.write(beginning);
    const timer = setInterval(() => socket.write(text), 5);
    socket.on("close", () => clearInterval(timer));
  };

function flood(socket: Socket, chunk: Buffer): void {
  const more = () => {
    while (socket.writable && socket.write(chunk));
  };
  socket.on("drain", more);
  more();
}

const says =
  (...parts: (string | Buffer)[]): Answering =>
  (socket) =>
    socket.end(Buffer.concat(parts.map((part) => Buffer.from(part as string))));
const saysAndBreaks =
  (text: string | Buffer): Answering =>
  (socket) => {
    socket.write(text, () => setTimeout(() => socket.resetAndDestroy(), 10));
  };

describe("an answer of Webex that never ends", () => {
  test.each<[string, Answering]>([
    ["a byte at a time", trickles(`${OK}\r\n`, " ")],
    ["in its headers", trickles(OK, "a: b\r\n")],
    ["in a single header", trickles(`${OK}a: `, "b")],
    ["in preliminary answers", trickles("", "HTTP/1.1 100 Continue\r\n\r\n")],
    ["in early hints", trickles("", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")],
    ["in an announced chunk", (socket) => void socket.write(`${OK}transfer-encoding: chunked\r\n\r\nff\r\n`)],
    [
      "in another protocol",
      (socket) => void socket.write("HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    ],
    ["before it begins", () => {}],
  ])("%s is a timeout at the request's limit", async (_, answer) => {
    const { url, seen } = await authority(answer);
    const timers = driveTimers(LIMIT);
    const refusal = refreshed(url, { patience: LIMIT });
    await eventuallyTrue(() => seen.requests === 1);
    timers.fire();
    expect(await refusal).toEqual(passing("timeout"));
    expect(seen.requests).toBe(1);
  });

  test("is asked for twice in a sweep, each time until the request's limit", async () => {
    const { url, seen } = await authority(() => {});
    const timers = driveTimers(LIMIT);
    const refusal = refreshed(url, { patience: LIMIT, again: true });
    await eventuallyTrue(() => seen.requests === 1);
    timers.fire();
    await eventuallyTrue(() => seen.requests === 2);
    timers.fire();
    expect(await refusal).toEqual(passing("timeout"));
  });
});

describe("an answer of Webex far longer than any grant", () => {
  const BLANKS = Buffer.alloc(65_536, " ");
  const long = Buffer.concat([Buffer.from(GRANT), Buffer.alloc(5_000_000, " ")]);

  test.each<[string, string]>([
    ["to its end", ""],
    ["by a length of a petabyte", "content-length: 1000000000000000\r\n"],
  ])("is not read %s", async (_, length) => {
    const { url, sent } = await authority((socket) => {
      socket.write(`${OK}${length}\r\n`);
      flood(socket, BLANKS);
    });
    expect(await refreshed(url)).toEqual(passing(expect.not.stringMatching("timeout")));
    // Counts the bytes in the buffers between, too.
    expect(sent()).toBeLessThan(20_000_000);
  });

  test.each<[string, string, Buffer]>([
    ["plain", "", long],
    ["compressed a thousandfold", "content-encoding: gzip\r\n", gzipSync(long)],
    [
      "compressed further still",
      "content-encoding: br\r\n",
      brotliCompressSync(long, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
    ],
  ])("is no grant although it begins like one: %s", async (_, encoding, body) => {
    const { url } = await authority(says(`${OK}${encoding}content-length: ${body.length}\r\n\r\n`, body));
    expect(await refreshed(url)).toEqual(passing(expect.any(String)));
  });

  test("in its headers is not read to its end", async () => {
    const { url, sent } = await authority((socket) => {
      socket.write(OK);
      flood(socket, Buffer.from(`a: ${"b".repeat(1000)}\r\n`.repeat(100)));
    });
    expect(await refreshed(url)).toEqual(passing("network"));
    expect(sent()).toBeLessThan(20_000_000);
  });
});

describe("a broken answer of Webex is a transient failure (row 6)", () => {
  const half = gzipSync(GRANT).subarray(0, 20);
  test.each<[string, Answering]>([
    ["no answer at all", says("")],
    ["a reset", (socket) => socket.resetAndDestroy()],
    ["half the headers", says("HTTP/1.1 200 OK\r\ncontent-")],
    ["half the body", saysAndBreaks(`${OK}content-length: 100\r\n\r\n${GRANT}`)],
    ["less than the length says", says(`${OK}content-length: 100\r\n\r\n${GRANT}`)],
    ["more than the length says", says(`${OK}content-length: 5\r\n\r\n${GRANT}`)],
    ["two lengths", says(`${OK}content-length: 5\r\ncontent-length: 45\r\n\r\n${GRANT}`)],
    ["a length and chunks", says(`${OK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`)],
    ["a length below zero", says(`${OK}content-length: -1\r\n\r\n${GRANT}`)],
    ["chunks that are none", says(`${OK}transfer-encoding: chunked\r\n\r\nzz\r\n${GRANT}`)],
    ["no last chunk", saysAndBreaks(`${OK}transfer-encoding: chunked\r\n\r\n2d\r\n${GRANT}\r\n`)],
    ["half of what was compressed", says(`${OK}content-encoding: gzip\r\n\r\n`, half)],
    ["compressed, it says", says(`${OK}content-encoding: gzip\r\ncontent-length: 45\r\n\r\n${GRANT}`)],
    ["compressed in five layers", says(`${OK}content-encoding: gzip,br,gzip,br,gzip\r\n\r\n`, half)],
    ["HTTP/0.9", says(GRANT)],
    ["another protocol", says("SSH-2.0-OpenSSH_9.6\r\n")],
    ["TLS", says(Buffer.from("15030300020228", "hex"))],
    ["nothing but zeros", says(Buffer.alloc(1000))],
    ["a status of no digits", says(`HTTP/1.1 abc\r\n\r\n${GRANT}`)],
    ["a status of six digits", says(`HTTP/1.1 200200 OK\r\n\r\n${GRANT}`)],
    ["the status 0", says("HTTP/1.1 000 x\r\ncontent-length: 0\r\n\r\n")],
    ["the status 999", says("HTTP/1.1 999 x\r\ncontent-length: 0\r\n\r\n")],
    ["a header with a null byte", says(`${OK}a: \0\r\ncontent-length: 45\r\n\r\n${GRANT}`)],
    ["UTF-16", says(`${OK}\r\n`, Buffer.from(GRANT, "utf16le"))],
    ["bytes that are no UTF-8", says(`${OK}\r\n${BEGUN}"`, Buffer.from("fffe", "hex"), '"}')],
    ["a token with a line break", says(`${OK}\r\n{"access_token":"a\\nb"}`)],
    ["204 with a body", says(`HTTP/1.1 204 No Content\r\ncontent-length: 45\r\n\r\n${GRANT}`)],
    ["304", says("HTTP/1.1 304 Not Modified\r\n\r\n")],
    ["206, a part", says(`HTTP/1.1 206 x\r\ncontent-range: bytes 0-44/99\r\n\r\n${GRANT}`)],
    ["a redirect to nowhere", says("HTTP/1.1 302 x\r\nlocation: http://[\r\ncontent-length: 0\r\n\r\n")],
    [
      "a redirect to a file",
      says("HTTP/1.1 302 x\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n"),
    ],
    [
      "401 that asks for a password",
      says("HTTP/1.1 401 x\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n"),
    ],
    [
      "429 with two pauses",
      says("HTTP/1.1 429 x\r\nretry-after: 1\r\nretry-after: x\r\ncontent-length: 0\r\n\r\n"),
    ],
    [
      "429 with a pause of a googol",
      says(`HTTP/1.1 429 x\r\nretry-after: 1${"0".repeat(100)}\r\ncontent-length: 0\r\n\r\n`),
    ],
  ])("%s", async (_, answer) => {
    const { url } = await authority(answer);
    expect(await refreshed(url)).toEqual(passing(expect.any(String)));
  });

  test.each([301, 302, 303, 307, 308])("a redirect (%i), which is not followed", async (status) => {
    const other = await authority(says(whole));
    const { url } = await authority(
      says(`HTTP/1.1 ${status} x\r\nlocation: ${other.url}\r\ncontent-length: 0\r\n\r\n`),
    );
    expect(await refreshed(url)).toEqual(passing(`http_${status}`));
    expect(other.seen.requests).toBe(0);
  });
});

test.each<[string, Answering]>([
  ["as it is", says(whole)],
  ["after a preliminary answer", says(`HTTP/1.1 100 Continue\r\n\r\n${whole}`)],
  ["after early hints", says(`HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${whole}`)],
  ["of HTTP/1.0", says(`HTTP/1.0 200 OK\r\n\r\n${GRANT}`)],
  ["with a byte order mark", says(`${OK}\r\n\ufeff${GRANT}`)],
  [
    "in chunks of a byte",
    says(
      `${OK}transfer-encoding: chunked\r\n\r\n`,
      `${[...GRANT].map((one) => `1\r\n${one}\r\n`).join("")}0\r\n\r\n`,
    ),
  ],
  ["compressed", says(`${OK}content-encoding: gzip\r\n\r\n`, gzipSync(GRANT))],
  [
    "with odd headers",
    says(`${OK}set-cookie: a=\x80\r\nset-cookie: b\r\n__proto__: x\r\ncontent-length: 45\r\n\r\n${GRANT}`),
  ],
])("a grant is read %s", async (_, answer) => {
  const { url } = await authority(answer);
  expect(await refreshed(url)).toEqual({ grant: { accessToken: "made-up", expiresIn: 43_199 } });
});

test("a grant with any bytes changed is a grant or a transient failure", async () => {
  let bytes = Buffer.alloc(0);
  const { url } = await authority((socket) => socket.end(bytes));
  const good = Buffer.from(whole, "latin1");
  const edit = fc.tuple(fc.nat(good.length), fc.nat(6), fc.uint8Array({ maxLength: 6 }));
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
      bytes = good;
      for (const [at, dropped, put] of edits)
        bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + dropped)]);
      const verdict = await refreshed(url);
      if (verdict.grant === undefined) expect(verdict).toEqual(passing(expect.any(String)));
      else expect(verdict.grant.accessToken).toMatch(/^[\x21-\x7e]+$/);
    }),
    runs(60, 200),
  );
});
