import { createRequire } from "node:module";
import { SecretManagerServiceClient } from "@google-cloud/secret-manager";
import { credentials, loadPackageDefinition, Server, ServerCredentials, status } from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import { redirect } from "./google-clients.ts";

/**
 * A stand-in for Google's Secret Manager, as far as it is used here, over gRPC and from the protos that Google's own
 * library carries. The library itself talks to it.
 */
export interface SecretManager {
  client: SecretManagerServiceClient;
  port: number;
  /** Makes a secret; without texts it has no version yet. */
  create(name: string, ...texts: string[]): void;
  /** Its versions, oldest first. */
  versions(name: string): Version[];
  /** The next request for this method ends like that. */
  fail(method: string, code: number, before?: () => void): void;
  /** All secrets are gone. */
  clear(): void;
  close(): Promise<void>;
}

export interface Version {
  name: string;
  text: string;
  enabled: boolean;
}

interface Call {
  request: { name?: string; parent?: string; payload?: { data?: Buffer } };
}
type Answer = (error: { code: number; details: string } | null, reply?: object) => void;

const PROTOS = "@google-cloud/secret-manager/build/protos/protos.json";

let shared: Promise<SecretManager> | undefined;

/**
 * An empty one, to which this process's own client is redirected, for all its test files: a process keeps one client to its
 * end.
 */
export async function sharedSecretManager(): Promise<SecretManager> {
  shared ??= startSecretManager();
  const manager = await shared;
  redirect(SecretManagerServiceClient, manager.port);
  manager.clear();
  return manager;
}

export async function startSecretManager(): Promise<SecretManager> {
  const secrets = new Map<string, Version[]>();
  const failures = new Map<string, { code: number; before: (() => void) | undefined }>();
  const problem = (code: number) => ({ code, details: "made up" });
  const answered = (method: string, work: (request: Call["request"]) => object | number | undefined) => {
    return ({ request }: Call, answer: Answer) => {
      const failure = failures.get(method);
      failures.delete(method);
      failure?.before?.();
      if (failure !== undefined && failure.code !== status.OK) return answer(problem(failure.code));
      const reply = work(request);
      if (typeof reply === "number") return answer(problem(reply));
      return reply === undefined ? answer(problem(status.NOT_FOUND)) : answer(null, reply);
    };
  };
  const shown = ({ name, enabled }: Version) => ({ name, state: enabled ? "ENABLED" : "DISABLED" });
  const all = () => [...secrets.values()].flat();
  const add = (parent: string, text: string) => {
    const versions = secrets.get(parent);
    const version = { name: `${parent}/versions/${(versions?.length ?? 0) + 1}`, text, enabled: true };
    versions?.push(version);
    return versions && version;
  };

  const server = new Server();
  const json = createRequire(import.meta.url)(PROTOS);
  const types = loadPackageDefinition(fromJSON(json, { enums: String, keepCase: false }));
  // biome-ignore lint/suspicious/noExplicitAny: grpc-js has no better type for a loaded package
  const service = (types as any).google.cloud.secretmanager.v1.SecretManagerService.service;
  server.addService(service, {
    AccessSecretVersion: answered("AccessSecretVersion", ({ name = "" }) => {
      const [secret = "", number] = name.split("/versions/");
      const found = secrets.get(secret)?.filter((version) => number === "latest" || version.name === name);
      const version = found?.at(-1);
      if (version?.enabled === false) return status.FAILED_PRECONDITION;
      return version && { name: version.name, payload: { data: Buffer.from(version.text) } };
    }),
    AddSecretVersion: answered("AddSecretVersion", ({ parent = "", payload }) => {
      const version = add(parent, payload?.data?.toString("utf8") ?? "");
      return version && shown(version);
    }),
    ListSecretVersions: answered("ListSecretVersions", ({ parent = "" }) => ({
      versions: (secrets.get(parent) ?? []).filter(({ enabled }) => enabled).map(shown),
    })),
    DisableSecretVersion: answered("DisableSecretVersion", ({ name = "" }) => {
      const version = all().find((each) => each.name === name);
      if (version === undefined) return undefined;
      version.enabled = false;
      return shown(version);
    }),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const client = new SecretManagerServiceClient({
    apiEndpoint: "127.0.0.1",
    port,
    sslCreds: credentials.createInsecure(),
    projectId: "made-up",
  });
  return {
    client,
    port,
    create(name, ...texts) {
      secrets.set(name, []);
      for (const text of texts) add(name, text);
    },
    versions: (name) => secrets.get(name) ?? [],
    fail: (method, code, before) => void failures.set(method, { code, before }),
    clear: () => secrets.clear(),
    async close() {
      await client.close();
      server.forceShutdown();
    },
  };
}
