import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { TokenDocument } from "../../functions/core/document.ts";
import { DAY, HOUR, SECOND } from "../../functions/core/time.ts";
import type { Typed } from "../contract/reader.ts";
import { type Running, stopAll } from "../support/processes.ts";
import {
  type Answer,
  allOutput,
  ask,
  type Deployed,
  deploy,
  firestorePlace,
  LIFETIME,
  newClient,
  sampleDocument,
  startWebex,
  until,
  type Webex,
} from "./deployed.ts";
import { typist } from "./typist.ts";

/** Each field of a token document typed wrong in the console, in each way, as the built functions read it. */

let webex: Webex;
beforeAll(async () => {
  webex = await startWebex();
});
afterAll(stopAll);

type Field = keyof TokenDocument;

/** The type of each field; a new field does not compile until it is listed here. */
const FIELDS: Record<Field, "text" | "number" | "object" | "true"> = {
  rejections: "object",
  clientId: "text",
  clientSecret: "text",
  redirectUri: "text",
  accessToken: "text",
  refreshToken: "text",
  accessExpires: "number",
  refreshExpires: "number",
  lastRefresh: "number",
  authorizedAt: "number",
  lifetime: "number",
  scope: "text",
  orgId: "text",
  scopes: "text",
  refreshAt: "number",
  lease: "object",
  failure: "object",
  passphraseHash: "text",
  static: "true",
  publish: "object",
  serviceApp: "object",
};
const CREDENTIALS: readonly Field[] = ["clientId", "clientSecret", "refreshToken"];

/** Fields that no refresh uses. */
const UNUSED: readonly Field[] = [
  "redirectUri",
  "scope",
  "scopes",
  "passphraseHash",
  "publish",
  "serviceApp",
];

/** The kinds that the console offers, none of them a good number or a good object. */
const KINDS: Record<string, Typed | undefined> = {
  missing: undefined,
  null: { nullValue: null },
  text: { stringValue: "canary-of-the-console" },
  true: { booleanValue: true },
  integer: { integerValue: "-7" },
  double: { doubleValue: -1.5 },
  map: { mapValue: { fields: { a: { stringValue: "canary-of-the-console" } } } },
  list: { arrayValue: { values: [{ stringValue: "canary-of-the-console" }] } },
  NaN: { doubleValue: "NaN" },
  timestamp: { timestampValue: "1969-12-31T23:00:00Z" },
  bytes: { bytesValue: "bWFkZS11cA==" },
  place: { geoPointValue: { latitude: 1, longitude: 2 } },
  reference: { referenceValue: "projects/p/databases/(default)/documents/tokens/1" },
};
/** One kind of each sort that a parser tells apart, for the tests that refresh each token. */
const FEW = ["missing", "null", "text", "true", "integer", "map", "bytes"];
const ABSENT = ["missing", "null"];

interface Case {
  /** Does not contain the field's name, which the tests look for in answers. */
  name: string;
  field: Field;
  kind: string;
}

let count = 0;
const casesOf = (fields: readonly Field[], kinds: readonly string[]): Case[] =>
  fields.flatMap((field) => kinds.map((kind) => ({ name: `token-${++count}`, field, kind })));

/** A passphraseHash that is there but holds nothing counts as mistyped, so that it opens to no caller. */
const isAbsent = ({ field, kind }: Case) =>
  field === "passphraseHash" ? kind === "missing" : ABSENT.includes(kind);
const isWrong = (one: Case) => !isAbsent(one) && one.kind !== FIELDS[one.field];

/** What surrounds a string that was copied. */
const AROUND: [string, (text: string) => string][] = [
  ["a line break", (text) => `${text}\n`],
  ["a line break of Windows", (text) => `${text}\r\n`],
  ["spaces", (text) => `  ${text} `],
  ["a tab", (text) => `\t${text}`],
  ["no-break spaces", (text) => `\u00a0${text}\u00a0`],
  ["a byte order mark", (text) => `\ufeff${text}`],
  ["a zero-width space", (text) => `${text}\u200b`],
  ["a zero-width joiner", (text) => `\u200d${text}`],
  ["quotes", (text) => `"${text}"`],
  ["single quotes", (text) => `'${text}'`],
];

const kinds = Object.keys(KINDS);
const all = Object.keys(FIELDS) as Field[];
const emulator = inject("firestoreEmulator");
describe.skipIf(emulator === undefined)(
  `mistyped documents on Firestore${emulator === undefined ? " (SKIPPED: no emulator)" : ""}`,
  () => {
    let deployed: Deployed;
    let refresher: Running;
    let lookup: Running;
    let type: ReturnType<typeof typist>;
    /** A document without a mistake, with eleven of its twelve hours left. */
    let good: Awaited<ReturnType<typeof sampleDocument>> & Record<string, unknown>;

    beforeAll(async () => {
      const place = await firestorePlace(emulator ?? "");
      deployed = deploy(place, webex);
      type = typist(place);
      refresher = await deployed.refresher();
      lookup = await deployed.lookup(refresher.url);
      const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
      good = {
        ...(await sampleDocument(webex, client, (11 * HOUR) / SECOND)),
        lifetime: LIFETIME,
        scope: "cjp:config_read",
        scopes: "cjp:config_read",
        refreshAt: Date.now() + 8 * HOUR,
      };
      await until("a first sweep", async () => (await post("/")).status === 200);
    });
    afterAll(() => deployed?.documents.close());

    const ended = () => ({ ...good, accessExpires: Date.now() - HOUR, refreshAt: Date.now() - 1 });
    const post = async (path: string) => {
      const response = await fetch(`${refresher.url}${path}`, { method: "POST" });
      return { status: response.status, body: await response.json() };
    };
    const put = (cases: readonly Case[], base: Record<string, unknown>) =>
      type(
        cases.map(({ name, field, kind }) => {
          const { [field]: _, ...plain } = base;
          const typed = KINDS[kind];
          return { name, plain, odd: typed === undefined ? {} : { [field]: typed } };
        }),
      );
    /** Reads as a flow does: again, when the store did not answer in time. */
    async function answerTo(target: string): Promise<Answer> {
      let answer = await ask(lookup, target);
      while (answer.status === 503) answer = await ask(lookup, target);
      return answer;
    }
    /** Reads each token; gives those whose answer is not the one expected. */
    async function misfits(cases: readonly Case[], fits: (one: Case, answer: Answer) => boolean) {
      const answers = await inParallel(cases, async (one) => ({
        one,
        answer: await answerTo(`/?name=${one.name}&wait=20`),
      }));
      return answers
        .filter(({ one, answer }) => !fits(one, answer))
        .map(({ one, answer: { status, body } }) => ({ ...one, status, body }));
    }
    /** An ended token was refreshed, or the answer says what to do. */
    const isHelped = (one: Case, { status, body }: Answer) => {
      const { field, kind } = one;
      if (field === "static" && kind === "true") return status === 409;
      if (!CREDENTIALS.includes(field)) return status === 200 && body.token !== good.accessToken;
      // A token that was never authorized needs no field name.
      const named = body.message.includes(field) || (field === "refreshToken" && ABSENT.includes(kind));
      const helps = /run "npm run tokens -- (add|authorize|import) /.test(body.message);
      return status === 409 && helps && (named || !isWrong(one));
    };

    describe("a live token", () => {
      const cases = casesOf(all, kinds);
      beforeAll(() => put(cases, good));

      test("has each mistyped field named by the census, and no value printed", async () => {
        const before = refresher.output().length;
        expect(await post("/census")).toMatchObject({ status: 200, body: { tokens: cases.length } });
        const lines = refresher.output().slice(before);
        const named = lines
          .map((line) => JSON.parse(line))
          .filter(({ event }) => event === "token.mistyped")
          .map(({ token, field }) => `${token} ${field}`);
        const wrong = cases.filter(isWrong).map(({ name, field }) => `${name} ${field}`);
        expect(named.toSorted()).toEqual(wrong.toSorted());
      });

      test("is found by a sweep after the census, whatever its refreshAt was", async () => {
        for (const { name, kind } of cases.filter(({ field }) => field === "refreshAt")) {
          const { refreshAt } = (await deployed.document(name)).fields;
          expect([kind, typeof refreshAt]).toEqual([kind, "number"]);
          // The next sweep finds what is below zero.
          expect([kind, Number(refreshAt) < Date.now() + DAY]).toEqual([kind, true]);
        }
      });

      test("is answered without a request to Webex when another field is mistyped or missing", async () => {
        await webex.reset();
        const own: readonly Field[] = ["accessToken", "accessExpires", "passphraseHash"];
        const others = cases.filter(({ field }) => !own.includes(field));
        const isHeld = (_: Case, { status, body }: Answer) =>
          status === 200 && body.token === good.accessToken;
        expect(await misfits(others, isHeld)).toEqual([]);
        expect(await webex.refreshes()).toBe(0);
      });

      test("is replaced when it or its accessExpires can't be read", async () => {
        const own = cases.filter(({ field }) => field === "accessToken" || field === "accessExpires");
        expect(await misfits(own, (_, { status }) => status === 200)).toEqual([]);
      });

      test("opens to no passphrase when its passphraseHash can't be read", async () => {
        const own = cases.filter(({ field }) => field === "passphraseHash");
        const isClosed = (one: Case, { status }: Answer) => status === (isAbsent(one) ? 200 : 401);
        expect(await misfits(own, isClosed)).toEqual([]);
      });
    });

    describe("an ended token", () => {
      const cases = casesOf(
        all.filter((field) => !UNUSED.includes(field)),
        FEW,
      );

      test("stops no sweep and is not tried again by the next", async () => {
        await put(cases, ended());
        await webex.reset();
        expect(await post("/")).toMatchObject({ status: 200, body: { remaining: 0 } });
        const made = await webex.refreshes();
        const inSight = cases.filter(({ field }) => field !== "refreshAt" && !CREDENTIALS.includes(field));
        // Only one kind of `static` keeps a token from being refreshed.
        expect(made).toBeGreaterThanOrEqual(inSight.length - 1);
        for (let again = 0; again < 2; again++)
          expect(await post("/")).toMatchObject({ status: 200, body: { due: 0, failed: 0, remaining: 0 } });
        expect(await webex.refreshes()).toBe(made);
      });

      test("is refreshed by a sweep, or the answer names the field and says what to do", async () => {
        expect(await misfits(cases, isHelped)).toEqual([]);
      });

      test("is refreshed by a read alone, or the answer names the field and says what to do", async () => {
        const unswept = casesOf([...CREDENTIALS, "refreshAt", "static"], FEW);
        await put(unswept, { ...ended(), refreshAt: Date.now() + HOUR });
        expect(await misfits(unswept, isHelped)).toEqual([]);
      });
    });

    test.each(AROUND)(
      "%s around a credential is ignored, or the answer names the field",
      async (_, around) => {
        const cases = casesOf([...CREDENTIALS, "accessToken"], ["text"]);
        const based = ({ field }: Case) => (field === "accessToken" ? { ...good, static: true } : ended());
        await type(
          cases.map((one) => ({
            name: one.name,
            plain: { ...based(one), [one.field]: around(String(good[one.field])) },
          })),
        );
        const isFine = ({ field }: Case, { status, body }: Answer) => {
          if (status !== 200) return status === 409 && body.message.includes(field);
          return field !== "accessToken" || body.token === good.accessToken;
        };
        expect(await misfits(cases, isFine)).toEqual([]);
      },
    );

    test("a line break inside a credential gets an answer that names the field", async () => {
      const cases = casesOf(CREDENTIALS, ["text"]);
      await type(
        cases.map(({ name, field }) => {
          const text = String(good[field]);
          return { name, plain: { ...ended(), [field]: `${text.slice(0, 2)}\n${text.slice(2)}` } };
        }),
      );
      const namesField = ({ field }: Case, { status, body }: Answer) =>
        status === 409 && body.message.includes(field);
      expect(await misfits(cases, namesField)).toEqual([]);
    });

    test("a fixed token whose accessExpires can't be read gets an answer that names the field", async () => {
      const cases = casesOf(["accessExpires"], kinds).filter(isWrong);
      const { refreshToken: _, refreshAt: __, ...fixed } = good;
      await put(cases, { ...fixed, static: true });
      const namesField = (_: Case, { status, body }: Answer) =>
        status === 409 && body.message.includes("accessExpires");
      expect(await misfits(cases, namesField)).toEqual([]);
    });

    test.each(["\n", "\r\n", "  ", "\u00a0", "\ufeff", "\t"])(
      "numbers between %j are read as numbers",
      async (blank) => {
        const name = `token-${++count}`;
        const numbers = all.filter((field) => FIELDS[field] === "number" && good[field] !== undefined);
        const texts = numbers.map((field) => [field, `${blank}${good[field]}${blank}`]);
        await type([{ name, plain: { ...good, ...Object.fromEntries(texts) } }]);
        const { status, body, headers } = await answerTo(`/?name=${name}`);
        expect([status, body.token]).toEqual([200, good.accessToken]);
        expect(Number(headers.get("x-token-expires-in"))).toBeGreaterThan((10 * HOUR) / SECOND);
      },
    );

    test("no typed value is in a log, and no line reports a bug", () => {
      const output = allOutput().join("\n");
      const secrets = [good.clientSecret, good.accessToken, good.refreshToken, "canary-of-the-console"];
      expect(secrets.filter((secret) => output.includes(secret))).toEqual([]);
      expect(output).not.toContain('"event":"bug"');
    });
  },
);

/** Ten at a time. */
async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const rest = [...items];
  const done: R[] = [];
  const worker = async () => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) done.push(await work(item));
  };
  await Promise.all(Array.from({ length: 10 }, worker));
  return done;
}
