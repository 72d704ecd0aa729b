import type { Publish } from "../../functions/core/document.ts";
import type { EndpointAnswer } from "../../functions/core/grant.ts";
import { type Sweep, sweep } from "../../functions/core/sweep.ts";
import { MINUTE } from "../../functions/core/time.ts";
import type { GlobalVariables } from "../../functions/core/variable.ts";
import type { Variable } from "../../local/sandbox/variable.ts";
import { ORG, type World } from "../support/world.ts";

export const VARIABLE: Variable = {
  id: "cad-1",
  name: "Webex_Token",
  active: true,
  agentEditable: false,
  agentViewable: true,
  reportable: false,
  sensitive: true,
  description: "made up",
  variableType: "String",
  defaultValue: "empty",
};

export const WISH: Publish = { variables: [VARIABLE.id], region: "us1" };

/** Creates the variable in the contact centre, as Control Hub does. */
export const makeVariable = (world: World, more: Partial<Variable> = {}) =>
  world.sandbox.authority.putVariable(ORG, { ...VARIABLE, ...more });

/** The variable in the contact centre. */
export const variable = (world: World, id = VARIABLE.id) => world.sandbox.authority.variable(ORG, id);

/** The same API with a hook around each request. */
export function between(
  variables: GlobalVariables,
  hooks: Partial<Record<"read" | "write", (send: () => Promise<EndpointAnswer>) => Promise<EndpointAnswer>>>,
): GlobalVariables {
  const { read = (send) => send(), write = (send) => send() } = hooks;
  return {
    read: (...given) => read(() => variables.read(...given)),
    write: (...given) => write(() => variables.write(...given)),
  };
}

/** The API, with the values sent to the contact centre in order. */
export function writes(variables: GlobalVariables) {
  const values: unknown[] = [];
  const noted: GlobalVariables = {
    read: variables.read,
    write: (place, accessToken, changed) => {
      values.push(changed.defaultValue);
      return variables.write(place, accessToken, changed);
    },
  };
  return { values, variables: noted };
}

/** Two sweeps, a minute apart, which finish all pending work. */
export async function sweepLater(world: World): Promise<Sweep> {
  world.clock.advance(MINUTE);
  await sweep(world.sweeper());
  world.clock.advance(MINUTE);
  return sweep(world.sweeper());
}
