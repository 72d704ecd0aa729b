import { connect, createServer } from "node:net";
import path from "node:path";
import { freePort } from "../support/processes.ts";
import { type Child, run } from "./child.ts";

/** What stands before a server and passes connections on to it: a process, so that it can be frozen and killed. */
export interface Proxy {
  /** `host:port`, to be used in place of the server's. */
  readonly host: string;
  /** SIGSTOP: connections stand, new ones are made, and nothing is ever answered. */
  freeze(): void;
  /** SIGKILL: connections are gone, and new ones refused. */
  kill(): Promise<void>;
  /** Frozen or killed before, it works again, in the same place. */
  revive(): Promise<void>;
}

/** `target`: `host:port`. `endAll` ends it. */
export async function startProxy(target: string): Promise<Proxy> {
  const port = await freePort();
  const start = async () => {
    const file = path.join(import.meta.dirname, "proxy.ts");
    const child = run(process.execPath, [file, String(port), target], { cwd: import.meta.dirname, env: {} });
    await child.says("ready");
    return child;
  };
  let child: Child | undefined = await start();
  return {
    host: `127.0.0.1:${port}`,
    freeze: () => child?.signal("SIGSTOP"),
    async kill() {
      child?.signal("SIGKILL");
      await child?.ended;
      child = undefined;
    },
    async revive() {
      child?.signal("SIGCONT");
      child ??= await start();
    },
  };
}

function pass(port: number, target: string): void {
  const [host = "", targetPort = ""] = target.split(":");
  const server = createServer((near) => {
    const far = connect(Number(targetPort), host);
    near.on("error", () => far.destroy()).on("close", () => far.destroy());
    far.on("error", () => near.destroy()).on("close", () => near.destroy());
    near.pipe(far).pipe(near);
  });
  server.listen(port, "127.0.0.1", () => console.log("ready"));
}

if (import.meta.main) {
  const [port = "", target = ""] = process.argv.slice(2);
  pass(Number(port), target);
}
