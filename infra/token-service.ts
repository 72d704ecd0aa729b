import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  ComponentResource,
  type ComponentResourceOptions,
  type Input,
  interpolate,
  type Output,
  secret,
} from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { formatSealKeys } from "../functions/core/seal.ts";
import { Apis } from "./apis.ts";
import { type Settings, type TokenServiceArgs, withDefaults } from "./args.ts";
import { CloudFunction, memberOf } from "./cloud-function.ts";
import { Code } from "./code.ts";
import { shellLine } from "./command-line.ts";
import { Database } from "./database.ts";
import { Egress } from "./egress.ts";
import { pick, type Told } from "./environment.ts";
import { Identities } from "./identities.ts";
import { Privacy } from "./privacy.ts";
import { Schedule } from "./schedule.ts";
import { Secret } from "./secret.ts";
import { Watching } from "./watching.ts";

const ROOT = join(import.meta.dirname, "..");
/** Where Webex sends the browser back to. */
const CALLBACK = "/callback";

/**
 * The whole service: three functions, each with an account of its own, the database, secrets, the schedule, and what
 * watches over them. To be used in any program: `new TokenService("tokens", { project, region })`.
 */
export class TokenService extends ComponentResource {
  /** Where flows ask: lookup, which sends `/init` and `/callback` on to setup. */
  readonly baseUrl: Output<string>;
  /** To be registered at Webex. */
  readonly redirectUri: Output<string>;
  readonly refresherUri: Output<string>;
  /** A line that works when pasted; it takes the passphrase from Secret Manager. */
  readonly curl: Output<string>;
  /** A line for a shell to `eval`, so that `npm run tokens` works on this deployment. */
  readonly commandLine: Output<string>;
  /**
   * Where `publicAccess` is off, the lines that open lookup and setup all the same, for whoever may: without a grant to
   * `allUsers`, which the organization's policy forbids. `undefined`: they are open.
   */
  readonly openCommand: Output<string> | undefined;
  /** A link to the dashboard. */
  readonly dashboard: Output<string>;
  /** The secret of the sealing keys; `undefined`: sealing is off. */
  readonly sealKeys: Output<string> | undefined;
  readonly passphrase: Output<string>;
  /** Why each thing that it makes is there, by the thing's name. */
  readonly whys = new Map<string, string>();
  /** Names of the Scheduler's jobs. */
  readonly jobs: { sweep: Output<string>; census: Output<string> };
  /** The address from which Webex is asked; `undefined`: any of Google's. */
  readonly egressAddress: Output<string> | undefined;

  constructor(name: string, args: TokenServiceArgs, options?: ComponentResourceOptions) {
    super("token-service:TokenService", name, {}, options);
    const settings = withDefaults(args);
    const { project, region, protect } = settings;
    const own = { parent: this, whys: this.whys };
    const part = (what: string) => `${name}-${what}`;

    const apis = new Apis(part("apis"), settings, own);
    const ready = { ...own, dependsOn: apis.services };
    const identities = new Identities(name, settings, ready);
    const { accounts } = identities;
    const database = new Database(
      part("database"),
      { ...settings.database, project, protect, rules: readFileSync(join(ROOT, "firebase.rules"), "utf8") },
      ready,
    );
    const passphrase = new Secret(
      part("passphrase"),
      {
        project,
        protect,
        secretId: part("passphrase"),
        holds: "the shared passphrases",
        first: settings.passphrase ?? this.randomPassphrase(name),
        readers: { lookup: memberOf(accounts.lookup), setup: memberOf(accounts.setup) },
        keepers: settings.operators,
        keeperRole: identities.keeperRole,
      },
      ready,
    );
    const sealKeys =
      settings.sealing === "off"
        ? undefined
        : new Secret(
            part("seal-keys"),
            {
              project,
              protect,
              secretId: part("seal-keys"),
              holds: "the sealing keys",
              first: settings.sealKeys ?? this.randomKeys(name),
              readers: { refresher: memberOf(accounts.refresher), setup: memberOf(accounts.setup) },
              keepers: settings.operators,
              keeperRole: identities.keeperRole,
            },
            ready,
          );
    const egress = settings.staticEgress ? new Egress(part("egress"), { project, region }, ready) : undefined;
    const code = new Code(part("code"), { project, region, dist: join(ROOT, "dist") }, ready);
    const functions = this.functions(name, settings, {
      identities,
      database,
      passphrase,
      sealKeys,
      egress,
      code,
    });
    const schedule = new Schedule(
      part("schedule"),
      { project, region, uri: functions.refresher.uri, caller: accounts.scheduler.email },
      own,
    );
    new Privacy(part("privacy"), { project }, ready);
    const watching = new Watching(
      part("watching"),
      {
        project,
        names: settings.names,
        services: {
          lookup: functions.lookup.service,
          refresher: functions.refresher.service,
          setup: functions.setup.service,
        },
        lookupUri: functions.lookup.uri,
        jobs: [schedule.sweep.name, schedule.census.name],
        emails: settings.emails,
        webhooks: settings.webhooks,
      },
      ready,
    );

    this.baseUrl = functions.lookup.url;
    this.redirectUri = interpolate`${functions.lookup.url}${CALLBACK}`;
    this.refresherUri = functions.refresher.uri;
    this.curl = interpolate`curl -H "x-token-passphrase: $(gcloud secrets versions access latest --secret=${passphrase.secret.secretId} --project=${project} | head -n 1)" "${functions.lookup.url}/?name=NAME"`;
    this.commandLine = shellLine({
      GOOGLE_CLOUD_PROJECT: project,
      GOOGLE_CLOUD_REGION: region,
      FIRESTORE_DATABASE: database.database.name,
      STORE: undefined,
      FIRESTORE_EMULATOR_HOST: undefined,
      SEAL_KEYS: sealKeys?.resourceName,
      SEALING: sealKeys === undefined ? "off" : undefined,
      TOKEN_PASSPHRASE_FILE: passphrase.resourceName,
      TOKEN_PASSPHRASE: undefined,
      PUBLIC_URL: functions.lookup.url,
      REFRESHER_URL: functions.refresher.uri,
      REFRESH_THRESHOLD: settings.refreshThreshold,
      WEBEX_URL: settings.webexUrl,
    });
    this.openCommand = settings.publicAccess
      ? undefined
      : interpolate`${openCommand(functions.lookup, settings)} && ${openCommand(functions.setup, settings)}`;
    this.dashboard = watching.dashboardLink;
    this.passphrase = passphrase.resourceName;
    this.sealKeys = sealKeys?.resourceName;
    this.jobs = { sweep: schedule.sweep.name, census: schedule.census.name };
    this.egressAddress = egress?.address;
    this.registerOutputs({ baseUrl: this.baseUrl, redirectUri: this.redirectUri, dashboard: this.dashboard });
  }

  private functions(name: string, settings: Settings, parts: Parts) {
    const { project, region, names } = settings;
    const { identities, database, passphrase, sealKeys, egress, code } = parts;
    const { accounts } = identities;
    const everybody: Record<string, Input<string>> = settings.publicAccess ? { everybody: "allUsers" } : {};
    const shared = {
      project,
      region,
      bucket: code.bucket.name,
      buildAccount: accounts.build,
    };
    const told: Told = {
      GOOGLE_CLOUD_PROJECT: project,
      FIRESTORE_DATABASE: database.database.name,
      SEAL_KEYS: sealKeys?.resourceName,
      SEALING: sealKeys === undefined ? "off" : undefined,
      WEBEX_URL: settings.webexUrl,
      REFRESH_THRESHOLD: settings.refreshThreshold,
      REFRESH_CONCURRENCY: String(settings.refreshConcurrency),
      SWEEP_DEADLINE: "9m",
      LEGACY_SETUP: settings.legacySetup ? "on" : "off",
      COMPAT: settings.compat,
      CORS_ORIGINS: settings.corsOrigins.length > 0 ? settings.corsOrigins.join(",") : undefined,
    };
    const store = pick(told, "GOOGLE_CLOUD_PROJECT", "FIRESTORE_DATABASE");
    const refreshing = pick(told, "SEAL_KEYS", "SEALING", "WEBEX_URL", "REFRESH_THRESHOLD");
    const passphraseFile = {
      variable: "TOKEN_PASSPHRASE_FILE",
      secretId: passphrase.secret.secretId,
    } as const;
    const own = (...dependsOn: ComponentResource[]) => ({
      parent: this,
      whys: this.whys,
      dependsOn: [passphrase, identities, ...dependsOn],
    });
    const keys = sealKeys === undefined ? [] : [sealKeys];

    const refresher = new CloudFunction(
      `${name}-refresher`,
      {
        ...shared,
        functionName: names.refresher,
        entryPoint: "refresher",
        object: code.archives.refresher.name,
        account: accounts.refresher,
        environment: {
          ...store,
          ...refreshing,
          ...pick(told, "REFRESH_CONCURRENCY", "SWEEP_DEADLINE"),
        },
        memory: "512Mi",
        timeout: 600,
        concurrency: 80,
        minInstances: 0,
        // Leases make more of them harmless; few keep Webex from being asked by many at a time.
        maxInstances: 3,
        callers: {
          scheduler: memberOf(accounts.scheduler),
          lookup: memberOf(accounts.lookup),
          ...Object.fromEntries(settings.operators.map((operator) => [operator, operator])),
        },
        subnetwork: egress?.subnetwork.name,
      },
      own(...keys),
    );
    const setup = new CloudFunction(
      `${name}-setup`,
      {
        ...shared,
        functionName: names.setup,
        entryPoint: "setup",
        object: code.archives.setup.name,
        account: accounts.setup,
        environment: { ...store, ...refreshing, ...pick(told, "LEGACY_SETUP", "COMPAT") },
        secretFile: passphraseFile,
        memory: "512Mi",
        timeout: 60,
        concurrency: 80,
        minInstances: 0,
        maxInstances: 3,
        callers: everybody,
        subnetwork: egress?.subnetwork.name,
      },
      own(...keys),
    );
    const lookup = new CloudFunction(
      `${name}-lookup`,
      {
        ...shared,
        functionName: names.lookup,
        entryPoint: "lookup",
        object: code.archives.lookup.name,
        account: accounts.lookup,
        environment: {
          ...store,
          REFRESHER_URL: refresher.uri,
          SETUP_URL: setup.uri,
          ...pick(told, "REFRESH_THRESHOLD", "COMPAT", "CORS_ORIGINS"),
        },
        secretFile: passphraseFile,
        memory: "256Mi",
        timeout: 30,
        concurrency: 80,
        minInstances: settings.minInstances,
        maxInstances: settings.maxInstances,
        callers: everybody,
      },
      own(),
    );
    return { refresher, setup, lookup };
  }

  private randomPassphrase(name: string): Output<string> {
    const what = `${name}-first-passphrase`;
    this.whys.set(what, "is the first shared passphrase, made at random");
    const made = new random.RandomPassword(what, { length: 43, special: false }, { parent: this });
    return made.result;
  }

  private randomKeys(name: string): Output<string> {
    const what = `${name}-first-seal-key`;
    this.whys.set(what, "is the first sealing key, made at random");
    const made = new random.RandomBytes(what, { length: 32 }, { parent: this });
    return secret(
      made.base64.apply((bytes) => {
        const key = { kid: "k-first", k: Buffer.from(bytes, "base64").toString("base64url") };
        return formatSealKeys({ primary: key, all: [key] });
      }),
    );
  }
}

/** Who calls is not asked of IAM any more: passphrases and states guard these two. */
const openCommand = ({ service }: CloudFunction, { region, project }: Settings) =>
  interpolate`gcloud run services update ${service} --region=${region} --project=${project} --no-invoker-iam-check`;

interface Parts {
  identities: Identities;
  database: Database;
  passphrase: Secret;
  sealKeys: Secret | undefined;
  egress: Egress | undefined;
  code: Code;
}
