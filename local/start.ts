import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import {
  MISSING,
  readSettings,
  type Settings,
  type SettingsWith,
  type StoreSettings,
} from "../functions/adapters/env.ts";
import { metadataServer } from "../functions/adapters/metadata.ts";
import { openTokens } from "../functions/adapters/open-tokens.ts";
import { openPassphrases } from "../functions/adapters/passphrases.ts";
import { runtime } from "../functions/adapters/runtime.ts";
import type { TokenStore } from "../functions/core/store.ts";
import { type Console, startConsole } from "./console/server.ts";
import { EXAMPLE, prepareExample } from "./example.ts";
import { narrator } from "./narrate.ts";
import { announce, type Place, placeFor, type RunningService, runningAt, withdraw } from "./place.ts";
import { createSandbox, type Sandbox } from "./sandbox/server.ts";
import { sealingHere } from "./sealing.ts";
import { freer, startService } from "./service.ts";

const log = narrator((line) => process.stdout.write(line));

const program = new Command("npm start --")
  .description(
    "Runs the whole token service on this machine, by default against a sandbox in place of Webex.",
  )
  .option("--live", "talk to Webex itself: a small real deployment (PUBLIC_URL names its https address)")
  .addHelpText(
    "after",
    `
Examples:
  npm start                  the sandbox, on http://127.0.0.1:8080
  PORT=9000 npm start        on another port; the sandbox takes the one after it, the console the next
  npm start -- --live        Webex itself

The variables are listed in docs/architecture.md.`,
  )
  .action(({ live }: { live?: boolean }) => start(live === true));

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
});

async function start(live: boolean): Promise<void> {
  const place = placeFor(live ? "live" : "sandbox");
  const other = runningAt(place);
  if (other !== undefined && (await answers(other.url)))
    throw new Error(`it runs already, as process ${other.pid}, on ${other.url}: end that first`);
  makeFolder(place.folder);
  const settings = settingsFor(place, readSettings(process.env, []));
  const passphrase = settings.passphrase ?? { file: ownPassphrase(place.passphrase) };
  const store = await openTokens({
    settings,
    metadata: metadataServer(settings.metadataHost, runtime.now),
    log,
  });
  const sandbox = live ? undefined : await startSandbox(place, settings.port + 1);
  const url = live ? (settings.publicUrl ?? local(settings.port)) : local(settings.port);
  const webexUrl = sandbox === undefined ? settings.webexUrl : `${local(settings.port + 1)}/v1`;
  const wxccUrl = sandbox === undefined ? settings.wxccUrl : local(settings.port + 1);
  if (sandbox !== undefined)
    await prepareExample(sandbox.authority, store, `${url}/callback`, settings.threshold);
  const passphrases = await openPassphrases(passphrase, log, runtime.now, sourceOf(settings, place));
  // Only where a person says that it is to be reached from outside.
  const host = live && settings.publicUrl !== undefined ? undefined : "127.0.0.1";
  const service = await startService({ settings, store, passphrases, webexUrl, wxccUrl, host, log });

  const sandboxUrl = sandbox && local(settings.port + 1);
  const file = settings.store?.kind === "sqlite" ? settings.store.file : "";
  const { sealing } = settings;
  const running: RunningService = {
    pid: process.pid,
    url,
    webexUrl,
    store: file,
    ...(sandboxUrl && { sandboxUrl }),
    ...(sealing !== "off" && { sealKeys: sealing.keys }),
    ...("file" in passphrase && { passphrase: resolve(passphrase.file) }),
  };
  announce(place, running);
  const page = await openConsole(running, store, place, settings);
  onEnd(async () => {
    withdraw(place);
    await page?.close();
    await service.close();
    await sandbox?.close();
    await store.documents.close();
  });
  welcome(url, (await passphrases.live())[0] ?? "", page, place, settings);
}

/** The operator's page, on a port of its own. `undefined`: nobody is there to open it. */
async function openConsole(
  running: RunningService,
  store: TokenStore,
  place: Place,
  settings: Settings,
): Promise<Console | undefined> {
  // Anything but a terminal may be a journal, where the key to real tokens has no business.
  if (place.mode === "live" && !process.stdout.isTTY) return undefined;
  const where = running.store === "" ? "Firestore" : running.store;
  return startConsole({
    documents: store.documents,
    open: async () => store,
    deployment: () => ({
      where: `${where}, where npm start runs (${place.mode})`,
      service: running,
      redirectUri: `${running.url}/callback`,
      threshold: settings.threshold,
      webexUrl: () => running.webexUrl,
      requireSealing: () => {},
    }),
    runtime,
    port: settings.port + 2,
    anyPort: true,
    metered: running.store === "" && settings.store?.kind === "firestore",
    bug: (where) => log("bug", { where }),
  });
}

/** Whom to blame where the passphrase is no good. */
const sourceOf = ({ passphrase }: Settings, place: Place) =>
  passphrase === undefined ? `the passphrase file ${place.passphrase}` : undefined;

/** A file that a crash left behind may name a process that is somebody else by now. */
async function answers(url: string): Promise<boolean> {
  const health = fetch(`${url}/health`, { signal: AbortSignal.timeout(1000) });
  return health.then(
    ({ ok }) => ok,
    () => false,
  );
}

/** Sandbox tokens never go into a real project, whatever the shell's environment names. */
function settingsFor(place: Place, settings: Settings): SettingsWith<"store" | "sealing"> {
  const named = settings.store;
  const mayHold = named?.kind === "sqlite" || place.mode === "live" || named?.emulator !== undefined;
  const store: StoreSettings = named !== undefined && mayHold ? named : { kind: "sqlite", file: place.store };
  const sealing = sealingHere(settings, store);
  if (sealing === undefined) throw new Error(MISSING.sealing);
  return { ...settings, store, sealing };
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Error(
      `can't make the folder ${folder} (${(error as NodeJS.ErrnoException).code}): start from a folder that you may write to`,
    );
  }
}

/** Made once, and kept, so that what was pasted into a flow still works after a restart. */
function ownPassphrase(file: string): string {
  try {
    if (!existsSync(file)) writeFileSync(file, `${runtime.secret()}\n`, { mode: 0o600, flag: "wx" });
    readFileSync(file);
    return file;
  } catch (error) {
    throw new Error(`can't keep the passphrase in ${file} (${(error as NodeJS.ErrnoException).code})`);
  }
}

async function startSandbox(place: Place, port: number): Promise<Sandbox> {
  const sandbox = createSandbox({ file: place.sandbox });
  await sandbox.listen(port).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `the sandbox can't listen on port ${port} (${error.code}), the one after PORT: choose others with PORT=${freer(port)}`,
    );
  });
  return sandbox;
}

/** How the passphrase is shown, so that the curl line works, and where it is kept. */
function passphraseWords(passphrase: string, place: Place, settings: Settings) {
  const { passphrase: given } = settings;
  const file = given === undefined ? place.passphrase : "file" in given ? given.file : undefined;
  const kept = file === undefined ? "from TOKEN_PASSPHRASE" : `kept in ${file}`;
  // A terminal is a person; anything else may be a journal, where a real passphrase has no business.
  if (place.mode === "sandbox" || (given === undefined && process.stdout.isTTY))
    return { shown: passphrase, kept };
  return { shown: file === undefined ? "$TOKEN_PASSPHRASE" : `$(head -n 1 ${file})`, kept };
}

function welcome(
  url: string,
  passphrase: string,
  page: Console | undefined,
  place: Place,
  settings: Settings,
): void {
  const live = place.mode === "live";
  const { shown, kept } = passphraseWords(passphrase, place, settings);
  const name = live ? "NAME" : EXAMPLE;
  const lines = [
    live ? "Token service, talking to Webex" : "Token service, with a sandbox in place of Webex",
    "",
    `  lookup      ${url}/?name=${name}`,
    `  passphrase  ${shown}  (${kept})`,
    `  console     ${page === undefined ? "npm run console prints its address" : `${page.url}  (opens once)`}`,
    "",
    `  curl -H "x-token-passphrase: ${shown}" "${url}/?name=${name}"`,
    "",
    live
      ? "  First token: npm run tokens -- add NAME, then npm run tokens -- authorize NAME"
      : "  Break it:    npm run tokens -- sandbox down 2m",
    "  Ctrl-C ends it; everything is kept.",
    "",
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

// Whoever read our output (head, less) may stop reading.
process.stdout.on("error", () => process.exit(0));

function onEnd(close: () => Promise<void>): void {
  let ending: number | undefined;
  const end = () => {
    // npm passes on the Ctrl-C that the terminal has sent already; a later one means it.
    if (ending !== undefined && Date.now() - ending > 1000) process.exit(1);
    if (ending !== undefined) return;
    ending = Date.now();
    close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`ending failed: ${(error as Error).message}\n`);
        process.exit(1);
      },
    );
  };
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
  // Whoever ends npm ends the shell between npm and us, which passes nothing on.
  const parent = process.ppid;
  const orphaned = () => process.ppid !== parent && end();
  if (process.env.npm_lifecycle_event !== undefined) setInterval(orphaned, 500).unref();
}

const local = (port: number) => `http://127.0.0.1:${port}`;
