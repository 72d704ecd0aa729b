import { fieldsOf, type RawFields } from "../../functions/core/document.ts";
import { CommandError } from "../commands/errors.ts";
import type { GoogleRest } from "./google-rest.ts";

/** The functions of the service, by what their code exports. */
export const ROLES = ["lookup", "refresher", "setup"] as const;
export type Role = (typeof ROLES)[number];

/** What the deployment writes into each one's description, before its role. */
export const DESCRIBED = "Webex token service: ";

export interface DeployedFunction {
  role: Role;
  /** As it is deployed. */
  name: string;
  region: string;
  /** `ACTIVE`, or one of Google's words for something else. */
  state: string;
  /** Base address of its Cloud Run service. */
  url: string;
  /** `projects/…/locations/…/services/…` */
  service: string;
  environment: Readonly<Record<string, string>>;
  /** The secret that its passphrases come from, `projects/…/secrets/…`; `undefined`: none. */
  passphrase: string | undefined;
}

interface Where {
  project: string;
  /** `undefined`: any. */
  region: string | undefined;
  /** `undefined`: there is only one service. */
  prefix: string | undefined;
}

/** Throws `CommandError` where it is not clear which service is meant. */
export async function deployedFunctions(google: GoogleRest, where: Where): Promise<DeployedFunction[]> {
  const { project, region = "-" } = where;
  const found: Candidate[] = [];
  for (let page: string | undefined = ""; page !== undefined; ) {
    const query: string = page === "" ? "" : `&pageToken=${encodeURIComponent(page)}`;
    const path = `projects/${project}/locations/${region}/functions?pageSize=500${query}`;
    const answer: RawFields = (await google.get("cloudfunctions", path)) ?? {};
    const { functions, nextPageToken } = answer;
    if (Array.isArray(functions))
      found.push(...functions.flatMap((each) => candidateOf(fieldsOf(each)) ?? []));
    page = typeof nextPageToken === "string" && nextPageToken !== "" ? nextPageToken : undefined;
  }
  return ROLES.flatMap((role) => theOne(role, found, where) ?? []);
}

interface Candidate extends DeployedFunction {
  /** What the names of its deployment begin with. */
  prefix: string;
  described: boolean;
}

function theOne(role: Role, all: readonly Candidate[], { project, prefix }: Where): Candidate | undefined {
  const fitting = all.filter(
    (each) => each.role === role && (prefix === undefined || each.prefix === prefix),
  );
  const described = fitting.filter((each) => each.described);
  const [one, other] = described.length > 0 ? described : fitting;
  if (one === undefined || other === undefined) return one;
  const prefixes = [...new Set(fitting.map((each) => each.prefix))].sort();
  throw new CommandError(
    `project "${project}" has several functions that export "${role}": say which service is meant with --region, or with --prefix, one of ${prefixes.join(", ")}`,
  );
}

/** `undefined`: it is none of the service's. */
function candidateOf({
  name,
  description,
  state,
  buildConfig,
  serviceConfig,
}: RawFields): Candidate | undefined {
  const { entryPoint } = fieldsOf(buildConfig);
  const role = ROLES.find((each) => each === entryPoint);
  const [, region, short] =
    /^projects\/[^/]+\/locations\/([^/]+)\/functions\/([^/]+)$/.exec(textOf(name)) ?? [];
  if (role === undefined || region === undefined || short === undefined) return undefined;
  const { uri, service, serviceAccountEmail, environmentVariables, secretVolumes } = fieldsOf(serviceConfig);
  const [account = ""] = textOf(serviceAccountEmail).split("@");
  return {
    role,
    name: short,
    region,
    state: textOf(state) || "UNKNOWN",
    url: textOf(uri).replace(/\/$/, ""),
    service: textOf(service),
    environment: fieldsOf(environmentVariables) as Record<string, string>,
    passphrase: secretIn(secretVolumes),
    prefix: (account.endsWith(`-${role}`) ? account : short).replace(new RegExp(`-?${role}$`), ""),
    described: description === `${DESCRIBED}${role}`,
  };
}

function secretIn(volumes: unknown): string | undefined {
  const [volume] = Array.isArray(volumes) ? volumes : [];
  const { projectId, secret } = fieldsOf(volume);
  return projectId && secret ? `projects/${projectId}/secrets/${secret}` : undefined;
}

const textOf = (value: unknown) => (typeof value === "string" ? value : "");
