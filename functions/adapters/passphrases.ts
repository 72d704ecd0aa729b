import { readFile } from "node:fs/promises";
import type { Log } from "../core/log.ts";
import { type Passphrases, parsePassphrases } from "../core/passphrase.ts";
import { type Settings, SettingsError } from "./env.ts";

/** A file is read again when this old, in ms: a rotation needs no restart. */
const FRESH = 60_000;
const WEAK = 16;

/** Those that the settings name. Throws `SettingsError`. */
export async function openPassphrases(
  where: Settings["passphrase"],
  log: Log,
  now: () => number,
): Promise<Passphrases> {
  if (where === undefined) throw new SettingsError("no passphrase is configured");
  return "file" in where ? passphrasesOf(where.file, log, now) : passphrasesIn(where.text, log);
}

/** Passphrases that the environment gave. Throws `SettingsError` where they can't be used. */
function passphrasesIn(text: string, log: Log): Passphrases {
  const live = checked(text, "TOKEN_PASSPHRASE", log);
  return { live: async () => live };
}

/** Passphrases in a file, read at once, and lazily again. A file that became unreadable leaves the last good ones. */
async function passphrasesOf(file: string, log: Log, now: () => number): Promise<Passphrases> {
  const read = async () => checked(await readFile(file, "utf8"), "TOKEN_PASSPHRASE_FILE", log);
  let live = await read().catch((error: unknown) => {
    throw error instanceof SettingsError
      ? error
      : new SettingsError(`TOKEN_PASSPHRASE_FILE can't be read: ${codeOf(error)}`);
  });
  let readAt = now();
  return {
    async live() {
      if (now() - readAt < FRESH) return live;
      readAt = now();
      live = await read().catch((error: unknown) => {
        log("passphrase.unreadable", {
          reason: error instanceof SettingsError ? error.message : codeOf(error),
        });
        return live;
      });
      return live;
    },
  };
}

function checked(text: string, source: string, log: Log): string[] {
  let passphrases: string[];
  try {
    passphrases = parsePassphrases(text);
  } catch (error) {
    throw new SettingsError(`${source} can't be used: ${(error as Error).message}`);
  }
  if (passphrases.some((passphrase) => passphrase.length < WEAK))
    log("passphrase.weak", { source, advice: `use at least ${WEAK} characters` });
  return passphrases;
}

const codeOf = (error: unknown) => String((error as { code?: unknown }).code ?? "unknown reason");
