import { readFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { type DocumentStore, tokenStore } from "../../functions/core/store.ts";
import { freshProject } from "../support/emulator.ts";

const RULES = path.resolve(import.meta.dirname, "../../firebase.rules");
const emulator = inject("firestoreEmulator");
const skipped = emulator === undefined;
const title = (what: string) => (skipped ? `${what} (SKIPPED: no emulator)` : what);

const project = freshProject();
const root = `projects/${project}/databases/(default)`;
const documentsUrl = `http://${emulator}/v1/${root}/documents`;
const OWNER = { authorization: "Bearer owner" };

let documents: DocumentStore;
beforeAll(async () => {
  if (skipped) return;
  process.env.FIRESTORE_EMULATOR_HOST = emulator;
  documents = openFirestore({ project, database: "(default)" });
});
afterAll(async () => {
  await documents?.close();
});

/** A JSON web token that nobody signed: to the emulator, a signed-in person. */
function unsigned(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none", typ: "JWT" })}.${part({ iat: 0, aud: project, ...claims })}.`;
}

describe.skipIf(skipped)(title("firebase.rules"), () => {
  beforeAll(async () => {
    // An emulator that was there before this run may enforce other rules.
    const content = await readFile(RULES, "utf8");
    const rules = { rules: { files: [{ name: "firebase.rules", content }] } };
    const url = `http://${emulator}/emulator/v1/projects/${project}:securityRules`;
    const answer = await fetch(url, { method: "PUT", headers: OWNER, body: JSON.stringify(rules) });
    expect(answer.status).toBe(200);
    for (const collection of ["tokens", "authorizations", "status"] as const)
      await documents.create(collection, "there", { clientId: "canary" });
  });

  const clients: [string, Record<string, string>][] = [
    ["nobody", {}],
    ["a signed-in person", { authorization: `Bearer ${unsigned({ sub: "u", user_id: "u" })}` }],
    [
      "an administrator by claim",
      { authorization: `Bearer ${unsigned({ sub: "u", user_id: "u", admin: true })}` },
    ],
  ];
  const body = JSON.stringify({ fields: { clientId: { stringValue: "intruder" } } });
  const query = JSON.stringify({ structuredQuery: { from: [{ collectionId: "tokens" }] } });
  const write = { update: { name: `${root}/documents/tokens/new`, fields: {} } };
  const attempts: [string, string, RequestInit][] = [
    ["read a token", "/tokens/there", {}],
    ["learn that a token is not there", "/tokens/nobody", {}],
    ["read an authorization", "/authorizations/there", {}],
    ["read the state of the service", "/status/there", {}],
    ["list tokens", "/tokens", {}],
    ["query tokens", ":runQuery", { method: "POST", body: query }],
    ["change a token", "/tokens/there", { method: "PATCH", body }],
    ["create a token", "/tokens?documentId=new", { method: "POST", body }],
    ["create a token by commit", ":commit", { method: "POST", body: JSON.stringify({ writes: [write] }) }],
    ["remove a token", "/tokens/there", { method: "DELETE" }],
    ["write below a token", "/tokens/there/deep/er", { method: "PATCH", body }],
  ];

  describe.each(clients)("%s", (_, headers) => {
    test.each(attempts)("can't %s", async (_, target, init) => {
      const answer = await fetch(documentsUrl + target, { ...init, headers });
      expect([answer.status, await answer.text()]).toEqual([403, expect.not.stringContaining("canary")]);
    });
  });

  test("nothing that was refused was done", async () => {
    expect((await documents.list("tokens", 10)).map(({ id, fields }) => [id, fields])).toEqual([
      ["there", { clientId: "canary" }],
    ]);
  });

  test("the same requests by the owner are answered: it is the rules that refuse", async () => {
    const answer = await fetch(`${documentsUrl}/tokens/there`, { headers: OWNER });
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining("canary")]);
  });
});

describe.skipIf(skipped)(title("the indexes"), () => {
  /** The composite indexes that the queries executed so far would have needed. */
  async function needed(): Promise<string[][]> {
    const url = `http://${emulator}/emulator/v1/projects/${project}:indexUsage?database=${root}`;
    const answer = await fetch(url, { headers: OWNER });
    expect(answer.status).toBe(200);
    const { reports = [] } = (await answer.json()) as {
      reports?: { index: { fields: { fieldPath: string }[] } }[];
    };
    return reports.map(({ index }) => index.fields.map(({ fieldPath }) => fieldPath));
  }

  test("that queries are made with are those that Firestore makes by itself", async () => {
    const tokens = tokenStore(documents, Date.now);
    await documents.create("tokens", "a", { refreshAt: 1 });
    await documents.create("tokens", "b", { refreshAt: 1 });
    const [first] = await tokens.due(10, 1);
    expect(await tokens.due(10, 1, first)).toHaveLength(1);
    expect(await tokens.countDue(10)).toBe(2);
    expect(await tokens.countDue(10, first)).toBe(1);
    for await (const page of tokens.pages(1)) expect(page).toHaveLength(1);
    expect(await needed()).toEqual([]);
  });

  test("a query that needs another one would be noticed", async () => {
    const field = (fieldPath: string) => ({ field: { fieldPath } });
    const filters = [
      { fieldFilter: { ...field("static"), op: "EQUAL", value: { booleanValue: true } } },
      { fieldFilter: { ...field("refreshAt"), op: "LESS_THAN", value: { integerValue: "5" } } },
    ];
    const where = { compositeFilter: { op: "AND", filters } };
    const structuredQuery = { from: [{ collectionId: "tokens" }], where, orderBy: [field("refreshAt")] };
    const init = { method: "POST", headers: OWNER, body: JSON.stringify({ structuredQuery }) };
    expect((await fetch(`${documentsUrl}:runQuery`, init)).status).toBe(200);
    expect(await needed()).toEqual([["static", "refreshAt", "__name__"]]);
  });
});

describe.skipIf(skipped)(title("what a person types into the console"), () => {
  const type = (name: string, fields: object) =>
    fetch(`${documentsUrl}/tokens?documentId=${name}`, {
      method: "POST",
      headers: OWNER,
      body: JSON.stringify({ fields }),
    });

  test("an integer, a double and a timestamp read as numbers, text is trimmed", async () => {
    const typed = await type("typed", {
      accessExpires: { integerValue: "1800000000000" },
      refreshExpires: { doubleValue: 1_800_000_000_000 },
      lastRefresh: { timestampValue: "2027-01-15T08:00:00Z" },
      lifetime: { stringValue: " 43199 " },
      clientId: { stringValue: "\tC1\n" },
      static: { nullValue: null },
      accessToken: { bytesValue: "AAAA" },
      orgId: { geoPointValue: { latitude: 1, longitude: 2 } },
    });
    expect(typed.status).toBe(200);
    expect(await tokenStore(documents, Date.now).read("typed")).toMatchObject({
      document: {
        accessExpires: 1_800_000_000_000,
        refreshExpires: 1_800_000_000_000,
        lastRefresh: 1_800_000_000_000,
        lifetime: 43_199,
        clientId: "C1",
      },
      mistyped: ["accessToken", "orgId"],
    });
  });

  test("integers and doubles are due in one order", async () => {
    const tokens = tokenStore(documents, Date.now);
    await type("n1", { refreshAt: { integerValue: "5001" } });
    await type("n2", { refreshAt: { doubleValue: 5000.5 } });
    await type("n3", { refreshAt: { doubleValue: 5001 } });
    await type("n4", { refreshAt: { integerValue: "5000" } });
    const order = async (limit: number) => {
      const names: string[] = [];
      for (
        let page = await tokens.due(5001, limit);
        page.length > 0;
        page = await tokens.due(5001, limit, page.at(-1))
      )
        names.push(...page.map(({ name }) => name));
      return names.filter((name) => /^n\d$/.test(name));
    };
    expect(await order(100)).toEqual(["n4", "n2", "n1", "n3"]);
    expect(await order(1)).toEqual(["n4", "n2", "n1", "n3"]);
  });
});
