import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { Command } from "commander";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { runtime } from "../../functions/adapters/runtime.ts";
import { startAuthorization } from "../../functions/core/authorization.ts";
import type { RawFields } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { pageReply } from "../../functions/core/page.ts";
import { StoreUnavailable, tokenStore } from "../../functions/core/store.ts";
import { authorize } from "../../local/commands/authorize.ts";
import type { Context } from "../../local/commands/context.ts";
import { findDeployment } from "../../local/deployment.ts";
import { consent, firestorePlace, newClient, type Place, sqlitePlace, until } from "../e2e/deployed.ts";
import { type Running, type Sandbox, startFunction, startSandbox, stopAll } from "../support/processes.ts";
import {
  type Answer,
  CLIENT,
  PASSPHRASE,
  SETTINGS,
  type Served,
  type ServedOptions,
  startServed,
} from "../support/served.ts";

/** What somebody who wants another's tokens, or another's browser, sends to `/callback`. */

afterAll(stopAll);

const HTML = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
const BROWSER = { headers: HTML };
const MINUTE = 60_000;

type Seen = Pick<Answer, "status" | "text"> & { headers: Readonly<Record<string, unknown>> };

/** An answer in HTML that nothing can be done with but to read it. */
function expectStrict({ status, headers, text }: Seen, body = true): void {
  const style = /<style>(.*?)<\/style>/s.exec(text)?.[1] ?? "";
  const hash = createHash("sha256").update(style).digest("base64");
  const policy = String(headers["content-security-policy"])
    .split(";")
    .map((directive) => directive.trim());
  expect(policy.filter((directive) => !directive.startsWith("style-src")).sort()).toEqual([
    "base-uri 'none'",
    "default-src 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]);
  if (body) expect(policy).toContain(`style-src 'sha256-${hash}'`);
  expect(policy).toHaveLength(5);
  expect(headers).toMatchObject({
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  });
  for (const header of ["set-cookie", "location", "refresh", "link", "x-powered-by", "server"])
    expect(headers, header).not.toHaveProperty(header);
  if (status === 405) expect(headers).toHaveProperty("allow", "GET");
  if (status === 503 && text.includes("store")) expect(headers).toHaveProperty("retry-after");
  if (body) expect(frameOf(text)).toBe(FRAME);
}

/** The page without what it says: always the same. */
const frameOf = (page: string) =>
  page.replace(/<(p|title|h1)>[^<>"']*<\/\1>/g, "<$1></$1>").replace(/(<p><\/p>)+/, "<p></p>");
const FRAME = frameOf(String(pageReply(200, "", "").body));

/** What a browser shows of a page: the text of its paragraphs. */
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

describe("a page", () => {
  const unseen = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

  test("says exactly what it is given, whatever that is, and nothing of it becomes markup", () => {
    const letters = fc.constantFrom(..."<>&\"'/=!-;#x \u0000\u202e\u2066\u200f\u2028\ufeff\ud83d\ude00é");
    const hostile = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: letters }));
    fc.assert(
      fc.property(hostile, hostile, (title, sentence) => {
        const page = String(pageReply(400, title, sentence).body);
        expect(frameOf(page)).toBe(FRAME);
        expect(shownBy(page)).toEqual([sentence.replace(unseen, "\ufffd")]);
      }),
      { numRuns: 500 },
    );
  });

  test("has no character that turns the text around it, or that can't be seen", () => {
    const text = "a\u202egnp.exe\u2066b\u0000c\u001b[31m\u0085d\u061c\u2028e\r\nf";
    const page = String(pageReply(200, text, text).body);
    expect(page).not.toMatch(unseen);
    expect(page.match(/\ufffd/g)).toHaveLength(3 * 9);
  });
});

describe("every answer to a browser", () => {
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
    ["what went well", 200, async () => served.setup(await served.consent("flow"), BROWSER)],
    ["a mistake", 400, () => back()],
    ["a repeated parameter", 400, () => back("code=x&code=y&state=z")],
    ["a refused consent", 400, () => back("error=access_denied&error_description=no")],
    ["a forged state", 400, () => back("code=x&state=forged")],
    ["a state that was never set", 400, () => back("code=x&state=set_state_here")],
    [
      "a token that is gone",
      404,
      async () => {
        const address = await served.consent("flow");
        await served.store.remove("flow");
        return served.setup(address, BROWSER);
      },
    ],
    [
      "settings that are gone",
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
    ["the store away", 503, () => broken(() => new StoreUnavailable("made up"))],
    [
      "Webex away",
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

  test.each(WAYS)("is as strict as can be: %s (%i)", async (_, status, way) => {
    await given();
    served.secrets.add("canary of a bug");
    const answer = await way();
    expect(answer.status).toBe(status);
    expectStrict(answer);
  });

  test("is as strict as can be: HEAD (405)", async () => {
    await given();
    const answer = await back("code=x&state=y", "HEAD");
    expect(answer).toMatchObject({ status: 405, text: "" });
    expectStrict(answer, false);
  });

  test("is as strict as can be where it answers as the sample does", async () => {
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
    ["text that is turned", "\u202e\u2066evil\u2069\u200f"],
    ["null bytes", "a\u0000<\u0000b>\u0000"],
    ["line breaks", "a\r\nset-cookie: a=b\r\n\r\n<b>"],
    ["overlong UTF-8, and other bytes that are none", "%C0%BCscript%C0%BE%ff%fe%ed%a0%80"],
    ["UTF-7", "+ADw-script+AD4-alert(1)+ADw-/script+AD4-"],
    ["a template", "{{constructor.constructor('alert(1)')()}}#{alert(1)}<%= 1 %>"],
    ["an address", "javascript:alert(1)//https://evil.example/"],
    ["a prototype", "__proto__"],
    ["a long text", "<a>".repeat(LONG / 9)],
  ];
  /** Bytes that are no UTF-8 are sent as they stand. */
  const encoded = (value: string) => (value.includes("%C0") ? value : encodeURIComponent(value));

  test.each(HOSTILE)("holds no parameter as markup, and no log line its value: %s", async (_, value) => {
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
      // A true state, last: a code that Webex never gave is put to it.
      `code=${text}&state=${state}`,
    ];
    for (const query of queries) {
      const answer = await back(query);
      expect(answer.status, query).toBeGreaterThanOrEqual(400);
      expect(answer.status, query).toBeLessThan(500);
      expectStrict(answer);
      expect(answer.headers).not.toHaveProperty("a");
    }
    // The name that was asked for is logged as the token, and so in the message; nothing else of a request is.
    const logged = served.logs().flatMap(({ token, message, ...rest }) => Object.values(rest).map(String));
    for (const text of logged) {
      expect(text).not.toContain(value.slice(0, 60));
      expect(text).not.toContain(code);
    }
    expect(served.sandbox.authority.counters().authorization_code.received).toBe(1);
  });

  test("shows a token's name as it is, however it reads", async () => {
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

describe("a state", () => {
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
  const bring = (query: Record<string, string>) => served.setup(`/callback?${new URLSearchParams(query)}`);

  test("that resembles a true one is refused before Webex is asked, and does not use that one up", async () => {
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
    ["stands beside a forged one", (code, state) => `code=${code}&state=forged&state=${state}`],
    ["stands beside two codes", (code, state) => `code=${code}&code=forged&state=${state}`],
    ["is an array", (code, state) => `code[]=${code}&state[]=${state}`],
    ["is a field of an object", (code, state) => `code[a]=${code}&state[a]=${state}`],
    ["is spelt otherwise", (code, state) => `Code=${code}&State=${state}`],
    ["is after a semicolon", (code, state) => `x=1;code=${code};state=${state}`],
    ["brings no code", (_, state) => `state=${state}`],
    ["brings an empty code", (_, state) => `code=&state=${state}`],
    ["brings an error too", (code, state) => `code=${code}&state=${state}&error=access_denied`],
  ])("that %s is refused, asks nobody, and is still good", async (_, queryOf) => {
    const { address, code, state } = await given();
    expect((await served.setup(`/callback?${queryOf(code, state)}`)).status).toBe(400);
    expect(exchanges()).toBe(0);
    expect((await served.setup(address)).status).toBe(200);
  });

  test("is for its own token, whatever name is put beside it", async () => {
    const { address } = await given();
    await served.documents.create("tokens", "other", SETTINGS);
    expect((await served.setup(`${address}&name=other`)).status).toBe(200);
    expect(await served.document("other")).toEqual(SETTINGS);
    expect((await served.document("flow")).accessToken).toBeDefined();
  });

  test("that was used is refused also by a token's name, by another code, and after its document is gone", async () => {
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

  test("that comes late is refused by the time it holds, the clean-up done or not", async () => {
    const { code, state } = await given();
    await served.time.advance(15 * MINUTE);
    expect(await bring({ code, state })).toMatchObject({ status: 400 });
    await served.time.advance(24 * 60 * MINUTE);
    expect(await bring({ code, state })).toMatchObject({ status: 400 });
    expect(exchanges()).toBe(0);
    const stored = await served.documents.read("authorizations", sha256(state));
    expect(stored?.fields).not.toHaveProperty("usedAt");
  });

  test("is used up where the exchange fails: the same code is not tried with it again", async () => {
    const { address } = await given();
    served.fault({ fault: "500", times: 1 });
    expect((await served.setup(address)).status).toBe(503);
    expect((await served.setup(address)).status).toBe(400);
    expect(exchanges()).toBe(1);
  });

  test("made for another organization opens no way to a third: what the state says counts, no parameter", async () => {
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
    /** Code and state of a consent each. */
    const parts = async (pkce: boolean) => {
      const query = new URLSearchParams((await served.consent("flow", { pkce })).split("?")[1]);
      return { code: query.get("code") ?? "", state: query.get("state") ?? "" };
    };

    test.each([
      ["with PKCE brought with a state without", true, false],
      ["without PKCE brought with a state with", false, true],
      ["with PKCE brought with another state with", true, true],
    ])("refuses a code %s, and stores nothing", async (_, codeWith, stateWith) => {
      await given();
      const [{ code }, { state }] = [await parts(codeWith), await parts(stateWith)];
      expect(await bring({ code, state })).toMatchObject({ status: 409 });
      expect(await served.document("flow")).toEqual(SETTINGS);
    });

    test("keeps the verifier out of the address, and puts its S256 hash there", async () => {
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
    ])("is made by the command %j: %s", async (line, pkce) => {
      await given();
      const { documents } = served;
      const printed: { url: string }[] = [];
      const terminal = { json: (value: { url: string }) => printed.push(value), remark: () => {} };
      const found = findDeployment({ STORE: "unused", WEBEX_URL: served.bases.webex }, false);
      const deployment = { ...found, open: async () => ({ ...documents, close: async () => {} }) };
      await served.edit("flow", { scopes: CLIENT.scopes.join(" ") });
      const program = new Command().exitOverride();
      authorize(program, {
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

const emulator = inject("firestoreEmulator");
suite("SQLite", sqlitePlace);
suite(
  emulator === undefined ? "Firestore (SKIPPED: no emulator)" : "Firestore",
  () => firestorePlace(emulator ?? ""),
  emulator === undefined,
);

function suite(title: string, open: () => Promise<Place>, skipped = false): void {
  describe.skipIf(skipped)(`two built setup functions on ${title}`, () => {
    let webex: Sandbox;
    let place: Place;
    let setups: [Running, Running];
    const client = newClient("http://127.0.0.1:1/callback");
    beforeAll(async () => {
      [webex, place] = await Promise.all([startSandbox(), open()]);
      await webex.control("POST", "/sandbox/clients", client);
      const env = { ...place.env, TOKEN_PASSPHRASE: PASSPHRASE, WEBEX_URL: `${webex.url}/v1` };
      setups = await Promise.all([startFunction("setup", env), startFunction("setup", env)]);
      // On a busy machine the emulator takes seconds for its first answer.
      for (const index of [0, 1])
        await until("an answer", async () => (await bring("?code=x&state=nobody's", index)) === 400);
    });
    afterAll(() => place?.documents.close());

    const exchanges = async () => {
      const { counters } = await webex.control<{ counters: Record<string, { received: number }> }>(
        "GET",
        "/sandbox",
      );
      return counters.authorization_code?.received;
    };
    let count = 0;
    /** A new token, and the address that a browser brings back from its consent. */
    async function given() {
      const name = `token ${++count}`;
      const { clientId, clientSecret, redirectUris, scopes } = client;
      const redirectUri = redirectUris[0] ?? "";
      await place.documents.create("tokens", name, { clientId, clientSecret, redirectUri });
      const store = tokenStore(place.documents, runtime.now);
      const token = await store.read(name);
      if (token === undefined) throw new Error("it was just made");
      const asked = { ...token, document: { ...token.document, scopes: scopes.join(" ") } };
      const options = { webexUrl: `${webex.url}/v1`, pkce: true, newOrg: false };
      const url = await startAuthorization(asked, options, { store, runtime });
      const { search } = await consent(url);
      return { name, search, id: sha256(url.searchParams.get("state") ?? "") };
    }
    const bring = async (search: string, index: number) =>
      (await fetch(`${setups[index % 2]?.url}/callback${search}`)).status;

    test("let one of two win that bring the same state at once, and ask Webex once for it", async () => {
      const [before, rounds] = [await exchanges(), 8];
      for (let round = 0; round < rounds; round++) {
        const { name, search } = await given();
        const statuses = await Promise.all([bring(search, round), bring(search, round + 1)]);
        expect(statuses.sort()).toEqual([200, 400]);
        const { fields = {} } = (await place.documents.read("tokens", name)) ?? {};
        expect(fields.accessToken).toBeTypeOf("string");
      }
      expect(await exchanges()).toBe((before ?? 0) + rounds);
    });

    test.each<[string, (now: number) => RawFields]>([
      ["has ended", (now) => ({ expires: new Date(now - 1) })],
      ["has ended long ago", (now) => ({ expires: new Date(now - 400 * 24 * 60 * MINUTE) })],
      ["was used", (now) => ({ usedAt: new Date(now - 1) })],
      ["was used, however that is noted", () => ({ usedAt: false })],
      ["has no end", () => ({ expires: undefined })],
      ["has an end that is no time", () => ({ expires: "never" })],
      ["has no name", () => ({ name: undefined })],
      ["has a name that is none", () => ({ name: { a: "token 1" } })],
      ["is of a token that is not there", () => ({ name: "nobody's" })],
    ])("refuse a state that %s, and don't ask Webex", async (_, spoil) => {
      const { name, search, id } = await given();
      const found = await place.documents.read("authorizations", id);
      await place.documents.update("authorizations", id, spoil(Date.now()), found?.version ?? "");
      const [tokenBefore, before] = [await place.documents.read("tokens", name), await exchanges()];
      for (const index of [0, 1]) expect([400, 404]).toContain(await bring(search, index));
      expect(await exchanges()).toBe(before);
      expect((await place.documents.read("tokens", name))?.version).toBe(tokenBefore?.version);
    });

    test("let a state of another organization in only where it says so, word for word", async () => {
      const { name, search, id } = await given();
      const orgId = "99999999-8888-7777-6666-555555555555";
      for (const [collection, key, fields] of [
        ["tokens", name, { orgId }],
        ["authorizations", id, { newOrg: "true" }],
      ] as const) {
        const found = await place.documents.read(collection, key);
        await place.documents.update(collection, key, fields, found?.version ?? "");
      }
      expect(await bring(search, 0)).toBe(409);
      const { fields } = (await place.documents.read("tokens", name)) ?? {};
      expect(fields).not.toHaveProperty("accessToken");
      expect(fields).toMatchObject({ orgId });
    });

    if (title !== "SQLite") return;

    /** One request as it is written, and all that comes back. */
    async function raw(text: string): Promise<Seen> {
      const socket = connect(setups[0].port, "127.0.0.1").setEncoding("utf8");
      socket.write(text);
      let all = "";
      socket.on("data", (chunk) => {
        all += chunk;
      });
      await once(socket, "close");
      const [head = "", ...body] = all.split("\r\n\r\n");
      const [first = "", ...lines] = head.split("\r\n");
      const headers = Object.fromEntries(
        lines.map((line) => [
          line.slice(0, line.indexOf(":")).toLowerCase(),
          line.slice(line.indexOf(":") + 1).trim(),
        ]),
      );
      return { status: Number(first.split(" ")[1]), headers, text: body.join("\r\n\r\n") };
    }

    test.each([
      "GET /callback?error=<script>alert(1)</script>",
      "GET /callback?error=%3Cscript%3Ealert(1)%3C/script%3E",
      "GET /callback",
      "GET /callback?%",
      "GET /callback/?error=<script>",
      "GET //callback?error=<script>",
      "GET /callback%00?error=<script>",
      "GET /callback;<script>?error=x",
      "GET /x/../callback?error=<script>",
      "GET /<script>alert(1)</script>",
      "GET /%3Cscript%3E",
      "GET /%",
      "GET /",
      "GET /favicon.ico?<script>",
      "GET http://evil.example/<script>",
      "GET http://evil.example/callback?error=<script>",
      `GET /callback?error=${"x".repeat(20_000)}`,
      "POST /callback?error=<script>",
      "TRACE /callback?error=<script>",
      "OPTIONS /callback?error=<script>",
      "OPTIONS *",
      "OPTIONS /<script>",
      "PROPFIND /<script>",
      "NONSENSE /<script>",
    ])("answer %s strictly, or in no HTML at all", async (line) => {
      const request = `${line} HTTP/1.1\r\nhost: x\r\naccept: ${HTML.accept}\r\nconnection: close\r\n\r\n`;
      const answer = await raw(request);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
      expect(answer.text).not.toMatch(/<script/i);
      expect(answer.headers).not.toHaveProperty("x-powered-by");
      const type = answer.headers["content-type"];
      if (String(type).includes("html")) expectStrict(answer);
      else if (answer.text !== "") expect(type).toBe("application/json; charset=utf-8");
    });
  });
}
