import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import Table from "cli-table3";
import { Command, InvalidArgumentError } from "commander";
import { type Emulator, startEmulator } from "../test/support/emulator.ts";
import type { Context, Measurement, Table as Rows } from "./context.ts";
import { crowd } from "./crowd.ts";
import { prepare } from "./deployed.ts";
import { faults } from "./faults.ts";
import { memory } from "./memory.ts";
import { GOALS_HEAD, goalRow, type Measured, machine, writePage } from "./page.ts";
import { reads } from "./reads.ts";
import { startup } from "./startup.ts";
import { sweep } from "./sweep.ts";
import { warm } from "./warm.ts";

const MEASUREMENTS: Record<string, Measurement> = { startup, warm, memory, sweep, reads, crowd, faults };
const KNOWN = Object.keys(MEASUREMENTS);

const options = new Command("npm run bench --")
  .description(
    "Measures what a caller and an operator feel. A whole run (about ten minutes) also rewrites docs/performance.md.",
  )
  .option("--only <names>", `some of ${KNOWN.join(", ")}, with commas between`, namesOf, KNOWN)
  .option("--quick", "fewer rounds and smaller numbers: to see that it works", false)
  .parse()
  .opts<{ only: string[]; quick: boolean }>();

function namesOf(list: string): string[] {
  const names = list.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) throw new InvalidArgumentError(`There is no ${unknown.join(", ")}.`);
  return names;
}

const folder = mkdtempSync(path.join(tmpdir(), "bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

let starting: Promise<Emulator | undefined> | undefined;
async function emulator(): Promise<string> {
  starting ??= startEmulator();
  const found = await starting;
  if (found === undefined)
    throw new Error("Google's Firestore emulator is needed: install its Cloud SDK component, and Java");
  return found.host;
}

const print = ({ head, rows }: Rows) => {
  const table = new Table({ head, style: { head: [], border: [] } });
  table.push(...rows);
  console.log(table.toString());
};

const where = machine();
console.error("building");
await prepare(folder);
const measured: Measured[] = [];
for (const [name, { title, run }] of Object.entries(MEASUREMENTS)) {
  if (!options.only.includes(name)) continue;
  const say = (text: string) => console.error(`${name}: ${text}`);
  const context: Context = { quick: options.quick, folder, emulator, say };
  const report = await run(context);
  measured.push({ title, report });
  console.log(`\n${title}`);
  report.tables.forEach(print);
}
await (await starting)?.stop();
console.log("\nWhat it must reach");
print({ head: GOALS_HEAD, rows: measured.flatMap(({ report }) => report.goals.map(goalRow)) });
if (options.quick || measured.length < KNOWN.length)
  console.error("docs/performance.md was left as it is: only a whole run is published");
else await writePage(measured, where);
process.exit();
