import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { openFirestore } from "../../functions/adapters/firestore.ts";
import { firestoreReader } from "../../functions/adapters/firestore-rest.ts";
import { census } from "../../functions/core/census.ts";
import { makeState, redeemState } from "../../functions/core/consent.ts";
import { readSweeps } from "../../functions/core/status.ts";
import { type DocumentStore, tokenReader, tokenStore } from "../../functions/core/store.ts";
import { sweep } from "../../functions/core/sweep.ts";
import { MINUTE, SECOND } from "../../functions/core/time.ts";
import { type Declared, runOffline } from "../../infra/offline.ts";
import { TokenService } from "../../infra/token-service.ts";
import { freshProject } from "../support/emulator.ts";
import { OLD, openWorld, range, type World } from "../support/world.ts";

/** What infra declares for Firestore, compared with the queries and writes of the service. */

const emulator = inject("firestoreEmulator");
const skipped = emulator === undefined;
const title = (what: string) => (skipped ? `${what} (SKIPPED: no emulator)` : what);
const project = freshProject();
const root = `projects/${project}/databases/(default)`;
const OWNER = { authorization: "Bearer owner" };

let documents: DocumentStore;
let world: World;
let declared: readonly Declared[];
/** When the service's work began, in ms. */
let began: number;
const of = (type: string) => declared.filter(({ type: kind }) => kind.startsWith(`gcp:firestore/${type}:`));

beforeAll(async () => {
  declared = (
    await runOffline(
      () =>
        new TokenService("tokens", { project: "made-up-project", region: "europe-west1", sealing: "off" }),
    )
  ).resources;
  if (skipped) return;
  process.env.FIRESTORE_EMULATOR_HOST = emulator;
  documents = openFirestore({ project, database: "(default)" });
  const runtime = { now: Date.now, sleep: async () => {}, secret: () => crypto.randomUUID() };
  world = await openWorld({ documents, runtime, clock: { now: Date.now, advance: () => {} } });
  began = Date.now();
  await everythingThatAsks();
});
afterAll(() => world?.close());

/** A sweep in pages, a census, a read of each adapter, a consent, and what the command line lists. */
async function everythingThatAsks(): Promise<void> {
  await Promise.all(range(3).map((index) => world.add(`t${index}`, world.granted(OLD))));
  const store = tokenStore(documents, Date.now);
  const [first] = await store.due(Date.now(), 1);
  await store.due(Date.now(), 1, first);
  await store.countDue(Date.now(), first);
  await sweep(world.sweeper());
  await sweep(world.sweeper({ deadline: 0 }));
  await census(world.refresher());
  for await (const _ of store.pages(2));
  await readSweeps(documents);
  const rest = firestoreReader({
    project,
    database: "(default)",
    emulator,
    accessToken: async () => "owner",
    now: Date.now,
  });
  expect((await tokenReader(rest, Date.now).read("t1"))?.document.accessToken).toBeDefined();
  const keeper = { store, runtime: world.runtime };
  const made = await makeState(
    await world.token("t1"),
    { webexUrl: world.url, pkce: true, newOrg: false },
    keeper,
  );
  await redeemState(made.state, false, keeper);
  await makeState(await world.token("t2"), { webexUrl: world.url, pkce: false, newOrg: true }, keeper);
  await documents.list("authorizations", 10);
}

describe.skipIf(skipped)(title("what infra declares for Firestore"), () => {
  test("is exactly the composite indexes that the service's queries need", async () => {
    const url = `http://${emulator}/emulator/v1/projects/${project}:indexUsage?database=${root}`;
    const answer = await fetch(url, { headers: OWNER });
    const { reports = [] } = (await answer.json()) as { reports?: Report[] };
    const needed = reports.map(({ index }) => `${index.fields.map(({ fieldPath }) => fieldPath)}`);
    const made = of("index").map(
      ({ inputs }) => `${inputs.fields.map(({ fieldPath }: { fieldPath: string }) => fieldPath)}`,
    );
    expect([answer.status, needed]).toEqual([200, made]);
  });

  test("deletes each document of an authorization by a timestamp", async () => {
    const [ttl, ...others] = of("field").map(({ inputs }) => inputs);
    expect(others).toEqual([]);
    expect(ttl).toMatchObject({ collection: "authorizations", field: "expires", ttlConfig: {} });
    const url = `http://${emulator}/v1/${root}/documents/${ttl?.collection}`;
    const answer = (await (await fetch(url, { headers: OWNER })).json()) as { documents: Stored[] };
    expect(answer.documents).toHaveLength(2);
    for (const { fields } of answer.documents) {
      const made = Date.parse(String(fields[ttl?.field ?? ""]?.timestampValue)) - 15 * MINUTE;
      // The service gives a state the store's time, which may differ a little from this process's.
      expect(made).toBeGreaterThanOrEqual(began - SECOND);
      expect(made).toBeLessThanOrEqual(Date.now() + SECOND);
    }
  });

  test("deletes nothing else: no token and no status has such a field, and no index of a queried field is off", async () => {
    expect(of("field").filter(({ inputs }) => inputs.indexConfig !== undefined)).toEqual([]);
    for (const collection of ["tokens", "status"]) {
      const url = `http://${emulator}/v1/${root}/documents/${collection}`;
      const answer = (await (await fetch(url, { headers: OWNER })).json()) as { documents: Stored[] };
      expect(answer.documents.length).toBeGreaterThan(0);
      for (const { fields } of answer.documents) expect(fields).not.toHaveProperty("expires");
    }
  });
});

interface Report {
  index: { fields: { fieldPath: string }[] };
}

interface Stored {
  fields: Record<string, { timestampValue?: string } | undefined>;
}
