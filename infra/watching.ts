import * as gcp from "@pulumi/gcp";
import { all, type Input, interpolate, type Output } from "@pulumi/pulumi";
import { alertsFor } from "./alerts.ts";
import { Part, type PartOptions } from "./component.ts";
import { dashboardFor } from "./dashboard.ts";
import { metricsFor } from "./metrics.ts";

export interface WatchingArgs {
  project: string;
  region: string;
  /** Names of the Cloud Run services. */
  services: { lookup: Input<string>; refresher: Input<string> };
  lookupUri: Output<string>;
  /** Names of the Scheduler's jobs. */
  jobs: readonly Input<string>[];
  emails: readonly string[];
  webhooks: readonly Input<string>[];
}

/** Metrics from the functions' log lines, alerts that say what to do, a check from outside, and a dashboard. */
export class Watching extends Part {
  readonly dashboardLink: Output<string>;

  constructor(name: string, args: WatchingArgs, options?: PartOptions) {
    super("Watching", name, options);
    const { project } = args;
    const channels = this.channels(args);
    const metrics = metricsFor(name).map(
      (metric) => new gcp.logging.Metric(this.named(metric.id), { project, ...metric.args }, this.own()),
    );
    const uptime = new gcp.monitoring.UptimeCheckConfig(
      this.named("health"),
      {
        project,
        displayName: `${name}: /health of lookup`,
        timeout: "10s",
        period: "60s",
        httpCheck: { path: "/health", port: 443, useSsl: true, validateSsl: true },
        monitoredResource: {
          type: "uptime_url",
          labels: {
            project_id: project,
            host: args.lookupUri.apply((uri) => uri.replace(/^https?:\/\//, "")),
          },
        },
      },
      this.own(),
    );
    const names = all([
      args.services.lookup,
      args.services.refresher,
      all([...args.jobs]),
      uptime.uptimeCheckId,
    ]);
    for (const alert of alertsFor(name)) {
      new gcp.monitoring.AlertPolicy(
        this.named(alert.id),
        {
          project,
          displayName: alert.title,
          combiner: "OR",
          severity: alert.severity,
          notificationChannels: channels.map((channel) => channel.name),
          documentation: { mimeType: "text/markdown", subject: alert.title, content: alert.remedy },
          conditions: names.apply(([lookup, refresher, jobs, check]) =>
            alert.conditions({ lookup, refresher, jobs, check }),
          ),
          alertStrategy: alert.strategy,
        },
        // A policy about a metric that is not there yet is refused.
        this.own({ dependsOn: metrics }),
      );
    }
    const dashboard = new gcp.monitoring.Dashboard(
      this.named("dashboard"),
      {
        project,
        dashboardJson: names.apply(([lookup, refresher]) =>
          JSON.stringify(dashboardFor(name, { lookup, refresher })),
        ),
      },
      this.own({ dependsOn: metrics }),
    );
    this.dashboardLink = interpolate`https://console.cloud.google.com/monitoring/dashboards/builder/${dashboard.id.apply((id) => id.split("/").at(-1) ?? "")}?project=${project}`;
    this.registerOutputs();
  }

  private channels({ project, emails, webhooks }: WatchingArgs): gcp.monitoring.NotificationChannel[] {
    return [
      ...emails.map(
        (email) =>
          new gcp.monitoring.NotificationChannel(
            this.named(`mail-${email}`),
            { project, type: "email", displayName: email, labels: { email_address: email } },
            this.own(),
          ),
      ),
      ...webhooks.map(
        (url, index) =>
          new gcp.monitoring.NotificationChannel(
            this.named(`webhook-${index + 1}`),
            { project, type: "webhook_tokenauth", displayName: `webhook ${index + 1}`, labels: { url } },
            this.own({ additionalSecretOutputs: ["labels"] }),
          ),
      ),
    ];
  }
}
