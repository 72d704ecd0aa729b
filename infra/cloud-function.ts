import * as gcp from "@pulumi/gcp";
import { type Input, interpolate, type Output } from "@pulumi/pulumi";
import type { FunctionName } from "./code.ts";
import { Part, type PartOptions } from "./component.ts";
import type { Supplied } from "./environment.ts";

/** Where a secret appears as a file, in a folder of its own: the mount hides whatever else is there. */
const SECRETS = "/etc/token-service";

export interface CloudFunctionArgs {
  project: string;
  region: string;
  /** As it is deployed: it decides the address. */
  functionName: string;
  /** What the code exports. */
  entryPoint: FunctionName;
  bucket: Input<string>;
  object: Input<string>;
  account: gcp.serviceaccount.Account;
  buildAccount: gcp.serviceaccount.Account;
  /** `undefined` values are left out. */
  environment: Partial<Record<Supplied, Input<string> | undefined>>;
  /** A secret whose newest version is a file, and the variable that names it. */
  secretFile?: { variable: Supplied; secretId: Input<string> };
  memory: string;
  /** s. */
  timeout: number;
  concurrency: number;
  minInstances: number;
  maxInstances: number;
  /** Members that may call it, by a word for each. */
  callers: Readonly<Record<string, Input<string>>>;
  /** A subnetwork through which it reaches the internet. */
  subnetwork?: Input<string> | undefined;
}

const WHY: Record<FunctionName, string> = {
  lookup: "answers flows with a token that works",
  refresher: "refreshes tokens before they end, one lease a token",
  setup: "takes the consent that comes back from Webex",
};

/** Members that are not called by their own name. */
const CALLERS: Readonly<Record<string, string>> = { scheduler: "the Scheduler" };

/** One deployed function, who it is, and who may call it. */
export class CloudFunction extends Part {
  readonly function: gcp.cloudfunctionsv2.Function;
  /** The address of its Cloud Run service, which is the audience of identity tokens, too. */
  readonly uri: Output<string>;
  /** The address that Cloud Functions gives it: by project, region and name. */
  readonly url: Output<string>;
  readonly service: Output<string>;

  constructor(name: string, args: CloudFunctionArgs, options?: PartOptions) {
    super("Function", name, options);
    const { project, region, entryPoint } = args;
    this.function = new gcp.cloudfunctionsv2.Function(
      this.declared("function", WHY[entryPoint]),
      {
        project,
        location: region,
        name: args.functionName,
        description: `Webex token service: ${entryPoint}`,
        buildConfig: {
          runtime: "nodejs24",
          entryPoint,
          serviceAccount: args.buildAccount.name,
          source: { storageSource: { bucket: args.bucket, object: args.object } },
        },
        serviceConfig: serviceOf(args),
      },
      this.own(),
    );
    const config = this.function.serviceConfig.apply((found) => found ?? { uri: "", service: "" });
    this.uri = config.apply(({ uri }) => uri ?? "");
    this.url = this.function.url;
    this.service = config.apply(({ service }) => (service ?? "").split("/").at(-1) ?? "");
    for (const [word, member] of Object.entries(args.callers))
      new gcp.cloudrunv2.ServiceIamMember(
        this.declared(`called-by-${word}`, `lets ${CALLERS[word] ?? word} call ${entryPoint}`),
        { project, location: region, name: this.service, role: "roles/run.invoker", member },
        this.own(),
      );
    this.registerOutputs();
  }
}

function serviceOf(args: CloudFunctionArgs) {
  const { secretFile, subnetwork } = args;
  const file = secretFile && { mountPath: `${SECRETS}/${args.entryPoint}`, path: "live" };
  const given = Object.entries(args.environment).filter(([, value]) => value !== undefined);
  return {
    availableCpu: "1",
    availableMemory: args.memory,
    timeoutSeconds: args.timeout,
    maxInstanceRequestConcurrency: args.concurrency,
    minInstanceCount: args.minInstances,
    maxInstanceCount: args.maxInstances,
    serviceAccountEmail: args.account.email,
    ingressSettings: "ALLOW_ALL",
    allTrafficOnLatestRevision: true,
    environmentVariables: {
      NODE_ENV: "production",
      ...(Object.fromEntries(given) as Record<string, Input<string>>),
      ...(secretFile && file && { [secretFile.variable]: `${file.mountPath}/${file.path}` }),
    },
    // A volume on "latest" follows a rotation; a variable would be fixed when an instance starts.
    ...(secretFile &&
      file && {
        secretVolumes: [
          {
            mountPath: file.mountPath,
            projectId: args.project,
            secret: secretFile.secretId,
            versions: [{ version: "latest", path: file.path }],
          },
        ],
      }),
    ...(subnetwork !== undefined && {
      directVpcNetworkInterfaces: [{ subnetwork }],
      directVpcEgress: "VPC_EGRESS_ALL_TRAFFIC",
    }),
  };
}

/** The Cloud Run service that a function of this name becomes. */
export const serviceNameOf = (functionName: string): string =>
  functionName.toLowerCase().replaceAll("_", "-");

/** As IAM names a service account. */
export const memberOf = ({ email }: gcp.serviceaccount.Account): Output<string> =>
  interpolate`serviceAccount:${email}`;
