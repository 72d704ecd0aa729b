import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import { runtime } from "../../functions/adapters/runtime.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { sha256 } from "../../functions/core/hash.ts";
import { makeLookup } from "../../functions/core/lookup.ts";
import { parsePassphrases } from "../../functions/core/passphrase.ts";
import { Problem } from "../../functions/core/reply.ts";
import { tokenReader } from "../../functions/core/store.ts";
import { HOUR, SECOND } from "../../functions/core/time.ts";
import { fakeClock } from "../support/clock.ts";
import { tokens as run } from "../support/command-line.ts";
import { stopAll, temporaryFolder } from "../support/processes.ts";
import { type SecretManager, sharedSecretManager } from "../support/secret-manager.ts";

/** The passphrase commands on real files and stores, with a person at a terminal and a clock that can be turned. */

const SHARED = "made-up-shared-passphrase";
const OLDER = "made-up-passphrase-before-it";
const RANDOM = /^[\w-]{43}$/;

let folder: string;
let file: string;
let store: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  [file, store] = [path.join(folder, "passphrase"), path.join(folder, "tokens.db")];
  for (const name of ["TOKEN_PASSPHRASE", "GOOGLE_CLOUD_PROJECT", "FIRESTORE_EMULATOR_HOST"])
    vi.stubEnv(name, undefined);
  vi.stubEnv("TOKEN_PASSPHRASE_FILE", file);
  vi.stubEnv("STORE", store);
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(stopAll);

/** A person's answer, and what happens while the question stands; without a person there is no terminal. */
type Person = (() => boolean | Promise<boolean>) | undefined;

/** Runs a command line: what it printed, the lines of stderr, the questions, and the sentence that it failed with. */
async function tokens(line: string, person?: Person) {
  const asked: string[] = [];
  const confirm = async (question: string) => {
    asked.push(question);
    return (await person?.()) ?? false;
  };
  const terminal = { interactive: person !== undefined, confirm };
  const { code, stdout, stderr } = await run(line, { env: process.env, cwd: folder, person: terminal });
  const said = stderr.split("\n").slice(0, -1);
  const error = code === 0 ? undefined : said.pop();
  return { printed: stdout === "" ? [] : [stdout.trimEnd()], said, asked, error };
}

/** What a command line prints that succeeds. */
async function output(line: string, person?: Person): Promise<string> {
  const { printed, error } = await tokens(line, person);
  expect({ line, error }).toEqual({ line, error: undefined });
  expect(printed).toHaveLength(1);
  return printed[0] ?? "";
}

/** The sentence with which a command line fails that prints nothing. */
async function sentenceOf(line: string, person?: Person): Promise<string> {
  const { printed, error = "" } = await tokens(line, person);
  expect({ line, printed }).toEqual({ line, printed: [] });
  expect(error).not.toMatch(/^$|made-up|this is a bug/);
  return error;
}

const keep = (...passphrases: string[]) =>
  writeFileSync(file, `${passphrases.join("\n")}\n`, { mode: 0o640 });
const text = () => readFileSync(file, "utf8");

describe("a rotation", () => {
  /** A lookup that goes on running, by a clock of its own; gives the status that a passphrase gets. */
  async function lookup() {
    const clock = fakeClock();
    const fields = {
      accessToken: "canary-access-token",
      accessExpires: clock.now() + 12 * HOUR,
      static: true,
    };
    const snapshot = { id: "t", fields, version: "1", readAt: clock.now(), writtenAt: clock.now() };
    const handle = makeLookup({
      reader: tokenReader({ read: async () => snapshot }, clock.now),
      askRefresher: async () => ({ outcome: "fresh" }),
      passphrases: await openPassphrases({ file }, () => {}, clock.now),
      runtime: { ...runtime, now: clock.now },
      log: () => {},
      threshold: 2 * HOUR,
    });
    const statusOf = async (given: string) => {
      const headers = { "x-token-passphrase": given };
      const request = { method: "GET", path: "/", query: new URLSearchParams("name=t"), headers, caller: "" };
      const ended = await Promise.try(handle, request).catch((error: unknown) => error);
      return ended instanceof Problem ? ended.code : (ended as { status: number }).status;
    };
    return { clock, statusOf };
  }

  test("is known to a running lookup within a minute, and turns nobody away before its finish", async () => {
    keep(SHARED);
    const { clock, statusOf } = await lookup();
    const fresh = await output("passphrase rotate");
    expect(fresh).toMatch(RANDOM);
    clock.advance(60 * SECOND - 1);
    expect(await statusOf(SHARED)).toBe(200);
    expect(await statusOf(fresh)).toBe("wrong_passphrase");
    clock.advance(1);
    expect(await statusOf(SHARED)).toBe(200);
    expect(await statusOf(fresh)).toBe(200);

    await output("passphrase rotate --finish");
    clock.advance(60 * SECOND);
    expect(await statusOf(SHARED)).toBe("wrong_passphrase");
    expect(await statusOf(fresh)).toBe(200);
  });

  test("puts the new one before the one that was newest, and lets two live at most", async () => {
    keep(SHARED, OLDER);
    const answer = JSON.parse(await output("passphrase rotate --json"));
    const fresh = expect.stringMatching(RANDOM);
    expect(answer).toEqual({ passphrase: fresh, live: 2, ended: 1, within: 60, file });
    expect(text()).toBe(`${answer.passphrase}\n${SHARED}\n`);
    expect(parsePassphrases(text())).toEqual([answer.passphrase, SHARED]);
    expect(statSync(file).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder)).toEqual(["passphrase"]);
  });

  test("is finished once; a second time there is nothing to end", async () => {
    keep(SHARED, OLDER);
    const finish = async () => JSON.parse(await output("passphrase rotate --finish --json"));
    expect(await finish()).toEqual({ live: 1, ended: 1, within: 60, file });
    expect(text()).toBe(`${SHARED}\n`);
    expect(await finish()).toEqual({ live: 1, ended: 0, within: 60, file });
    expect(text()).toBe(`${SHARED}\n`);
    expect(await output("passphrase rotate --finish")).toContain("only one shared passphrase");
  });

  test("takes a file as people write it: blank lines, the line ends of Windows, no last one", async () => {
    writeFileSync(file, `\r\n ${SHARED}\t\r\n\r\n${OLDER}`);
    const fresh = await output("passphrase rotate");
    expect(text()).toBe(`${fresh}\n${SHARED}\n`);
  });

  test("prints the new passphrase alone, once, and says beside it when it is live", async () => {
    keep(SHARED);
    const { printed, said } = await tokens("passphrase rotate");
    expect(printed).toEqual([expect.stringMatching(RANDOM)]);
    expect(said.join(" ")).toMatch(/within a minute.*rotate --finish/);
    expect(said.join(" ")).not.toContain(printed[0]);
    expect(said.join(" ")).not.toContain(SHARED);
  });

  test("prints the new passphrase after the file holds it, so that a crash shows none that does not work", async () => {
    keep(SHARED);
    const held: string[] = [];
    const print = () => void held.push(...parsePassphrases(text()));
    await run("passphrase rotate", { env: process.env, person: { print } });
    expect(held).toEqual([expect.stringMatching(RANDOM), SHARED]);
  });

  test("leaves a link what it is, and changes what it leads to", async () => {
    keep(SHARED);
    const link = path.join(folder, "link");
    symlinkSync(file, link);
    vi.stubEnv("TOKEN_PASSPHRASE_FILE", link);
    const fresh = await output("passphrase rotate");
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(parsePassphrases(text())).toEqual([fresh, SHARED]);
  });

  test("is of the sandbox's place, or of the live one where that is asked for", async () => {
    vi.stubEnv("TOKEN_PASSPHRASE_FILE", undefined);
    vi.stubEnv("STORE", undefined);
    const fileOf = (mode: string) => path.join(folder, ".data", mode, "passphrase");
    for (const mode of ["live", "sandbox"]) {
      mkdirSync(path.dirname(fileOf(mode)), { recursive: true });
      writeFileSync(fileOf(mode), `${SHARED}-${mode}\n`);
    }
    const [live, sandbox] = [await output("--live passphrase rotate"), await output("passphrase rotate")];
    expect(readFileSync(fileOf("live"), "utf8")).toBe(`${live}\n${SHARED}-live\n`);
    expect(readFileSync(fileOf("sandbox"), "utf8")).toBe(`${sandbox}\n${SHARED}-sandbox\n`);
  });
});

describe("a rotation that can't be made says what to do", () => {
  const both = ["passphrase rotate", "passphrase rotate --finish"];

  test.each(both)("where TOKEN_PASSPHRASE holds it: %s", async (line) => {
    vi.stubEnv("TOKEN_PASSPHRASE_FILE", undefined);
    vi.stubEnv("TOKEN_PASSPHRASE", SHARED);
    expect(await sentenceOf(line)).toMatch(/TOKEN_PASSPHRASE.*first line.*Secret Manager.*add a new version/);
  });

  test.each(both)("where the tokens are in Firestore's emulator: %s", async (line) => {
    vi.stubEnv("TOKEN_PASSPHRASE_FILE", undefined);
    vi.stubEnv("STORE", undefined);
    vi.stubEnv("GOOGLE_CLOUD_PROJECT", "a-project");
    vi.stubEnv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1");
    expect(await sentenceOf(line)).toMatch(/emulator.*name the file that it reads in TOKEN_PASSPHRASE_FILE/);
  });

  test("not where a file is named, wherever the tokens are", async () => {
    vi.stubEnv("STORE", undefined);
    vi.stubEnv("GOOGLE_CLOUD_PROJECT", "a-project");
    keep(SHARED);
    expect(parsePassphrases(text())).not.toContain(await output("passphrase rotate"));
  });

  test.each(both)("where there is no file: %s", async (line) => {
    expect(await sentenceOf(line)).toMatch(/no passphrase file .*: TOKEN_PASSPHRASE_FILE must name/);
    vi.stubEnv("TOKEN_PASSPHRASE_FILE", undefined);
    const { error } = await tokens(`--live ${line}`);
    expect(error).toMatch(/no passphrase file .*live.passphrase.{2}"npm start" makes it/);
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([
    ["none", "\n", "it holds no passphrase"],
    ["more than any service would take", `${SHARED}\n${OLDER}\ncanary-third\n`, "it holds 3 passphrases"],
    ["one that no header can carry", "made-up-schön\n", "ASCII"],
  ])("where the file holds %s", async (_, content, words) => {
    writeFileSync(file, content);
    for (const line of both) expect(await sentenceOf(line)).toContain(words);
    expect(text()).toBe(content);
    expect(readdirSync(folder)).toEqual(["passphrase"]);
  });

  test("where somebody else rotates just now", async () => {
    keep(SHARED);
    writeFileSync(`${file}.new`, "");
    expect(await sentenceOf("passphrase rotate")).toContain(`if nobody is, remove ${file}.new`);
    expect(text()).toBe(`${SHARED}\n`);
  });
});

describe("a rotation in Secret Manager", () => {
  const PLACE = "projects/a-project/secrets/tokens-passphrase";
  let google: SecretManager;
  beforeAll(async () => {
    google = await sharedSecretManager();
  });
  beforeEach(() => {
    vi.stubEnv("TOKEN_PASSPHRASE_FILE", undefined);
    vi.stubEnv("STORE", undefined);
    vi.stubEnv("GOOGLE_CLOUD_PROJECT", "a-project");
    // As Pulumi makes it: without a line's end.
    google.create(PLACE, SHARED);
  });
  const texts = (name = PLACE) => google.versions(name).map(({ text, enabled }) => [text, enabled]);

  test("lets two live until its finish, in versions of the deployment's secret; those before are disabled", async () => {
    const fresh = await output("passphrase rotate");
    expect(fresh).toMatch(RANDOM);
    const both = `${fresh}\n${SHARED}\n`;
    expect(texts()).toEqual([
      [SHARED, false],
      [both, true],
    ]);
    expect(parsePassphrases(both)).toEqual([fresh, SHARED]);
    expect(await output("passphrase rotate --finish")).toContain("within a minute");
    expect(texts().slice(1)).toEqual([
      [both, false],
      [`${fresh}\n`, true],
    ]);
  });

  test("that is finished twice adds no version the second time", async () => {
    const finish = async () => JSON.parse(await output("passphrase rotate --finish --json"));
    expect(await finish()).toEqual({ live: 1, ended: 0, within: 60, secret: PLACE });
    expect(texts()).toEqual([[SHARED, true]]);
  });

  test.each([
    ["by its name", "other", " --secret other"],
    ["by its full name", "other", " --secret projects/a-project/secrets/other"],
    [
      "in full, of another project, wherever the tokens are",
      "its-own",
      " --secret projects/b-project/secrets/its-own",
    ],
  ])("is of the secret that is named %s, and says how to finish it", async (_, id, option) => {
    const name = `projects/${option.includes("b-project") ? "b" : "a"}-project/secrets/${id}`;
    if (option.includes("b-project")) vi.stubEnv("GOOGLE_CLOUD_PROJECT", undefined);
    google.create(name, SHARED, OLDER);
    const { printed, said, error } = await tokens(`passphrase rotate${option}`);
    expect(error).toBeUndefined();
    expect(said.join(" ")).toContain(`rotate --finish${option}`);
    expect(texts(name).at(-1)).toEqual([`${printed[0]}\n${OLDER}\n`, true]);
    expect(texts()).toEqual([[SHARED, true]]);
  });

  test("is of the secret that TOKEN_PASSPHRASE_FILE names", async () => {
    vi.stubEnv("GOOGLE_CLOUD_PROJECT", undefined);
    vi.stubEnv("TOKEN_PASSPHRASE_FILE", PLACE);
    const { passphrase: fresh, ...answer } = JSON.parse(await output("passphrase rotate --json"));
    expect(answer).toEqual({ live: 2, ended: 0, within: 60, secret: PLACE });
    expect(texts().at(-1)).toEqual([`${fresh}\n${SHARED}\n`, true]);
  });

  test("that can't disable the version before still shows the new passphrase, which is good", async () => {
    google.fail("DisableSecretVersion", status.PERMISSION_DENIED);
    const { printed, error } = await tokens("passphrase rotate");
    expect(error).toMatch(/has its new version.*could not be disabled/);
    expect(texts().at(-1)).toEqual([`${printed[0]}\n${SHARED}\n`, true]);
  });

  test.each([
    [
      "there is no such secret",
      "passphrase rotate --secret nobody",
      /there is no secret projects\/a-project\/secrets\/nobody.*pulumi stack output passphrase/,
    ],
    ["no name of one was given", "passphrase rotate --secret a/b", /--secret must be projects/],
  ])("is refused where %s", async (_, line, words) => {
    expect(await sentenceOf(line)).toMatch(words);
  });

  test("is refused where nothing says in which project", async () => {
    vi.stubEnv("GOOGLE_CLOUD_PROJECT", undefined);
    expect(await sentenceOf("passphrase rotate --secret other")).toMatch(
      /^which project\?.*GOOGLE_CLOUD_PROJECT/,
    );
  });

  test("is refused where the secret holds three, and leaves it as it is", async () => {
    google.create(PLACE, `${SHARED}\n${OLDER}\ncanary-third`);
    for (const line of ["passphrase rotate", "passphrase rotate --finish"])
      expect(await sentenceOf(line)).toContain("it holds 3 passphrases");
    expect(google.versions(PLACE)).toHaveLength(1);
  });
});

describe("a token's own passphrase", () => {
  const HASH = sha256("made-up-own-passphrase");

  async function given(passphraseHash?: unknown): Promise<void> {
    const documents = openSqlite(store, Date.now);
    await documents.create("tokens", "sales", {
      clientId: "made-up",
      ...(passphraseHash !== undefined && { passphraseHash }),
    });
    await documents.close();
  }

  async function fields() {
    const documents = openSqlite(store, Date.now);
    const found = await documents.read("tokens", "sales");
    await documents.close();
    return found?.fields;
  }

  /** Somebody else, while a question stands. */
  async function meanwhile(passphraseHash: string): Promise<boolean> {
    const documents = openSqlite(store, Date.now);
    const found = await documents.read("tokens", "sales");
    await documents.update("tokens", "sales", { passphraseHash }, found?.version ?? "");
    await documents.close();
    return true;
  }

  test("is stored as its hash, beside what is there", async () => {
    await given();
    const { printed, said, asked } = await tokens("passphrase set sales");
    expect(printed).toEqual([expect.stringMatching(RANDOM)]);
    expect(asked).toEqual([]);
    expect(said.join(" ")).not.toContain(printed[0]);
    expect(await fields()).toEqual({ clientId: "made-up", passphraseHash: sha256(printed[0] ?? "") });
    expect(await output("passphrase clear sales --yes")).toContain("shared passphrase opens");
    expect(await fields()).toEqual({ clientId: "made-up" });
  });

  test("is never shown again, nor its hash", async () => {
    await given();
    const own = await output("passphrase set sales");
    const lines = ["list --json", "show sales", "show sales --json --reveal"];
    const shown = await Promise.all(lines.map((line) => output(line)));
    expect(shown[2]).toContain('"ownPassphrase": true');
    for (const secret of [own, sha256(own)]) expect(shown.join()).not.toContain(secret);
  });

  // A hash that is none, or not even text, locks the token: it counts as one.
  test.each([[HASH], ["made-up-no-hash"], [42], [{}]])(
    "is replaced only where that is meant: %j",
    async (hash) => {
      await given(hash);
      expect(await sentenceOf("passphrase set sales")).toContain("--replace");
      const no = await tokens("passphrase set sales", () => false);
      expect(no).toMatchObject({ printed: [], error: 'token "sales" was left as it is' });
      expect(no.asked).toEqual([expect.stringMatching(/own already/)]);
      expect(await fields()).toMatchObject({ passphraseHash: hash });
      const own = await output("passphrase set sales", () => true);
      expect(await fields()).toMatchObject({ passphraseHash: sha256(own) });
      const again = JSON.parse(await output("passphrase set sales --replace --json"));
      expect(again).toMatchObject({ name: "sales", replaced: true, within: 30 });
      expect(await fields()).toMatchObject({ passphraseHash: sha256(again.passphrase) });
    },
  );

  test.each([[HASH], [42]])("is cleared only where that is meant: %j", async (hash) => {
    await given(hash);
    expect(await sentenceOf("passphrase clear sales")).toContain("--yes");
    const no = await tokens("passphrase clear sales", () => false);
    expect(no).toMatchObject({ printed: [], error: 'token "sales" was left as it is' });
    expect(await fields()).toMatchObject({ passphraseHash: hash });
    await output("passphrase clear sales", () => true);
    expect(await fields()).not.toHaveProperty("passphraseHash");
  });

  test("is not there to be cleared twice", async () => {
    await given();
    for (const line of ["passphrase clear sales", "passphrase clear sales --yes"])
      expect(await output(line)).toContain("has no passphrase of its own");
    expect(JSON.parse(await output("passphrase clear sales --json"))).toMatchObject({ cleared: false });
  });

  test.each(["passphrase set sales", "passphrase clear sales"])(
    "that came while the question stood is left alone: %s",
    async (line) => {
      await given(HASH);
      const newer = sha256("made-up-newer");
      expect(await sentenceOf(line, () => meanwhile(newer))).toContain("changed meanwhile");
      expect(await fields()).toMatchObject({ passphraseHash: newer });
    },
  );

  test("is one where two are set at once: the other is told, and prints none", async () => {
    await given();
    const both = await Promise.all([tokens("passphrase set sales"), tokens("passphrase set sales")]);
    const printed = both.flatMap((each) => each.printed);
    expect(printed).toHaveLength(1);
    expect(both.filter(({ error }) => error?.includes("changed meanwhile"))).toHaveLength(1);
    expect(await fields()).toMatchObject({ passphraseHash: sha256(printed[0] ?? "") });
  });

  test("of a token that is not there is told with the name that was meant", async () => {
    await given();
    for (const line of ["passphrase set slaes", "passphrase clear slaes --yes"])
      expect(await sentenceOf(line)).toBe('there is no token "slaes": did you mean "sales"?');
  });
});
