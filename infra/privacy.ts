import * as gcp from "@pulumi/gcp";
import { Part, type PartOptions } from "./component.ts";

/** Codes and states stand in the address of `/callback`: Cloud Run's own log of requests must not keep it. */
export class Privacy extends Part {
  constructor(name: string, { project }: { project: string }, options?: PartOptions) {
    super("Privacy", name, options);
    new gcp.logging.ProjectExclusion(
      this.declared("callback", "keeps authorization codes and states out of the log of requests"),
      {
        project,
        name: this.named("callback"),
        description: "requests of /callback: their addresses hold authorization codes and states",
        filter: CALLBACK_REQUESTS,
      },
      this.own(),
    );
    this.registerOutputs();
  }
}

/**
 * Lines of Cloud Run's request log about a consent that came back, and about what a browser asks for after it: an icon, say,
 * with the address of the page it comes from.
 */
export const CALLBACK_REQUESTS =
  'resource.type="cloud_run_revision" AND log_id("run.googleapis.com/requests") AND (httpRequest.requestUrl=~"/callback([/?]|$)" OR httpRequest.referer=~"/callback([/?]|$)")';
