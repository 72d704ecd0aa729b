import * as gcp from "@pulumi/gcp";
import {
  all,
  secret as asSecret,
  type Input,
  interpolate,
  type Output,
  output,
  unsecret,
} from "@pulumi/pulumi";
import { alertsFor } from "./alerts.ts";
import { serviceNameOf } from "./cloud-function.ts";
import { Part, type PartOptions } from "./component.ts";
import type { Watched } from "./conditions.ts";
import { dashboardFor } from "./dashboard.ts";
import { metricsFor, type Services } from "./metrics.ts";

export interface WatchingArgs {
  project: string;
  /** Names of the functions. */
  names: Readonly<Services>;
  /** Names of the Cloud Run services that they became. */
  services: Record<keyof Services, Input<string>>;
  lookupUri: Output<string>;
  /** Names of the Scheduler's jobs. */
  jobs: readonly Input<string>[];
  emails: readonly string[];
  /** https addresses. One with a user and a password in it is sent these as Basic credentials. */
  webhooks: readonly Input<string>[];
}

/** Metrics from the functions' log lines, alerts that say what to do, a check from outside, and a dashboard. */
export class Watching extends Part {
  readonly dashboardLink: Output<string>;

  constructor(name: string, args: WatchingArgs, options?: PartOptions) {
    super("Watching", name, options);
    const { project } = args;
    const channels = this.channels(args);
    // Made of names that are known from the start, so long before the alerts, which wait for the functions: for some minutes
    // Monitoring refuses alerts about a metric that is new.
    const metrics = metricsFor(name, servicesOf(args.names)).map(
      (metric) =>
        new gcp.logging.Metric(
          this.declared(`measured-${metric.id}`, `measures ${metric.args.description}`),
          { project, ...metric.args },
          this.own(),
        ),
    );
    const uptime = new gcp.monitoring.UptimeCheckConfig(
      this.declared("health-check", "asks lookup from outside, every minute, whether it answers"),
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
    const watched = all([output(args.services), all([...args.jobs]), uptime.uptimeCheckId]).apply(
      ([services, jobs, check]): Watched => ({ ...services, jobs, check }),
    );
    for (const alert of alertsFor(name)) {
      new gcp.monitoring.AlertPolicy(
        this.declared(`alert-${alert.id}`, `alerts people: ${alert.title}`),
        {
          project,
          displayName: alert.title,
          combiner: "OR",
          severity: alert.severity,
          notificationChannels: channels.map((channel) => channel.name),
          documentation: { mimeType: "text/markdown", subject: alert.title, content: alert.remedy },
          conditions: watched.apply((names) => alert.conditions(names)),
          alertStrategy: alert.strategy,
        },
        // A policy about a metric that is not there yet is refused.
        this.own({ dependsOn: metrics }),
      );
    }
    const dashboard = new gcp.monitoring.Dashboard(
      this.declared("dashboard", "shows tokens, sweeps and answers on one page"),
      {
        project,
        dashboardJson: watched.apply((names) => JSON.stringify(dashboardFor(name, names))),
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
            this.declared(`mail-${email}`, `takes alerts to ${email}`),
            { project, type: "email", displayName: email, labels: { email_address: email } },
            this.own(),
          ),
      ),
      ...webhooks.map(
        (address, index) =>
          new gcp.monitoring.NotificationChannel(
            this.declared(`webhook-${index + 1}`, "takes alerts to a webhook"),
            { project, displayName: `webhook ${index + 1}`, ...webhookOf(address) },
            this.own(),
          ),
      ),
    ];
  }
}

const servicesOf = ({ lookup, refresher, setup }: Services): Services => ({
  lookup: serviceNameOf(lookup),
  refresher: serviceNameOf(refresher),
  setup: serviceNameOf(setup),
});

/** A webhook's address is a secret: as a rule whoever knows it may post to it. */
function webhookOf(address: Input<string>) {
  const parts = asSecret(address).apply((text) => {
    const url = URL.parse(text);
    // Node's own error would quote it.
    if (url?.protocol !== "https:") throw new Error('a webhook under "notify" is no https address');
    const { username, password } = url;
    url.username = "";
    url.password = "";
    return { url: url.href, username: decodeURIComponent(username), password: decodeURIComponent(password) };
  });
  return {
    type: unsecret(
      parts.apply(({ username }) => (username === "" ? "webhook_tokenauth" : "webhook_basicauth")),
    ),
    labels: parts.apply(
      ({ url, username }): Record<string, string> => (username === "" ? { url } : { url, username }),
    ),
    sensitiveLabels: parts.apply(({ username, password }) => (username === "" ? undefined : { password })),
  };
}
