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
  type Place,
  sampleDocument,
  sqlitePlace,
  startWebex,
  type Webex,
} from "./deployed.ts";
import { typist } from "./typist.ts";

/** What a person types wrong into the console, each field in each wrong way, as the built functions take it. */

let webex: Webex;
beforeAll(async () => {
  webex = await startWebex();
});
afterAll(stopAll);

type Field = keyof TokenDocument;

/** What each field wants; a new one does not compile before it stands here. */
const FIELDS: Record<Field, "text" | "number" | "object" | "true"> = {
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

/** What no refresh has a use for. */
const UNUSED: readonly Field[] = [
  "redirectUri",
  "scope",
  "scopes",
  "passphraseHash",
  "publish",
  "serviceApp",
];

/** Every kind that the console offers, none of them a good number or a good object. `beyondJson`: JSON has it not. */
const KINDS: Record<string, { typed?: Typed; beyondJson?: true }> = {
  missing: {},
  null: { typed: { nullValue: null } },
  text: { typed: { stringValue: "canary-of-the-console" } },
  true: { typed: { booleanValue: true } },
  integer: { typed: { integerValue: "-7" } },
  double: { typed: { doubleValue: -1.5 } },
  map: { typed: { mapValue: { fields: { a: { stringValue: "canary-of-the-console" } } } } },
  list: { typed: { arrayValue: { values: [{ stringValue: "canary-of-the-console" }] } } },
  NaN: { typed: { doubleValue: "NaN" }, beyondJson: true },
  timestamp: { typed: { timestampValue: "1969-12-31T23:00:00Z" }, beyondJson: true },
  bytes: { typed: { bytesValue: "bWFkZS11cA==" }, beyondJson: true },
  place: { typed: { geoPointValue: { latitude: 1, longitude: 2 } }, beyondJson: true },
  reference: {
    typed: { referenceValue: "projects/p/databases/(default)/documents/tokens/1" },
    beyondJson: true,
  },
};
const ABSENT = ["missing", "null"];

interface Case {
  /** Without the field's name, which is looked for in answers. */
  name: string;
  field: Field;
  kind: string;
}

let count = 0;
const casesOf = (fields: readonly Field[], kinds: readonly string[]): Case[] =>
  fields.flatMap((field) => kinds.map((kind) => ({ name: `token-${++count}`, field, kind })));

const isWrong = ({ field, kind }: Case) => !ABSENT.includes(kind) && kind !== FIELDS[field];

/** What comes along with a text that is copied from somewhere. */
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

const emulator = inject("firestoreEmulator");
suite("SQLite", sqlitePlace, { json: true });
suite(
  emulator === undefined ? "Firestore (SKIPPED: no emulator)" : "Firestore",
  () => firestorePlace(emulator ?? ""),
  { skipped: emulator === undefined },
);

function suite(title: string, open: () => Promise<Place>, { json = false, skipped = false }): void {
  const kinds = Object.keys(KINDS).filter((kind) => !(json && KINDS[kind]?.beyondJson));
  const all = Object.keys(FIELDS) as Field[];

  describe.skipIf(skipped)(`mistyped documents on ${title}`, () => {
    let deployed: Deployed;
    let refresher: Running;
    let lookup: Running;
    let type: ReturnType<typeof typist>;
    /** A document of which nothing is mistyped, with eleven of its twelve hours left. */
    let well: Awaited<ReturnType<typeof sampleDocument>> & Record<string, unknown>;

    beforeAll(async () => {
      const place = await open();
      deployed = deploy(place, webex);
      type = typist(place);
      refresher = await deployed.refresher();
      lookup = await deployed.lookup(refresher.url);
      const client = await webex.register(newClient("http://127.0.0.1:8080/callback"));
      well = {
        ...(await sampleDocument(webex, client, (11 * HOUR) / SECOND)),
        lifetime: LIFETIME,
        scope: "cjp:config_read",
        scopes: "cjp:config_read",
        refreshAt: Date.now() + 8 * HOUR,
      };
    }, 60_000);
    afterAll(async () => {
      await Promise.all([lookup?.stop(), refresher?.stop()]);
      await deployed?.documents.close();
    });

    const ended = () => ({ ...well, accessExpires: Date.now() - HOUR, refreshAt: Date.now() - 1 });
    const post = async (path: string) => {
      const response = await fetch(`${refresher.url}${path}`, { method: "POST" });
      return { status: response.status, body: await response.json() };
    };
    const put = (cases: readonly Case[], base: Record<string, unknown>) =>
      type(
        cases.map(({ name, field, kind }) => {
          const { [field]: _, ...plain } = base;
          const typed = KINDS[kind]?.typed;
          return { name, plain, odd: typed === undefined ? {} : { [field]: typed } };
        }),
      );
    /** Asks for each token, and gives those whose answer is not the one expected. */
    async function misfits(cases: readonly Case[], fits: (one: Case, answer: Answer) => boolean) {
      const answers = await inParallel(cases, async (one) => ({
        one,
        answer: await ask(lookup, `/?name=${one.name}`),
      }));
      return answers
        .filter(({ one, answer }) => !fits(one, answer))
        .map(({ one, answer: { status, body } }) => ({ ...one, status, body }));
    }
    /** What becomes of a token that has ended. */
    const isMended = (one: Case, { status, body }: Answer) => {
      const { field, kind } = one;
      if (field === "static" && kind === "true") return status === 409;
      if (!CREDENTIALS.includes(field)) return status === 200 && body.token !== well.accessToken;
      // Who never authorized the token needs no field's name.
      const named = body.message.includes(field) || (field === "refreshToken" && ABSENT.includes(kind));
      const told = /run "npm run tokens -- (add|authorize|import) /.test(body.message);
      return status === 409 && told && (named || !isWrong(one));
    };

    describe("a token that lives", () => {
      const cases = casesOf(all, kinds);
      beforeAll(() => put(cases, well));

      test("has each mistyped field named by the census, which quotes none and reads all", async () => {
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

      test("has a place in the sweep after that, whatever stood there", async () => {
        for (const { name, kind } of cases.filter(({ field }) => field === "refreshAt")) {
          const { refreshAt } = (await deployed.document(name)).fields;
          expect([kind, typeof refreshAt]).toEqual([kind, "number"]);
          // What is below zero is found by the next sweep.
          expect([kind, Number(refreshAt) < Date.now() + DAY]).toEqual([kind, true]);
        }
      });

      test("is answered whatever else is mistyped or missing, and nobody asks Webex", async () => {
        await webex.reset();
        const own: readonly Field[] = ["accessToken", "accessExpires", "passphraseHash"];
        const others = cases.filter(({ field }) => !own.includes(field));
        const isHeld = (_: Case, { status, body }: Answer) =>
          status === 200 && body.token === well.accessToken;
        expect(await misfits(others, isHeld)).toEqual([]);
        expect(await webex.refreshes()).toBe(0);
      });

      test("is replaced where it, or the end of its life, can't be read", async () => {
        const own = cases.filter(({ field }) => field === "accessToken" || field === "accessExpires");
        expect(await misfits(own, (_, { status }) => status === 200)).toEqual([]);
      });

      test("is kept from everybody where its own passphrase can't be read", async () => {
        const own = cases.filter(({ field }) => field === "passphraseHash");
        const isClosed = ({ kind }: Case, { status }: Answer) =>
          status === (ABSENT.includes(kind) ? 200 : 401);
        expect(await misfits(own, isClosed)).toEqual([]);
      });
    });

    describe("a token that has ended", () => {
      const cases = casesOf(
        all.filter((field) => !UNUSED.includes(field)),
        kinds,
      );

      test("stops no sweep, and comes back to none", async () => {
        await put(cases, ended());
        await webex.reset();
        expect(await post("/")).toMatchObject({ status: 200, body: { remaining: 0 } });
        const made = await webex.refreshes();
        const inSight = cases.filter(({ field }) => field !== "refreshAt" && !CREDENTIALS.includes(field));
        // Of all kinds of `static` only one keeps a token from being refreshed.
        expect(made).toBeGreaterThanOrEqual(inSight.length - 1);
        for (let again = 0; again < 3; again++)
          expect(await post("/")).toMatchObject({ status: 200, body: { due: 0, failed: 0, remaining: 0 } });
        expect(await webex.refreshes()).toBe(made);
      });

      test("has a new one now, or the answer names the field and says what to do", async () => {
        expect(await misfits(cases, isMended)).toEqual([]);
      });

      test("is mended by a read alone, or the answer says so at once", async () => {
        const unswept = casesOf([...CREDENTIALS, "refreshAt", "static"], kinds);
        await put(unswept, { ...ended(), refreshAt: Date.now() + HOUR });
        expect(await misfits(unswept, isMended)).toEqual([]);
      });
    });

    test.each(AROUND)(
      "%s around a credential does no harm, or the answer names the field",
      async (_, around) => {
        const cases = casesOf([...CREDENTIALS, "accessToken"], ["text"]);
        const based = ({ field }: Case) => (field === "accessToken" ? { ...well, static: true } : ended());
        await type(
          cases.map((one) => ({
            name: one.name,
            plain: { ...based(one), [one.field]: around(String(well[one.field])) },
          })),
        );
        const isWell = ({ field }: Case, { status, body }: Answer) => {
          if (status !== 200) return status === 409 && body.message.includes(field);
          return field !== "accessToken" || body.token === well.accessToken;
        };
        expect(await misfits(cases, isWell)).toEqual([]);
      },
    );

    test("a line break in the middle of a credential is told by the field's name", async () => {
      const cases = casesOf(CREDENTIALS, ["text"]);
      await type(
        cases.map(({ name, field }) => {
          const text = String(well[field]);
          return { name, plain: { ...ended(), [field]: `${text.slice(0, 2)}\n${text.slice(2)}` } };
        }),
      );
      const isTold = ({ field }: Case, { status, body }: Answer) =>
        status === 409 && body.message.includes(field);
      expect(await misfits(cases, isTold)).toEqual([]);
    });

    test("a fixed token whose end can't be read is told by the field's name", async () => {
      const cases = casesOf(["accessExpires"], kinds).filter(isWrong);
      const { refreshToken: _, refreshAt: __, ...fixed } = well;
      await put(cases, { ...fixed, static: true });
      const isTold = (_: Case, { status, body }: Answer) =>
        status === 409 && body.message.includes("accessExpires");
      expect(await misfits(cases, isTold)).toEqual([]);
    });

    test.each(["\n", "\r\n", "  ", "\u00a0", "\ufeff", "\t"])(
      "numbers between %j are numbers",
      async (blank) => {
        const name = `token-${++count}`;
        const numbers = all.filter((field) => FIELDS[field] === "number" && well[field] !== undefined);
        const texts = numbers.map((field) => [field, `${blank}${well[field]}${blank}`]);
        await type([{ name, plain: { ...well, ...Object.fromEntries(texts) } }]);
        const { status, body, headers } = await ask(lookup, `/?name=${name}`);
        expect([status, body.token]).toEqual([200, well.accessToken]);
        expect(Number(headers.get("x-token-expires-in"))).toBeGreaterThan((10 * HOUR) / SECOND);
      },
    );

    test("nothing that was typed is in a log, and nothing in it is a bug", () => {
      const output = allOutput().join("\n");
      const secrets = [well.clientSecret, well.accessToken, well.refreshToken, "canary-of-the-console"];
      expect(secrets.filter((secret) => output.includes(secret))).toEqual([]);
      expect(output).not.toContain('"event":"bug"');
    });
  });
}

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
