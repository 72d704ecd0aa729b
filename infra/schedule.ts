import * as gcp from "@pulumi/gcp";
import type { Input, Output } from "@pulumi/pulumi";
import { interpolate } from "@pulumi/pulumi";
import { Part, type PartOptions } from "./component.ts";

export interface ScheduleArgs {
  project: string;
  region: string;
  /** The refresher's address, which is the audience, too. */
  uri: Output<string>;
  caller: Input<string>;
}

/** A sweep every minute, a census every night. */
export class Schedule extends Part {
  readonly sweep: gcp.cloudscheduler.Job;
  readonly census: gcp.cloudscheduler.Job;

  constructor(name: string, { project, region, uri, caller }: ScheduleArgs, options?: PartOptions) {
    super("Schedule", name, options);
    const job = (
      what: string,
      path: string,
      timing: Pick<gcp.cloudscheduler.JobArgs, "schedule" | "retryConfig"> & { description: string },
    ) =>
      new gcp.cloudscheduler.Job(
        this.declared(what, timing.description),
        {
          project,
          region,
          name: this.named(what),
          timeZone: "Etc/UTC",
          ...timing,
          // As long as the refresher may take.
          attemptDeadline: "600s",
          httpTarget: {
            uri: interpolate`${uri}${path}`,
            httpMethod: "POST",
            oidcToken: { serviceAccountEmail: caller, audience: uri },
          },
        },
        // The command line pauses and resumes it.
        this.own({ ignoreChanges: ["paused"] }),
      );
    this.sweep = job("sweep", "/", {
      description: "refreshes every token that is due",
      schedule: "* * * * *",
      // The next minute's is the retry, but for a function that was just being replaced.
      retryConfig: { retryCount: 1, minBackoffDuration: "10s", maxBackoffDuration: "30s" },
    });
    this.census = job("census", "/census", {
      description: "counts all tokens, adopts new ones, warns of those that end",
      schedule: "17 3 * * *",
      retryConfig: { retryCount: 5, minBackoffDuration: "30s", maxBackoffDuration: "600s" },
    });
    this.registerOutputs();
  }
}
