import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "../test/support/processes.ts";

/** What stands between lookup and something that it needs. */
export interface Relay {
  /** `host:port` to be used in place of the target's. */
  host: string;
  /** Connections are refused from now on, and those that are open are cut. */
  refuse(): Promise<void>;
  /** Connections are accepted, and nothing is ever answered. */
  hang(): void;
  close(): Promise<void>;
}

/** Passes connections on to `target` (`host:port`) until it is told otherwise. */
export async function relayTo(target: string): Promise<Relay> {
  const [host = "", port] = target.split(":");
  const open = new Set<Socket>();
  let hanging = false;
  const keep = (socket: Socket) => {
    open.add(socket);
    socket.on("error", () => socket.destroy()).once("close", () => open.delete(socket));
  };
  const server = createServer((near) => {
    keep(near);
    if (hanging) return;
    const far = connect({ host, port: Number(port) });
    keep(far);
    near.pipe(far).pipe(near);
    near.once("close", () => far.destroy());
    far.once("close", () => near.destroy());
  });
  const own = await listen(server);
  const close = () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of open) socket.destroy();
    return closed;
  };
  return {
    host: `127.0.0.1:${own}`,
    refuse: close,
    hang() {
      hanging = true;
      for (const socket of open) socket.unpipe().pause();
    },
    close,
  };
}

async function listen(server: Server): Promise<number> {
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return port;
}
