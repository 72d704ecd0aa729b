import type { Entry } from "./logging-query.ts";

/** What Cloud Logging stores, made of what really happened here. */

const PROJECT = "made-up-project";

const runResource = (service: string) => ({
  type: "cloud_run_revision",
  labels: {
    project_id: PROJECT,
    location: "europe-west1",
    service_name: service,
    revision_name: `${service}-00001-abc`,
    configuration_name: service,
  },
});

/** Keys of a line that Logging takes out of it (https://cloud.google.com/logging/docs/structured-logging). */
const SPECIAL = ["severity", "time", "timestamp", "httpRequest"] as const;

/** One line that a function wrote to stdout or stderr. */
export function writtenEntry(service: string, line: string): Entry {
  const common = {
    logName: `projects/${PROJECT}/logs/run.googleapis.com%2Fstdout`,
    resource: runResource(service),
    labels: { "goog-managed-by": "cloudfunctions" },
  };
  const said = parsed(line);
  if (said === undefined) return { ...common, severity: "DEFAULT", textPayload: line };
  const payload = Object.entries(said).filter(
    ([key]) => !SPECIAL.some((each) => each === key) && !key.startsWith("logging.googleapis.com/"),
  );
  return { ...common, severity: said.severity ?? "DEFAULT", jsonPayload: Object.fromEntries(payload) };
}

function parsed(line: string): Record<string, unknown> | undefined {
  try {
    const said: unknown = JSON.parse(line);
    return typeof said === "object" && said !== null ? { ...said } : undefined;
  } catch {
    return undefined;
  }
}

/** A request, as Cloud Run notes it. */
export function requestEntry(
  service: string,
  {
    url,
    method = "GET",
    status = 200,
    referer,
  }: { url: string; method?: string; status?: number; referer?: string },
): Entry {
  const severity = status >= 500 ? "ERROR" : status >= 400 ? "WARNING" : "INFO";
  return {
    logName: `projects/${PROJECT}/logs/run.googleapis.com%2Frequests`,
    resource: runResource(service),
    severity,
    httpRequest: {
      requestMethod: method,
      requestUrl: url,
      status,
      latency: "0.042s",
      ...(referer !== undefined && { referer }),
    },
  };
}

/** The end of an attempt of a Scheduler's job (https://cloud.google.com/scheduler/docs/logging). */
export function attemptEntry(
  job: string,
  status?: "INTERNAL" | "PERMISSION_DENIED" | "DEADLINE_EXCEEDED",
): Entry {
  return {
    logName: `projects/${PROJECT}/logs/cloudscheduler.googleapis.com%2Fexecutions`,
    resource: {
      type: "cloud_scheduler_job",
      labels: { job_id: job, location: "europe-west1", project_id: PROJECT },
    },
    severity: status === undefined ? "INFO" : "ERROR",
    httpRequest: { status: status === undefined ? 200 : 500 },
    jsonPayload: {
      "@type": "type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished",
      jobName: `projects/${PROJECT}/locations/europe-west1/jobs/${job}`,
      targetType: "HTTP",
      url: "https://token-refresher.example/",
      ...(status !== undefined && { status, debugInfo: "URL_ERROR-ERROR_OTHER" }),
    },
  };
}
