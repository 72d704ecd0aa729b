import { existsSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import {
  MISSING,
  readSettings,
  type Settings,
  SettingsError,
  type SettingsWith,
  type StoreSettings,
} from "../functions/adapters/env.ts";
import { metadataServer } from "../functions/adapters/metadata.ts";
import { openFile } from "../functions/adapters/places.ts";
import { runtime } from "../functions/adapters/runtime.ts";
import type { DocumentStore } from "../functions/core/store.ts";
import { CommandError } from "./commands/errors.ts";
import { NOT_FOUND, obstacle } from "./google/errors.ts";
import { placeFor, type RunningService, runningAt } from "./place.ts";
import { keysBeside, sealingHere } from "./sealing.ts";

/** Where the command line finds the tokens, and whom it asks to refresh them. */
export interface Deployment {
  /** In words, for the person who has several. */
  where: string;
  /** The `npm start` that works on this very store. */
  service: RunningService | undefined;
  /** Where consent comes back to, unless an operator says otherwise. */
  redirectUri: string | undefined;
  /** ms: upper bound of the threshold. */
  threshold: number;
  /** As in `Settings`; `undefined`: it has to be said before secrets are written. */
  sealing: Settings["sealing"];
  /** Where the sealing keys are, or would be. `undefined`: nothing says so. */
  sealKeys: string | undefined;
  /** Base address of the deployed refresher; `undefined`: nothing says so. */
  refresherUrl: string | undefined;
  /** Throws `SettingsError` where `sealing` is `undefined`. */
  requireSealing(): void;
  /** Base address of Webex or its sandbox. Throws `SettingsError` where the sandbox's tokens would go to Webex. */
  webexUrl(): string;
  /** `create`: a store file that is not there is made. Throws `SettingsError`; what it gives must be closed. */
  open(options: { create: boolean }): Promise<DocumentStore>;
}

interface FoundDeployment extends Deployment {
  store: StoreSettings;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What the environment names (`STORE`, else `GOOGLE_CLOUD_PROJECT`), else the store of a running `npm start`, else the
 * sandbox's file; `live`: that of `npm start -- --live`. Throws `SettingsError`.
 */
export function findDeployment(env: Environment, live: boolean): FoundDeployment {
  const settings = readSettings(env, []);
  const services = (["live", "sandbox"] as const).flatMap((mode) => runningAt(placeFor(mode)) ?? []);
  const store = settings.store ?? storeHere(live);
  const service = services.find((running) => worksOn(running, store));
  const sandboxOnly = store.kind === "sqlite" && sameFile(store.file, placeFor("sandbox").store);
  const sealing = sealingHere(settings, store, service);
  const base = settings.publicUrl ?? service?.url;
  return {
    where: whereText(store, service),
    store,
    service,
    redirectUri: base && `${base}/callback`,
    threshold: settings.threshold,
    sealing,
    sealKeys: typeof sealing === "object" ? sealing.keys : keysBeside(store),
    refresherUrl: settings.refresherUrl,
    requireSealing() {
      if (sealing === undefined) throw new SettingsError(MISSING.sealing);
    },
    webexUrl() {
      if (service !== undefined) return service.webexUrl;
      if (sandboxOnly) throw new SettingsError(NO_SANDBOX);
      return settings.webexUrl;
    },
    open: ({ create }) => open({ ...settings, store }, create),
  };
}

const NO_SANDBOX = 'the sandbox is not running: start it with "npm start"';

/** Where the running sandbox takes orders. Throws `SettingsError` where none runs. */
export function sandboxControl(): string {
  const url = runningAt(placeFor("sandbox"))?.sandboxUrl;
  if (url === undefined) throw new SettingsError(NO_SANDBOX);
  return url;
}

/** The store of this machine's own place. */
function storeHere(live: boolean): StoreSettings {
  const places = live ? [placeFor("live")] : [placeFor("live"), placeFor("sandbox")];
  const running = places.map((place) => runningAt(place)).find((service) => service !== undefined);
  if (running?.store === "")
    throw new SettingsError(
      "the running service keeps its tokens in Firestore: set GOOGLE_CLOUD_PROJECT (and FIRESTORE_EMULATOR_HOST) here as there",
    );
  return { kind: "sqlite", file: running?.store ?? placeFor(live ? "live" : "sandbox").store };
}

/** A service on another store must not be asked: it would be shown secrets that are not its own. */
function worksOn({ store: file, sandboxUrl }: RunningService, store: StoreSettings): boolean {
  if (store.kind === "sqlite") return file !== "" && sameFile(file, store.file);
  return file === "" && (store.emulator !== undefined || sandboxUrl === undefined);
}

const sameFile = (one: string, other: string) => resolve(one) === resolve(other);

function whereText(store: StoreSettings, service: RunningService | undefined): string {
  const kind = service?.sandboxUrl === undefined ? "live" : "sandbox";
  const running = service === undefined ? "" : `, where npm start runs (${kind})`;
  if (store.kind === "sqlite") return `${store.file}${running}`;
  const emulator = store.emulator !== undefined ? "the emulator's " : "";
  return `${emulator}Firestore, project ${store.project}${running}`;
}

async function open(settings: SettingsWith<"store">, create: boolean): Promise<DocumentStore> {
  const { store } = settings;
  if (store?.kind === "sqlite") {
    if (create) makeFolder(dirname(store.file));
    if (create || existsSync(store.file)) return openFile(store.file);
    throw new SettingsError(
      `there is no token store ${store.file} yet: start the service with "npm start", or add a token`,
    );
  }
  // Firestore's library takes longer to load than most commands take to run.
  const { openStore } = await import("../functions/adapters/open-store.ts");
  try {
    return await openStore({ settings, metadata: metadataServer(settings.metadataHost, runtime.now) });
  } catch (error) {
    if (!(error instanceof SettingsError) || store?.kind !== "firestore") throw error;
    throw firestoreObstacle(error.message, store) ?? error;
  }
}

const DENIED =
  'the role "Cloud Datastore User" lets you, or the one that the deployment gives its "operators"';

/** What Firestore said of itself as it was opened, as a sentence with the remedy; `undefined`: nothing that is known. */
export function firestoreObstacle(
  message: string,
  { project, database }: Pick<StoreSettings & { kind: "firestore" }, "project" | "database">,
): CommandError | undefined {
  const [, code] = /: (\d{1,2}) [A-Z_]+: /.exec(message) ?? [];
  const error = { message, ...(code !== undefined && { code: Number(code) }) };
  if (error.code === NOT_FOUND)
    return new CommandError(
      `project "${project}" has no Firestore database "${database}": name the right one in FIRESTORE_DATABASE, or deploy the service, which makes it`,
    );
  return obstacle(error, { api: "Firestore", service: "firestore.googleapis.com", project }, DENIED);
}

/** As `npm start` makes it: nobody else's to read. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new SettingsError(`can't make the folder ${folder} (${(error as NodeJS.ErrnoException).code})`);
  }
}
