import type { Log } from "../core/log.ts";
import { type Passphrases, parsePassphrases } from "../core/passphrase.ts";
import { type Settings, SettingsError } from "./env.ts";
import { keep } from "./kept.ts";
import { readText } from "./text-file.ts";

const WEAK = 16;

/**
 * Those that the settings name. `source` is blamed where they are no good; by default the variable that names them. A
 * file that became unreadable leaves the last good ones. Throws `SettingsError`.
 */
export async function openPassphrases(
  where: NonNullable<Settings["passphrase"]>,
  log: Log,
  now: () => number,
  source = "file" in where ? "TOKEN_PASSPHRASE_FILE" : "TOKEN_PASSPHRASE",
): Promise<Passphrases> {
  let warned = "";
  const read = async () => {
    const text = "file" in where ? await fileText(where.file, source) : where.text;
    const live = checked(text, source);
    if (live.join("\n") !== warned) warnOfWeak(live, source, log);
    warned = live.join("\n");
    return live;
  };
  if ("text" in where) {
    const live = await read();
    return { live: () => live };
  }
  const kept = await keep(read, now, ({ message }) => log("passphrase.unreadable", { reason: message }));
  return { live: kept.current };
}

const fileText = (file: string, source: string) =>
  readText(file).catch((error: Error) => {
    throw new SettingsError(`${source} can't be read: ${error.message}`);
  });

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
