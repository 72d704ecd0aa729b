import { once } from "node:events";
import { runtime } from "../../functions/adapters/runtime.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import { makePauses } from "../../functions/core/pauses.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD } from "../../functions/core/time.ts";

/**
 * One of several processes on one SQLite file. It prints "ready", waits for a line, and only then opens the file:
 * `claimer.ts FILE count N` adds N to a counter, and waits for a line again before its first update;
 * `claimer.ts FILE refresh URL NAME…` refreshes each token once. It ends by printing its result as JSON.
 */
const [file = "", job, first = "", ...names] = process.argv.slice(2);

await meet("ready");
const documents = openSqlite(file, runtime.now);
const result = job === "count" ? await count(Number(first)) : await refreshAll(first);
process.stdin.destroy();
await documents.close();
process.stdout.write(`${JSON.stringify(result)}\n`);

/** Waits for the other processes: the test answers when each of them has printed this. */
async function meet(where: string): Promise<void> {
  process.stdout.write(`${where}\n`);
  await once(process.stdin, "data");
}

async function count(times: number): Promise<number> {
  let lost = 0;
  await documents.create("status", "counter", { count: 0 });
  for (let done = 0; done < times; ) {
    const found = await documents.read("status", "counter");
    if (found === undefined) throw new Error("the counter is gone");
    const fields = { count: Number(found.fields.count) + 1 };
    // All have read the same version once, so all but one lose their first update.
    if (done + lost === 0) await meet("read");
    if ((await documents.update("status", "counter", fields, found.version)) === undefined) lost++;
    else done++;
  }
  return lost;
}

async function refreshAll(url: string): Promise<string[]> {
  const refresher = {
    store: tokenStore(documents, runtime.now),
    endpoint: webexEndpoint(url),
    runtime,
    log: () => {},
    threshold: DEFAULT_THRESHOLD,
    pauses: makePauses(runtime.now),
  };
  const outcomes: string[] = [];
  for (const name of names) outcomes.push((await refresh(name, { by: "reader" }, refresher)).outcome);
  return outcomes;
}
