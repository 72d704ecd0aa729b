import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What stands between a process and something that it needs. */
export interface Relay {
  /** `host:port` to be used in place of the target's. */
  readonly host: string;
  /** Nothing gets through any more; connections stay open, and new ones are accepted. */
  hang(): void;
  /** The connections that stand carry nothing more and stay open; new ones work. */
  silence(): void;
  /** Connections that were made so far. */
  connections(): number;
  /** Requests get through, their answers do not. */
  holdAnswers(): void;
  /** What was held goes on, and all that follows; what somebody sent who is gone by now is lost. */
  resume(): void;
  /** Bytes that are held, by the way they were going. */
  held(): { requests: number; answers: number };
  /** Cuts the open connections, and with them what was held; new ones are passed on again. */
  cut(): void;
  close(): Promise<void>;
}

/** Passes connections on to `target` (`host:port`) until it is told otherwise. */
export async function relayTo(target: string): Promise<Relay> {
  const [host = "", port] = target.split(":");
  const lines = new Set<{ requests: Lane; answers: Lane; silence(): void; cut(): void }>();
  let holds = { requests: false, answers: false };
  let made = 0;
  const hold = (next: typeof holds) => {
    holds = next;
    for (const { requests, answers } of lines) {
      if (!next.requests) requests.flush();
      if (!next.answers) answers.flush();
    }
  };
  const server = createServer((near) => {
    const far = connect({ host, port: Number(port) });
    made++;
    let silent = false;
    const line = {
      requests: lane(near, far, () => silent || holds.requests),
      answers: lane(far, near, () => silent || holds.answers),
      silence() {
        silent = true;
      },
      cut() {
        near.destroy();
        far.destroy();
      },
    };
    lines.add(line);
    near.once("close", () => {
      lines.delete(line);
      far.destroy();
    });
    far.once("close", (failed) => {
      if (failed) near.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const line of lines) line.cut();
  };
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    hang: () => hold({ requests: true, answers: true }),
    silence() {
      for (const line of lines) line.silence();
    },
    connections: () => made,
    holdAnswers: () => hold({ requests: false, answers: true }),
    resume: () => hold({ requests: false, answers: false }),
    held() {
      const bytes = (way: "requests" | "answers") =>
        [...lines].reduce((sum, line) => sum + line[way].held(), 0);
      return { requests: bytes("requests"), answers: bytes("answers") };
    },
    cut() {
      cut();
      hold({ requests: false, answers: false });
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      cut();
      await closed;
    },
  };
}

interface Lane {
  held(): number;
  flush(): void;
}

/** One direction of a connection. */
function lane(from: Socket, to: Socket, isHeld: () => boolean): Lane {
  const waiting: Buffer[] = [];
  let ended = false;
  const flush = () => {
    for (const chunk of waiting.splice(0)) to.write(chunk);
    if (ended) to.end();
  };
  from.on("error", () => from.destroy());
  from.on("data", (chunk: Buffer) => {
    waiting.push(chunk);
    if (!isHeld()) flush();
  });
  from.once("end", () => {
    ended = true;
    if (!isHeld()) flush();
  });
  return { held: () => waiting.reduce((sum, { length }) => sum + length, 0), flush };
}
