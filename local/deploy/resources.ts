import { secret } from "@pulumi/pulumi";
import { readConfig } from "../../infra/config.ts";
import { type Declared, runOffline } from "../../infra/offline.ts";
import { TokenService } from "../../infra/token-service.ts";
import type { Stack } from "./stack.ts";

/** One thing that a deployment would make. */
export interface Planned {
  name: string;
  /** Such as "cloudfunctionsv2.Function". */
  kind: string;
  why: string;
}

/** All that a deployment would make, found without cloud or command line; what belongs together stands together. */
export async function plannedFor({ values }: Stack): Promise<Planned[]> {
  const args = readConfig(values, secret);
  const { resources, program } = await runOffline(() => new TokenService("tokens", args));
  return resources
    .filter(({ custom }) => custom)
    .map((resource) => ({
      name: resource.name,
      kind: kindOf(resource),
      why: program.whys.get(resource.name) ?? "",
    }))
    .sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** "gcp:cloudfunctionsv2/function:Function" → "cloudfunctionsv2.Function". */
function kindOf({ type }: Declared): string {
  const [provider = "", module = "", name = ""] = type.split(":");
  const [space = ""] = module.split("/");
  return `${space === "index" ? provider : space}.${name}`;
}
