import { afterEach, describe, expect, test } from "vitest";
import { sha256 } from "../../functions/core/hash.ts";

import { OLD_PASSPHRASE, PASSPHRASE, type Served, startServed } from "../support/served.ts";
import { basic, expectProblem, FRESH } from "./lookups.ts";

/** Who may read a token. */

let served: Served;
const given = async () => {
  served = await startServed();
};
afterEach(() => served.close());

describe("passphrase", () => {
  test("both live passphrases open a token, in the header or as the password of Basic credentials", async () => {
    await given();
    await served.hold("flow", FRESH);
    for (const passphrase of [PASSPHRASE, OLD_PASSPHRASE]) {
      const ways = [
        { "x-token-passphrase": passphrase },
        { "x-token-passphrase": ` ${passphrase} ` },
        basic(`flow:${passphrase}`),
        basic(`:${passphrase}`),
      ];
      for (const headers of ways)
        expect((await served.ask("/?name=flow", { headers })).status, JSON.stringify(headers)).toBe(200);
    }
  });

  test("a password with a colon in it is taken whole", async () => {
    await given();
    await served.hold("own", FRESH, { passphraseHash: sha256("canary:with:colons") });
    served.secrets.add("canary:with:colons");
    expect((await served.ask("/?name=own", { headers: basic("user:canary:with:colons") })).status).toBe(200);
  });

  test.each<[string, Record<string, string>]>([
    ["none", {}],
    ["an empty one", { "x-token-passphrase": "" }],
    ["Basic credentials without a password", basic("user:")],
    ["Basic credentials that are no base64", { authorization: "Basic %%%" }],
    ["a bearer token in its place", { authorization: `Bearer ${PASSPHRASE}` }],
  ])("%s is 401 and says how to send it", async (_, headers) => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=flow", { headers }), 401, /no passphrase.*x-token-passphrase/);
    expect(served.logs().at(-1)).toMatchObject({ event: "request.unauthorized", token: "flow" });
  });

  test.each<[string, Record<string, string | string[]>]>([
    ["a wrong one", { "x-token-passphrase": "canary-wrong-passphrase" }],
    ["one that only begins right", { "x-token-passphrase": PASSPHRASE.slice(0, -1) }],
    ["one that goes on", { "x-token-passphrase": `${PASSPHRASE}x` }],
    ["both at once", { "x-token-passphrase": [PASSPHRASE, OLD_PASSPHRASE] }],
    ["a wrong password", basic("user:canary-wrong-passphrase")],
    ["the passphrase as the user", basic(`${PASSPHRASE}:canary-wrong-passphrase`)],
  ])("%s is 401", async (_, headers) => {
    await given();
    served.secrets.add("canary-wrong-passphrase");
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=flow", { headers }), 401, /passphrase/);
  });

  test("in the query it counts for nothing", async () => {
    await given();
    await served.hold("flow", FRESH);
    const path = `/?name=flow&x-token-passphrase=${PASSPHRASE}&passphrase=${PASSPHRASE}`;
    expectProblem(await served.ask(path, { headers: {} }), 401, /no passphrase/);
  });

  test("a token with its own passphrase accepts only that", async () => {
    await given();
    const own = "canary-passphrase-of-its-own";
    served.secrets.add(own);
    await served.hold("own", FRESH, { passphraseHash: sha256(own) });
    await served.hold("other", FRESH);
    const opened = (name: string, passphrase: string) =>
      served.ask(`/?name=${name}`, { headers: { "x-token-passphrase": passphrase } });
    expect((await opened("own", own)).status).toBe(200);
    expectProblem(await opened("own", PASSPHRASE), 401, /does not open this token/);
    expectProblem(await opened("own", OLD_PASSPHRASE), 401, /does not open this token/);
    expectProblem(await opened("other", own), 401, /does not open this token/);
  });

  test.each(["", "  ", "\u200b", '""', null])(
    "a blank passphraseHash opens to no caller: %j (row 36)",
    async (hash) => {
      await given();
      await served.hold("own", FRESH, { passphraseHash: hash });
      expectProblem(await served.ask("/?name=own"), 401, /does not open this token/);
    },
  );

  test("a passphraseHash that is no hash opens to nobody", async () => {
    await given();
    await served.hold("own", FRESH, { passphraseHash: "zz" });
    expectProblem(await served.ask("/?name=own"), 401, /passphrase/);
  });

  test("an unknown name is 404 with a shared passphrase and cannot be told from a wrong passphrase without", async () => {
    await given();
    await served.hold("flow", FRESH);
    expectProblem(await served.ask("/?name=none"), 404, /there is no token "none"/);
    const wrong = { headers: { "x-token-passphrase": "canary-wrong-passphrase" } };
    const unknown = await served.ask("/?name=none", wrong);
    const known = await served.ask("/?name=flow", wrong);
    expectProblem(unknown, 401, /passphrase/);
    expect({ ...unknown.body, reference: "" }).toEqual({ ...known.body, reference: "" });
  });
});
