import * as gcp from "@pulumi/gcp";
import { Part, type PartOptions } from "./component.ts";

const NEEDED = [
  "artifactregistry.googleapis.com",
  "cloudbuild.googleapis.com",
  "cloudfunctions.googleapis.com",
  // Who may do what in a project is asked of this one.
  "cloudresourcemanager.googleapis.com",
  "cloudscheduler.googleapis.com",
  "firebaserules.googleapis.com",
  "firestore.googleapis.com",
  "iam.googleapis.com",
  "logging.googleapis.com",
  "monitoring.googleapis.com",
  "run.googleapis.com",
  "secretmanager.googleapis.com",
  "storage.googleapis.com",
];

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
    const needed = [...NEEDED, ...(staticEgress ? ["compute.googleapis.com"] : [])];
    this.services = needed.map(
      (service) =>
        new gcp.projects.Service(
          this.named(service.split(".")[0] ?? service),
          { project, service, disableOnDestroy: false },
          this.own(),
        ),
    );
    this.registerOutputs();
  }
}
