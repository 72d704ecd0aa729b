import { createHash } from "node:crypto";
import { Command } from "commander";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { startAuthorization } from "../../functions/core/authorization.ts";
import type { RawFields } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { pageReply } from "../../functions/core/page.ts";
import { StoreUnavailable } from "../../functions/core/store.ts";
import { authorize } from "../../local/commands/authorize.ts";
import type { Context } from "../../local/commands/context.ts";
import { findDeployment } from "../../local/deployment.ts";
import { consent } from "../e2e/deployed.ts";
import { anyText, runs } from "../support/property.ts";
import {
  type Answer,
  CLIENT,
  SETTINGS,
  type Served,
  type ServedOptions,
  startServed,
} from "../support/served.ts";
import { expectStrict, FRAME, frameOf } from "../support/strict-page.ts";

/** Hostile requests to `/callback`: forged states, stolen codes, markup. */

const HTML = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
const BROWSER = { headers: HTML };
const MINUTE = 60_000;

/** The text of a page's paragraphs, as a browser shows it. */
function shownBy(page: string): string[] {
  const entities: Record<string, string> = {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&#39;": "'",
  };
  const paragraphs = [...page.matchAll(/<p>(.*?)<\/p>/gs)].map(([, paragraph = ""]) => paragraph);
  return paragraphs.map((paragraph) =>
    paragraph.replace(/&[^;]*;/g, (entity) => entities[entity] ?? "an unknown entity"),
  );
}

describe("a page of setup", () => {
  const unseen = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

  test("shows any text exactly, and none of it as markup", () => {
    const letters = fc.constantFrom(..."<>&\"'/=!-;#x \u0000\u202e\u2066\u200f\u2028\ufeff\ud83d\ude00é");
    const hostile = fc.oneof(anyText, fc.string({ unit: letters }));
    fc.assert(
      fc.property(hostile, hostile, (title, sentence) => {
        const page = String(pageReply(400, title, sentence).body);
        expect(frameOf(page)).toBe(FRAME);
        expect(shownBy(page)).toEqual([sentence.replace(unseen, "\ufffd")]);
      }),
      runs(60, 500),
    );
  });

  test("shows control and bidi characters as U+FFFD", () => {
    const text = "a\u202egnp.exe\u2066b\u0000c\u001b[31m\u0085d\u061c\u2028e\r\nf";
    const page = String(pageReply(200, text, text).body);
    expect(page).not.toMatch(unseen);
    expect(page.match(/\ufffd/g)).toHaveLength(3 * 9);
  });
});

describe("setup's answer to a browser", () => {
  let served: Served;
  const given = async (options: ServedOptions = {}) => {
    served = await startServed(options);
    await served.documents.create("tokens", "flow", SETTINGS);
  };
  afterEach(() => served.close());
  const back = (more = "", method = "GET") => served.setup(`/callback?${more}`, { ...BROWSER, method });
  const broken = (error: () => Error) => {
    served.outage.fail = error;
    return back("code=x&state=y");
  };

  const WAYS: [what: string, status: number, way: () => Promise<Answer>][] = [
    ["a consent", 200, async () => served.setup(await served.consent("flow"), BROWSER)],
    ["a mistake", 400, () => back()],
    ["a repeated parameter", 400, () => back("code=x&code=y&state=z")],
    ["a refused consent", 400, () => back("error=access_denied&error_description=no")],
    ["a forged state", 400, () => back("code=x&state=forged")],
    ["a state that was never set", 400, () => back("code=x&state=set_state_here")],
    [
      "a removed token",
      404,
      async () => {
        const address = await served.consent("flow");
        await served.store.remove("flow");
        return served.setup(address, BROWSER);
      },
    ],
    [
      "removed settings",
      409,
      async () => {
        const address = await served.consent("flow");
        await served.edit("flow", { clientSecret: "" });
        return served.setup(address, BROWSER);
      },
    ],
    [
      "a code that Webex refuses",
      409,
      async () => {
        const address = await served.consent("flow");
        return served.setup(address.replace(/code=[^&]+/, "code=made-up"), BROWSER);
      },
    ],
    [
      "tokens of another organization",
      409,
      async () => {
        await served.edit("flow", { orgId: "99999999-8888-7777-6666-555555555555" });
        return served.setup(await served.consent("flow"), BROWSER);
      },
    ],
    ["a bug", 500, () => broken(() => new TypeError("canary of a bug"))],
    ["a store that does not answer", 503, () => broken(() => new StoreUnavailable("made up"))],
    [
      "a failure of Webex",
      503,
      async () => {
        const address = await served.consent("flow");
        served.fault({ fault: "html-500", times: 1 });
        return served.setup(address, BROWSER);
      },
    ],
    ...["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"].map(
      (method): (typeof WAYS)[number] => [method, 405, () => back("code=x&state=y", method)],
    ),
  ];

  test.each(WAYS)("is a strict page for %s (%i)", async (_, status, way) => {
    await given();
    served.secrets.add("canary of a bug");
    const answer = await way();
    expect(answer.status).toBe(status);
    expectStrict(answer);
  });

  test("is strict for HEAD (405)", async () => {
    await given();
    const answer = await back("code=x&state=y", "HEAD");
    expect(answer).toMatchObject({ status: 405, text: "" });
    expectStrict(answer, false);
  });

  test("is a strict page after a consent with COMPAT=sample, and JSON for an error", async () => {
    await given({ sample: true });
    expectStrict(await served.setup(await served.consent("flow"), BROWSER));
    const refused = await back(`error=${encodeURIComponent("<b>")}`);
    expect(refused.headers["content-type"]).toBe("application/json; charset=utf-8");
  });

  const LONG = 12_000;
  const HOSTILE: [what: string, value: string][] = [
    ["a script", "<script>alert(1)</script>"],
    ["an attribute", `" autofocus onfocus="alert(1)`],
    ["the end of the page's style", "</style></title></p><svg/onload=alert(1)>"],
    ["a comment", "<!--><img src=x onerror=alert(1)>-->"],
    ["entities", "&lt;b&gt;&#60;b&#62;&NewLine;"],
    ["bidi characters", "\u202e\u2066evil\u2069\u200f"],
    ["null bytes", "a\u0000<\u0000b>\u0000"],
    ["line breaks", "a\r\nset-cookie: a=b\r\n\r\n<b>"],
    ["bytes that are not UTF-8", "%C0%BCscript%C0%BE%ff%fe%ed%a0%80"],
    ["UTF-7", "+ADw-script+AD4-alert(1)+ADw-/script+AD4-"],
    ["a template", "{{constructor.constructor('alert(1)')()}}#{alert(1)}<%= 1 %>"],
    ["an address", "javascript:alert(1)//https://evil.example/"],
    ["a prototype", "__proto__"],
    ["a long text", "<a>".repeat(LONG / 9)],
  ];
  /** Bytes that are not UTF-8 are sent unencoded. */
  const encoded = (value: string) => (value.includes("%C0") ? value : encodeURIComponent(value));

  test.each(HOSTILE)("has no parameter as markup, and no log line has its value: %s", async (_, value) => {
    await given();
    const text = encoded(value);
    const good = (await served.consent("flow")).split("?")[1] ?? "";
    const [code, state] = ["code", "state"].map((part) => new URLSearchParams(good).get(part));
    const queries = [
      `error=${text}`,
      `error=x&error_description=${text}`,
      `error=${text}&error_description=${text.slice(0, 500)}&error_uri=${text.slice(0, 500)}`,
      `code=x&state=${text}`,
      `code=${text}&state=forged`,
      `name=${text}`,
      `${text}=${text.slice(0, 500)}`,
      `code=x&state=y&${text}`,
      `code[]=${text}&state[]=${text.slice(0, 500)}`,
      `error[a]=${text}&code=x`,
      `code=${text.slice(0, 5000)}&code=${text.slice(0, 5000)}&state=${state}`,
      `error=${text.slice(0, 5000)}&error=${text.slice(0, 5000)}`,
      // Last, a real state with a code that Webex never issued.
      `code=${text}&state=${state}`,
    ];
    for (const query of queries) {
      const answer = await back(query);
      expect(answer.status, query).toBeGreaterThanOrEqual(400);
      expect(answer.status, query).toBeLessThan(500);
      expectStrict(answer);
      expect(answer.headers).not.toHaveProperty("a");
    }
    // A request's name is logged as the token and in the message, and nothing else of it.
    const logged = served.logs().flatMap(({ token, message, ...rest }) => Object.values(rest).map(String));
    for (const text of logged) {
      expect(text).not.toContain(value.slice(0, 60));
      expect(text).not.toContain(code);
    }
    expect(served.sandbox.authority.counters().authorization_code.received).toBe(1);
  });

  test("shows a token's name unchanged, whatever its characters", async () => {
    await given();
    const name = `<script>"'&\u202e`;
    await served.documents.create("tokens", name, SETTINGS);
    const answer = await served.setup(await served.consent(name), BROWSER);
    expectStrict(answer);
    expect(shownBy(answer.text)[0]).toBe(
      `Token "${name.replace("\u202e", "\ufffd")}" is authorized and will be kept fresh from now on.`,
    );
  });
});

describe("a state brought to setup", () => {
  let served: Served;
  afterEach(() => served.close());
  const exchanges = () => served.sandbox.authority.counters().authorization_code.received;
  const given = async (options: ServedOptions = {}) => {
    served = await startServed(options);
    await served.documents.create("tokens", "flow", SETTINGS);
    const address = await served.consent("flow");
    const query = new URLSearchParams(address.split("?")[1]);
    return { address, code: query.get("code") ?? "", state: query.get("state") ?? "" };
  };
  async function editState(state: string, fields: RawFields): Promise<void> {
    const id = sha256(state);
    const found = await served.documents.read("authorizations", id);
    await served.documents.update("authorizations", id, fields, found?.version ?? "");
  }
  const bring = (query: Record<string, string>) => served.setup(`/callback?${new URLSearchParams(query)}`);

  test("that resembles a real one is refused without a request to Webex, and the real one still works (row 10)", async () => {
    const { address, code, state } = await given();
    const forged = [
      state.slice(0, -1),
      `${state}=`,
      `${state} `,
      ` ${state}`,
      `${state}\u0000`,
      `${state}\u200b`,
      state.toUpperCase(),
      state.toLowerCase(),
      encodeURIComponent(encodeURIComponent(`${state}+`)),
      `${state},${state}`,
      sha256(state),
      `authorizations/${sha256(state)}`,
      Buffer.from(state).toString("base64"),
    ].filter((each) => each !== state);
    for (const each of forged) {
      served.secrets.add(each);
      expect(await bring({ code, state: each }), JSON.stringify(each)).toMatchObject({ status: 400 });
    }
    expect(exchanges()).toBe(0);
    expect((await served.setup(address)).status).toBe(200);
  });

  test.each<[string, (code: string, state: string) => string]>([
    ["is given twice", (code, state) => `code=${code}&state=${state}&state=${state}`],
    ["comes with a forged one", (code, state) => `code=${code}&state=forged&state=${state}`],
    ["comes with two codes", (code, state) => `code=${code}&code=forged&state=${state}`],
    ["is an array", (code, state) => `code[]=${code}&state[]=${state}`],
    ["is a field of an object", (code, state) => `code[a]=${code}&state[a]=${state}`],
    ["is spelt in capitals", (code, state) => `Code=${code}&State=${state}`],
    ["is after a semicolon", (code, state) => `x=1;code=${code};state=${state}`],
    ["comes without a code", (_, state) => `state=${state}`],
    ["comes with an empty code", (_, state) => `code=&state=${state}`],
    ["comes with an error", (code, state) => `code=${code}&state=${state}&error=access_denied`],
  ])("that %s is refused without a request to Webex, and still works (row 10)", async (_, queryOf) => {
    const { address, code, state } = await given();
    expect((await served.setup(`/callback?${queryOf(code, state)}`)).status).toBe(400);
    expect(exchanges()).toBe(0);
    expect((await served.setup(address)).status).toBe(200);
  });

  test("authorizes its own token, whatever name comes with it", async () => {
    const { address } = await given();
    await served.documents.create("tokens", "other", SETTINGS);
    expect((await served.setup(`${address}&name=other`)).status).toBe(200);
    expect(await served.document("other")).toEqual(SETTINGS);
    expect((await served.document("flow")).accessToken).toBeDefined();
  });

  test("that was used is refused with another code, by the token's name, and after its document is removed (row 10)", async () => {
    const { address, code, state } = await given();
    await served.setup(address);
    const before = await served.store.read("flow");
    for (const query of [
      { code, state },
      { code: "another", state },
      { code, state: "flow" },
    ])
      expect(await bring(query)).toMatchObject({ status: 400 });
    await served.documents.remove("authorizations", sha256(state));
    expect(await bring({ code, state })).toMatchObject({ status: 400 });
    expect(exchanges()).toBe(1);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test("that has ended is refused, whether or not its document was cleaned up (row 10)", async () => {
    const { code, state } = await given();
    await served.time.advance(15 * MINUTE);
    expect(await bring({ code, state })).toMatchObject({ status: 400 });
    await served.time.advance(24 * 60 * MINUTE);
    expect(await bring({ code, state })).toMatchObject({ status: 400 });
    expect(exchanges()).toBe(0);
    const stored = await served.documents.read("authorizations", sha256(state));
    expect(stored?.fields).not.toHaveProperty("usedAt");
  });

  test.each<[string, (now: number) => RawFields]>([
    ["has ended", (now) => ({ expires: new Date(now - 1) })],
    ["has ended long ago", (now) => ({ expires: new Date(now - 400 * 24 * 60 * MINUTE) })],
    ["was used", (now) => ({ usedAt: new Date(now - 1) })],
    ["has a usedAt that is no time", () => ({ usedAt: false })],
    ["has no end", () => ({ expires: undefined })],
    ["has an end that is no time", () => ({ expires: "never" })],
    ["has no name", () => ({ name: undefined })],
    ["has a name that is not a string", () => ({ name: { a: "flow" } })],
    ["names a token that does not exist", () => ({ name: "missing" })],
  ])("that %s is refused without a request to Webex (row 10)", async (_, spoil) => {
    const { address, state } = await given();
    await editState(state, spoil(served.time.now()));
    const before = await served.store.read("flow");
    expect([400, 404]).toContain((await served.setup(address)).status);
    expect(exchanges()).toBe(0);
    expect(await served.store.read("flow")).toEqual(before);
  });

  test("admits another organization only if its newOrg is true, not a string", async () => {
    const { address, state } = await given();
    const orgId = "99999999-8888-7777-6666-555555555555";
    await served.edit("flow", { orgId });
    await editState(state, { newOrg: "true" });
    expect((await served.setup(address)).status).toBe(409);
    const document = await served.document("flow");
    expect(document).not.toHaveProperty("accessToken");
    expect(document).toMatchObject({ orgId });
  });

  test("is used up by a failed exchange: its code is not tried again", async () => {
    const { address } = await given();
    served.fault({ fault: "500", times: 1 });
    expect((await served.setup(address)).status).toBe(503);
    expect((await served.setup(address)).status).toBe(400);
    expect(exchanges()).toBe(1);
  });

  test("admits no other organization because of a parameter", async () => {
    const { address } = await given();
    await served.edit("flow", { orgId: "99999999-8888-7777-6666-555555555555" });
    for (const more of ["&newOrg=true", "&new-org=true", "&orgId=11111111-2222-3333-4444-555555555555"]) {
      const again = await served.consent("flow");
      const answer = await served.setup(`${again}${more}`);
      expect(answer).toMatchObject({
        status: 409,
        body: { message: expect.stringContaining("another org") },
      });
    }
    expect((await served.setup(address)).status).toBe(409);
    expect(await served.document("flow")).not.toHaveProperty("accessToken");
  });

  describe("with PKCE", () => {
    /** Code and state of a new consent. */
    const parts = async (pkce: boolean) => {
      const query = new URLSearchParams((await served.consent("flow", { pkce })).split("?")[1]);
      return { code: query.get("code") ?? "", state: query.get("state") ?? "" };
    };

    test.each([
      ["with PKCE for a state without", true, false],
      ["without PKCE for a state with", false, true],
      ["of another state with PKCE", true, true],
    ])("is refused with a code %s, and nothing is stored", async (_, codeWith, stateWith) => {
      await given();
      const [{ code }, { state }] = [await parts(codeWith), await parts(stateWith)];
      expect(await bring({ code, state })).toMatchObject({ status: 409 });
      expect(await served.document("flow")).toEqual(SETTINGS);
    });

    test("has the verifier's S256 hash in the address, not the verifier", async () => {
      await given();
      const store = served.store;
      const token = await store.read("flow");
      if (token === undefined) throw new Error("it was just made");
      const options = { webexUrl: "https://webex.example/v1", pkce: true, newOrg: false };
      const url = await startAuthorization(token, options, { store, runtime: served.runtime });
      const state = url.searchParams.get("state") ?? "";
      const { verifier } = (await served.documents.read("authorizations", sha256(state)))?.fields ?? {};
      expect(verifier).toMatch(/^[A-Za-z0-9_-]{43}$/);
      expect(url.href).not.toContain(verifier);
      expect(state).not.toBe(verifier);
      const challenge = createHash("sha256").update(String(verifier)).digest("base64url");
      expect(url.searchParams.get("code_challenge")).toBe(challenge);
      expect(url.searchParams.get("code_challenge_method")).toBe("S256");
    });

    test.each([
      ["authorize flow --json", true],
      ["authorize flow --json --no-pkce", false],
    ])("is made by the command %j with PKCE: %s", async (line, pkce) => {
      await given();
      const { documents } = served;
      const printed: { url: string }[] = [];
      const terminal = { json: (value: { url: string }) => printed.push(value), remark: () => {} };
      const found = findDeployment({ STORE: "unused", WEBEX_URL: served.bases.webex }, false);
      const deployment = { ...found, open: async () => ({ ...documents, close: async () => {} }) };
      await served.edit("flow", { scopes: CLIENT.scopes.join(" ") });
      const program = new Command().exitOverride();
      authorize(program, {
        env: {},
        deployment: () => deployment,
        terminal: terminal as unknown as Context["terminal"],
        runtime: served.runtime,
        signal: new AbortController().signal,
      });
      await program.parseAsync(line.split(" "), { from: "user" });
      const url = new URL(printed[0]?.url ?? "nowhere:");
      expect(url.searchParams.has("code_challenge")).toBe(pkce);
      expect(url.searchParams.has("code_challenge_method")).toBe(pkce);
      const state = url.searchParams.get("state") ?? "";
      const stored = (await documents.read("authorizations", sha256(state)))?.fields;
      expect(stored).toMatchObject({ name: "flow" });
      expect(stored !== undefined && "verifier" in stored).toBe(pkce);
      const { pathname, search } = await consent(url);
      expect((await served.setup(`${pathname}${search}`)).status).toBe(200);
    });
  });
});
