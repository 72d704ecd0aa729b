import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { HOUR } from "../../functions/core/time.ts";
import { type Running, startFunction, stopAll, temporaryFolder } from "../support/processes.ts";
import { runs } from "../support/property.ts";
import { type Exchange, exchange, type WireAnswer } from "./wire.ts";

/** The HTTP edge of the built functions against any bytes that a client can send. */

const PASSPHRASE = "canary-passphrase-of-the-edge";
const TOKEN = "canary-live-token";
const SECRET = "canary-of-a-body";
/** 5 MB of JSON whitespace. */
const BOMB = gzipSync(Buffer.alloc(5_000_000, " "));

type Name = "lookup" | "refresher" | "setup";
const NAMES: readonly Name[] = ["lookup", "refresher", "setup"];

/** Every status of the contract but 500 (design, section 2). */
const CONTRACT: Record<Name, readonly number[]> = {
  lookup: [200, 307, 400, 401, 404, 405, 409, 503],
  refresher: [200, 400, 404, 405, 503],
  setup: [200, 400, 401, 404, 405, 409, 503],
};
/** Statuses of node's own answers to malformed HTTP. */
const OF_THE_PARSER = [400, 408, 413, 417, 431];

/** A request of each function that is good, and its answer. */
const GOOD: Record<Name, { line: string; status: number }> = {
  lookup: { line: "GET /?name=t", status: 200 },
  refresher: { line: "POST /?name=t", status: 200 },
  setup: { line: "GET /init?name=t", status: 409 },
};

const CREDENTIALS = `host: x\r\nx-token-passphrase: ${PASSPHRASE}\r\n`;
const goodRequest = (name: Name, connection = "close") =>
  `${GOOD[name].line} HTTP/1.1\r\n${CREDENTIALS}connection: ${connection}\r\n\r\n`;

let running: Record<Name, Running>;
beforeAll(async () => {
  const file = join(await temporaryFolder(), "tokens.db");
  const store = openSqlite(file, Date.now);
  await store.create("tokens", "t", { accessToken: TOKEN, accessExpires: Date.now() + HOUR, static: true });
  await store.close();
  const nowhere = "http://127.0.0.1:1";
  const env = {
    STORE: file,
    TOKEN_PASSPHRASE: PASSPHRASE,
    REFRESHER_URL: nowhere,
    SETUP_URL: nowhere,
    WEBEX_URL: nowhere,
  };
  const [lookup, refresher, setup] = await Promise.all(NAMES.map((name) => startFunction(name, env)));
  if (lookup === undefined || refresher === undefined || setup === undefined) throw new Error("not started");
  running = { lookup, refresher, setup };
});
afterAll(stopAll);

/** After any earlier request, the function still answers a good one. */
async function expectServing(name: Name): Promise<void> {
  const { answers } = await exchange(running[name].port, goodRequest(name));
  expect(answers.map(({ status }) => status)).toEqual([GOOD[name].status]);
}

/** The function's own answer has the form of the contract, and the token only with a 200. */
function expectContract(name: Name, answer: WireAnswer, head = false): void {
  const { status, headers, body } = answer;
  expect(CONTRACT[name]).toContain(status);
  expect(headers["cache-control"]).toBe("no-store");
  if (status === 307 || head) expect(body).toBe("");
  if (status === 200 || body === "") return;
  const told = JSON.parse(body);
  expect(told).toEqual({
    status: String(status),
    message: expect.any(String),
    reference: expect.any(String),
  });
  expect(body).not.toContain(TOKEN);
}

/** Node's own refusal has no body, and closes. */
const isOfTheParser = ({ status, headers, body }: WireAnswer) =>
  OF_THE_PARSER.includes(status) &&
  headers["cache-control"] === undefined &&
  body.replace("0\r\n\r\n", "") === "";

const expectAnswered = (name: Name, { answers, closed }: Exchange, head = false) => {
  expect(closed).toBe(true);
  for (const answer of answers) if (!isOfTheParser(answer)) expectContract(name, answer, head);
};

const visible = fc.stringMatching(/^[\x21-\x7e]{0,40}$/);
/** Parts of a query: plain, percent-encoded, or percent-encoded wrongly. */
const word = fc.oneof(
  fc.constantFrom(
    "t",
    "t ",
    "%00",
    "%",
    "%E0%A4%A",
    "%ff%fe",
    "%ED%A0%80",
    "..",
    "%2e%2e%2f",
    "a/b",
    "__t__",
    "__proto__",
    "constructor",
    "toString",
    "1e9",
    "-1",
    "0x10",
    "99999999999999999999",
    "NaN",
    "[object Object]",
    "%0d%0aset-cookie:%20a=b",
    "<script>",
    "%F0%9F%94%91",
    "x".repeat(1501),
    "f".repeat(64),
  ),
  visible.map((text) => text.replaceAll("#", "")),
  fc.string({ unit: "binary" }).map((text) => encodeURIComponent(text.toWellFormed())),
);
const key = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...["name", "name", "name", "name[]", "name[x]", "name[__proto__]", "__proto__", "__proto__[name]"],
      ...["minTtl", "wait", "details", "code", "state", "error", "error_description", "ifToken", "Name", ""],
    ),
  },
  { weight: 1, arbitrary: word },
);
const query = fc
  .array(fc.tuple(key, fc.option(word, { nil: undefined })), { maxLength: 6 })
  .map((pairs) => pairs.map(([name, value]) => (value === undefined ? name : `${name}=${value}`)).join("&"));
const path = fc.oneof(
  fc.constantFrom(
    ...["/", "/", "/callback", "/init", "/census", "/health", "//", "//evil.example/", "/../..", "/./init"],
    ...["/%2e%2e/etc", "/%", "/%00", "/init/", "/INIT", "/callback%2f", "/favicon.icon", "/\\", "/;a=b", "*"],
    ...[
      "http://evil.example/init",
      "https://a:b@evil.example:99999/",
      "http://",
      "http://[::1/",
      "x:y",
      "/a//b",
    ],
  ),
  visible.map((text) => `/${text.replaceAll(/[?#]/g, "")}`),
);
const value = fc.oneof(
  fc.constantFrom(
    ...[
      "",
      " ",
      PASSPHRASE,
      `${PASSPHRASE}x`,
      TOKEN,
      `Bearer ${TOKEN}`,
      "Basic Og==",
      "Basic %%%",
      "text/html",
    ],
    ...[
      "Basic",
      "null",
      "*",
      "x".repeat(4000),
      "1, 2",
      "a=b; c",
      "\xff\xfe",
      `Basic ${btoa(`u:${PASSPHRASE}`)}`,
    ],
  ),
  fc.stringMatching(/^[\x20-\x7e\x80-\xff]{0,60}$/),
);
const header = fc.tuple(
  fc.oneof(
    fc.constantFrom(
      ...["x-token-passphrase", "authorization", "x-token-rejected", "x-cloud-trace-context", "traceparent"],
      ...[
        "x-forwarded-for",
        "origin",
        "accept",
        "accept-encoding",
        "cookie",
        "content-type",
        "content-encoding",
      ],
      ...[
        "function-execution-id",
        "x-http-method-override",
        "x-original-url",
        "forwarded",
        "range",
        "te",
        "via",
      ],
      ...["if-none-match", "access-control-request-method", "upgrade", "ce-id", "ce-type", "__proto__"],
    ),
    fc
      .stringMatching(/^[a-z-]{1,20}$/)
      .filter((name) => !/^(host|connection|expect|.*-length|.*-encoding)$/.test(name)),
  ),
  value,
);
const METHODS = [
  "GET",
  "GET",
  "GET",
  "HEAD",
  "POST",
  "POST",
  "PUT",
  "DELETE",
  "PATCH",
  "OPTIONS",
  "TRACE",
  "QUERY",
];
/** A body, with headers that match it or do not. */
const body = fc.constantFrom<[string, string]>(
  ["", ""],
  ["", ""],
  ["content-length: 0\r\n", ""],
  [`content-length: ${SECRET.length}\r\n`, SECRET],
  [`content-length: 5\r\n`, SECRET],
  [`content-length: 5000\r\n`, SECRET],
  [`content-length: 99999999999999999999999\r\n`, SECRET],
  [`content-length: -1\r\n`, SECRET],
  [`content-length: 1\r\ncontent-length: 2\r\n`, SECRET],
  [`content-length: 5\r\ntransfer-encoding: chunked\r\n`, "0\r\n\r\n"],
  ["transfer-encoding: chunked\r\n", `${SECRET.length.toString(16)}\r\n${SECRET}\r\n0\r\n\r\n`],
  ["transfer-encoding: chunked\r\n", `ffffffffffffffffff\r\n${SECRET}\r\n0\r\n\r\n`],
  ["transfer-encoding: chunked\r\n", `-1\r\n${SECRET}\r\n0\r\n\r\n`],
  ["transfer-encoding: chunked\r\n", `10\r\n${SECRET}`],
  ["transfer-encoding: chunked\r\n", `5;${"x".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`],
  ["transfer-encoding: chunked\r\n", `0\r\n${"trailer: x\r\n".repeat(50)}\r\n`],
  ["transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"],
  ["transfer-encoding: xchunked\r\n", SECRET],
  [`content-type: application/json\r\ncontent-length: 21\r\n`, '{"canary-of-a-body": '],
  [`content-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 16\r\n`, SECRET],
  [`content-type: application/x-www-form-urlencoded\r\ncontent-length: 13\r\n`, "__proto__[a]="],
  [`content-type: multipart/form-data; boundary=\r\ncontent-length: 4\r\n`, "----"],
  [`expect: 100-continue\r\ncontent-length: 5\r\n`, "hello"],
  [`expect: canary\r\n`, ""],
);
const request = fc.record({
  method: fc.constantFrom(...METHODS),
  path,
  query,
  version: fc.constantFrom("1.1", "1.1", "1.1", "1.0"),
  known: fc.boolean(),
  headers: fc.array(header, { maxLength: 5 }),
  body,
});

type Parts = typeof request extends fc.Arbitrary<infer T> ? T : never;

function bytesOf({ method, path, query, version, known, headers, body: [framing, content] }: Parts): Buffer {
  const target = query === "" ? path : `${path}?${query}`;
  const given = headers.map(([name, text]) => `${name}: ${text}\r\n`).join("");
  const credentials = known ? CREDENTIALS : "host: x\r\n";
  const head = `${method} ${target} HTTP/${version}\r\n${credentials}${given}${framing}connection: close\r\n\r\n`;
  return Buffer.from(`${head}${content}`, "latin1");
}

describe.each(NAMES)("%s", (name) => {
  const port = () => running[name].port;
  afterEach(() => expectServing(name));

  test("answers requests of odd parts by its contract", async () => {
    await fc.assert(
      fc.asyncProperty(request, async (parts) => {
        const came = await exchange(port(), bytesOf(parts));
        expect(came.answers.length).toBeGreaterThan(0);
        expectAnswered(name, came, parts.method === "HEAD");
        if (
          !parts.known &&
          !parts.headers.some(([, text]) => text.includes(PASSPHRASE) || text.startsWith("Basic"))
        )
          expect(came.raw).not.toContain(TOKEN);
      }),
      runs(100, 400),
    );
  });

  test("answers a good request with some wrong bytes by its contract, or closes", async () => {
    const whole = Buffer.from(goodRequest(name), "latin1");
    const edit = fc.tuple(fc.nat(whole.length), fc.nat(4), fc.uint8Array({ maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        let bytes = whole;
        for (const [at, dropped, put] of edits)
          bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + dropped)]);
        // The good request at the end closes what the edits left open; what stays open is not waited for.
        const { answers } = await exchange(port(), Buffer.concat([bytes, whole]), 100);
        for (const answer of answers) if (!isOfTheParser(answer)) expectContract(name, answer);
      }),
      runs(50, 200),
    );
  });

  test("answers bytes that are not HTTP with 400, or closes", async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 200 }),
      fc
        .constantFrom("16030100a00100009c0303", "5353482d322e300d0a", "00", "0d0a0d0a0d0a", "ff".repeat(99))
        .map((hex) => Buffer.from(hex, "hex")),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (bytes) => {
        const { answers } = await exchange(
          port(),
          Buffer.concat([bytes, Buffer.from(goodRequest(name))]),
          100,
        );
        for (const answer of answers) if (!isOfTheParser(answer)) expectContract(name, answer);
      }),
      runs(25, 100),
    );
  });

  test("survives malformed and oversized requests", async () => {
    for (const [what, bytes] of [
      ["a request of HTTP/0.9", `${GOOD.lookup.line}\r\n\r\n`],
      ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
      ["CONNECT", `CONNECT evil.example:443 HTTP/1.1\r\n${CREDENTIALS}\r\n`],
      ["an unknown method", `CANARY / HTTP/1.1\r\n${CREDENTIALS}\r\n`],
      ["no host", "GET /?name=t HTTP/1.1\r\n\r\n"],
      ["a folded header", `GET /?name=t HTTP/1.1\r\n${CREDENTIALS}a: b\r\n c\r\nconnection: close\r\n\r\n`],
      ["a bare line feed", `GET /?name=t HTTP/1.1\nhost: x\nconnection: close\n\n`],
      ["a null byte in the path", `GET /\u0000?name=t HTTP/1.1\r\n${CREDENTIALS}connection: close\r\n\r\n`],
      [
        "a null byte in a header",
        `GET /?name=t HTTP/1.1\r\n${CREDENTIALS}a: \u0000\r\nconnection: close\r\n\r\n`,
      ],
      [
        "an upgrade",
        `GET /?name=t HTTP/1.1\r\n${CREDENTIALS}connection: upgrade, close\r\nupgrade: websocket\r\n\r\n`,
      ],
      ["an address of 100 kB", `GET /?name=${"x".repeat(100_000)} HTTP/1.1\r\n${CREDENTIALS}\r\n`],
      ["a header of 100 kB", `GET /?name=t HTTP/1.1\r\n${CREDENTIALS}a: ${"x".repeat(100_000)}\r\n\r\n`],
      ["ten thousand headers", `GET /?name=t HTTP/1.1\r\n${CREDENTIALS}${"a:b\r\n".repeat(10_000)}\r\n`],
      [
        "six thousand parameters",
        `GET /?${"a&".repeat(6000)} HTTP/1.1\r\n${CREDENTIALS}connection: close\r\n\r\n`,
      ],
    ] as const) {
      expectAnswered(name, await exchange(port(), bytes));
      await expectServing(name).catch((error) => expect.unreachable(`after ${what}: ${error}`));
    }
  });

  test("answers a large or compressed body without parsing it", async () => {
    const head = (more: string, length: number) =>
      `POST /?name=t HTTP/1.1\r\nhost: x\r\n${more}\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n`;
    for (const [header, body] of [
      ["content-type: application/json", Buffer.alloc(2_000_000, "[")],
      ["content-type: application/json\r\ncontent-encoding: gzip", BOMB],
    ] as const) {
      const bytes = Buffer.concat([Buffer.from(head(header, body.length)), body]);
      expectAnswered(name, await exchange(port(), bytes));
    }
  });

  test("answers fifty pipelined requests in order", async () => {
    const many = `${goodRequest(name, "keep-alive").repeat(49)}${goodRequest(name)}`;
    const { answers } = await exchange(port(), many);
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(GOOD[name].status));
  });

  test("answers others while a hundred clients have sent half of their headers or bodies", async () => {
    const head = `POST / HTTP/1.1\r\n${CREDENTIALS}content-length: 1000000\r\n`;
    const sockets: Socket[] = Array.from({ length: 100 }, (_, index) => {
      const socket = connect({ port: port(), host: "127.0.0.1" }).on("error", () => {});
      socket.write(index % 2 === 0 ? head : "GET / HTTP/1.1\r\n");
      return socket;
    });
    for (let round = 0; round < 5; round++) {
      for (const socket of sockets) socket.write("a");
      await expectServing(name);
    }
    for (const socket of sockets) socket.destroy();
  });
});

test("every line of every log is JSON, without a secret, a body, a bug or a stack", () => {
  for (const name of NAMES) {
    const lines = running[name].output();
    const text = lines.join("\n");
    for (const secret of [PASSPHRASE, TOKEN, SECRET]) expect(text).not.toContain(secret);
    for (const line of lines) expect(JSON.parse(line)).not.toMatchObject({ event: "bug" });
  }
});
