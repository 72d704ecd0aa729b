import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
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
import type { Log } from "../functions/core/log.ts";
import type { TokenStore } from "../functions/core/store.ts";
import { type Console, startConsole } from "./console/server.ts";
import { EXAMPLE, prepareExample } from "./example.ts";
import { announce, type Place, placeFor, type RunningService, runningAt, withdraw } from "./place.ts";
import { createSandbox, type Sandbox } from "./sandbox/server.ts";
import { sealingHere } from "./sealing.ts";
import { freer, startService } from "./service.ts";

export interface AllInOneOptions {
  /** Talk to Webex itself, with no sandbox. */
  live: boolean;
  env: Record<string, string | undefined>;
  /** stdout is a terminal: it may show the secrets of a live service. */
  terminal: boolean;
  log: Log;
  /** The folder of all files; `undefined`: `.data` in the working directory. */
  root?: string;
}

/** What `npm start` runs, until it is closed. */
export interface AllInOne {
  /** What to tell the person who started it: addresses, the passphrase, a curl command. */
  welcome: string;
  close(): Promise<void>;
}

/** Starts service, sandbox and console in this process. A rejection has one sentence, and leaves nothing open. */
export async function startAllInOne(options: AllInOneOptions): Promise<AllInOne> {
  const opened: (() => unknown)[] = [];
  const close = async () => {
    for (const end of opened.toReversed()) await end();
  };
  try {
    return { welcome: await open(options, opened), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Adds to `opened` how each part is closed, in the order of opening. */
async function open(options: AllInOneOptions, opened: (() => unknown)[]): Promise<string> {
  const { live, env, log, root } = options;
  const place = placeFor(live ? "live" : "sandbox", root);
  const other = runningAt(place);
  if (other !== undefined && (await answers(other.url)))
    throw new Error(`it runs already, as process ${other.pid}, on ${other.url}: end that first`);
  makeFolder(place.folder);
  const settings = settingsFor(place, readSettings(env, []));
  const passphrase = settings.passphrase ?? { file: ownPassphrase(place.passphrase) };
  const store = await openTokens({
    settings,
    metadata: metadataServer(settings.metadataHost, runtime.now),
    log,
  });
  opened.push(() => store.documents.close());
  const sandbox = live ? undefined : await startSandbox(place, settings.port + 1, opened);
  const url = live ? (settings.publicUrl ?? local(settings.port)) : local(settings.port);
  const webexUrl = sandbox === undefined ? settings.webexUrl : `${local(settings.port + 1)}/v1`;
  const wxccUrl = sandbox === undefined ? settings.wxccUrl : local(settings.port + 1);
  if (sandbox !== undefined)
    await prepareExample(sandbox.authority, store, `${url}/callback`, settings.threshold);
  const passphrases = await openPassphrases(passphrase, log, runtime.now, sourceOf(settings, place));
  // Only PUBLIC_URL says that other machines are to reach it.
  const host = live && settings.publicUrl !== undefined ? undefined : "127.0.0.1";
  const service = await startService({ settings, store, passphrases, webexUrl, wxccUrl, host, log });
  opened.push(() => service.close());

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
  opened.push(() => withdraw(place));
  const page = await openPage(running, store, place, settings, options);
  if (page !== undefined) opened.push(() => page.close());
  return welcome(url, (await passphrases.live())[0] ?? "", page, place, settings, options);
}

/** The operator's page, on a port of its own. `undefined`: the service is live, and no terminal shows the page's key. */
async function openPage(
  running: RunningService,
  store: TokenStore,
  place: Place,
  settings: Settings,
  { terminal, log }: AllInOneOptions,
): Promise<Console | undefined> {
  // Anything but a terminal may be a journal, where the key to real tokens has no business.
  if (place.mode === "live" && !terminal) return undefined;
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

/** Named in an error where the passphrase can't be used. */
const sourceOf = ({ passphrase }: Settings, place: Place) =>
  passphrase === undefined ? `the passphrase file ${place.passphrase}` : undefined;

/** A file that a crash left behind may name the number of another process. */
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

/** Made at the first start, so that what was pasted into a flow still works after a restart. */
function ownPassphrase(file: string): string {
  try {
    if (!existsSync(file)) writeFileSync(file, `${runtime.secret()}\n`, { mode: 0o600, flag: "wx" });
    readFileSync(file);
    return file;
  } catch (error) {
    throw new Error(`can't keep the passphrase in ${file} (${(error as NodeJS.ErrnoException).code})`);
  }
}

async function startSandbox(place: Place, port: number, opened: (() => unknown)[]): Promise<Sandbox> {
  const sandbox = createSandbox({ file: place.sandbox });
  opened.push(() => sandbox.close());
  await sandbox.listen(port).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `the sandbox can't listen on port ${port} (${error.code}), the one after PORT: choose others with PORT=${freer(port)}`,
    );
  });
  return sandbox;
}

/** How the passphrase is shown, so that the curl command works, and where it is kept. */
function passphraseWords(passphrase: string, place: Place, settings: Settings, terminal: boolean) {
  const { passphrase: given } = settings;
  const file = given === undefined ? place.passphrase : "file" in given ? given.file : undefined;
  const kept = file === undefined ? "from TOKEN_PASSPHRASE" : `kept in ${file}`;
  // Anything but a terminal may be a journal, where a real passphrase has no business.
  if (place.mode === "sandbox" || (given === undefined && terminal)) return { shown: passphrase, kept };
  return { shown: file === undefined ? "$TOKEN_PASSPHRASE" : `$(head -n 1 ${file})`, kept };
}

function welcome(
  url: string,
  passphrase: string,
  page: Console | undefined,
  place: Place,
  settings: Settings,
  { live, terminal }: AllInOneOptions,
): string {
  const { shown, kept } = passphraseWords(passphrase, place, settings, terminal);
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
  return lines.join("\n");
}

const local = (port: number) => `http://127.0.0.1:${port}`;
