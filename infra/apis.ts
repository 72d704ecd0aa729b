import * as gcp from "@pulumi/gcp";
import { Part, type PartOptions } from "./component.ts";

/** Each, and what needs it. */
const NEEDED = {
  "artifactregistry.googleapis.com": "keeps the images that are built from the functions",
  "cloudbuild.googleapis.com": "builds the functions from their code",
  "cloudfunctions.googleapis.com": "deploys the functions",
  "cloudresourcemanager.googleapis.com": "is asked who may do what in the project",
  "cloudscheduler.googleapis.com": "calls the refresher every minute",
  "firebaserules.googleapis.com": "takes the rules that shut clients out of the database",
  "firestore.googleapis.com": "stores the tokens",
  "iam.googleapis.com": "makes an account for each function",
  "logging.googleapis.com": "keeps the log, and makes metrics of it",
  "monitoring.googleapis.com": "watches the service and sends alerts",
  "run.googleapis.com": "runs the functions",
  "secretmanager.googleapis.com": "keeps passphrases and sealing keys",
  "storage.googleapis.com": "keeps the code that the functions are built from",
};

/**
 * The APIs that the service needs. Google enables them with some delay: where a first run fails on one of them, a second
 * one a minute later goes on. They stay on when the service is destroyed: others may use them.
 */
export class Apis extends Part {
  readonly services: gcp.projects.Service[];

  constructor(
    name: string,
    { project, staticEgress }: { project: string; staticEgress: boolean },
    options?: PartOptions,
  ) {
    super("Apis", name, options);
    const egress = staticEgress
      ? { "compute.googleapis.com": "gives the one address that never changes" }
      : {};
    this.services = Object.entries({ ...NEEDED, ...egress }).map(
      ([service, why]) =>
        new gcp.projects.Service(
          this.declared(service.split(".")[0] ?? service, why),
          { project, service, disableOnDestroy: false },
          this.own(),
        ),
    );
    this.registerOutputs();
  }
}
