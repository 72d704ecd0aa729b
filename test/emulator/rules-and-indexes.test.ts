import { readFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { type Collection, type DocumentStore, tokenStore } from "../../functions/core/store.ts";
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

/** The collections in use, and one that does not exist yet. */
const COLLECTIONS = ["tokens", "authorizations", "status", "of-tomorrow"];
const SOME = ["tokens", "of-tomorrow"];
let owned = 0;

/** An unsigned JSON web token: to the emulator, a signed-in user. */
function unsigned(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none", typ: "JWT" })}.${part({ iat: 0, aud: project, ...claims })}.`;
}

describe.skipIf(skipped)(title("firebase.rules"), () => {
  beforeAll(async () => {
    // An emulator from before this run may enforce other rules.
    const content = await readFile(RULES, "utf8");
    const rules = { rules: { files: [{ name: "firebase.rules", content }] } };
    const url = `http://${emulator}/emulator/v1/projects/${project}:securityRules`;
    const answer = await fetch(url, { method: "PUT", headers: OWNER, body: JSON.stringify(rules) });
    expect(answer.status).toBe(200);
    for (const collection of COLLECTIONS)
      await documents.create(collection as Collection, "there", { clientId: "canary" });
  });

  const bearer = (claims: object) => ({ authorization: `Bearer ${unsigned(claims)}` });
  const person = { sub: "u", user_id: "u", email: "u@example.org", email_verified: true };
  const administrator = { ...person, admin: true, role: "owner", roles: ["admin"] };
  const clients: [string, Record<string, string>, collections: string[]][] = [
    ["an unauthenticated client", {}, COLLECTIONS],
    ["a signed-in user", bearer(person), SOME],
    ["an administrator by claim", bearer(administrator), SOME],
    ["an anonymous user", bearer({ sub: "a", provider_id: "anonymous" }), SOME],
  ];
  const post = (content: object): RequestInit => ({ method: "POST", body: JSON.stringify(content) });
  const patch: RequestInit = {
    method: "PATCH",
    body: JSON.stringify({ fields: { clientId: { stringValue: "intruder" } } }),
  };
  const named = (path: string) => `${root}/documents/${path}`;
  const from = (collectionId: string, allDescendants = false) => ({
    structuredQuery: { from: [{ collectionId, allDescendants }] },
  });
  const attempts: [string, (collection: string) => [path: string, init?: RequestInit]][] = [
    ["get a document", (within) => [`/${within}/there`]],
    ["learn that a document is missing", (within) => [`/${within}/nobody`]],
    ["get documents in a batch", (within) => [":batchGet", post({ documents: [named(`${within}/there`)] })]],
    ["list a collection", (within) => [`/${within}`]],
    ["list a collection's missing documents", (within) => [`/${within}?showMissing=true`]],
    ["query a collection", (within) => [":runQuery", post(from(within))]],
    ["query every collection of that name", (within) => [":runQuery", post(from(within, true))]],
    [
      "count a collection",
      (within) => [
        ":runAggregationQuery",
        post({ structuredAggregationQuery: { ...from(within), aggregations: [{ alias: "n", count: {} }] } }),
      ],
    ],
    ["create a document", (within) => [`/${within}?documentId=new`, { ...patch, method: "POST" }]],
    ["create a document with a generated name", (within) => [`/${within}`, { ...patch, method: "POST" }]],
    ["create a document by PATCH", (within) => [`/${within}/new`, patch]],
    ["change a document", (within) => [`/${within}/there`, patch]],
    ["change one field", (within) => [`/${within}/there?updateMask.fieldPaths=clientId`, patch]],
    ["remove a document", (within) => [`/${within}/there`, { method: "DELETE" }]],
    ["remove a missing document", (within) => [`/${within}/nobody`, { method: "DELETE" }]],
    [
      "create a document by commit",
      (within) => [":commit", post({ writes: [{ update: { name: named(`${within}/new`), fields: {} } }] })],
    ],
    [
      "remove a document by commit",
      (within) => [":commit", post({ writes: [{ delete: named(`${within}/there`) }] })],
    ],
    ["get a document below one", (within) => [`/${within}/there/deep/er`]],
    ["write a document below one", (within) => [`/${within}/there/deep/er`, patch]],
    ["list what is below one", (within) => [`/${within}/there/deep`]],
    ["learn what is below one", (within) => [`/${within}/there:listCollectionIds`, post({})]],
  ];

  describe.each(clients)("%s", (_, headers, collections) => {
    test.each(attempts)("cannot %s, in any collection", async (_, attempt) => {
      for (const collection of collections) {
        const [path, init] = attempt(collection);
        const answer = await fetch(documentsUrl + path, { ...init, headers });
        const said = [collection, answer.status, await answer.text()];
        expect(said).toEqual([collection, 403, expect.not.stringContaining("canary")]);
      }
    });

    test("cannot list the collections", async () => {
      const answer = await fetch(`${documentsUrl}:listCollectionIds`, { ...post({}), headers });
      expect([answer.status, await answer.text()]).toEqual([403, expect.not.stringContaining("tokens")]);
    });
  });

  test("no refused request had an effect", async () => {
    for (const collection of COLLECTIONS) {
      const found = await documents.list(collection as Collection, 10);
      expect([collection, found.map(({ id, fields }) => [id, fields])]).toEqual([
        collection,
        [["there", { clientId: "canary" }]],
      ]);
    }
  });

  // A malformed request would be refused too, and prove nothing.
  test.each(attempts)("the owner can %s", async (_, attempt) => {
    const collection = `of the owner ${++owned}`.replaceAll(" ", "-");
    await documents.create(collection as Collection, "there", { clientId: "canary" });
    const [path, init] = attempt(collection);
    const { status } = await fetch(documentsUrl + path, { ...init, headers: OWNER });
    expect([200, 404]).toContain(status);
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

  test("that the queries need are those that Firestore makes itself", async () => {
    const tokens = tokenStore(documents, Date.now);
    await documents.create("tokens", "a", { refreshAt: 1 });
    await documents.create("tokens", "b", { refreshAt: 1 });
    const [first] = await tokens.due(10, 1);
    expect(await tokens.due(10, 1, first)).toHaveLength(1);
    expect(await tokens.countDue(10)).toBe(2);
    expect(await tokens.countDue(10, first)).toBe(1);
    for (const id of ["c", "d"]) await documents.create("tokens", id, { publish: { nextAt: 1 } });
    const [published] = await tokens.due(10, 1, undefined, "publish.nextAt");
    expect(await tokens.due(10, 1, published, "publish.nextAt")).toHaveLength(1);
    for await (const page of tokens.pages(1)) expect(page).toHaveLength(1);
    expect(await needed()).toEqual([]);
  });

  test("that another query needs would be reported", async () => {
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

describe.skipIf(skipped)(title("fields typed into the Firestore console"), () => {
  const type = (name: string, fields: object) =>
    fetch(`${documentsUrl}/tokens?documentId=${name}`, {
      method: "POST",
      headers: OWNER,
      body: JSON.stringify({ fields }),
    });

  test("read as numbers from an integer, a double and a timestamp, and as trimmed strings", async () => {
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

  test("are due in one order as integers and doubles", async () => {
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
