import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Needed, readSettings, SettingsError } from "../../functions/adapters/env.ts";
import { openPassphrases } from "../../functions/adapters/passphrases.ts";
import { callbackIn } from "../../local/actions/consent.ts";
import { CommandError } from "../../local/commands/errors.ts";
import { parseSecrets } from "../../local/commands/secrets.ts";
import { anyText, runs } from "../support/property.ts";
import { CANARY, expectSound, expectUnpolluted, oddJson, oddText } from "./hostile-values.ts";

/** Anything that an operator sets, pastes or pipes is accepted, or refused in one sentence that does not quote it. */

function expectSentence(error: unknown, kind: new (message: string) => Error): void {
  expect(error).toBeInstanceOf(kind);
  const { message } = error as Error;
  expect(message).not.toContain(CANARY);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they would control a terminal
  expect(message).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
}

const withCanary = fc.oneof(
  oddText,
  anyText.map((text) => `${CANARY}${text}`),
  anyText.map((text) => `${text}${CANARY}`),
);

describe("an environment of any values", () => {
  const VARIABLES = [
    ...[
      "PORT",
      "STORE",
      "GOOGLE_CLOUD_PROJECT",
      "FIRESTORE_DATABASE",
      "FIRESTORE_EMULATOR_HOST",
      "WEBEX_URL",
    ],
    ...["TOKEN_PASSPHRASE", "TOKEN_PASSPHRASE_FILE", "REFRESHER_URL", "SETUP_URL", "PUBLIC_URL", "K_SERVICE"],
    ...[
      "REFRESH_THRESHOLD",
      "REFRESH_CONCURRENCY",
      "SWEEP_DEADLINE",
      "COMPAT",
      "CORS_ORIGINS",
      "LEGACY_SETUP",
    ],
    "GCE_METADATA_HOST",
  ];
  const value = fc.oneof(
    withCanary,
    fc.constantFrom(
      ...[
        "https://a.example",
        `https://u:${CANARY}@a.example`,
        `https://a.example/?${CANARY}`,
        "http://",
        "//a",
      ],
      ...[
        "1",
        "70000",
        "1e3",
        "2h",
        "2 h",
        "999999999999h",
        "-5m",
        "sample",
        "on",
        "a,b",
        "https://a.example,*",
      ],
      ...[`https://${CANARY}:99999`, "file:///a", "javascript:1", "http://[::1]:80", "https://a.example,"],
    ),
  );
  const environment = fc.dictionary(fc.constantFrom(...VARIABLES), value);
  const needed = fc.subarray<Needed>(["store", "passphrase", "refresherUrl"]);

  test("is read whole, or refused with the names of variables and without their values", () => {
    fc.assert(
      fc.property(environment, needed, (env, needed) => {
        try {
          const settings = readSettings(env, needed);
          const { threshold, concurrency, sweepDeadline, port, webexUrl, corsOrigins } = settings;
          expectSound([threshold, concurrency, sweepDeadline, port]);
          expect(Math.min(threshold, concurrency, sweepDeadline, port)).toBeGreaterThan(0);
          const { refresherUrl = webexUrl, setupUrl = webexUrl, publicUrl = webexUrl } = settings;
          for (const url of [webexUrl, refresherUrl, setupUrl, publicUrl])
            expect(new URL(`${url}/path`).href).toMatch(/^https?:\/\/[^?#@]*\/path$/);
          for (const origin of corsOrigins) expect(new URL(origin).origin).toBe(origin);
        } catch (error) {
          if (!(error instanceof SettingsError)) throw error;
          expectSentence(error, SettingsError);
        }
        expectUnpolluted();
      }),
      runs(200, 1000),
    );
  });
});

describe("passphrases", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "token-service-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.concat([bytes, Buffer.from(CANARY)])),
    fc.array(withCanary, { maxLength: 4 }).map((lines) => Buffer.from(lines.join("\r\n"))),
    fc.constantFrom<Buffer>(
      Buffer.from(`\ufeff${CANARY}`),
      Buffer.from(`\ufeff${CANARY}`, "utf16le"),
      Buffer.from(`${CANARY}\u200b`),
      Buffer.from(`${CANARY}\rsecond`),
      Buffer.from(`\n\n ${CANARY} \n\nsecond\n\n`),
      Buffer.alloc(1_000_000, `${CANARY}\n`),
      Buffer.alloc(0),
    ),
  );

  test("from a file of any bytes fit a header, or are refused in a sentence", async () => {
    const file = join(folder, "passphrases");
    await fc.assert(
      fc.asyncProperty(bytes, async (bytes) => {
        await writeFile(file, bytes);
        const logged: unknown[] = [];
        const log = (event: string, details: object = {}) => logged.push([event, details]);
        const opened = await openPassphrases({ file }, log, Date.now).catch((error: unknown) => error);
        expect(JSON.stringify(logged)).not.toContain(CANARY);
        if (opened instanceof Error) return expectSentence(opened, SettingsError);
        const live = await (opened as Awaited<ReturnType<typeof openPassphrases>>).live();
        expect([1, 2]).toContain(live.length);
        for (const passphrase of live) expect(passphrase).toMatch(/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/);
      }),
      runs(60, 300),
    );
  });

  test.each([
    ["a byte order mark", `\ufeff${CANARY}`],
    ["line breaks of Windows", `\r\n${CANARY}\r\n`],
    ["no line break", CANARY],
  ])("from a file with %s are read", async (_, text) => {
    const file = join(folder, "meant");
    await writeFile(file, text);
    const { live } = await openPassphrases({ file }, () => {}, Date.now);
    expect(await live()).toEqual([CANARY]);
  });
});

describe("any address pasted after a consent", () => {
  const parameter = fc.tuple(
    fc.constantFrom("code", "state", "error", "error_description", "__proto__"),
    withCanary,
  );
  const address = fc.oneof(
    withCanary,
    fc
      .array(parameter, { maxLength: 5 })
      .map(
        (pairs) =>
          `http://127.0.0.1:8080/callback?${pairs.map(([name, text]) => `${name}=${text}`).join("&")}`,
      ),
    fc.constantFrom(
      `"http://a.example/?code=${CANARY}"`,
      "http://[",
      `javascript:alert("${CANARY}")`,
      "a".repeat(1e5),
    ),
  );

  test("gives a code and a state, or is refused in a sentence without either", () => {
    fc.assert(
      fc.property(address, (pasted) => {
        try {
          const { code, state } = callbackIn(pasted, "made-up");
          expect([typeof code, typeof state, code === "", state === ""]).toEqual([
            "string",
            "string",
            false,
            false,
          ]);
        } catch (error) {
          expect(error).toBeInstanceOf(CommandError);
          // Webex's own text may be shown, but must not control the terminal.
          const { message } = error as CommandError;
          if (!pasted.includes("error")) expectSentence(error, CommandError);
          // biome-ignore lint/suspicious/noControlCharactersInRegex: they would control a terminal
          expect(message).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
        }
      }),
      runs(200, 1000),
    );
  });
});

describe("any text piped in", () => {
  const FIELDS = ["clientSecret", "refreshToken", "accessToken"] as const;
  const name = fc.oneof(fc.constantFrom<string>(...FIELDS, "__proto__", "constructor", CANARY), withCanary);
  const text = fc.oneof(
    withCanary,
    fc.dictionary(name, fc.oneof(oddJson, withCanary)).map((value) => JSON.stringify(value)),
    fc.constantFrom(
      `{"clientSecret":"${CANARY}"`,
      `{${CANARY}}`,
      `{"clientSecret":["${CANARY}"]}`,
      "{".repeat(1e5),
    ),
  );

  test("gives secrets that fit a header, or is refused in a sentence without them", () => {
    fc.assert(
      fc.property(text, fc.subarray([...FIELDS], { minLength: 1 }), (text, wanted) => {
        const [alone = "clientSecret"] = wanted;
        try {
          const secrets = parseSecrets(text, wanted, alone);
          for (const [field, secret] of Object.entries(secrets)) {
            expect(wanted).toContain(field);
            expect(secret).toMatch(/^[\x21-\x7e]+$/);
          }
        } catch (error) {
          expectSentence(error, CommandError);
        }
        expectUnpolluted();
      }),
      runs(200, 1000),
    );
  });
});
