import { CommandError } from "../commands/errors.ts";
import type { Kind, ScheduledJob, Where } from "./scheduler-jobs.ts";

/** Throws `CommandError` where either is missing. */
export function whereOf({ project, region }: Partial<Where>): Where {
  if (!project?.trim())
    throw new CommandError(
      "which project? Give --project, or set GOOGLE_CLOUD_PROJECT; npm start has a schedule of its own, which nobody can pause",
      2,
    );
  if (!region?.trim())
    throw new CommandError(
      "which region? Give --region, or set GOOGLE_CLOUD_REGION, to the one that the service is deployed in, such as europe-west1",
      2,
    );
  return { project: checked("--project", project), region: checked("--region", region) };
}

/** It becomes part of a name, where a slash would mean something else. */
function checked(option: string, value: string): string {
  const text = value.trim();
  if (/^[a-z0-9.:-]+$/.test(text)) return text;
  throw new CommandError(`${option} can hold only small letters, digits and "-"`, 2);
}

/** Throws `CommandError` where there is none, or it is not clear which is meant. */
export function ofOneService(
  jobs: ScheduledJob[],
  { project, region }: Where,
  prefix?: string,
): ScheduledJob[] {
  const prefixOf = ({ id, kind }: ScheduledJob) => id.slice(0, -kind.length - 1);
  const all = [...new Set(jobs.map(prefixOf))].sort();
  const wanted = prefix?.replace(/-$/, "");
  const fitting = wanted === undefined ? all : all.filter((each) => each.startsWith(wanted));
  const [only = "", ...others] = fitting;
  if (fitting.includes(wanted ?? "")) return jobs.filter((job) => prefixOf(job) === wanted);
  if (others.length > 0)
    throw new CommandError(
      `project "${project}" has jobs of several services in ${region}: say which with --prefix, one of ${fitting.join(", ")}`,
    );
  const found = jobs.filter((job) => prefixOf(job) === only);
  if (found.length > 0) return found;
  const has = all.length > 0 ? `it has those of ${all.join(", ")}` : "is the service deployed there?";
  throw new CommandError(
    `there is no job "…-sweep" or "…-census"${wanted === undefined ? "" : ` that begins with "${wanted}"`} in project "${project}", region ${region}: ${has}`,
  );
}

/** Throws `CommandError` where it is not there. */
export function theJob(kind: Kind, jobs: ScheduledJob[]): ScheduledJob {
  const job = jobs.find((each) => each.kind === kind);
  if (job !== undefined) return job;
  const others = jobs.map(({ id }) => `"${id}"`).join(" and ");
  throw new CommandError(
    `there is no job for the ${kind}${others && `, only ${others}`}: npm run deploy -- -- --refresh makes it`,
  );
}
