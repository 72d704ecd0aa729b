import { InputError, objectWith } from "./input.ts";

/** A Service App. `authorizedBy`: the organizations whose full administrators authorized it. */
export interface Application {
  applicationId: string;
  clientId: string;
  authorizedBy: string[];
}

/** A copy of `input` as an application, every field checked; throws an InputError that names the first bad one. */
export function checkedApplication(input: unknown): Application {
  const { applicationId, clientId, authorizedBy } = objectWith(input, [
    "applicationId",
    "clientId",
    "authorizedBy",
  ]);
  if (typeof applicationId !== "string" || !/^[\w=-]{1,200}$/.test(applicationId))
    throw new InputError("applicationId", "must be an id");
  if (typeof clientId !== "string" || clientId === "")
    throw new InputError("clientId", "must be a client id");
  if (!Array.isArray(authorizedBy) || !authorizedBy.every((org) => typeof org === "string"))
    throw new InputError("authorizedBy", "must be a list of organization ids");
  return { applicationId, clientId, authorizedBy: [...authorizedBy] };
}
