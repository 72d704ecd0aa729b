import { connect, createServer, type Socket } from "node:net";
import { DatabaseSync } from "node:sqlite";
import { pipeline } from "node:stream/promises";
import type { DocumentStore } from "../../functions/core/store.ts";
import { startEmulator } from "../../test/support/emulator.ts";
import { freePort } from "../../test/support/processes.ts";
import { firestorePlace, sqlitePlace, type Tokens } from "../stores.ts";

/** Where the tokens are kept, and how it is made to stop answering. */
export interface FreezingPlace {
  /** What the functions are told. */
  env: Record<string, string>;
  /** This process's own way to it, which a frozen place does not block for reading. */
  documents: DocumentStore;
  /** Reads are not answered either while it is frozen. */
  hidesReads: boolean;
  freeze(): void;
  thaw(): void;
  close(): Promise<void>;
}

/** A file. Frozen, it takes no writes: SQLite's readers go on reading what was there (WAL). */
export async function sqliteThatFreezes(file: string, tokens: Tokens): Promise<FreezingPlace> {
  const { env, open } = await sqlitePlace(file, tokens);
  const documents = open();
  const lock = new DatabaseSync(file, { timeout: 1000 });
  const thaw = () => {
    if (lock.isTransaction) lock.exec("ROLLBACK");
  };
  return {
    env,
    documents,
    hidesReads: false,
    freeze: () => lock.exec("BEGIN IMMEDIATE"),
    thaw,
    async close() {
      thaw();
      lock.close();
      await documents.close();
    },
  };
}

/** Google's emulator. Frozen, nothing that is sent to it or comes from it arrives. */
export async function emulatorThatFreezes(tokens: Tokens): Promise<FreezingPlace> {
  const emulator = await startEmulator();
  if (emulator === undefined)
    throw new Error("Google's Firestore emulator is needed: install its Cloud SDK component, and Java");
  const { env, open } = await firestorePlace(emulator.host, tokens);
  const documents = open();
  const gate = await gateTo(emulator.host);
  return {
    env: { ...env, FIRESTORE_EMULATOR_HOST: gate.host },
    documents,
    hidesReads: true,
    freeze: gate.freeze,
    thaw: gate.thaw,
    async close() {
      await gate.close();
      await documents.close();
      await emulator.stop();
    },
  };
}

/** Passes connections on to `target` (`host:port`); frozen, it accepts them, and holds back whatever they carry. */
async function gateTo(target: string) {
  const [host = "", port] = target.split(":");
  const sockets = new Set<Socket>();
  let thawed = Promise.resolve();
  let thaw = () => {};
  async function* held(source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      await thawed;
      yield chunk;
    }
  }
  const pass = (from: Socket, to: Socket) => pipeline(from, held, to).catch(() => "either side may end it");
  const server = createServer((near) => {
    const far = connect({ host, port: Number(port) });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    }
    void pass(near, far);
    void pass(far, near);
  });
  const own = await freePort();
  await new Promise<void>((resolve) => server.listen(own, "127.0.0.1", resolve));
  return {
    host: `127.0.0.1:${own}`,
    freeze() {
      thawed = new Promise((resolve) => {
        thaw = resolve;
      });
    },
    thaw: () => thaw(),
    async close() {
      thaw();
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
