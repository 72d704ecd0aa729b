import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RawFields } from "../../functions/core/document.ts";
import {
  type DocumentStore,
  type Snapshot,
  type StoredToken,
  type TokenStore,
  tokenStore,
} from "../../functions/core/store.ts";

const EVERYTHING = { collection: "tokens", field: "refreshAt", until: 10 ** 13 } as const;
/** Names that Firestore accepts and that a path, a query or a log line could misread. */
const ODD_NAMES = [
  "two words",
  'it\'s "quoted"',
  "100%",
  "%2F%00",
  "a.b.c",
  "...",
  "naïve",
  "naïve".normalize("NFD"),
  "日本語",
  "🔑 key",
  "`tick` $x {y}",
  "a?b=c&d#e",
  "back\\slash",
  "_under_",
  "x".repeat(1500),
];

/** How far the clocks of two processes on one machine may seem to differ, in ms. */
const CLOCKS_DIFFER = 1000;

/** The contract of a store (`DocumentStore` in core/store.ts). */
export function storeContract(name: string, open: () => Promise<DocumentStore>, skipped = false): void {
  describe.skipIf(skipped)(name, () => {
    let documents: DocumentStore;
    let tokens: TokenStore;
    let count = 0;
    const fresh = () => `token-${++count}`;

    beforeAll(async () => {
      documents = await open();
      tokens = tokenStore(documents, Date.now);
    });
    afterAll(async () => {
      await documents?.close();
    });

    async function made(fields: RawFields, id = fresh()): Promise<Snapshot> {
      expect(await documents.create("tokens", id, fields)).toBeTypeOf("string");
      return there(id);
    }

    async function there(id: string): Promise<Snapshot> {
      const found = await documents.read("tokens", id);
      if (found === undefined) throw new Error(`${id} is not there`);
      return found;
    }

    async function tokenThere(id: string): Promise<StoredToken> {
      const found = await tokens.read(id);
      if (found === undefined) throw new Error(`${id} is not there`);
      return found;
    }

    async function removeAll(): Promise<void> {
      const all = await documents.list("tokens", 500);
      await inParallel(all, ({ id }) => documents.remove("tokens", id));
    }

    describe("one document", () => {
      test("a missing document reads as undefined", async () => {
        expect(await documents.read("tokens", "missing")).toBeUndefined();
        expect(await tokens.read("missing")).toBeUndefined();
      });

      test("is created once: a second creation is refused and changes nothing", async () => {
        const first = await made({ clientId: "first" });
        expect(await documents.create("tokens", first.id, { clientId: "second" })).toBeUndefined();
        expect(await there(first.id)).toMatchObject({ fields: first.fields, version: first.version });
      });

      test("of fifteen creations at once one succeeds", async () => {
        const id = fresh();
        const versions = await Promise.all(
          range(15).map((by) => documents.create("tokens", id, { clientId: `by ${by}` })),
        );
        expect(versions.filter((version) => version !== undefined)).toEqual([(await there(id)).version]);
      });

      test("a creation and an update return the version that the next read gives", async () => {
        const id = fresh();
        const created = await documents.create("tokens", id, { clientId: "a" });
        expect((await there(id)).version).toBe(created);
        const updated = await documents.update("tokens", id, { clientId: "b" }, created ?? "");
        expect((await there(id)).version).toBe(updated);
        expect(updated).not.toBe(created);
      });

      test("an update of the current version sets the named fields and keeps the others", async () => {
        const { id, version } = await made({ clientId: "a", scope: "s" });
        expect(await documents.update("tokens", id, { clientId: "b", orgId: "o" }, version)).toBeDefined();
        expect((await there(id)).fields).toEqual({ clientId: "b", scope: "s", orgId: "o" });
      });

      test("an update of an older version is refused and writes nothing", async () => {
        const { id, version } = await made({ clientId: "a" });
        const winner = await documents.update("tokens", id, { clientId: "b" }, version);
        expect(await documents.update("tokens", id, { clientId: "c", scope: "s" }, version)).toBeUndefined();
        expect(await there(id)).toMatchObject({ fields: { clientId: "b" }, version: winner });
        expect((await there(id)).fields).not.toHaveProperty("scope");
      });

      test("a field given as undefined is deleted by an update, and left out by a creation", async () => {
        const { id, version, fields } = await made({ clientId: "a", scope: "s", orgId: undefined });
        expect(fields).toEqual({ clientId: "a", scope: "s" });
        await documents.update("tokens", id, { scope: undefined, orgId: undefined }, version);
        expect((await there(id)).fields).toEqual({ clientId: "a" });
      });

      test("an object is replaced whole, not merged", async () => {
        const { id, version } = await made({ lease: { id: "a", expires: 1, more: { deep: true } } });
        await documents.update("tokens", id, { lease: { id: "b" } }, version);
        expect((await there(id)).fields).toEqual({ lease: { id: "b" } });
      });

      test("false, zero, empty strings, lists and nested objects read as written", async () => {
        const fields = { a: false, b: 0, c: "", d: [], e: [{ f: 1.5, g: ["h"] }], i: {}, j: 43_199.25 };
        expect((await made(fields)).fields).toEqual(fields);
      });

      test("an update of a missing document creates nothing", async () => {
        const { id, version } = await made({ clientId: "a" });
        expect(await documents.remove("tokens", id)).toBe(true);
        expect(await documents.update("tokens", id, { clientId: "b" }, version)).toBeUndefined();
        expect(await documents.read("tokens", id)).toBeUndefined();
      });

      test("is removed once", async () => {
        const { id } = await made({ clientId: "a" });
        expect(await documents.remove("tokens", id)).toBe(true);
        expect(await documents.remove("tokens", id)).toBe(false);
      });

      test("a document that was removed and created again never has an earlier version", async () => {
        const id = fresh();
        const seen = new Set<string | undefined>();
        for (const round of range(4)) {
          seen.add(await documents.create("tokens", id, { clientId: `life ${round}` }));
          seen.add(await documents.update("tokens", id, { scope: `life ${round}` }, [...seen].at(-1) ?? ""));
          await documents.remove("tokens", id);
        }
        expect(seen.size).toBe(8);
        await documents.create("tokens", id, { clientId: "now" });
        for (const version of seen)
          expect(await documents.update("tokens", id, { clientId: "old" }, version ?? "")).toBeUndefined();
        expect((await there(id)).fields).toEqual({ clientId: "now" });
      });

      test("the same id in another collection is another document", async () => {
        const { id } = await made({ clientId: "a" });
        expect(await documents.read("authorizations", id)).toBeUndefined();
        expect(await documents.create("authorizations", id, { name: "b" })).toBeDefined();
        expect(await documents.remove("authorizations", id)).toBe(true);
        expect((await there(id)).fields).toEqual({ clientId: "a" });
      });

      test.each(ODD_NAMES.map((odd) => [odd.slice(0, 20), odd] as const))(
        "the name %j is kept unchanged",
        async (_, odd) => {
          const { version } = await made({ clientId: odd, refreshAt: 1 }, odd);
          expect(await documents.update("tokens", odd, { scope: odd }, version)).toBeDefined();
          expect(await there(odd)).toMatchObject({ id: odd, fields: { clientId: odd, scope: odd } });
          expect(await documents.remove("tokens", odd)).toBe(true);
        },
      );
    });

    describe("time", () => {
      test("the store's clock is this machine's: writes and reads have its time, and ahead is small", async () => {
        const before = Date.now();
        const { id, writtenAt, readAt } = await made({ clientId: "a" });
        const { ahead } = await tokenThere(id);
        const after = Date.now();
        for (const time of [writtenAt, readAt]) {
          expect(time).toBeGreaterThanOrEqual(before - CLOCKS_DIFFER);
          expect(time).toBeLessThanOrEqual(after + CLOCKS_DIFFER);
        }
        expect(readAt).toBeGreaterThanOrEqual(writtenAt);
        expect(Math.abs(ahead)).toBeLessThanOrEqual(after - before + CLOCKS_DIFFER);
      });

      test("a Date is kept as an instant, to the ms", async () => {
        const expires = new Date(1_800_000_000_123);
        const first = await made({ expires, name: "a" });
        expect([Number(first.fields.expires), first.fields.name]).toEqual([expires.getTime(), "a"]);
        const { id, version } = await made({ expires: 1 });
        await documents.update("tokens", id, { expires }, version);
        expect(Number((await there(id)).fields.expires)).toBe(expires.getTime());
      });

      test.each([
        ["an integer", 1_800_000_000_000, 1_800_000_000_000],
        ["a double", 1_800_000_000_000.5, 1_800_000_000_000.5],
        ["a timestamp", new Date(1_800_000_000_000), 1_800_000_000_000],
        ["text", " 1800000000000 ", 1_800_000_000_000],
      ])("%s in a field of ms reads as a number", async (_, typed, number) => {
        const fields = { accessExpires: typed, refreshExpires: typed, lastRefresh: typed, refreshAt: typed };
        const { id } = await made(fields);
        const token = await tokens.read(id);
        expect(token?.mistyped).toEqual([]);
        expect(token?.document).toEqual({
          accessExpires: number,
          refreshExpires: number,
          lastRefresh: number,
          refreshAt: number,
        });
        await documents.remove("tokens", id);
      });
    });

    describe("tokens", () => {
      test("are created, updated by version, and removed", async () => {
        const id = fresh();
        expect(await tokens.create(id, { clientId: "a", lease: { id: "l", expires: 1 } })).toBe(true);
        expect(await tokens.create(id, { clientId: "b" })).toBe(false);
        const token = await tokenThere(id);
        const version = await tokens.update(token, { clientId: "b", lease: undefined });
        expect(await tokens.read(id)).toMatchObject({ name: id, document: { clientId: "b" }, version });
        expect((await tokens.read(id))?.document.lease).toBeUndefined();
        expect(await tokens.update(token, { clientId: "c" })).toBeUndefined();
        expect(await tokens.remove(id)).toBe(true);
        expect(await tokens.remove(id)).toBe(false);
      });

      test("changed credentials change the hash of the inputs; another field does not", async () => {
        const id = fresh();
        await tokens.create(id, { clientId: "a", clientSecret: "b", refreshToken: "c" });
        const first = await tokenThere(id);
        await tokens.update(first, { scope: "s" });
        const second = await tokenThere(id);
        expect(second.inputs).toBe(first.inputs);
        await tokens.update(second, { clientSecret: "d" });
        expect((await tokenThere(id)).inputs).not.toBe(first.inputs);
      });

      test("a failure is stored with the hash of the credentials beside it", async () => {
        const id = fresh();
        await tokens.create(id, { clientId: "a", clientSecret: "b", refreshToken: "c" });
        const failure = { count: 1, code: "unchanged", since: 1, at: 1, permanent: false };
        const token = await tokenThere(id);
        await tokens.update(token, { failure });
        expect((await tokenThere(id)).document.failure).toEqual({ ...failure, inputs: token.inputs });
        await tokens.update(await tokenThere(id), { failure, refreshToken: "d" });
        const rotated = await tokenThere(id);
        expect(rotated.document.failure?.inputs).toBe(rotated.inputs);
        expect(rotated.inputs).not.toBe(token.inputs);
      });

      test("of fifteen claims of one lease exactly one succeeds, in each round", async () => {
        const { id } = await made({ clientId: "a" });
        for (const _ of range(5)) {
          const token = await tokenThere(id);
          const won = await Promise.all(
            range(15).map((by) =>
              tokens.update(token, { lease: { id: `${token.version} ${by}`, expires: 1 } }),
            ),
          );
          const winners = won.flatMap((now, by) => (now === undefined ? [] : [{ now, by }]));
          expect(winners).toHaveLength(1);
          expect(await there(id)).toMatchObject({
            version: winners[0]?.now,
            fields: { lease: { id: `${token.version} ${winners[0]?.by}` } },
          });
        }
      });

      test("ten writers that each add one until their update succeeds add ten", async () => {
        const { id } = await made({ count: 0 });
        await Promise.all(
          range(10).map(async () => {
            for (;;) {
              const { fields, version } = await there(id);
              if (await documents.update("tokens", id, { count: Number(fields.count) + 1 }, version)) return;
            }
          }),
        );
        expect((await there(id)).fields.count).toBe(10);
      });
    });

    describe("queries", () => {
      test("without documents nothing is due, counted or listed", async () => {
        await removeAll();
        expect(await documents.upTo(EVERYTHING, 10)).toEqual([]);
        expect(await documents.count(EVERYTHING)).toBe(0);
        expect(await documents.list("tokens", 10)).toEqual([]);
        for await (const _ of tokens.pages(10)) expect.unreachable();
      });

      test("due tokens come by time, then by name, up to the instant", async () => {
        await removeAll();
        await inParallel(
          Object.entries({ late: 3001, b: 2000, c: 1000, a: 2000, "exact 1": 3000, d: 2000.5 }),
          ([id, refreshAt]) => made({ refreshAt }, id),
        );
        const due = await tokens.due(3000, 10);
        expect(due.map(({ name }) => name)).toEqual(["c", "a", "b", "d", "exact 1"]);
        expect(await tokens.countDue(3000)).toBe(5);
        expect(await tokens.countDue(3000, due[1])).toBe(3);
        expect((await tokens.due(3000, 2)).map(({ name }) => name)).toEqual(["c", "a"]);
        expect((await tokens.due(3000, 2, due[1])).map(({ name }) => name)).toEqual(["b", "d"]);
        expect(await tokens.due(999, 10)).toEqual([]);
      });

      test("a due token has all fields of one that is read", async () => {
        const [due] = await tokens.due(1000, 10);
        const { snapshot, ahead, ...rest } = (await tokens.read("c")) ?? expect.unreachable();
        expect(due).toMatchObject(rest);
        expect(due?.snapshot.fields).toEqual(snapshot.fields);
      });

      test("a document whose refreshAt is absent, null or a string is never due", async () => {
        await removeAll();
        await made({ clientId: "absent" });
        await made({ refreshAt: null });
        await made({ refreshAt: "1000" });
        await made({ refreshAt: "" });
        await made({ refreshAt: { seconds: 1 } });
        const due = await made({ refreshAt: 1000 });
        expect((await documents.upTo(EVERYTHING, 10)).map(({ id }) => id)).toEqual([due.id]);
        expect(await documents.count(EVERYTHING)).toBe(1);
      });

      test("tokens to publish come by time, then by name, independent of what is due", async () => {
        await removeAll();
        const wished = { later: 3001, b: 2000, c: 1000, a: 2000 };
        await inParallel(Object.entries(wished), ([id, nextAt]) =>
          made({ refreshAt: 1, publish: { nextAt, region: "us1" } }, id),
        );
        await made({ refreshAt: 1, publish: { region: "us1" } });
        await made({ refreshAt: 1, publish: 1000 });
        await made({ publish: { nextAt: "1000" } });
        await made({ publish: { nextAt: null } });
        await made({ "publish.nextAt": 1000 });
        const namesOf = (found: StoredToken[]) => found.map(({ name }) => name);
        const first = await tokens.due(3000, 2, undefined, "publish.nextAt");
        expect(namesOf(first)).toEqual(["c", "a"]);
        expect(namesOf(await tokens.due(3000, 2, first[1], "publish.nextAt"))).toEqual(["b"]);
        const query = { collection: "tokens", field: "publish.nextAt", until: 3000 } as const;
        expect(await documents.count(query)).toBe(3);
        expect(await documents.count(query, first[0]?.snapshot)).toBe(2);
      });

      test("documents of another collection are not due", async () => {
        await removeAll();
        await documents.create("status", "elsewhere", { refreshAt: 1000 });
        expect(await documents.upTo(EVERYTHING, 10)).toEqual([]);
        expect(await documents.count(EVERYTHING)).toBe(0);
        expect(await documents.list("tokens", 10)).toEqual([]);
        await documents.remove("status", "elsewhere");
      });

      test("documents with odd names are listed in pages, each once", async () => {
        await removeAll();
        await inParallel(ODD_NAMES, (odd) => made({ refreshAt: 1000 }, odd));
        const listed: string[] = [];
        for await (const page of tokens.pages(2)) listed.push(...page.map(({ name }) => name));
        expect(listed.toSorted()).toEqual(ODD_NAMES.toSorted());
        expect(await names((after) => documents.upTo(EVERYTHING, 2, after))).toEqual(listed);
      });

      test("documents come in pages by time and name, each once", async () => {
        await removeAll();
        // Seven instants only: every page ends within a tie.
        const all = range(120).map((i) => ({ id: `t${(i * 79) % 120}`, refreshAt: 1000 + (i % 7) }));
        await inParallel(all, ({ id, refreshAt }) => documents.create("tokens", id, { refreshAt }));
        const ordered = all.toSorted((a, b) => a.refreshAt - b.refreshAt || (a.id < b.id ? -1 : 1));

        const sizes: number[] = [];
        const left: number[] = [];
        const found = await names(async (after) => {
          const page = await documents.upTo(EVERYTHING, 50, after);
          sizes.push(page.length);
          left.push(await documents.count(EVERYTHING, after));
          return page;
        });
        expect(sizes).toEqual([50, 50, 20, 0]);
        expect(left).toEqual([120, 70, 20, 0]);
        expect(found).toEqual(ordered.map(({ id }) => id));
        expect(await documents.count(EVERYTHING)).toBe(120);

        const listed: string[] = [];
        for await (const page of tokens.pages(50)) listed.push(...page.map(({ name }) => name));
        expect(listed).toEqual(all.map(({ id }) => id).toSorted());
      });

      test("a cursor works after its document was removed", async () => {
        const [first] = await documents.upTo(EVERYTHING, 1);
        const second = (await documents.upTo(EVERYTHING, 2)).at(1);
        await documents.remove("tokens", first?.id ?? "");
        expect((await documents.upTo(EVERYTHING, 1, first))[0]?.id).toBe(second?.id);
      });
    });
  });
}

const range = (length: number) => Array.from({ length }, (_, index) => index);

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(range(100).map(worker));
}

/** The ids of all pages. */
async function names(page: (after?: Snapshot) => Promise<Snapshot[]>): Promise<string[]> {
  const ids: string[] = [];
  let after: Snapshot | undefined;
  for (;;) {
    const found = await page(after);
    if (found.length === 0) return ids;
    ids.push(...found.map(({ id }) => id));
    after = found.at(-1);
  }
}
