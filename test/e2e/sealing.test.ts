import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { keyOf } from "../../functions/core/seal.ts";
import { HOUR } from "../../functions/core/time.ts";
import { INHERITED } from "../support/environment.ts";
import { type Running, startFunction, stopAll } from "../support/processes.ts";
import { endAll, run } from "./child.ts";
import {
  ageingDocument,
  ask,
  type Deployed,
  deploy,
  newClient,
  sqlitePlace,
  startWebex,
  type Webex,
} from "./deployed.ts";

/** The four steps of a rotation, over the real command line and functions that go on running. */

const PROGRAM = path.resolve(import.meta.dirname, "../../local/tokens.ts");
const MINUTES_AGO = Date.now() - 3 * 60_000;
vi.setConfig({ testTimeout: 60_000 });

let webex: Webex;
let deployed: Deployed;
let folder: string;
let env: Record<string, string>;
let refresher: Running;
let lookup: Running;

beforeAll(async () => {
  webex = await startWebex();
  const place = await sqlitePlace();
  folder = path.dirname(place.env.STORE ?? "");
  env = { ...place.env, WEBEX_URL: webex.url };
  deployed = deploy(place, webex);
  const client = await webex.register(newClient("http://127.0.0.1:1/callback"));
  await deployed.put("sales", await ageingDocument(webex, client));
});
afterAll(async () => {
  await endAll();
  await deployed.documents.close();
  await stopAll();
});

const keyFile = () => path.join(folder, "seal-keys.json");
const keySet = () => JSON.parse(readFileSync(keyFile(), "utf8"));
const kids = (): string[] => keySet().keys.map(({ kid }: { kid: string }) => kid);

async function tokens(line: string) {
  const child = run(process.execPath, [PROGRAM, ...line.split(" ")], {
    cwd: folder,
    env: { ...INHERITED, ...env },
  });
  const { code } = await child.ended;
  const text = child.stdout() + child.stderr();
  for (const { k } of keySet().keys ?? []) expect(text).not.toContain(k);
  return { code, text, json: () => JSON.parse(child.stdout()) };
}

/** As if the key had come into its part three minutes ago. */
function age(): void {
  const { keys } = keySet();
  writeFileSync(
    keyFile(),
    JSON.stringify({ keys: keys.map((key: object) => ({ ...key, since: MINUTES_AGO })) }),
  );
}

const usedKeys = async () => {
  const { clientSecret, refreshToken } = (await deployed.document("sales")).fields;
  return new Set([keyOf(String(clientSecret)), keyOf(String(refreshToken))]);
};
/** An hour is left of it, and nobody has tried to refresh it. */
async function becomeDue(): Promise<void> {
  const now = Date.now();
  const instants = { accessExpires: now + HOUR, lastRefresh: now - 11 * HOUR, refreshAt: now - 1 };
  await deployed.type("sales", { ...instants, failure: undefined });
}

async function refreshBy(one: Running) {
  await becomeDue();
  return (await ask(one, "/?name=sales", "POST")).body;
}
const served = async () => (await ask(lookup, "/?name=sales")).status;

describe("sealing", () => {
  test("begins with a first key, which only its owner may read, and a reseal of what is stored plain", async () => {
    const added = await tokens("keys add --json");
    expect(added.json()).toMatchObject({ kid: kids()[0], seals: true, keys: keyFile() });
    expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
    expect(await usedKeys()).toEqual(new Set([undefined]));
    expect((await tokens("reseal --json")).json()).toEqual({ tokens: 1, resealed: 1, unopened: [] });
    expect(await usedKeys()).toEqual(new Set(kids()));
    expect((await tokens("reseal")).text).toContain("nothing to do");
  });

  test("a deployed refresher refreshes what is sealed, and lookup answers it", async () => {
    refresher = await startFunction("refresher", { ...env, SEAL_KEYS: keyFile() });
    lookup = await deployed.lookup(refresher.url);
    expect(await refreshBy(refresher)).toEqual({ outcome: "refreshed" });
    expect(await served()).toBe(200);
  });

  test("a second key only opens; it is not promoted before every instance may know it", async () => {
    expect((await tokens("keys add --json")).json()).toMatchObject({ kid: kids()[1], seals: false });
    const soon = await tokens(`keys promote ${kids()[1]}`);
    expect(soon).toMatchObject({
      code: 1,
      text: expect.stringMatching(/was added just now.*try again in \d+ s/),
    });
    age();
    expect((await tokens(`keys promote ${kids()[1]}`)).code).toBe(0);
  });

  test("the older key is not dropped while an instance may still seal with it, nor while it is used", async () => {
    const [old] = kids();
    expect((await tokens(`keys drop ${old}`)).text).toMatch(/was promoted just now/);
    age();
    expect((await tokens(`keys drop ${old}`)).text).toContain(
      `key "${old}" still seals 2 values: run "npm run tokens -- reseal"`,
    );
    expect(kids()).toContain(old);
  });

  test("a reseal goes over to the new key, which the running refresher finds by itself", async () => {
    expect((await tokens("reseal")).text).toContain("1 of 1 tokens resealed");
    expect(await usedKeys()).toEqual(new Set([kids()[1]]));
    expect(await refreshBy(refresher)).toEqual({ outcome: "refreshed" });
    expect(await usedKeys()).toEqual(new Set([kids()[1]]));
    expect(await served()).toBe(200);
  });

  test("the older key is dropped; the one that seals never is", async () => {
    const [old, now] = kids();
    expect((await tokens(`keys drop ${now}`)).text).toContain("promote another one first");
    expect((await tokens(`keys drop ${old}`)).code).toBe(0);
    expect((await tokens("keys list --json")).json()).toMatchObject({
      keys: [{ kid: now, seals: true, values: 2 }],
      plain: 0,
    });
    expect((await tokens("keys drop nonsense")).text).toContain('there is no key "nonsense"');
  });

  test("a change that somebody else has begun is not run over, and leaves no file behind", async () => {
    const good = readFileSync(keyFile());
    writeFileSync(`${keyFile()}.new`, "");
    expect((await tokens("keys add")).text).toMatch(
      /somebody else is changing .*; if nobody is, remove .*\.new/,
    );
    rmSync(`${keyFile()}.new`);
    expect(readFileSync(keyFile())).toEqual(good);
    writeFileSync(keyFile(), "{}");
    const told = await tokens("keys add");
    expect(told).toMatchObject({
      code: 1,
      text: expect.stringContaining("can't be used: it is no JSON Web Key Set"),
    });
    expect(readFileSync(keyFile(), "utf8")).toBe("{}");
    expect(readdirSync(folder).filter((file) => file.endsWith(".new"))).toEqual([]);
    writeFileSync(keyFile(), good);
  });

  test("with the wrong keys nothing is overwritten, and the held token is served", async () => {
    const { fields } = await deployed.document("sales");
    const other = path.join(folder, "other.json");
    const key = { kty: "oct", kid: "other", k: "A".repeat(43), key_ops: ["encrypt", "decrypt"] };
    writeFileSync(other, JSON.stringify({ keys: [key] }));
    for (const SEAL_KEYS of [other, ""]) {
      const blind = await startFunction("refresher", { ...env, SEAL_KEYS });
      const code = "unopened_clientSecret";
      expect(await refreshBy(blind)).toEqual({ outcome: "failed", code, permanent: false });
      expect(blind.output().join("\n")).toContain(
        "token.unopened token=sales field=clientSecret reason=it is sealed",
      );
      await blind.stop();
      const after = (await deployed.document("sales")).fields;
      for (const field of ["clientSecret", "refreshToken", "accessToken"])
        expect(after[field]).toBe(fields[field]);
      expect(await served()).toBe(200);
    }
    const wrong = { ...env, SEAL_KEYS: other };
    const shown = run(process.execPath, [PROGRAM, "show", "sales"], {
      cwd: folder,
      env: { ...INHERITED, ...wrong },
    });
    await shown.ended;
    expect(shown.stdout()).toContain(
      `clientSecret: it is sealed with key "${kids()[0]}", which is not configured`,
    );
  });
});
