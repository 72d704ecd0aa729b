import { createRequire } from "node:module";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { outputsOf } from "../../infra/offline.ts";

/** What stands in for Pulumi's engine: the two services that a program talks to, over gRPC and from Pulumi's own protos. */
export interface Engine {
  /** `host:port`. */
  address: string;
  /** What was registered, as the program sent it: secrets stand in wrappers. */
  registered: Registered[];
  /** What components, and last the stack itself, gave back. By the end of the URN. */
  outputs: Map<string, Properties>;
  /** Errors that a person would see. */
  errors: string[];
  close(): Promise<void>;
}

// biome-ignore lint/suspicious/noExplicitAny: every kind of resource has properties of its own
type Properties = Record<string, any>;

interface Registered {
  type: string;
  name: string;
  custom: boolean;
  protect: boolean;
  inputs: Properties;
}

/** The mark of Pulumi's wire format for special values, and the one of secrets. */
const MARK = "4dabf18193072939515e22adb298388d";
const CONCEALED = "1b47061264138c4ac30d75fd1eb44270";

/** The secret in a wrapper; `undefined`: it is not marked as one. */
export const secretIn = (value: Properties | undefined): unknown =>
  value?.[MARK] === CONCEALED ? value.value : undefined;

const load = createRequire(createRequire(import.meta.url).resolve("@pulumi/pulumi"));
const proto = (name: string) => load(`./proto/${name}_pb`);
/** pulumirpc.LogSeverity */
const ERROR = 3;
/** What the engine of the CLI can do, as far as the program may make use of it. */
const FEATURES = ["secrets", "resourceReferences", "outputValues", "deletedWith", "aliasSpecs"];

// biome-ignore lint/suspicious/noExplicitAny: the generated messages have no types of their own here
type Handler = (request: any) => unknown;

export async function startEngine(): Promise<Engine> {
  const { Struct } = load("google-protobuf/google/protobuf/struct_pb.js");
  const { Empty } = load("google-protobuf/google/protobuf/empty_pb.js");
  const messages = { ...proto("resource"), ...proto("engine") };
  const registered: Registered[] = [];
  const outputs: Engine["outputs"] = new Map();
  const errors: string[] = [];

  const monitor: Record<string, Handler> = {
    supportsFeature(request) {
      const reply = new messages.SupportsFeatureResponse();
      reply.setHassupport(FEATURES.includes(request.getId()));
      return reply;
    },
    registerResource(request) {
      const [type, name, custom] = [request.getType(), request.getName(), request.getCustom()];
      const inputs: Properties = request.getObject()?.toJavaScript() ?? {};
      registered.push({ type, name, custom, protect: request.getProtect(), inputs });
      const reply = new messages.RegisterResourceResponse();
      reply.setUrn(`urn:pulumi:dev::webex-token-service::${type}::${name}`);
      if (custom) reply.setId(`${name}-id`);
      const made: Properties = { ...inputs, ...outputsOf(type, name, plain(inputs)) };
      for (const key of request.getAdditionalsecretoutputsList())
        if (made[key] !== undefined && secretIn(made[key]) === undefined)
          made[key] = { [MARK]: CONCEALED, value: made[key] };
      reply.setObject(Struct.fromJavaScript(made));
      return reply;
    },
    registerResourceOutputs(request) {
      outputs.set(request.getUrn().split("::").at(-1), request.getOutputs()?.toJavaScript() ?? {});
      return new Empty();
    },
    signalAndWaitForShutdown: () => new Empty(),
  };
  let root = "";
  const engine: Record<string, Handler> = {
    log(request) {
      if (request.getSeverity() === ERROR) errors.push(request.getMessage());
      return new Empty();
    },
    getRootResource() {
      const reply = new messages.GetRootResourceResponse();
      reply.setUrn(root);
      return reply;
    },
    setRootResource(request) {
      root = request.getUrn();
      return new messages.SetRootResourceResponse();
    },
  };

  const server = new Server();
  server.addService(load("./proto/resource_grpc_pb").ResourceMonitorService, served(monitor));
  server.addService(load("./proto/engine_grpc_pb").EngineService, served(engine));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    registered,
    outputs,
    errors,
    close: () => new Promise((resolve) => server.tryShutdown(() => resolve())),
  };
}

function served(handlers: Record<string, Handler>) {
  const entries = Object.entries(handlers).map(([name, handle]) => [
    name,
    ({ request }: { request: unknown }, answer: (error: Error | null, reply?: unknown) => void) => {
      try {
        answer(null, handle(request));
      } catch (error) {
        answer(error as Error);
      }
    },
  ]);
  return Object.fromEntries(entries);
}

/** Without the wrappers of secrets. */
function plain(value: Properties): Properties {
  return JSON.parse(JSON.stringify(value), (_, inner) => secretIn(inner) ?? inner);
}
