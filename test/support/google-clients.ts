import path from "node:path";
import { credentials } from "@grpc/grpc-js";

const PACKAGE = path.resolve(import.meta.dirname, "../../package.json");

/** Ports of the stand-ins for Google's services. */
interface StandIns {
  scheduler?: number;
  secretManager?: number;
}

const CLIENTS = {
  scheduler: ["@google-cloud/scheduler", "CloudSchedulerClient"],
  secretManager: ["@google-cloud/secret-manager", "SecretManagerServiceClient"],
} as const;

/**
 * For the environment of a child process: Google's own libraries in it talk to these stand-ins, in the clear, and without
 * credentials unless the program has handed them some. All else of them is as it is; so is the program.
 */
export function clientsAt(standIns: StandIns): { NODE_OPTIONS: string } {
  const redirections = Object.entries(standIns).map(([service, port]) => {
    const [library, client] = CLIENTS[service as keyof StandIns];
    return `redirect(require(${JSON.stringify(library)}).${client}, ${port});`;
  });
  const code = `
    import { createRequire } from "node:module";
    const require = createRequire(${JSON.stringify(PACKAGE)});
    const sslCreds = require("@grpc/grpc-js").credentials.createInsecure();
    function redirect({ prototype }, port) {
      const { initialize } = prototype;
      prototype.initialize = function () {
        Object.assign(this._opts, { servicePath: "127.0.0.1", port, sslCreds });
        if (this._opts.authClient) introduce(this._gaxGrpc, this._opts.authClient);
        return initialize.call(this);
      };
    }
    function introduce(grpc, authClient) {
      const { createStub } = grpc;
      grpc.createStub = async (...args) => {
        const [stub, headers] = await Promise.all([createStub.apply(grpc, args), authClient.getRequestHeaders()]);
        for (const { originalName } of Object.values(stub.constructor.service)) {
          const call = stub[originalName].bind(stub);
          stub[originalName] = (request, metadata, ...rest) => {
            for (const [name, value] of headers) metadata.set(name, value);
            return call(request, metadata, ...rest);
          };
        }
        return stub;
      };
    }
    ${redirections.join("\n")}`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
}

/** A client of Google's, as far as it is the same for all of them. */
interface Client {
  prototype: { initialize(this: unknown): Promise<unknown> };
}

const ports = new Map<object, number>();

/**
 * The same for this process: clients that are made from now on talk to the stand-in that was named last, in this test file
 * or another one.
 */
export function redirect({ prototype }: Client, port: number): void {
  if (!ports.has(prototype)) {
    const { initialize } = prototype;
    prototype.initialize = function () {
      const { _opts } = this as { _opts: object };
      const sslCreds = credentials.createInsecure();
      Object.assign(_opts, { servicePath: "127.0.0.1", port: ports.get(prototype), sslCreds });
      return initialize.call(this);
    };
  }
  ports.set(prototype, port);
}
