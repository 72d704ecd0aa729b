import { createRequire } from "node:module";
import { runtime } from "@pulumi/pulumi";

/** What the program asks Pulumi to make, as it asks for it. */
export interface Declared {
  /** Such as "gcp:firestore/database:Database". */
  type: string;
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: every kind of resource has inputs of its own
  inputs: Record<string, any>;
  /** False: a component, which is only a name for what is in it. */
  custom: boolean;
  protect: boolean;
  /** Names of what it waits for. */
  dependsOn: string[];
  ignoreChanges: string[];
  /** What exists already and is taken over. */
  importId: string | undefined;
}

/** As much of Pulumi's request to register a resource as is read here. */
interface Registration {
  getType(): string;
  getName(): string;
  getCustom(): boolean;
  getProtect(): boolean;
  getDependenciesList(): string[];
  getIgnorechangesList(): string[];
  getImportid(): string;
}

/**
 * Runs a program without engine, cloud or command line: all that it declares is written down, and gets outputs such as
 * Google would give. Pulumi knows one program in a process, so this can be done once.
 */
export async function runOffline<T>(program: () => T): Promise<{ resources: Declared[]; program: T }> {
  const inputs = new Map<string, Declared["inputs"]>();
  const seen = watchRegistrations();
  await runtime.setMocks(
    {
      newResource({ type, name, inputs: given, id }) {
        inputs.set(`${type} ${name}`, given);
        return { id: id || `${name}-id`, state: { ...given, ...outputsOf(type, name, given) } };
      },
      call: ({ inputs: given }) => given,
    },
    "webex-token-service",
    "offline",
    false,
  );
  const made = program();
  await runtime.disconnect();
  const resources = seen.map(({ dependsOn, ...rest }) => ({
    ...rest,
    dependsOn: dependsOn.map((urn) => urn.split("::").at(-1) ?? urn),
    inputs: inputs.get(`${rest.type} ${rest.name}`) ?? {},
  }));
  return { resources, program: made };
}

/** Mocks are not told of protection and dependencies: the requests are. */
function watchRegistrations(): Omit<Declared, "inputs">[] {
  const seen: Omit<Declared, "inputs">[] = [];
  const { MockMonitor } = createRequire(import.meta.url)("@pulumi/pulumi/runtime/mocks");
  const { registerResource } = MockMonitor.prototype;
  MockMonitor.prototype.registerResource = function (request: Registration, ...rest: unknown[]) {
    seen.push({
      type: request.getType(),
      name: request.getName(),
      custom: request.getCustom(),
      protect: request.getProtect(),
      dependsOn: request.getDependenciesList(),
      ignoreChanges: request.getIgnorechangesList(),
      importId: request.getImportid() || undefined,
    });
    return registerResource.call(this, request, ...rest);
  };
  return seen;
}

/** What Google would add to what it is given. */
export function outputsOf(type: string, name: string, given: Declared["inputs"]): object {
  switch (type) {
    case "gcp:serviceaccount/account:Account":
      return {
        email: `${given.accountId}@${given.project}.iam.gserviceaccount.com`,
        name: `projects/${given.project}/serviceAccounts/${given.accountId}@${given.project}.iam.gserviceaccount.com`,
      };
    case "gcp:cloudfunctionsv2/function:Function":
      return {
        url: `https://${given.location}-${given.project}.cloudfunctions.net/${given.name}`,
        serviceConfig: {
          ...given.serviceConfig,
          uri: `https://${given.name}-abc123-ew.a.run.app`,
          service: `projects/${given.project}/locations/${given.location}/services/${given.name}`,
        },
      };
    case "gcp:secretmanager/secret:Secret":
      return { name: `projects/${given.project}/secrets/${given.secretId}` };
    case "gcp:projects/iAMCustomRole:IAMCustomRole":
      return { name: `projects/${given.project}/roles/${given.roleId}` };
    case "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig":
      return { uptimeCheckId: `${name}-check` };
    case "gcp:monitoring/notificationChannel:NotificationChannel":
      return { name: `projects/${given.project}/notificationChannels/${name}` };
    case "gcp:firebaserules/ruleset:Ruleset":
      return { name: `${name}-made` };
    case "gcp:compute/address:Address":
      return { address: "203.0.113.7", selfLink: `https://compute.example/${name}` };
    case "random:index/randomPassword:RandomPassword":
      return { result: "x".repeat(given.length) };
    case "random:index/randomBytes:RandomBytes":
      return { base64: Buffer.alloc(given.length, 1).toString("base64") };
    default:
      return {};
  }
}
