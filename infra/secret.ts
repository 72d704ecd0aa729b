import * as gcp from "@pulumi/gcp";
import type { Input, Output } from "@pulumi/pulumi";
import { Part, type PartOptions } from "./component.ts";

export interface SecretArgs {
  project: string;
  secretId: string;
  /** Its first version. Later ones are the command line's: they are not touched here. */
  first: Input<string>;
  protect: boolean;
  /** What it holds, in words. */
  holds: string;
  /** Members that may read it, by a word for each. */
  readers: Readonly<Record<string, Input<string>>>;
  /** Members that may read it, and add and disable versions, but destroy none. */
  keepers?: readonly string[];
  /** The role that lets them. */
  keeperRole?: Output<string> | undefined;
}

/** A secret of Secret Manager. Versions are disabled when they are replaced, never destroyed. */
export class Secret extends Part {
  readonly secret: gcp.secretmanager.Secret;
  readonly version: gcp.secretmanager.SecretVersion;
  /** `projects/…/secrets/…` */
  readonly resourceName: Output<string>;

  constructor(name: string, args: SecretArgs, options?: PartOptions) {
    super("Secret", name, options);
    const { project, secretId, protect, holds } = args;
    this.secret = new gcp.secretmanager.Secret(
      this.declared("secret", `keeps ${holds}`),
      { project, secretId, replication: { auto: {} } },
      this.own({ protect }),
    );
    this.resourceName = this.secret.name;
    this.version = new gcp.secretmanager.SecretVersion(
      this.declared("first", `is the first version of ${holds}; later ones are made outside of Pulumi`),
      { secret: this.secret.id, secretData: args.first, deletionPolicy: "DISABLE" },
      // A rotation disables this version and adds others: that is no drift. Destroyed without it, the secret would be kept
      // and its version disabled, and the next deployment would make another one at random.
      this.own({ protect, ignoreChanges: ["secretData", "enabled"] }),
    );
    const grant = (what: string, why: string, member: Input<string>, role: Input<string>) =>
      new gcp.secretmanager.SecretIamMember(
        this.declared(what, why),
        { project, secretId: this.secret.secretId, role, member },
        this.own(),
      );
    for (const [word, member] of Object.entries(args.readers))
      grant(`read-by-${word}`, `lets ${word} read ${holds}`, member, "roles/secretmanager.secretAccessor");
    for (const member of args.keepers ?? []) {
      grant(
        `read-by-${member}`,
        `lets ${member} read ${holds}`,
        member,
        "roles/secretmanager.secretAccessor",
      );
      if (args.keeperRole !== undefined)
        grant(`kept-by-${member}`, `lets ${member} rotate ${holds}`, member, args.keeperRole);
    }
    this.registerOutputs();
  }
}
