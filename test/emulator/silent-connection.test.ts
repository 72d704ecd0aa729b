import { afterAll, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { freshProject } from "../support/emulator.ts";
import { eventually } from "../support/eventually.ts";
import { type Relay, relayTo } from "../support/relay.ts";

const emulator = inject("firestoreEmulator");
const before = process.env.FIRESTORE_EMULATOR_HOST;
let relay: Relay | undefined;

afterAll(async () => {
  await relay?.close();
  if (before === undefined) delete process.env.FIRESTORE_EMULATOR_HOST;
  else process.env.FIRESTORE_EMULATOR_HOST = before;
});

describe.skipIf(emulator === undefined)("a gRPC connection to Firestore that goes silent", () => {
  test("is replaced, and reads work again without a restart (row 30)", async () => {
    relay = await relayTo(emulator ?? "");
    process.env.FIRESTORE_EMULATOR_HOST = relay.host;
    const documents = openFirestore({ project: freshProject(), database: "(default)", pingInterval: 200 });
    await documents.create("status", "made-up", { count: 1 });
    const connections = relay.connections();
    relay.silence();
    const read = await eventually(() => documents.read("status", "made-up"));
    expect(read?.fields).toEqual({ count: 1 });
    expect(relay.connections()).toBeGreaterThan(connections);
    await documents.close();
  });
});
