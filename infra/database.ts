import * as gcp from "@pulumi/gcp";
import { Part, type PartOptions } from "./component.ts";

export interface DatabaseArgs {
  project: string;
  name: string;
  location: string;
  adopt: boolean;
  adoptRules: boolean;
  protect: boolean;
  /** Text of the security rules. */
  rules: string;
}

/**
 * The Firestore database, its rules, and what cleans up used states. The queries of this service need Firestore's own
 * single-field indexes only: no composite index is declared, and a test holds that against the emulator.
 */
export class Database extends Part {
  readonly database: gcp.firestore.Database;

  constructor(name: string, args: DatabaseArgs, options?: PartOptions) {
    super("Database", name, options);
    const { project, protect } = args;
    this.database = new gcp.firestore.Database(
      this.declared("firestore", "stores the tokens"),
      {
        project,
        name: args.name,
        locationId: args.location,
        type: "FIRESTORE_NATIVE",
        deleteProtectionState: protect ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED",
        pointInTimeRecoveryEnablement: "POINT_IN_TIME_RECOVERY_ENABLED",
        // Destroying the stack leaves the documents where they are, unless protection was switched off before.
        deletionPolicy: protect ? "ABANDON" : "DELETE",
      },
      this.own({
        protect,
        // Where it is kept can't be changed: whatever an adopted one says is right.
        ...(args.adopt && {
          import: `projects/${project}/databases/${args.name}`,
          ignoreChanges: ["locationId", "type"],
        }),
      }),
    );
    new gcp.firestore.Field(
      this.declared("expired-states", "cleans up the states of consents once they have expired"),
      {
        project,
        database: this.database.name,
        collection: "authorizations",
        field: "expires",
        ttlConfig: {},
      },
      this.own(),
    );
    const ruleset = new gcp.firebaserules.Ruleset(
      this.declared("rules", "denies every client everything: only the functions reach the tokens"),
      { project, source: { files: [{ name: "firestore.rules", content: args.rules }] } },
      this.own({ dependsOn: [this.database] }),
    );
    const release = args.name === "(default)" ? "cloud.firestore" : `cloud.firestore/${args.name}`;
    new gcp.firebaserules.Release(
      this.declared("rules-released", "puts those rules in force"),
      {
        project,
        name: release,
        rulesetName: ruleset.name.apply((id) => `projects/${project}/rulesets/${id}`),
      },
      // The release goes over to a new ruleset before the old one is removed.
      this.own({ ...(args.adoptRules && { import: `projects/${project}/releases/${release}` }) }),
    );
    this.registerOutputs();
  }
}
