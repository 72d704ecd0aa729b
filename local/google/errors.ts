import { CommandError } from "../commands/errors.ts";

/** As much of an error of Google's libraries as is read here. */
interface GoogleError {
  /** gRPC's status; `undefined`: nothing was asked yet. */
  code?: number;
  /** Why, in one word of Google's (AIP-193). */
  reason?: string;
  message?: string;
}

/** Whom a command asked, and for what. */
export interface Asked {
  /** As people call it. */
  api: string;
  /** As `gcloud services enable` calls it. */
  service: string;
  /** `undefined`: it is not known. */
  project: string | undefined;
}

/** gRPC's status codes, as far as they are told apart. */
export const INVALID_ARGUMENT = 3;
export const DEADLINE_EXCEEDED = 4;
export const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
export const FAILED_PRECONDITION = 9;
export const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

export const LOG_IN = 'run "gcloud auth application-default login"';

export const codeOf = (error: unknown): number | undefined => {
  const { code } = error as GoogleError;
  return typeof code === "number" ? code : undefined;
};

/**
 * What stands between a command and one of Google's services, whatever it was asked: one sentence with the remedy, and
 * nothing that Google said. `undefined`: it is about what was asked. `denied`: what a person lacks who may not.
 */
export function obstacle(
  error: unknown,
  { api, service, project }: Asked,
  denied: string,
): CommandError | undefined {
  const { reason, message = "" } = error as GoogleError;
  const inProject = project === undefined ? "" : ` in project "${project}"`;
  const forProject = project === undefined ? "" : ` --project ${project}`;
  const told = (sentence: string) => new CommandError(sentence);
  if (/Could not load the default credentials/.test(message))
    return told(`there are no Google credentials here: ${LOG_IN}`);
  if (/invalid_grant|invalid_rapt|reauth/.test(message))
    return told(`the Google credentials here are good no more: ${LOG_IN} again`);
  // Credentials of a person belong to no project; without one such a call is counted as gcloud's own, and refused.
  if (/quota project/.test(message))
    return told(
      `${api} wants to know the project that your calls count for: run "gcloud auth application-default set-quota-project ${project ?? "PROJECT"}"`,
    );
  if (reason === "SERVICE_DISABLED" || /has not been used in project|it is disabled/.test(message))
    return told(
      `${api} is turned off${inProject}: run "gcloud services enable ${service}${forProject}", and try again in a few minutes`,
    );
  if (/serviceAccounts\.actAs/.test(message))
    return told(
      `you may not act as the service account that does it${inProject}: the role "Service Account User" on that account lets you`,
    );
  switch (codeOf(error)) {
    case UNAUTHENTICATED:
      return told(`Google does not take the credentials here: ${LOG_IN} again`);
    case PERMISSION_DENIED:
      return told(`you may not do that${inProject}, or there is no such project: ${denied}`);
    case RESOURCE_EXHAUSTED:
      return told(`${api} takes no more calls${inProject} just now: try again in a minute`);
    case DEADLINE_EXCEEDED:
    case UNAVAILABLE:
      return told(`${api} did not answer: try again, and look whether this machine reaches the internet`);
    default:
      return undefined;
  }
}
