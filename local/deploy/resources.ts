import { secret } from "@pulumi/pulumi";
import { readConfig } from "../../infra/config.ts";
import { type Declared, runOffline } from "../../infra/offline.ts";
import { TokenService } from "../../infra/token-service.ts";
import type { Stack } from "./stack.ts";

/** A resource that a deployment would create. */
export interface Planned {
  name: string;
  /** Such as "cloudfunctionsv2.Function". */
  kind: string;
  why: string;
}

/** All resources that a deployment would create, in the order of their names; needs neither cloud nor command line. */
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
