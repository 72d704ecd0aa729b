import { once } from "node:events";
import { runtime } from "../../functions/adapters/runtime.ts";
import { openSqlite } from "../../functions/adapters/sqlite.ts";
import { webexEndpoint } from "../../functions/adapters/webex.ts";
import { refresh } from "../../functions/core/refresh.ts";
import { tokenStore } from "../../functions/core/store.ts";
import { DEFAULT_THRESHOLD } from "../../functions/core/time.ts";

/**
 * One of several processes on one SQLite file. It says "ready", waits for a line, and only then opens the file:
 * `claimer.ts FILE count N` adds N to a counter; `claimer.ts FILE refresh URL NAME…` refreshes each token once.
 * It ends by printing what came of it as JSON.
 */
const [file = "", job, first = "", ...names] = process.argv.slice(2);

process.stdout.write("ready\n");
await once(process.stdin, "data");
process.stdin.destroy();
const documents = openSqlite(file, runtime.now);
const result = job === "count" ? await count(Number(first)) : await refreshAll(first);
await documents.close();
process.stdout.write(`${JSON.stringify(result)}\n`);

async function count(times: number): Promise<number> {
  let lost = 0;
  await documents.create("status", "counter", { count: 0 });
  for (let done = 0; done < times; ) {
    const found = await documents.read("status", "counter");
    if (found === undefined) throw new Error("the counter is gone");
    const fields = { count: Number(found.fields.count) + 1 };
    // Long enough for another process to come in between: what is raced for must be lost at times.
    await runtime.sleep(1);
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
    hold: { until: 0 },
  };
  const outcomes: string[] = [];
  for (const name of names) outcomes.push((await refresh(name, { by: "reader" }, refresher)).outcome);
  return outcomes;
}
