import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SettingsError } from "../../functions/adapters/env.ts";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import type { RawFields } from "../../functions/core/document.ts";
import { sha256 } from "../../functions/core/hash.ts";
import type { Details, Event, Log } from "../../functions/core/log.ts";
import { makeLookup } from "../../functions/core/lookup.ts";
import { admit, identify, parsePassphrases } from "../../functions/core/passphrase.ts";
import { Problem, type Request } from "../../functions/core/reply.ts";
import { tokenReader } from "../../functions/core/store.ts";

const NOW = 1_800_000_000_000;
const ONE = "made-up passphrase number one";
const TWO = "made-up passphrase number two";
const OWN = "made-up passphrase of its own";

const requestWith = (headers: Request["headers"]): Request => ({
  method: "GET",
  path: "/",
  query: new URLSearchParams("name=acme"),
  headers,
});
const passing = (passphrase: string) => requestWith({ "x-token-passphrase": passphrase });
const basic = (credentials: string, scheme = "Basic") =>
  requestWith({ authorization: `${scheme} ${Buffer.from(credentials).toString("base64")}` });
const live = (...passphrases: string[]) => passphrases;
const codeOf = (error: unknown) => (error instanceof Problem ? error.code : error);
/** The code of the problem that the work ends in, however it ends. */
const told = (work: () => unknown) => Promise.try(work).catch(codeOf);

describe("the text of a secret", () => {
  test.each<[string, string, string[]]>([
    ["one line", ONE, [ONE]],
    ["a trailing newline", `${ONE}\n`, [ONE]],
    ["the line ends of Windows", `${ONE}\r\n${TWO}\r\n`, [ONE, TWO]],
    ["blanks around", `  ${ONE}\t`, [ONE]],
    ["blank lines between", `\n${ONE}\n \n\n${TWO}\n`, [ONE, TWO]],
    ["a blank inside is part of it", "a b", ["a b"]],
  ])("%s", (_, text, passphrases) => {
    expect(parsePassphrases(text)).toEqual(passphrases);
  });

  test.each(["", " ", "\n\n", "\r\n"])("without a passphrase is an error: %j", (text) => {
    expect(() => parsePassphrases(text)).toThrow("no passphrase");
  });

  test("with more than two is an error, which quotes none", () => {
    const text = [ONE, TWO, OWN].join("\n");
    expect(() => parsePassphrases(text)).toThrow(/3 passphrases/);
    expect(() => parsePassphrases(text)).not.toThrow(/made-up/);
  });
});

describe("a caller is known by", () => {
  test.each<[string, Request]>([
    ["the header", passing(ONE)],
    ["the header, blanks around it", passing(` ${ONE} `)],
    ["the password of Basic credentials", basic(`flow:${ONE}`)],
    ["Basic credentials without a user", basic(`:${ONE}`)],
    ["Basic credentials whose password alone was filled in", basic(ONE)],
    ["the scheme in any case", basic(`flow:${ONE}`, "bAsIc")],
    [
      "Basic credentials beside an empty header",
      {
        ...basic(`flow:${ONE}`),
        headers: { ...basic(`flow:${ONE}`).headers, "x-token-passphrase": " " },
      },
    ],
  ])("%s", async (_, request) => {
    expect(identify(request, live(ONE))).toEqual({ shared: true, hash: sha256(ONE) });
  });

  test("the part after the first colon, since a passphrase may hold more", async () => {
    expect(identify(basic("flow:made:up:too"), live("made:up:too")).shared).toBe(true);
  });

  test("a passphrase that is not plain ASCII, in Basic credentials", async () => {
    expect(identify(basic("flow:schön erfunden"), live("schön erfunden")).shared).toBe(true);
  });

  test("the header, where both are given", async () => {
    const both = requestWith({ ...basic(`flow:${TWO}`).headers, "x-token-passphrase": ONE });
    expect(identify(both, live(ONE))).toMatchObject({ shared: true });
    expect(identify(both, live(TWO))).toMatchObject({ shared: false });
  });
});

describe("nobody is known without a passphrase", () => {
  test.each<[string, Request]>([
    ["no header", requestWith({})],
    ["an empty header", passing("")],
    ["a blank header", passing("  ")],
    ["Basic credentials with an empty password", basic("flow:")],
    ["Basic without credentials", requestWith({ authorization: "Basic " })],
    ["a bearer token", requestWith({ authorization: `Bearer ${ONE.replaceAll(" ", "")}` })],
    ["no Base64", requestWith({ authorization: "Basic %%%" })],
  ])("%s", async (_, request) => {
    expect(await told(() => identify(request, live(ONE)))).toBe("no_passphrase");
  });
});

describe("shared passphrases", () => {
  test("two are live at once: the new and the old one", async () => {
    expect(identify(passing(ONE), live(ONE, TWO)).shared).toBe(true);
    expect(identify(passing(TWO), live(ONE, TWO)).shared).toBe(true);
  });

  test.each([TWO, ONE.slice(0, -1), `${ONE}x`, ONE.toUpperCase(), sha256(ONE), "x"])(
    "another text is none of them: %s",
    async (given) => {
      expect(identify(passing(given), live(ONE)).shared).toBe(false);
    },
  );
});

describe("a token without a passphrase of its own", () => {
  test("opens to a shared one", () => {
    expect(() => admit({ shared: true, hash: sha256(ONE) }, undefined)).not.toThrow();
  });

  test("opens to nothing else", () => {
    expect(() => admit({ shared: false, hash: sha256(TWO) }, undefined)).toThrow(Problem);
  });
});

describe("a token with a passphrase of its own", () => {
  test("opens to that, in whatever case its hash was written", () => {
    const caller = { shared: false, hash: sha256(OWN) };
    expect(() => admit(caller, sha256(OWN))).not.toThrow();
    expect(() => admit(caller, sha256(OWN).toUpperCase())).not.toThrow();
  });

  test("does not open to a shared one", () => {
    expect(() => admit({ shared: true, hash: sha256(ONE) }, sha256(OWN))).toThrow(Problem);
  });

  test.each(["", "made-up", "zz".repeat(32), sha256(ONE).slice(2), `${sha256(ONE)}00`])(
    "opens to nobody where its hash is none: %j",
    (own) => {
      expect(() => admit({ shared: true, hash: sha256(ONE) }, own)).toThrow(Problem);
    },
  );

  test("says no as everybody else does, and quotes nothing", () => {
    const refuse = (own: string | undefined) => {
      try {
        admit({ shared: false, hash: sha256(ONE) }, own);
      } catch (error) {
        return error;
      }
      throw new Error("the door was open");
    };
    expect(codeOf(refuse(sha256(OWN)))).toBe("wrong_passphrase");
    expect((refuse(sha256(OWN)) as Error).message).toBe((refuse(undefined) as Error).message);
  });

  const ask = (passphraseHash: unknown) => {
    const fields: RawFields = {
      accessToken: "made-up-access",
      accessExpires: NOW + 3_600_000,
      static: true,
      passphraseHash,
    };
    const snapshot = { id: "acme", fields, version: "1", readAt: NOW, writtenAt: NOW };
    const handle = makeLookup({
      reader: tokenReader({ read: async () => snapshot }, () => NOW),
      askRefresher: async () => ({ outcome: "fresh" }),
      passphrases: { live: () => live(ONE) },
      runtime: { now: () => NOW, sleep: async () => {}, secret: () => "made-up" },
      log: () => {},
      threshold: 7_200_000,
    });
    return Promise.try(handle, passing(ONE)).then((reply) => reply.status, codeOf);
  };

  test("is found by lookup", async () => {
    expect(await ask(undefined)).toBe(200);
    expect(await ask(sha256(OWN))).toBe("wrong_passphrase");
  });

  // "a token with its own passphrase accepts only that": a field of a wrong kind is absent from the document, and
  // so this lock falls open to every holder of a shared passphrase.
  test.each([12_345, true, {}])("stays shut where its hash is of a wrong kind: %j", async (hash) => {
    expect(await ask(hash)).not.toBe(200);
  });
});

describe("where passphrases come from", () => {
  let folder: string;
  let file: string;
  let now: number;
  let events: [Event, Details | undefined][];
  const log: Log = (event, details) => events.push([event, details]);
  const open = (where: { text: string } | { file: string }) => openPassphrases(where, log, () => now);
  const named = (name: Event) => events.filter(([event]) => event === name);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "passphrases-"));
    file = join(folder, "passphrase");
    now = NOW;
    events = [];
    await writeFile(file, `${ONE}\n`);
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("the environment", async () => {
    expect(await (await open({ text: `${ONE}\n${TWO}` })).live()).toEqual([ONE, TWO]);
  });

  test("a file", async () => {
    expect(await (await open({ file })).live()).toEqual([ONE]);
  });

  test.each([
    ["an empty text", { text: "\n" }],
    ["too many", { text: "made-up a\nmade-up b\nmade-up c" }],
  ])("can't be started with: %s", async (_, where) => {
    await expect(open(where)).rejects.toThrow(SettingsError);
  });

  test("a missing file is told by its variable", async () => {
    await rm(file);
    await expect(open({ file })).rejects.toThrow(/TOKEN_PASSPHRASE_FILE.*ENOENT/);
  });

  test("an empty file is told by its variable", async () => {
    await writeFile(file, "\n");
    await expect(open({ file })).rejects.toThrow(/TOKEN_PASSPHRASE_FILE.*no passphrase/);
  });

  test("a changed file is read when it was read a minute ago, not before", async () => {
    const passphrases = await open({ file });
    await writeFile(file, `${TWO}\n${ONE}\n`);
    now += 59_999;
    expect(await passphrases.live()).toEqual([ONE]);
    now += 1;
    expect(await passphrases.live()).toEqual([TWO, ONE]);
    await writeFile(file, TWO);
    now += 59_999;
    expect(await passphrases.live()).toEqual([TWO, ONE]);
    now += 1;
    expect(await passphrases.live()).toEqual([TWO]);
  });

  test.each<[string, (file: string) => Promise<void>]>([
    ["gone", (file) => rm(file)],
    ["empty", (file) => writeFile(file, "")],
    ["overfull", (file) => writeFile(file, "made-up a\nmade-up b\nmade-up c")],
  ])(
    "a file that is %s leaves the last good passphrases, says so once a minute, and heals",
    async (_, spoil) => {
      const passphrases = await open({ file });
      await spoil(file);
      now += 60_000;
      expect(await passphrases.live()).toEqual([ONE]);
      expect(await passphrases.live()).toEqual([ONE]);
      expect(named("passphrase.unreadable")).toHaveLength(1);
      now += 60_000;
      expect(await passphrases.live()).toEqual([ONE]);
      expect(named("passphrase.unreadable")).toHaveLength(2);
      await writeFile(file, TWO);
      now += 60_000;
      expect(await passphrases.live()).toEqual([TWO]);
      expect(JSON.stringify(events)).not.toMatch(/made-up/);
    },
  );

  test("one that is short is warned of, and not quoted", async () => {
    await open({ text: "madeup-15-chars" });
    expect(named("passphrase.weak")).toHaveLength(1);
    expect(JSON.stringify(events)).not.toContain("madeup-15-chars");
  });

  test("one of sixteen characters is not", async () => {
    await open({ text: "madeup-16-charss" });
    expect(events).toEqual([]);
  });
});
