import * as gcp from "@pulumi/gcp";
import { interpolate, type Output } from "@pulumi/pulumi";
import { Part, type PartOptions } from "./component.ts";

const ACCOUNTS = {
  lookup: "token-lookup: reads single documents",
  refresher: "token-refresher: refreshes tokens",
  setup: "token-setup: takes the OAuth callback",
  scheduler: "token-scheduler: calls the refresher",
  build: "token-build: builds the functions",
} as const;

export type Identity = keyof typeof ACCOUNTS;

const ACTS: Record<Identity, string> = {
  lookup: "lookup acts as",
  refresher: "refresher acts as",
  setup: "setup acts as",
  scheduler: "the Scheduler calls the refresher as",
  build: "the functions are built as, in place of Google's default account",
};

/** What each may do with documents. Predefined roles would let lookup list, and all of them delete. */
const DOCUMENTS = {
  lookup: ["datastore.entities.get"],
  refresher: [
    "datastore.entities.get",
    "datastore.entities.list",
    "datastore.entities.update",
    // The sweeps' diary and the census are written for the first time.
    "datastore.entities.create",
  ],
  setup: ["datastore.entities.get", "datastore.entities.create", "datastore.entities.update"],
} as const;

/** What the command line asks of the project, and no more. Secrets are granted one by one. */
const OPERATOR = [
  "datastore.databases.get",
  "datastore.entities.create",
  "datastore.entities.delete",
  "datastore.entities.get",
  "datastore.entities.list",
  "datastore.entities.update",
  "cloudscheduler.jobs.enable",
  "cloudscheduler.jobs.get",
  "cloudscheduler.jobs.list",
  "cloudscheduler.jobs.pause",
  "cloudscheduler.jobs.run",
  "cloudfunctions.functions.get",
  "cloudfunctions.functions.list",
  "run.services.get",
  "run.services.getIamPolicy",
  "firebaserules.releases.get",
  "firebaserules.rulesets.get",
  "resourcemanager.projects.get",
  // Whoever has signed in with gcloud calls Google's services on this project's account.
  "serviceusage.services.use",
] as const;

/** Adds and disables versions of a secret. Google's own role for that destroys them, too. */
const KEEPER = [
  "secretmanager.secrets.get",
  "secretmanager.versions.add",
  "secretmanager.versions.disable",
  "secretmanager.versions.enable",
  "secretmanager.versions.get",
  "secretmanager.versions.list",
] as const;

export interface IdentitiesArgs {
  project: string;
  operators: readonly string[];
}

/** One service account for each of those that act, and custom roles of exactly what each needs. */
export class Identities extends Part {
  readonly accounts: Record<Identity, gcp.serviceaccount.Account>;
  /** For operators, secret by secret; `undefined`: there are none. */
  readonly keeperRole: Output<string> | undefined;

  constructor(name: string, { project, operators }: IdentitiesArgs, options?: PartOptions) {
    super("Identities", name, options);
    const account = (identity: Identity) =>
      new gcp.serviceaccount.Account(
        this.declared(identity, `is who ${ACTS[identity]}`),
        { project, accountId: `${name}-${identity}`, displayName: ACCOUNTS[identity] },
        this.own(),
      );
    this.accounts = {
      lookup: account("lookup"),
      refresher: account("refresher"),
      setup: account("setup"),
      scheduler: account("scheduler"),
      build: account("build"),
    };
    const grant = (
      what: string,
      why: string,
      role: Output<string> | string,
      member: Output<string> | string,
    ) => new gcp.projects.IAMMember(this.declared(what, why), { project, role, member }, this.own());

    for (const [identity, permissions] of Object.entries(DOCUMENTS) as [
      keyof typeof DOCUMENTS,
      readonly string[],
    ][]) {
      const reaches = `${verbsOf(permissions)} documents`;
      const { name: role } = this.role(project, `${identity}-documents`, reaches, permissions);
      grant(`${identity}-reaches-documents`, `lets ${identity} ${reaches}`, role, this.member(identity));
    }
    // Storage, Artifact Registry and logs of builds; the account that Google used for it before may do much more.
    grant(
      "build-builds",
      "lets the build read the code, store the image and log",
      "roles/cloudbuild.builds.builder",
      this.member("build"),
    );
    if (operators.length > 0) {
      const { name: role } = this.role(project, "operator", "use the command line", OPERATOR);
      for (const operator of operators)
        grant(`operator-${operator}`, `lets ${operator} use the command line`, role, operator);
      this.keeperRole = this.role(project, "keeper", "rotate secrets", KEEPER).name;
    }
    this.registerOutputs();
  }

  private role(project: string, what: string, able: string, permissions: readonly string[]) {
    return new gcp.projects.IAMCustomRole(
      this.declared(`${what}-role`, `is the right to ${able}, and no more`),
      {
        project,
        // Google keeps the id of a deleted role for weeks: it can't be made again under the same one.
        roleId: this.named(what).replaceAll("-", "_"),
        title: `Token service: ${what}`,
        permissions: [...permissions],
      },
      this.own(),
    );
  }

  /** As IAM names it. */
  member(identity: Identity): Output<string> {
    return interpolate`serviceAccount:${this.accounts[identity].email}`;
  }
}

/** "datastore.entities.get", … → "get, list and update". */
function verbsOf(permissions: readonly string[]): string {
  const verbs = permissions.map((permission) => permission.split(".").at(-1) ?? permission);
  return new Intl.ListFormat("en-GB", { type: "conjunction" }).format(verbs);
}
