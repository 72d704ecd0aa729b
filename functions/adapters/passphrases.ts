import type { Log } from "../core/log.ts";
import { type Passphrases, parsePassphrases } from "../core/passphrase.ts";
import { type Settings, SettingsError } from "./env.ts";

/** A file is read again when this old, in ms: a rotation needs no restart. */
const FRESH = 60_000;
const WEAK = 16;

/**
 * Those that the settings name. `source` is blamed where they are no good; by default the variable that names them.
 * Throws `SettingsError`.
 */
export async function openPassphrases(
  where: NonNullable<Settings["passphrase"]>,
  log: Log,
  now: () => number,
  source = "file" in where ? "TOKEN_PASSPHRASE_FILE" : "TOKEN_PASSPHRASE",
): Promise<Passphrases> {
  if ("file" in where) return passphrasesOf(where.file, source, log, now);
  const live = checked(where.text, source);
  warnOfWeak(live, source, log);
  return { live: () => live };
}

/** Passphrases in a file, read at once, and lazily again. A file that became unreadable leaves the last good ones. */
async function passphrasesOf(
  file: string,
  source: string,
  log: Log,
  now: () => number,
): Promise<Passphrases> {
  const read = async () => {
    // Loaded only where there is a file: it costs lookup a hundredth of its start-up time.
    const { readFile } = await import("node:fs/promises");
    const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
      throw new SettingsError(`${source} can't be read: ${error.code ?? "unknown reason"}`);
    });
    return checked(text, source);
  };
  let live = await read();
  let readAt = now();
  warnOfWeak(live, source, log);
  const again = async () => {
    try {
      const fresh = await read();
      if (fresh.join("\n") !== live.join("\n")) warnOfWeak(fresh, source, log);
      return fresh;
    } catch (error) {
      log("passphrase.unreadable", { reason: (error as Error).message });
      return live;
    }
  };
  return {
    live() {
      if (Math.abs(now() - readAt) < FRESH) return live;
      readAt = now();
      return again().then((fresh) => {
        live = fresh;
        return live;
      });
    },
  };
}

function checked(text: string, source: string): string[] {
  try {
    return parsePassphrases(text);
  } catch (error) {
    throw new SettingsError(`${source} can't be used: ${(error as Error).message}`);
  }
}

function warnOfWeak(passphrases: readonly string[], source: string, log: Log): void {
  if (passphrases.some((passphrase) => passphrase.length < WEAK))
    log("passphrase.weak", { source, advice: `use at least ${WEAK} characters` });
}
