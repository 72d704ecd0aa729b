import { existsSync } from "node:fs";
import path from "node:path";
import { type Browser, chromium } from "playwright-core";
import { HANG } from "./hang.ts";

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The path of this machine's Chromium; `undefined`: none is installed. */
export const CHROMIUM = [
  process.env.CHROMIUM,
  ...(process.env.PATH ?? "")
    .split(path.delimiter)
    .flatMap((folder) =>
      ["chromium", "chromium-browser", "google-chrome"].map((name) => path.join(folder, name)),
    ),
].find((file): file is string => file !== undefined && existsSync(file));

const WITHOUT =
  "!!! no Chromium: every test of the page in a browser is SKIPPED. To have it, install the package chromium, or name " +
  "the program in CHROMIUM";

/** False, with a warning, where there is no Chromium; throws there if REQUIRE_BROWSER=1. */
export function hasBrowser(): boolean {
  if (CHROMIUM !== undefined) return true;
  if (process.env.REQUIRE_BROWSER === "1") throw new Error(WITHOUT);
  console.warn(`\n${WITHOUT}\n`);
  return false;
}

/** A real browser with an empty profile. */
export function startBrowser(): Promise<Browser> {
  if (CHROMIUM === undefined) throw new Error(WITHOUT);
  return chromium.launch({ executablePath: CHROMIUM, args: ARGS, headless: true, timeout: HANG });
}
