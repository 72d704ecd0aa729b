import * as gcp from "@pulumi/gcp";
import { secret as asSecret, type Input, type Output } from "@pulumi/pulumi";
import { Part, type PartOptions } from "./component.ts";

export interface SecretArgs {
  project: string;
  secretId: string;
  /** Its first version. Later ones are the command line's: they are not touched here. */
  first: Input<string>;
  protect: boolean;
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
    const { project, secretId, protect } = args;
    this.secret = new gcp.secretmanager.Secret(
      this.named("secret"),
      { project, secretId, replication: { auto: {} } },
      this.own({ protect }),
    );
    this.resourceName = this.secret.name;
    this.version = new gcp.secretmanager.SecretVersion(
      this.named("first"),
      { secret: this.secret.id, secretData: asSecret(args.first), deletionPolicy: "DISABLE" },
      // A rotation disables this version and adds others: that is no drift.
      this.own({ ignoreChanges: ["secretData", "enabled"] }),
    );
    const grant = (what: string, member: Input<string>, role: Input<string>) =>
      new gcp.secretmanager.SecretIamMember(
        this.named(what),
        { project, secretId: this.secret.secretId, role, member },
        this.own(),
      );
    for (const [word, member] of Object.entries(args.readers))
      grant(`read-by-${word}`, member, "roles/secretmanager.secretAccessor");
    for (const member of args.keepers ?? []) {
      grant(`read-by-${member}`, member, "roles/secretmanager.secretAccessor");
      if (args.keeperRole !== undefined) grant(`kept-by-${member}`, member, args.keeperRole);
    }
    this.registerOutputs();
  }
}
