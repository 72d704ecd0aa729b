import { afterEach, describe, expect, test } from "vitest";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { type Served, type ServedOptions, startServed } from "../support/served.ts";
import { expectProblem, FRESH, withHeaders } from "./lookups.ts";

/** What surrounds a lookup: methods, CORS, the other paths, the reference of an error, bugs. */

let served: Served;
const given = async (options: ServedOptions = {}) => {
  served = await startServed(options);
};
afterEach(() => served.close());

describe("methods and CORS", () => {
  test.each(["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("%s is 405", async (method) => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(
      await served.ask("/?name=flow", { method }),
      405,
      new RegExp(`takes GET, HEAD, not ${method}`),
    );
  });

  test("without CORS_ORIGINS no answer has a CORS header", async () => {
    await given();
    await served.hold("flow", FRESH);
    for (const method of ["GET", "OPTIONS"]) {
      const answer = await served.ask("/?name=flow", {
        method,
        ...withHeaders({ origin: "https://desk.example" }),
      });
      expect(Object.keys(answer.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  });

  test("a listed origin may ask, and see the answer and the headers", async () => {
    await given({ corsOrigins: ["https://desk.example", "https://other.example"] });
    await served.hold("flow", FRESH);
    const origin = "https://desk.example";
    const preflight = await served.ask("/?name=flow", { method: "OPTIONS", headers: { origin } });
    expect(preflight.status).toBe(204);
    expect(preflight.text).toBe("");
    expect(preflight.headers).toMatchObject({
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, HEAD",
      "access-control-allow-headers": expect.stringContaining("x-token-passphrase"),
      "cache-control": "no-store",
      vary: "origin",
    });
    for (const path of ["/?name=flow", "/?name=none"]) {
      const { headers } = await served.ask(path, withHeaders({ origin }));
      expect(headers).toMatchObject({ "access-control-allow-origin": origin, vary: "origin" });
      expect(headers["access-control-expose-headers"]).toContain("x-token-expires-in");
    }
  });

  test.each(["https://evil.example", "https://desk.example.evil.example", "http://desk.example", "null"])(
    "the origin %s that is not listed gets no permission",
    async (origin) => {
      await given({ corsOrigins: ["https://desk.example"] });
      await served.hold("flow", FRESH);
      for (const method of ["GET", "OPTIONS"]) {
        const { headers } = await served.ask("/?name=flow", { method, ...withHeaders({ origin }) });
        expect(headers).not.toHaveProperty("access-control-allow-origin");
        expect(headers.vary).toBe("origin");
      }
    },
  );
});

describe("other paths", () => {
  test("/health answers without passphrase", async () => {
    await given();
    const answer = await served.ask("/health", { headers: {} });
    expect(answer.status).toBe(200);
    expect(answer.headers["cache-control"]).toBe("no-store");
  });

  test("/health answers while the store is down, and never asks it", async () => {
    await given();
    let asked = 0;
    served.outage.fail = () => {
      asked++;
      return new StoreUnavailable("down");
    };
    expect((await served.ask("/health", { headers: {} })).status).toBe(200);
    expect(asked).toBe(0);
  });

  test.each(["/init?name=a%26b", "/callback?code=c%2Bd&state=s%3D%3D%20t", "/callback"])(
    "%s goes on to setup with its query",
    async (path) => {
      await given();
      const answer = await served.ask(path, { headers: {} });
      expect(answer.status).toBe(307);
      const to = new URL(answer.headers.location ?? "nowhere:");
      const from = new URL(path, served.bases.lookup);
      expect(to.origin).toBe(served.bases.setup);
      expect(to.pathname).toBe(from.pathname);
      expect([...to.searchParams]).toEqual([...from.searchParams]);
      expect(answer.headers["cache-control"]).toBe("no-store");
    },
  );

  test("/init by POST goes on as a POST", async () => {
    await given();
    expect((await served.ask("/init?name=x", { method: "POST", headers: {} })).status).toBe(307);
  });

  test("without SETUP_URL they are not found", async () => {
    await given({ withoutSetupUrl: true });
    expectProblem(await served.ask("/init?name=x"), 404, /setup/);
    expectProblem(await served.ask("/callback?code=x&state=y"), 404, /setup/);
  });
});

describe("the reference", () => {
  const trace = "0123456789abcdef0123456789abcdef";

  test.each<[string, Record<string, string>]>([
    ["x-cloud-trace-context", { "x-cloud-trace-context": `${trace}/123;o=1` }],
    ["x-cloud-trace-context without a span", { "x-cloud-trace-context": trace }],
    ["traceparent", { traceparent: `00-${trace}-0123456789abcdef-01` }],
  ])("is Cloud's trace id of %s, in the answer and in the log line", async (_, headers) => {
    await given();
    const answer = await served.ask("/?name=none", withHeaders(headers));
    expect(answer.body.reference).toBe(trace);
    expect(served.logs().at(-1)).toMatchObject({ reference: trace, code: "not_found", token: "none" });
  });

  test.each([{ "x-cloud-trace-context": "<script>" }, { traceparent: "00-short-x-01" }, {}])(
    "is random otherwise (%j), and in the log line too",
    async (headers) => {
      await given();
      const one = await served.ask("/?name=none", withHeaders(headers));
      const other = await served.ask("/?name=none", withHeaders(headers));
      expectProblem(one, 404, /none/);
      expect(one.body.reference).not.toBe(other.body.reference);
      expect(served.logs().map(({ reference }) => reference)).toEqual([
        one.body.reference,
        other.body.reference,
      ]);
    },
  );

  test("every error of lookup is logged with it", async () => {
    await given();
    await served.hold("dead", 0, { refreshToken: undefined });
    const paths = ["/", "/?name=none", "/?name=dead", "/?name=dead&wait=x"];
    for (const path of paths) {
      const { body } = await served.ask(path);
      expect(served.logs().at(-1)?.reference, path).toBe(body.reference);
    }
  });

  test("the caller in the log line is the last of x-forwarded-for, which the platform writes", async () => {
    await given();
    await served.ask("/?name=none", withHeaders({ "x-forwarded-for": "1.2.3.4, 5.6.7.8" }));
    expect(served.logs().at(-1)?.caller).toBe("5.6.7.8");
  });
});

describe("a bug", () => {
  test("is a generic 500, and its message is in no log line", async () => {
    await given();
    served.secrets.add("canary-in-an-error-message");
    served.outage.fail = () => new TypeError("canary-in-an-error-message");
    const answer = await served.ask("/?name=flow");
    expectProblem(answer, 500, /^something went wrong here: please report the reference$/);
    expect(served.logs().at(-1)).toMatchObject({
      severity: "CRITICAL",
      event: "bug",
      reference: answer.body.reference,
      where: expect.stringMatching(/^TypeError at /),
    });
  });

  test("whose message has lines like a stack's is in no log line either", async () => {
    await given();
    served.secrets.add("canary-in-an-error-message");
    served.outage.fail = () => new Error("first\n    at canary-in-an-error-message (x:1:1)");
    expectProblem(await served.ask("/?name=flow"), 500, /something went wrong here/);
  });

  test("that throws something that is no Error is a generic 500 too", async () => {
    await given();
    served.outage.fail = () => "canary-in-an-error-message" as unknown as Error;
    served.secrets.add("canary-in-an-error-message");
    expectProblem(await served.ask("/?name=flow"), 500, /something went wrong here/);
  });
});
