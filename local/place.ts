import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fieldsOf } from "../functions/core/document.ts";

/** Tokens of the sandbox and tokens of Webex never share a file. */
export type Mode = "sandbox" | "live";

/** Where one machine keeps what is its own. */
export interface Place {
  mode: Mode;
  folder: string;
  store: string;
  sandbox: string;
  /** The shared passphrases, one a line; made at the first start. */
  passphrase: string;
  /** Says where a running `npm start` listens; gone when it ended. */
  running: string;
}

/** What a running `npm start` tells the command line. */
export interface RunningService {
  pid: number;
  /** Base address of lookup and setup. */
  url: string;
  /** The file of its shared passphrases; absent: they came in TOKEN_PASSPHRASE. */
  passphrase?: string;
  /** Where its sealing keys are; absent: it seals nothing. */
  sealKeys?: string;
  /** Base address of the token endpoint in use. */
  webexUrl: string;
  /** Where the sandbox is controlled; absent when live. */
  sandboxUrl?: string;
  /** The store's file. */
  store: string;
}

export function placeFor(mode: Mode, root = ".data"): Place {
  const folder = join(root, mode);
  const file = (name: string) => join(folder, name);
  return {
    mode,
    folder,
    store: file("tokens.db"),
    sandbox: file("webex.db"),
    passphrase: file("passphrase"),
    running: file("running.json"),
  };
}

/** The service that runs here; `undefined` where none does (a file that a crash left behind does not count). */
export function runningAt(place: Place): RunningService | undefined {
  try {
    const service = fieldsOf(JSON.parse(readFileSync(place.running, "utf8")));
    if (typeof service.pid !== "number" || typeof service.url !== "string") return undefined;
    return isAlive(service.pid) ? (service as unknown as RunningService) : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // It lives, and is another user's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

export function announce(place: Place, service: RunningService): void {
  writeFileSync(place.running, `${JSON.stringify(service)}\n`, { mode: 0o600 });
}

export function withdraw(place: Place): void {
  rmSync(place.running, { force: true });
}
