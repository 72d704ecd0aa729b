import { isId, type ServiceApp } from "../../functions/core/document.ts";
import type { TokenStore } from "../../functions/core/store.ts";
import { CommandError } from "./errors.ts";
import { findToken } from "./stored.ts";

/** What a manager must hold. */
export const MANAGING_SCOPE = "spark:applications_token";

interface Options {
  serviceApp?: string;
  org?: string;
  manager?: string;
}

/** The Service App that the options name; `undefined`: none of them was given. Throws `CommandError`. */
export async function serviceAppOf(
  name: string,
  { serviceApp: applicationId, org: targetOrg, manager }: Options,
  store: TokenStore,
): Promise<ServiceApp | undefined> {
  if (applicationId === undefined && targetOrg === undefined && manager === undefined) return undefined;
  if (applicationId === undefined || targetOrg === undefined || manager === undefined)
    throw new CommandError("--service-app, --org and --manager go together: give all three", 2);
  await requireManager(name, manager, store);
  return { applicationId, targetOrg, manager };
}

/** It must be able to live without the token that it manages. */
async function requireManager(name: string, manager: string, store: TokenStore): Promise<void> {
  if (manager === name) throw new CommandError(`token "${name}" can't be its own manager`, 2);
  const { scope } = (await findToken(manager, store)).document;
  if (scope !== undefined && !scope.split(" ").includes(MANAGING_SCOPE))
    throw new CommandError(`token "${manager}" lacks ${MANAGING_SCOPE}, so it can't be a manager`);
  const passed = new Set<string>();
  for (let above: string | undefined = manager; above !== undefined && !passed.has(above); ) {
    passed.add(above);
    above = (await store.read(above))?.document.serviceApp?.manager;
    if (above === name)
      throw new CommandError(
        `token "${manager}" is itself managed by "${name}": when both are refused, neither could help the other`,
      );
  }
}

/** For an option: an id as Webex gives them. */
export const idOf = (option: string) => (text: string) => {
  const id = text.trim();
  if (isId(id)) return id;
  throw new CommandError(`${option} must be an id, as developer.webex.com shows it`, 2);
};
